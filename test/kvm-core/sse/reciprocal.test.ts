/**
 * RCPPS and RSQRTPS: the error of their approximations, which no other processor's results can be compared with.
 * Document: SDM volume 2B, RCPPS, RSQRTPS: at most 1.5 * 2^-12 of the true value.
 * Left out: zeros, infinities, NaNs: isa/sse-arith.vectors.ts.
 */

import { expect, it } from "vitest";
import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { random } from "../../fuzz/generator.ts";
import { assembleAll } from "../support/asm.ts";
import { freshFpu, getFpu, setFpu } from "../support/fpu.ts";
import { TestMachine } from "../support/machine.ts";

const BOUND = 1.5 * 2 ** -12;
const STATES = 500;
const view = new DataView(new ArrayBuffer(16));

const machine = new TestMachine("patch", 64);
machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(CR4.OSFXSR) });

it.each([
  ["rcpps", (x: number) => 1 / x],
  ["rcpss", (x: number) => 1 / x],
  ["rsqrtps", (x: number) => 1 / Math.sqrt(x)],
  ["rsqrtss", (x: number) => 1 / Math.sqrt(x)],
] as const)("%s", (name, truth) => {
  const [code] = assembleAll([`${name} xmm1, xmm2`], 64);
  const next = random(12);
  const lanes = name.endsWith("ss") ? 1 : 4;
  let worst = 0;
  for (let n = 0; n < STATES; n++) {
    const words = Array.from({ length: 4 }, () => {
      // Neither the operand nor its reciprocal is denormal.
      const exponent = 1 + next(252);
      const sign = name.startsWith("rsqrt") ? 0 : next(2);
      return ((sign << 31) | (exponent << 23) | next(1 << 23)) >>> 0;
    });
    const fpu = freshFpu(64);
    const operand = words.reduce((all, word, i) => all | (BigInt(word) << BigInt(32 * i)), 0n);
    // Rounding does not count, and nothing is raised.
    const mxcsr = (next(4) << 13) | (next(2) << 6) | (next(2) << 15);
    setFpu(machine, { ...fpu, mxcsr, xmm: fpu.xmm.map((value, i) => (i === 2 ? operand : value)) });
    machine.run(code!);
    const after = getFpu(machine);
    expect(after.mxcsr).toBe(mxcsr);
    for (let i = 0; i < lanes; i++) {
      view.setUint32(0, words[i]!);
      view.setUint32(4, Number((after.xmm[1]! >> BigInt(32 * i)) & 0xffff_ffffn));
      const exact = truth(view.getFloat32(0));
      worst = Math.max(worst, Math.abs((view.getFloat32(4) - exact) / exact));
    }
  }
  expect(worst).toBeLessThanOrEqual(BOUND);
});
