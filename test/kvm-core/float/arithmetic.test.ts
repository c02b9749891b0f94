/**
 * Addition, subtraction, multiplication, division and roots in all formats, against the host's processor.
 * Document: SDM volume 1, 4.9, 8.5, 11.5.
 * Left out: nothing.
 */

import { describe, it } from "vitest";
import type { FloatFunction } from "../../../kvm-core/float/functions.ts";
import { FloatInstance, SLOTS } from "./instance.ts";
import { anyFcw, anyMxcsr, hex, judge, sseOutcome, sseResult, type Trial, x87Flags } from "./judge.ts";
import { ENCODING, edges, pair, Random } from "./values.ts";

const instance = new FloatInstance();
const COUNT = 4000;

/** Every pair of edges, then pairs that matter. */
function* pairs(format: keyof typeof ENCODING, random: Random): Generator<readonly [bigint, bigint]> {
  const edge = edges(ENCODING[format]);
  for (const a of edge) for (const b of edge) yield [a, b];
  for (let i = 0; i < COUNT; i++) yield pair(random, ENCODING[format], edge);
}

describe("SSE", () => {
  const OPCODES = { Add: 0x58, Sub: 0x5c, Mul: 0x59, Div: 0x5e, Sqrt: 0x51 } as const;
  const rows = (["f32", "f64"] as const).flatMap((format) =>
    Object.entries(OPCODES).map(([name, opcode]) => [format, name, opcode] as const),
  );
  it.each(rows)("%s%s", (format, name, opcode) => {
    const random = new Random(opcode);
    const f = instance.functions[`${format}${name}` as FloatFunction];
    const mask = format === "f32" ? 0xffff_ffffn : (1n << 64n) - 1n;
    const trials: Trial[] = [];
    for (const [a, b] of pairs(format, random)) {
      const mxcsr = anyMxcsr(random);
      instance.mxcsr = mxcsr;
      const result = BigInt.asUintN(64, (name === "Sqrt" ? f(b) : f(a, b)) as bigint);
      const raised = instance.takeRaised();
      trials.push({
        name: `${name} ${hex(a)}, ${hex(b)} mxcsr ${hex(mxcsr)}`,
        request: { code: [format === "f32" ? 0xf3 : 0xf2, 0x0f, opcode, 0xc1], mxcsr, xmm: [a, b] },
        ours: sseOutcome(result, raised, mxcsr),
        theirs: (r) => sseResult(r, r.xmm0 & mask),
      });
    }
    judge(trials);
  });
});

describe("x87", () => {
  const CODES = { Add: [0xd8, 0xc1], Sub: [0xd8, 0xe1], Mul: [0xd8, 0xc9], Div: [0xd8, 0xf1], Sqrt: [0xd9, 0xfa] };
  it.each(Object.entries(CODES))("x87%s", (name, code) => {
    const random = new Random(code[1]!);
    const f = instance.functions[`x87${name}` as FloatFunction];
    const trials: Trial[] = [];
    for (const [a, b] of pairs("x87", random)) {
      const fcw = anyFcw(random);
      instance.fcw = fcw;
      instance.write(0, a);
      instance.write(1, b);
      // The result goes where the first operand is, as in the instruction.
      if (name === "Sqrt") f(SLOTS[0], SLOTS[0]);
      else f(SLOTS[0], SLOTS[0], SLOTS[1]);
      trials.push({
        name: `${name} ${hex(a)}, ${hex(b)} fcw ${hex(fcw)}`,
        request: { code, fcw, st: [a, b] },
        ours: `${hex(instance.read(0))} flags ${hex(instance.takeRaised())}`,
        theirs: (r) => `${hex(r.st[0])} flags ${hex(x87Flags(r.fsw))}`,
      });
    }
    judge(trials);
  });
});
