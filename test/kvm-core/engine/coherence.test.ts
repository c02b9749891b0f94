/**
 * Code that somebody else changes, one step at a time: another vCPU, another mapping, DMA, another engine. What the page
 * flags and the code map say meanwhile.
 * Document: SDM volume 3, 8.1.3; kvm-core/mmu/code-pages.ts, shared/code-map.ts.
 * Left out: what happens at the same time: cross-modify.test.ts.
 */

import { describe, expect, it } from "vitest";
import { GUEST_MODE, PENDING_PROTECT, PENDING_STOP, request } from "../../../kvm-core/cpu/requests.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { CODE_MAP, GPA_CODE, GPA_TABLE, GUEST_RAM, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { compileInterpreter, createEngine, EngineExit } from "../../../kvm-core/engine/engine.ts";
import { CODE_MAP_BYTES, CodeMap, CODE_MAP as MAP } from "../../../shared/code-map.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TABLES, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const FUNCTION = 0x20_0000;
const RAM = 16 << 20;
/** mov eax, value; ret */
const returns = (value: number): number[] => [0xb8, value & 0xff, value >>> 8, 0, 0, 0xc3];
const CALL = assemble("mov edx, 0x200000; call edx", 32);

/** Guest memory as a device process has it, with the VM's code map. */
function device(machine: TestMachine): GuestMemory {
  const { buffer } = machine.memory;
  const code = new CodeMap(buffer, CODE_MAP, [machine.zone + ZONE.kick]);
  return new GuestMemory(buffer, [{ gpa: 0, size: RAM, at: GUEST_RAM }], code);
}

function kicked(machine: TestMachine): boolean {
  return machine.view.getUint32(machine.zone + ZONE.kick, true) !== 0;
}

/** As the vCPU's thread does: takes the kick, and runs on until HLT. */
function runOn(machine: TestMachine): number {
  for (let tries = 0; tries < 100; tries++) {
    machine.view.setUint32(machine.zone + ZONE.kick, 0, true);
    const exit = machine.engine.run();
    if (exit !== EngineExit.INTR) return exit;
  }
  throw new Error("it does not come to an end");
}

const flags = (machine: TestMachine, gpa: number): number =>
  machine.view.getUint32(GPA_TABLE + (gpa >>> 12) * 4, true) & 0xfff;
const mapped = (machine: TestMachine, gpa: number): number =>
  (machine.view.getUint32(CODE_MAP + MAP.code + (gpa >>> 17) * 4, true) >>> ((gpa >>> 12) & 31)) & 1;

describe.each(ENGINES)("%s", (engine) => {
  it("sees what another vCPU stored into code that it has executed", () => {
    const a = new TestMachine(engine, 32);
    const b = new TestMachine(engine, 32, RAM, { memory: a.memory, vcpu: 1 });
    b.write(FUNCTION, returns(1));
    b.run(CALL, CODE);
    expect(b.regs.rax).toBe(1n);
    for (let value = 2; value < 10; value++) {
      a.run(assemble(`mov dword ptr [0x200001], ${value}`, 32), 0x30_0000);
      b.set({ rip: BigInt(CODE) });
      expect(b.engine.run()).toBe(EngineExit.HLT);
      expect(b.regs.rax).toBe(BigInt(value));
    }
  });

  it("sees what another vCPU stored into the second page of an instruction", () => {
    const a = new TestMachine(engine, 32);
    const b = new TestMachine(engine, 32, RAM, { memory: a.memory, vcpu: 1 });
    b.write(FUNCTION + 0xffd, returns(1));
    const call = assemble("mov edx, 0x200ffd; call edx", 32);
    b.run(call, CODE);
    a.run(assemble("mov byte ptr [0x201000], 7", 32), 0x30_0000);
    b.run(call, CODE);
    expect(b.regs.rax).toBe(0x7_0001n);
  });

  it("sees a store by way of another mapping of the page", () => {
    const machine = new TestMachine(engine, 64);
    // The 2 MiB page at 1 GiB is the one at 2 MiB.
    machine.setU64(TABLES + 0x3000, 0x20_0083n);
    machine.write(FUNCTION, returns(1));
    const code = "mov edx, 0x200000; call rdx; mov ebx, eax; mov ecx, 0x40000001; mov dword ptr [rcx], 9; call rdx";
    machine.run(assemble(code, 64), CODE);
    expect([machine.regs.rbx, machine.regs.rax]).toEqual([1n, 9n]);
  });

  it("sees code that was executed under one address changed under it by another", () => {
    const machine = new TestMachine(engine, 64);
    machine.setU64(TABLES + 0x3000, 0x20_0083n);
    machine.write(FUNCTION, returns(1));
    const code = "mov edx, 0x40000000; call rdx; mov ebx, eax; mov ecx, 0x200001; mov dword ptr [rcx], 9; call rdx";
    machine.run(assemble(code, 64), CODE);
    expect([machine.regs.rbx, machine.regs.rax]).toEqual([1n, 9n]);
  });

  it("sees DMA into code", () => {
    const machine = new TestMachine(engine, 32);
    const memory = device(machine);
    machine.write(FUNCTION, returns(1));
    machine.run(CALL, CODE);
    for (const [write, expected] of [
      [() => memory.writeU8(FUNCTION + 1, 2), 2n],
      [() => memory.writeU16(FUNCTION + 1, 0x203), 0x203n],
      [() => memory.writeU32(FUNCTION + 1, 0x0102_0304), 0x0102_0304n],
      [() => memory.write(FUNCTION, Uint8Array.from(returns(5))), 5n],
      [() => memory.fill(FUNCTION + 1, 4, 6), 0x0606_0606n],
      [
        () => {
          memory.slice(FUNCTION + 1, 4)!.fill(7);
          memory.written(FUNCTION + 1, 4);
        },
        0x0707_0707n,
      ],
    ] as const) {
      write();
      expect(kicked(machine)).toBe(engine !== "interp"); // interp keeps nothing that it would have to be told of
      machine.set({ rip: BigInt(CODE) });
      expect(runOn(machine)).toBe(EngineExit.HLT);
      expect(machine.regs.rax).toBe(expected);
    }
  });

  it("is not kicked for DMA into data, nor for code that is told once", () => {
    const machine = new TestMachine(engine, 32);
    const memory = device(machine);
    machine.write(FUNCTION, returns(1));
    machine.run(CALL, CODE);
    memory.fill(0x40_0000, 0x10_0000, 9);
    memory.writeU32(FUNCTION - 4, 1);
    memory.writeU32(FUNCTION + 0x1000, 1);
    expect(kicked(machine)).toBe(false);
  });

  it("tells each vCPU of DMA, whichever looks first", () => {
    const a = new TestMachine(engine, 32);
    const b = new TestMachine(engine, 32, RAM, { memory: a.memory, vcpu: 1 });
    a.write(FUNCTION, returns(1));
    a.run(CALL, CODE);
    b.run(CALL, CODE + 0x1000);
    device(a).writeU8(FUNCTION + 1, 2);
    for (const [machine, at] of [
      [a, CODE],
      [b, CODE + 0x1000],
    ] as const) {
      machine.set({ rip: BigInt(at) });
      expect(runOn(machine)).toBe(EngineExit.HLT);
      expect(machine.regs.rax).toBe(2n);
    }
  });

  it("sees DMA behind a serialising instruction, without a branch in between", () => {
    const machine = new TestMachine(engine, 32);
    const memory = device(machine);
    // The device overwrites the MOV behind the CPUID while the OUT is served; the loop has the code decoded before that.
    const code = assemble(
      "mov esi, 2; 1: mov edi, eax; out 0x80, al; xor eax, eax; cpuid; mov ebx, 1; dec esi; jnz 1b",
      32,
    );
    const imm = CODE + code.length - 7;
    let outs = 0;
    machine.portOut = () => {
      if (++outs === 2) memory.writeU32(imm, 77);
    };
    machine.write(CODE, [...code, 0xf4]);
    machine.set({ rip: BigInt(CODE) });
    expect(machine.u32(imm)).toBe(1);
    expect(runOn(machine)).toBe(EngineExit.HLT);
    expect(machine.regs.rbx).toBe(77n);
  });

  it("is told of more pages than its queue holds", () => {
    const a = new TestMachine(engine, 32, 64 << 20);
    const b = new TestMachine(engine, 32, 64 << 20, { memory: a.memory, vcpu: 1 });
    const [first, pages] = [0x100_0000, 1000];
    for (let page = 0; page < pages; page++) b.write(first + page * 0x1000, [0x83, 0xc0, 0x01, 0xc3]); // add eax, 1; ret
    const all = assemble(
      `xor eax, eax; mov edx, ${first}; mov ecx, ${pages}; 1: call edx; add edx, 0x1000; dec ecx; jnz 1b`,
      32,
    );
    b.run(all, CODE);
    expect(b.regs.rax).toBe(1000n);
    a.run(
      assemble(
        `mov edx, ${first}; mov ecx, ${pages}; 1: mov byte ptr [edx+2], 3; add edx, 0x1000; dec ecx; jnz 1b`,
        32,
      ),
      0x30_0000,
    );
    b.set({ rip: BigInt(CODE) });
    expect(b.engine.run()).toBe(EngineExit.HLT);
    expect(b.regs.rax).toBe(3000n);
  });

  it("does the same whenever records are forgotten", () => {
    const code = assemble(
      "mov ecx, 50; xor ebx, ebx; 1: mov edx, 0x200000; call edx; add ebx, eax; inc byte ptr [0x200001]; loop 1b",
      32,
    );
    for (const evictEvery of [1, 2, 3, 5, 8]) {
      const machine = new TestMachine(engine, 32, RAM, { options: { evictEvery } });
      machine.write(FUNCTION, returns(1));
      expect(machine.run(code, CODE)).toBe(EngineExit.HLT);
      expect(machine.regs.rbx).toBe(1275n);
    }
  });
});

describe("a page", () => {
  it("is a code page from its first decoded byte until it is written twice without being decoded again", () => {
    const machine = new TestMachine("patch", 32);
    machine.write(FUNCTION, returns(1));
    expect([flags(machine, FUNCTION) & GPA_CODE, mapped(machine, FUNCTION)]).toEqual([0, 0]);
    machine.run(CALL, CODE);
    expect([flags(machine, FUNCTION) & GPA_CODE, mapped(machine, FUNCTION)]).toEqual([GPA_CODE, 1]);
    machine.run(assemble("mov dword ptr [0x200001], 2", 32), 0x30_0000);
    expect([flags(machine, FUNCTION) & GPA_CODE, mapped(machine, FUNCTION)]).toEqual([GPA_CODE, 1]);
    machine.run(CALL, CODE);
    machine.run(assemble("mov dword ptr [0x200001], 3", 32), 0x30_0000);
    expect(flags(machine, FUNCTION) & GPA_CODE).toBe(GPA_CODE);
    machine.run(assemble("mov dword ptr [0x200001], 4", 32), 0x30_0000);
    expect([flags(machine, FUNCTION) & GPA_CODE, mapped(machine, FUNCTION)]).toEqual([0, 0]);
    machine.run(CALL, CODE);
    expect(machine.regs.rax).toBe(4n);
  });

  it("stays one while data beside its code is written", () => {
    const machine = new TestMachine("patch", 32);
    machine.write(FUNCTION, returns(1));
    machine.run(CALL, CODE);
    machine.run(assemble("mov ecx, 100; 1: inc dword ptr [0x200800]; loop 1b", 32), 0x30_0000);
    expect(flags(machine, FUNCTION) & GPA_CODE).toBe(GPA_CODE);
    expect(machine.u32(FUNCTION + 0x800)).toBe(100);
  });

  it("stays one as long as any vCPU has code of it", () => {
    const a = new TestMachine("patch", 32);
    const b = new TestMachine("patch", 32, RAM, { memory: a.memory, vcpu: 1 });
    a.write(FUNCTION, returns(1));
    a.write(FUNCTION + 0x800, returns(2));
    a.run(CALL, CODE);
    b.run(assemble("mov edx, 0x200800; call edx", 32), CODE + 0x1000);
    // Twice into a's code: a has none of it left, b has its own.
    for (let i = 0; i < 3; i++) b.run(assemble("mov dword ptr [0x200001], 5", 32), 0x30_0000);
    a.engine.serve();
    a.engine.serve();
    expect(flags(a, FUNCTION) & GPA_CODE).toBe(GPA_CODE);
    a.run(assemble("mov dword ptr [0x200801], 6", 32), 0x31_0000);
    b.run(assemble("mov edx, 0x200800; call edx", 32), CODE + 0x1000);
    expect(b.regs.rax).toBe(6n);
  });

  it("of code is an ordinary one again for two vCPUs that write it in turns", () => {
    const a = new TestMachine("patch", 32);
    const b = new TestMachine("patch", 32, RAM, { memory: a.memory, vcpu: 1 });
    a.write(FUNCTION, returns(1));
    a.run(CALL, CODE);
    b.run(CALL, CODE + 0x1000);
    for (let i = 0; i < 3; i++) {
      a.run(assemble("mov dword ptr [0x200001], 5", 32), 0x30_0000);
      b.run(assemble("mov dword ptr [0x200001], 6", 32), 0x31_0000);
    }
    expect([flags(a, FUNCTION) & GPA_CODE, mapped(a, FUNCTION)]).toEqual([0, 0]);
  });
});

describe("a vCPU that waits for another", () => {
  it("waits only while that one is inside the guest, and ends the wait to stop", () => {
    const a = new TestMachine("patch", 32);
    const b = new TestMachine("patch", 32, RAM, { memory: a.memory, vcpu: 1 });
    const words = new Int32Array(a.memory.buffer);
    const mode = (b.zone + CPU.guestMode) >> 2;
    expect(Atomics.load(words, mode)).toBe(GUEST_MODE.outside);
    a.write(FUNCTION, returns(1));
    expect(a.run(CALL, CODE)).toBe(EngineExit.HLT);
    // As if its thread were stuck inside: nobody answers.
    Atomics.store(words, mode, GUEST_MODE.inside);
    request(words, a.zone, PENDING_STOP);
    a.write(0x50_0000, [0x40, 0xf4]);
    a.set({ rip: 0x50_0000n, rax: 0n });
    expect(a.engine.run()).toBe(EngineExit.INTR);
    expect([a.regs.rip, a.regs.rax]).toEqual([0x50_0000n, 0n]);
    expect(Atomics.load(words, (a.zone + CPU.guestMode) >> 2)).toBe(GUEST_MODE.outside);
    // It is asked, and answers when it enters.
    expect(Atomics.load(words, (b.zone + CPU.pending) >> 2) & PENDING_PROTECT).toBe(PENDING_PROTECT);
    Atomics.store(words, mode, GUEST_MODE.outside);
    expect(b.run(assemble("mov dword ptr [0x200001], 3", 32), 0x30_0000)).toBe(EngineExit.HLT);
    expect(Atomics.load(words, (b.zone + CPU.pending) >> 2)).toBe(0);
  });
});

describe("two engines of one vCPU", () => {
  it("see what was written while the other one ran", () => {
    const machine = new TestMachine("patch", 32);
    const host = {
      portIn: () => 0,
      portOut() {},
      mmioRead() {},
      mmioWrite() {},
      trace() {},
    };
    const interp = createEngine("interp", compileInterpreter(), machine.memory, machine.zone, host);
    machine.write(FUNCTION, returns(1));
    machine.run(CALL, CODE);
    machine.write(0x30_0000, [...assemble("mov dword ptr [0x200001], 8", 32), 0xf4]);
    machine.set({ rip: 0x30_0000n });
    expect(interp.run()).toBe(EngineExit.HLT);
    machine.set({ rip: BigInt(CODE) });
    expect(machine.engine.run()).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(8n);
  });
});

describe("what a device server writes into the map", () => {
  it("costs time and nothing else", () => {
    const machine = new TestMachine("patch", 32);
    machine.write(FUNCTION, returns(1));
    machine.run(CALL, CODE);
    const map = new Uint8Array(machine.memory.buffer, CODE_MAP, CODE_MAP_BYTES);
    for (const byte of [0xff, 0x00, 0x55]) {
      map.fill(byte);
      machine.set({ rip: BigInt(CODE), rax: 0n });
      expect(runOn(machine)).toBe(EngineExit.HLT);
      expect(machine.regs.rax).toBe(1n);
    }
    expect(machine.view.getUint32(machine.zone + CPU.pending, true)).toBe(0);
  });
});
