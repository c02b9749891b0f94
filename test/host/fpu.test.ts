/**
 * The check of x87, MMX and SSE against the host's processor, itself checked: the state goes in and comes out, differences are seen.
 * Document: SDM volume 2 (ADDPS, FLD1, PADDB ...), volume 1, 8.6 and 8.7 (pending x87 exceptions), 11.5 (SIMD exceptions).
 * Left out: the check of the descriptions: suite.ts.
 */

import { describe, expect, it } from "vitest";
import type { UnitName } from "../../kvm-core/cpu/fpu-state.ts";
import { type Insn, insn } from "../../kvm-core/isa/insn.ts";
import { assemble } from "../kvm-core/support/asm.ts";
import { type FpuState, freshFpu } from "../kvm-core/support/fpu.ts";
import type { Mode } from "../kvm-core/support/machine.ts";
import { type Case, DATA, type Outcome, PAGE, SLOT_SIZE, SLOTS, wordBefore } from "./case.ts";
import { deserialize, differences, serialize, shrink } from "./compare.ts";
import { consistent, fromFxsave, toFxsave } from "./fpu-case.ts";
import { FpuValues } from "./fpu-values.ts";
import { generate } from "./generate.ts";
import { lackedByHost } from "./host-features.ts";
import { refusal, runNative } from "./native.ts";
import { Values } from "./values.ts";
import { variants } from "./variants.ts";

const MODES: readonly Mode[] = refusal(32) === "" ? [64, 32] : [64];
const ONE = 0x3fff_8000_0000_0000_0000n;
const INDEFINITE = 0xffff_c000_0000_0000_0000n;
const four = (lane: bigint): bigint => lane | (lane << 32n) | (lane << 64n) | (lane << 96n);
const [F1, F2, F3, FMAX] = [0x3f80_0000n, 0x4000_0000n, 0x4040_0000n, 0x7f7f_ffffn].map(four) as [
  bigint,
  bigint,
  bigint,
  bigint,
];

function caseOf(text: string, mode: Mode, fpu: Partial<FpuState>): Case {
  const code = assemble(text, mode);
  const gpr = new Array<bigint>(mode === 64 ? 16 : 8).fill(0n);
  const state = { ...freshFpu(mode), ...fpu };
  return { name: text, mode, gpr, flags: 2, rip: SLOTS, code, plants: [], undefinedFlags: 0, fpu: state };
}
const registers = (mode: Mode, ...first: bigint[]): bigint[] => freshFpu(mode).xmm.map((zero, i) => first[i] ?? zero);

describe.each(MODES)("the host in %i-bit mode", (mode) => {
  const run = (text: string, fpu: Partial<FpuState>): { one: Case; host: Outcome; at: number } => {
    const one = caseOf(text, mode, fpu);
    const [host] = runNative([one]) as [Outcome];
    return { one, host, at: Number(host.rip) - SLOTS };
  };

  it("adds lanes", () => {
    const { host, one } = run("addps xmm0, xmm1", { xmm: registers(mode, F1, F2) });
    expect(host.fpu).toEqual({ ...one.fpu, xmm: registers(mode, F3, F2) });
  });

  it("rounds as MXCSR says, and sets its flags", () => {
    // Toward zero, and overflow's mask alone cleared: inexact is masked.
    const { host } = run("addps xmm0, xmm1", { xmm: registers(mode, F1, FMAX), mxcsr: 0x7f80 });
    expect(host.fpu).toMatchObject({ mxcsr: 0x7fa0, xmm: registers(mode, FMAX, FMAX) });
  });

  it("gives #XM, with the flag, where an exception is not masked", () => {
    const { host, at } = run("addps xmm0, xmm1", { xmm: registers(mode, F1, FMAX), mxcsr: 0x0f80 });
    expect([host.vector, host.error, at]).toEqual([19, 0, 0]);
    expect(host.fpu).toMatchObject({ mxcsr: 0x0fa0, xmm: registers(mode, F1, FMAX) });
  });

  it("pushes 1", () => {
    const { host } = run("fld1; fwait", { fsw: 3 << 11 });
    expect(host.vector).toBe(3);
    expect(host.fpu).toMatchObject({ fsw: 2 << 11, tags: 1 << 2, st: [0n, 0n, ONE, 0n, 0n, 0n, 0n, 0n] });
  });

  it("notes a stack overflow, and stores the indefinite", () => {
    const { host } = run("fld1; fwait", { tags: 0xff });
    expect(host.fpu).toMatchObject({ fsw: 0x3a41, tags: 0xff });
    expect(host.fpu?.st[7]).toBe(INDEFINITE);
  });

  it("gives #MF at the next instruction that waits", () => {
    const { host, at } = run("fld1; fwait", { tags: 0xff, fcw: 0x37e });
    expect([host.vector, at]).toEqual([16, 2]);
    expect(host.fpu).toMatchObject({ fsw: 0x82c1, st: freshFpu(mode).st });
    const pending = run("fld1; fwait", { tags: 0xff, fcw: 0x37e, fsw: 0x8081 });
    expect([pending.host.vector, pending.at]).toEqual([16, 0]);
  });

  it("adds MMX registers, which are the x87 ones", () => {
    const st = [0x0102_0304_0506_07ffn, 0x0101_0101_0101_0101n, 0n, 0n, 0n, 0n, 0n, 7n];
    const { host } = run("paddb mm0, mm1", { st, fsw: 5 << 11 });
    const sum = (0xffffn << 64n) | 0x0203_0405_0607_0800n;
    expect(host.fpu).toMatchObject({ fsw: 0, tags: 0xff, st: st.with(0, sum) });
  });

  it("stores an image that is longer than most", () => {
    const { host } = run(`fxsave [${DATA + PAGE}]`, { xmm: registers(mode, F1, F2), mxcsr: 0x1fbf });
    expect(host.changes.length).toBeGreaterThan(20);
    expect(host.changes.find(([address]) => address === DATA + PAGE + 160)?.[1]).toBe(F1 & ((1n << 64n) - 1n));
  });
});

describe("the comparison", () => {
  const one = caseOf("addps xmm0, xmm1", 64, { xmm: registers(64, F1, F2) });
  const fpu = { ...one.fpu!, st: new Array<bigint>(8).fill(ONE), fsw: 2 << 11, tags: 0xf0 };
  const host: Outcome = { gpr: one.gpr, flags: 2, rip: 0n, vector: 3, error: 0, cr2: 0n, changes: [], fpu };

  it.each([
    ["xmm3", { xmm: fpu.xmm.with(3, 1n) }],
    ["r2 (mm2, st0)", { st: fpu.st.with(2, ONE + 1n) }],
    ["mxcsr", { mxcsr: fpu.mxcsr ^ 1 }],
    ["fcw", { fcw: 0x27f }],
    ["fsw", { fsw: fpu.fsw ^ 0x100 }],
    ["top", { fsw: 3 << 11 }],
    ["tags", { tags: 0xf1 }],
  ])("sees a difference in %s", (name, wrong) => {
    expect(differences(one, host, host)).toEqual([]);
    const found = differences(one, host, { ...host, fpu: { ...fpu, ...wrong } });
    expect(found).toHaveLength(1);
    expect(found[0]!.startsWith(`${name}: `)).toBe(true);
  });

  it("lets what is loose be loose, and no more", () => {
    const loose = { fsw: 0x200, ulps: 2, relative: 10, memory: [[DATA + PAGE + 6, 4] as const] };
    const other = (a: Partial<FpuState>, more: Partial<Outcome> = {}): number =>
      differences({ ...one, loose }, host, { ...host, fpu: { ...fpu, ...a }, ...more }).length;
    expect(other({ fsw: fpu.fsw | 0x200 })).toBe(0);
    expect(other({ fsw: fpu.fsw | 0x300 })).toBe(1);
    expect(other({ st: fpu.st.with(0, ONE + 2n) })).toBe(0);
    expect(other({ st: fpu.st.with(0, ONE + 3n) })).toBe(1);
    // The neighbour below has another exponent.
    expect(other({ st: fpu.st.with(0, 0x3ffe_ffff_ffff_ffff_ffffn) })).toBe(0);
    expect(other({ xmm: fpu.xmm.with(0, F1 + 1n) })).toBe(0);
    expect(other({ xmm: fpu.xmm.with(0, F2) })).toBe(1);
    expect(other({ xmm: fpu.xmm.with(0, F1 | (1n << 127n)) })).toBe(1);
    const word = wordBefore(one, DATA + PAGE);
    expect(other({}, { changes: [[DATA + PAGE, word ^ (0xffffn << 48n)]] })).toBe(0);
    expect(other({}, { changes: [[DATA + PAGE, word ^ (0xffffffn << 40n)]] })).toBe(1);
    expect(other({}, { changes: [[DATA + PAGE + 8, ~0n]] })).toBe(1);
  });

  it("makes a state simpler, and takes it back as text", () => {
    const full = caseOf("addps xmm0, xmm1", 64, {
      xmm: registers(64, F1, F2, F3),
      mxcsr: 0x3fa0,
      st: fpu.st,
      fsw: 5 << 11,
    });
    const small = shrink(full, (smaller) => smaller.fpu?.xmm[1] === F2);
    expect(small.fpu).toEqual({ ...freshFpu(64), xmm: registers(64, 0n, F2), tags: small.fpu!.tags });
    expect(deserialize(serialize(small))).toEqual(small);
  });

  it("keeps ES and B as flags and masks have them", () => {
    expect(consistent({ ...fpu, fcw: 0x37e, fsw: 1 }).fsw).toBe(0x8081);
    expect(consistent({ ...fpu, fcw: 0x37f, fsw: 0x8081 }).fsw).toBe(1);
  });
});

describe("random states", () => {
  const uses = { xmm: true, mm: true, x87: true, lanes: ["f32", "f64", "int"] } as const;

  it.each([64, 32] as const)("survive FXSAVE's layout, in %i-bit mode", (mode) => {
    const view = new DataView(new ArrayBuffer(512));
    for (let seed = 0; seed < 200; seed++) {
      const state = new FpuValues(new Values(seed), uses, mode).state();
      toFxsave(state, view, 0);
      expect(fromFxsave(view, 0, state.xmm.length)).toEqual(state);
      expect(consistent(state)).toEqual(state);
    }
  });

  it("go through the host unchanged", () => {
    const nop = caseOf("nop", 64, {});
    const cases = Array.from({ length: 200 }, (_, seed) => ({
      ...nop,
      fpu: new FpuValues(new Values(seed), uses, 64).state(),
      rip: SLOTS + seed * SLOT_SIZE,
    }));
    runNative(cases).forEach((host, i) => {
      expect(host.fpu).toEqual(cases[i]!.fpu);
    });
  });
});

describe("operands within a function's domain", () => {
  it.each([
    ["f2xm1", 0],
    ["fyl2xp1", -2],
    ["fsin", 6],
  ])("%s", (mnemonic, limit) => {
    let finite = 0;
    for (let seed = 0; seed < 300; seed++) {
      const values = new FpuValues(new Values(seed), { xmm: false, mm: false, x87: true, lanes: ["f80"] }, 64);
      const { st, fsw } = values.inDomain(mnemonic, values.state());
      const exponent = Number((st[(fsw >> 11) & 7]! >> 64n) & 0x7fffn) - 16383;
      if (exponent < limit) finite++;
      else expect(exponent).toBeGreaterThanOrEqual(mnemonic === "fsin" ? 63 : 16384);
    }
    expect(finite).toBeGreaterThan(150);
  });
});

/** Descriptions of this test's own, one for each kind of operands and of memory. */
const KINDS: readonly (readonly [mnemonic: string, form: string, unit: UnitName])[] = [
  ["addps", "NP 0F 58 /r Vps,Wps", "sse"],
  ["cvtsd2si", "F2 0F 2D /r Gy,Wsd", "sse"],
  ["movd", "66 0F 6E /r Vdq,Ey", "sse"],
  ["pshufw", "NP 0F 70 /r ib Pq,Qq,Ib", "mmx"],
  ["maskmovdqu", "66 0F F7 /r Vdq,Udq", "sse"],
  ["ldmxcsr", "NP 0F AE /2 Md", "sse"],
  ["fxsave", "NP 0F AE /0 M", "sse"],
  ["fxrstor", "NP 0F AE /1 M", "sse"],
  ["fadd", "DC /0 Mq", "x87"],
  ["fcom", "D8 /2 ST,STi", "x87"],
  ["fbstp", "DF /6 M", "x87"],
  ["frstor", "DD /4 M sized", "x87"],
  ["fnsave", "DD /6 M sized", "x87"],
  ["fsqrt", "D9 FA", "x87"],
  ["fwait", "9B", "wait"],
];

describe.each(MODES)("cases of every kind in %i-bit mode", (mode) => {
  const CASES = 200;
  it.each(KINDS)("%s %s", (mnemonic, form, unit) => {
    const described = insn(mnemonic, { forms: [form], unit, exec: () => {} });
    const all = variants(described, described.parsed[0]!, mode);
    const values = new Values(3);
    const cases = Array.from({ length: CASES }, (_, i) => generate(values, all[i % all.length]!, i));
    // INT3 behind the instruction: it is what it was meant to be, and most cases are no fault.
    const through = runNative(cases).filter(
      ({ vector, rip }, i) => vector === 3 && rip === BigInt(cases[i]!.rip + cases[i]!.code.length + 1),
    );
    expect(through.length).toBeGreaterThan(CASES / 3);
  });
});

describe("what the host lacks", () => {
  const cpuids = ["pni", "sse4.1", "sha-ni", "avx9", ["cx8", "cx16"], undefined];
  const insns = cpuids.map((cpuid) => ({ mnemonic: "x", cpuid })) as unknown as Insn[];

  it("is told by the flags of /proc/cpuinfo", () => {
    const lacked = lackedByHost("model : 1\nflags\t\t: fpu cx8 pni sse4_1 sha_ni\nflags\t\t: avx9\n", insns);
    expect([...lacked.values()]).toEqual(["avx9", "cx16"]);
  });
});
