/**
 * The fast path of SSE arithmetic: it is taken where it should be, and gives what the exact functions give.
 * Document: kvm-core/sse/fast.ts.
 * Left out: whether the exact functions are right: test/kvm-core/float, test/host.
 *
 * With the flag of inexact results clear, results of arithmetic come from functions; with it set most do not. Those clear
 * FPU.raised, so a mark there tells.
 */

import { describe, expect, it } from "vitest";
import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { FPU } from "../../../kvm-core/cpu/fpu-state.ts";
import { random } from "../../fuzz/generator.ts";
import { assembleAll } from "../support/asm.ts";
import { freshFpu, getFpu, setFpu } from "../support/fpu.ts";
import { TestMachine } from "../support/machine.ts";

const STATES = 100;
const MARK = 0x1000;
const PE = 0x20;
const MXCSR = 0x1f80;

const machine = new TestMachine("patch", 64);
machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(CR4.OSFXSR) });
const next = random(34);

/** Bits of numbers whose exponents lie within `spread` of that of 1. */
function operand(bits: 32 | 64, spread: number): bigint {
  const one = bits === 32 ? 127 : 1023;
  let all = 0n;
  for (let at = 0; at < 128; at += bits) {
    const exponent = BigInt(one - spread + next(2 * spread + 1));
    const fraction = (BigInt(next(2 ** 23)) << 29n) | BigInt(next(2 ** 29));
    const value =
      bits === 32
        ? (exponent << 23n) | (fraction >> 29n)
        : (exponent << 52n) | (next(3) === 0 ? fraction << 1n : fraction);
    all |= ((BigInt(next(2)) << BigInt(bits - 1)) | value) << BigInt(at);
  }
  return all;
}

function run(
  code: Uint8Array,
  a: bigint,
  b: bigint,
  mxcsr: number,
): { readonly result: bigint; readonly fast: boolean } {
  const fpu = freshFpu(64);
  setFpu(machine, { ...fpu, mxcsr, xmm: fpu.xmm.map((value, i) => [0n, a, b][i] ?? value) });
  machine.view.setUint32(machine.zone + FPU.raised, MARK, true);
  machine.set({ rax: 0n });
  machine.run(code);
  const after = getFpu(machine);
  expect(after.mxcsr | PE).toBe(mxcsr | PE);
  const fast = machine.view.getUint32(machine.zone + FPU.raised, true) === MARK;
  return { result: (after.xmm[1]! << 64n) | machine.regs.rax, fast };
}

/** Operations, bits of their operands' elements; those of roots and integers want what they can take. */
const OPERATIONS: readonly (readonly [code: string, bits: 32 | 64, spread: number])[] = [
  ...["add", "sub", "mul", "div"].flatMap((name) => [
    [`${name}ss xmm1, xmm2`, 32, 20] as const,
    [`${name}sd xmm1, xmm2`, 64, 60] as const,
    [`${name}ps xmm1, xmm2`, 32, 20] as const,
    [`${name}pd xmm1, xmm2`, 64, 60] as const,
  ]),
  ["addsubps xmm1, xmm2", 32, 20],
  ["addsubpd xmm1, xmm2", 64, 60],
  ["haddps xmm1, xmm2", 32, 20],
  ["hsubpd xmm1, xmm2", 64, 60],
  ["cvtsd2ss xmm1, xmm2", 64, 20],
  ["cvtpd2ps xmm1, xmm2", 64, 20],
  ["cvtps2dq xmm1, xmm2", 32, 25],
  ["cvttps2dq xmm1, xmm2", 32, 25],
  ["cvtpd2dq xmm1, xmm2", 64, 25],
  ["cvttpd2dq xmm1, xmm2", 64, 25],
  ["cvtss2si eax, xmm2", 32, 25],
  ["cvttsd2si rax, xmm2", 64, 50],
  ["cvtdq2ps xmm1, xmm2", 32, 100],
];

describe("fast and exact agree, and the fast path is taken", () => {
  it.each(OPERATIONS)("%s", (text, bits, spread) => {
    const [code] = assembleAll([text], 64);
    for (let n = 0; n < STATES; n++) {
      const [a, b] = [operand(bits, spread), operand(bits, spread)];
      const exact = run(code!, a, b, MXCSR);
      const fast = run(code!, a, b, MXCSR | PE);
      expect(fast.result).toBe(exact.result);
      expect(fast.fast).toBe(true);
    }
  });

  it.each(["minps", "maxpd", "cmpps", "cmppd"])("%s with zeros and infinities, whatever MXCSR says", (name) => {
    const imm = name.startsWith("cmp") ? ", 1" : "";
    const [code] = assembleAll([`${name} xmm1, xmm2${imm}`], 64);
    const infinity = name.endsWith("ps") ? 0x7f80_0000n : 0x7ff0_0000_0000_0000n;
    expect(run(code!, infinity, 0n, MXCSR | 0x6000).fast).toBe(true);
  });
});
