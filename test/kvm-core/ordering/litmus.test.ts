/**
 * What two processors see of each other's stores: locked instructions, message passing, store buffering, a sequence lock.
 * Document: SDM volume 3, 9.2 (memory ordering; 8.2 in older editions), its examples 9-1 to 9-10.
 * Left out: what the manual allows and need not happen, such as loads that pass older stores without a fence.
 */

import { describe, expect, it } from "vitest";
import type { EngineName } from "../../../kvm-core/engine/engine.ts";
import { PairOfVcpus } from "./pair.ts";

const ENGINES: readonly EngineName[] = ["interp", "patch", "wasm"];

const X = 0x30_0000;
const Y = 0x30_0040;
const DATA = 0x30_0080;
const BARRIER = 0x30_00c0;
const ROUNDS = 20_000;
/** Results of a round, a u32 each. */
const RESULTS = [0x40_0000, 0x60_0000] as const;

/** Waits until both have come here as often as this one: EBP counts the rounds, twice each. */
const barrier = (label: number) =>
  `add ebp, 2; lock inc dword ptr [${BARRIER}]; ${label}: pause; cmp [${BARRIER}], ebp; jl ${label}b;`;

/**
 * Reads a pair under a sequence lock, straight on from the first look at the sequence to the second, as a compiler lays it out.
 * The pairs that were read as whole, and those of them that were not.
 */
async function sequenceLock(pair: PairOfVcpus): Promise<{ readonly read: bigint; readonly torn: bigint }> {
  const writer =
    `mov ecx, 500000; 2: inc dword ptr [${X}]; inc dword ptr [${DATA}]; inc dword ptr [${DATA + 4}]; ` +
    `inc dword ptr [${X}]; dec ecx; jnz 2b; mov dword ptr [${Y}], 1`;
  const reader =
    `xor ebx, ebx; 2: mov eax, [${X}]; mov edx, [${DATA}]; mov esi, [${DATA + 4}]; mov edi, [${X}]; ` +
    `cmp eax, edi; jne 3f; test al, 1; jnz 3f; inc r8d; cmp edx, esi; je 3f; inc ebx; ` +
    `3: cmp dword ptr [${Y}], 0; je 2b`;
  const [, { r8, rbx }] = await pair.run([writer, reader], { r8: 0n });
  return { read: r8, torn: rbx };
}

describe.each(ENGINES)("%s", (engine) => {
  /** A counter that both count up; the sum shows lost updates. */
  async function count(step: string, rounds: number): Promise<number> {
    const pair = new PairOfVcpus(engine);
    const program = `mov ecx, ${rounds}; 2: ${step}; dec ecx; jnz 2b`;
    await pair.run([program, program], {});
    return pair.machine.u32(X);
  }

  it.each([
    ["lock inc", `lock inc dword ptr [${X}]`],
    ["lock xadd", `mov eax, 1; lock xadd [${X}], eax`],
    ["lock cmpxchg", `3: mov eax, [${X}]; lea edx, [rax+1]; lock cmpxchg [${X}], edx; jne 3b`],
    ["lock add, misaligned", `lock add dword ptr [${X - 1}], 0x100`],
    [
      "xchg as a lock",
      `3: mov eax, 1; xchg [${Y}], eax; test eax, eax; jnz 3b; inc dword ptr [${X}]; mov dword ptr [${Y}], 0`,
    ],
  ])("%s loses no update", async (_, step) => {
    expect(await count(step, 300_000)).toBe(600_000);
  });

  it("a plain increment does lose some, so that the test above can fail", async () => {
    // On a busy machine the two seldom run at the same time: then they run longer.
    let lost = 0;
    for (let rounds = 300_000; lost === 0 && rounds < 1e9; rounds *= 3)
      lost = 2 * rounds - (await count(`inc dword ptr [${X}]`, rounds));
    expect(lost).toBeGreaterThan(0);
  });

  it("two parts of a split locked operand change together", async () => {
    const pair = new PairOfVcpus(engine);
    const across = X + 0xffe;
    const program = `mov ecx, 20000; 2: lock add dword ptr [${across}], 0x8001; dec ecx; jnz 2b`;
    await pair.run([program, program], {});
    expect(pair.machine.u32(across)).toBe((40_000 * 0x8001) >>> 0);
  });

  it("stores are seen in their order: message passing", async () => {
    const pair = new PairOfVcpus(engine);
    const writer = `mov ecx, 1; 2: mov [${DATA}], ecx; mov [${X}], ecx; inc ecx; cmp ecx, 1000000; jne 2b`;
    // EBX counts the times that the flag ran ahead of the data.
    const reader = `xor ebx, ebx; 2: mov eax, [${X}]; mov edx, [${DATA}]; cmp edx, eax; adc ebx, 0; cmp eax, 999999; jne 2b`;
    const [, regs] = await pair.run([writer, reader], {});
    expect(regs.rbx).toBe(0n);
  });

  it.each([
    ["MFENCE", "mfence"],
    ["a locked instruction", `lock add dword ptr [rsp], 0`],
    ["XCHG", "xchg [rsp], r9d"],
  ])("store buffering does not happen with %s in between", async (_, fence) => {
    const pair = new PairOfVcpus(engine);
    const side = (mine: number, other: number, results: number) =>
      `xor ebp, ebp; mov ecx, ${ROUNDS}; mov rdi, ${results}; ` +
      `2: mov dword ptr [${mine}], 0; ${barrier(3)} mov dword ptr [${mine}], 1; ${fence}; mov eax, [${other}]; ` +
      `mov [rdi], eax; add rdi, 4; ${barrier(4)} dec ecx; jnz 2b`;
    await pair.run([side(X, Y, RESULTS[0]), side(Y, X, RESULTS[1])], {});
    let both = 0;
    let one = 0;
    for (let i = 0; i < ROUNDS; i++) {
      const seen = pair.machine.u32(RESULTS[0] + 4 * i) + pair.machine.u32(RESULTS[1] + 4 * i);
      if (seen === 0) both++;
      if (seen === 1) one++;
    }
    expect(both).toBe(0);
    // The two ran at the same time, or the row above says nothing.
    expect(one).toBeGreaterThan(0);
  });

  it("a reader under a sequence lock sees no half-written pair", async () => {
    const { read, torn } = await sequenceLock(new PairOfVcpus(engine));
    expect(torn).toBe(0n);
    expect(read).toBeGreaterThan(0n);
  });
});
