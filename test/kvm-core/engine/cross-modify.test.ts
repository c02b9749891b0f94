/**
 * Code that changes while vCPUs run it, in threads: two vCPUs that rewrite each other's functions, and DMA into a loop.
 * SEED and ROUNDS of the environment make other and longer runs.
 * Document: SDM volume 3, 8.1.3 (cross-modifying code: store, hand over, serialise, execute).
 * Left out: single steps of it: coherence.test.ts; the server: test/kvm-core/vcpu/code.test.ts.
 */

import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { PENDING_EXIT, request } from "../../../kvm-core/cpu/requests.ts";
import { CODE_MAP, GUEST_RAM, vcpuZone, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit, type EngineName } from "../../../kvm-core/engine/engine.ts";
import { CodeMap } from "../../../shared/code-map.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { assemble } from "../support/asm.ts";
import { EAGER, TestMachine } from "../support/machine.ts";
import { type Ended, startVcpu } from "./vcpu-worker.ts";

const RAM = 16 << 20;
const CODE = 0x10_0000;
const TABLE = 0x30_0000;
const MAIL = 0x40_0000;
const FUNCTIONS = 8;
const SEED = (Number(process.env["SEED"]) || 20_261_124) >>> 0;
const ROUNDS = Number(process.env["ROUNDS"]) || 100;
/** Engines, and how often records are forgotten: interp keeps none. */
const KINDS = [
  ["interp", undefined],
  ["patch", undefined],
  ["patch", 1],
  ["patch", 3],
  ["wasm", undefined],
  ["wasm", 3],
] as const;
const NAMES: readonly EngineName[] = ["interp", "patch", "wasm"];

/** Function k of a vCPU: some across a page's end, some in pages of their own, some in one page with the other's. */
function functionAt(vcpu: number, k: number): number {
  if (k >= 6) return 0x60_0100 + k * 0x1000 + vcpu * 0x20;
  return 0x50_0000 + (vcpu * 16 + 2 * k) * 0x1000 + (k % 2 ? 0xffd : 0x100);
}

/** vCPU `me`: rewrites a function of the other's and a word beside it, hands over, serialises, and calls its own. */
function program(me: number): Uint8Array {
  const [mine, others] = [TABLE + me * 0x100, TABLE + (1 - me) * 0x100];
  const [flag, otherFlag] = [MAIL + me * 0x1000, MAIL + (1 - me) * 0x1000];
  return assemble(
    `mov ecx, 1
     1: imul esi, esi, 1103515245; add esi, 12345
     mov eax, esi; shr eax, 16; and eax, 7
     mov ebx, [eax*4 + ${others}]; mov [ebx+1], ecx; mov [ebx+0x800], ecx
     mov edx, [eax*4 + ${mine}]
     mov [${flag}], ecx
     2: pause; cmp [${otherFlag}], ecx; jne 2b
     push ecx; push edx; xor eax, eax; cpuid; pop edx; pop ecx
     call edx
     cmp eax, ecx; jne 9f
     mov [${flag + 0x40}], ecx
     3: pause; cmp [${otherFlag + 0x40}], ecx; jne 3b
     inc ecx; cmp ecx, ${ROUNDS}; jbe 1b
     mov eax, -1; hlt
     9: mov ebx, edx; hlt`,
    32,
  );
}

function makeMemory(): TestMachine {
  const machine = new TestMachine("interp", 32, RAM, { vcpu: 7 });
  for (let vcpu = 0; vcpu < 2; vcpu++) {
    for (let k = 0; k < FUNCTIONS; k++) {
      machine.setU32(TABLE + vcpu * 0x100 + k * 4, functionAt(vcpu, k));
      machine.write(functionAt(vcpu, k), [0xb8, 0, 0, 0, 0, 0xc3]); // mov eax, 0; ret
    }
  }
  return machine;
}

describe.each(KINDS)("%s, evictEvery %s", (engine, evictEvery) => {
  it(`two vCPUs rewrite each other's code (seed ${SEED})`, async () => {
    const machine = makeMemory();
    const { memory } = machine;
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const options = { translation: EAGER, ...(evictEvery === undefined ? {} : { evictEvery }) };
    const ended: (Ended | undefined)[] = [undefined, undefined];
    const runs = [0, 1].map(async (vcpu) => {
      machine.write(CODE + vcpu * 0x1_0000, program(vcpu));
      const rip = CODE + vcpu * 0x1_0000;
      const start = { memory, engine, options, vcpu, rip, rsp: 0x8_0000 + vcpu * 0x1_0000, esi: SEED, stop };
      ended[vcpu] = await startVcpu(start);
      if (ended[vcpu].rax === 0xffff_ffffn) return;
      Atomics.store(stop, 0, 1); // the other one would wait for ever
      request(new Int32Array(memory.buffer), vcpuZone(1 - vcpu), PENDING_EXIT);
    });
    await Promise.all(runs);
    const done = { exit: EngineExit.HLT, detail: "", rax: 0xffff_ffffn, rcx: BigInt(ROUNDS + 1) };
    expect(ended).toMatchObject([done, done]);
  });
});

describe.each(NAMES)("%s", (engine) => {
  it(`sees DMA into the loop that it executes (seed ${SEED})`, async () => {
    const machine = makeMemory();
    const { memory } = machine;
    const code = new CodeMap(memory.buffer, CODE_MAP, [vcpuZone(0) + ZONE.kick]);
    const device = new GuestMemory(memory.buffer, [{ gpa: 0, size: RAM, at: GUEST_RAM }], code);
    // mov ebx, MAIL; 1: mov eax, imm; mov [ebx], eax; call a function; mov [ebx+4], eax; jmp 1b
    const loop = assemble(
      `mov ebx, ${MAIL}; 1: mov eax, 0x11111111; mov [ebx], eax; mov edx, ${functionAt(0, 1)}; call edx; mov [ebx+4], eax; jmp 1b`,
      32,
    );
    machine.write(CODE, loop);
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const start = { memory, engine, options: { translation: EAGER }, vcpu: 0, rip: CODE, rsp: 0x8_0000, esi: 0, stop };
    const run = startVcpu(start);
    const seen = async (at: number, value: number) => {
      for (const end = Date.now() + 20_000; Atomics.load(words, (GUEST_RAM + at) >> 2) !== value; await setTimeout(0))
        if (Date.now() > end) throw new Error(`the vCPU still executes old code: ${value} does not come`);
    };
    const words = new Int32Array(memory.buffer);
    try {
      let random = SEED;
      for (let value = 1; value <= 100; value++) {
        random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
        if (random & 0x1_0000) {
          device.writeU32(CODE + 6, value);
          await seen(MAIL, value);
        } else {
          device.write(functionAt(0, 1), Uint8Array.of(0xb8, value, 0, 0, 0, 0xc3));
          await seen(MAIL + 4, value);
        }
      }
    } finally {
      Atomics.store(stop, 0, 1);
      request(words, vcpuZone(0), PENDING_EXIT);
    }
    expect(await run).toMatchObject({ exit: EngineExit.INTR, detail: "" });
  });
});
