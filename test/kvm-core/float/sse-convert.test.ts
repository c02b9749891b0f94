/**
 * SSE conversions, comparisons, minimum and maximum against the host's processor.
 * Document: SDM volume 2, the instructions; volume 1, 11.5.
 * Left out: packed forms, which are made of these.
 */

import { describe, it } from "vitest";
import { type FloatFunction, RELATION } from "../../../kvm-core/float/functions.ts";
import type { Result } from "./host.ts";
import { FloatInstance } from "./instance.ts";
import { anyMxcsr, hex, judge, sseOutcome, sseResult, type Trial } from "./judge.ts";
import { ENCODING, edges, encode, pair, Random } from "./values.ts";

const instance = new FloatInstance();
const COUNT = 4000;
const FORMATS = ["f32", "f64"] as const;
type Sse = (typeof FORMATS)[number];
const prefix = (format: Sse): number => (format === "f32" ? 0xf3 : 0xf2);
const mask = (format: Sse): bigint => (format === "f32" ? 0xffff_ffffn : (1n << 64n) - 1n);

/** Numbers around those where integers begin and end; edges; anything. */
function* numbers(format: Sse, random: Random): Generator<bigint> {
  const e = ENCODING[format];
  const edge = edges(e);
  yield* edge;
  const bias = (1 << (e.exponent - 1)) - 1;
  for (let i = 0; i < COUNT; i++) {
    const [any] = pair(random, e, edge);
    const near = BigInt(bias - 3 + random.below(70));
    const fraction = any & ((1n << BigInt(e.fraction)) - 1n);
    yield random.below(3) === 0 ? any : encode(e, random.bits(1), near, fraction);
  }
}

/** One function on one argument against one instruction, whose result is in XMM0 or RAX. */
function unary(
  name: FloatFunction,
  code: readonly number[],
  values: Iterable<bigint>,
  read: "rax" | "rax32" | Sse,
  source: "xmm" | "rax" = "xmm",
  extra: readonly number[] = [],
): void {
  const random = new Random(name.length + code.length);
  const trials: Trial[] = [];
  for (const value of values) {
    const mxcsr = anyMxcsr(random);
    instance.mxcsr = mxcsr;
    const result = BigInt.asUintN(64, instance.functions[name](value, ...extra) as bigint);
    trials.push({
      name: `${name} ${hex(value)} mxcsr ${hex(mxcsr)}`,
      request: { code, mxcsr, ...(source === "xmm" ? { xmm: [0n, value] } : { rax: value }) },
      ours: sseOutcome(result, instance.takeRaised(), mxcsr),
      theirs: (r) => {
        if (read === "rax") return sseResult(r, r.rax);
        return sseResult(r, read === "rax32" ? r.rax & 0xffff_ffffn : r.xmm0 & mask(read));
      },
    });
  }
  judge(trials);
}

describe.each(FORMATS)("%s", (format) => {
  const scalar = (opcode: number): number[] => [prefix(format), 0x0f, opcode, 0xc1];
  const wide = (opcode: number): number[] => [prefix(format), 0x48, 0x0f, opcode, 0xc1];

  it("becomes the other format", () => {
    const other = format === "f32" ? "f64" : "f32";
    unary(
      format === "f32" ? "f32ToF64" : "f64ToF32",
      scalar(0x5a),
      format === "f32" ? numbers(format, new Random(1)) : narrowing(),
      other,
    );
  });

  it.each([
    ["ToI32", scalar(0x2d), "rax32"],
    ["ToI64", wide(0x2d), "rax"],
    ["ToI32Truncate", scalar(0x2c), "rax32"],
    ["ToI64Truncate", wide(0x2c), "rax"],
  ] as const)("%s", (name, code, read) => unary(`${format}${name}`, code, numbers(format, new Random(2)), read));

  it.each([
    ["FromI32", [prefix(format), 0x0f, 0x2a, 0xc0]],
    ["FromI64", [prefix(format), 0x48, 0x0f, 0x2a, 0xc0]],
  ] as const)("%s", (name, code) => unary(`${format}${name}`, code, integers(), format, "rax"));

  it.each(Array.from({ length: 16 }, (_, control) => control))("rounds, control %i", (control) => {
    const opcode = format === "f32" ? 0x0a : 0x0b;
    const code = [0x66, 0x0f, 0x3a, opcode, 0xc1, control];
    unary(`${format}Round`, code, numbers(format, new Random(3)), format, "xmm", [control]);
  });

  it.each([
    ["Min", 0x5d],
    ["Max", 0x5f],
  ] as const)("%s", (name, opcode) => {
    binary(
      `${format}${name}`,
      scalar(opcode),
      format,
      (result) => result,
      (r) => r.xmm0 & mask(format),
    );
  });

  it.each([
    ["Compare", 0x2f],
    ["CompareQuiet", 0x2e],
  ] as const)("%s", (name, opcode) => {
    const code = [...(format === "f64" ? [0x66] : []), 0x0f, opcode, 0xc1];
    // CF, PF and ZF as COMISD sets them.
    const flags: Record<number, number> = {
      [RELATION.less]: 0x01,
      [RELATION.equal]: 0x40,
      [RELATION.greater]: 0,
      [RELATION.unordered]: 0x45,
    };
    binary(
      `${format}${name}`,
      code,
      format,
      (result) => BigInt(flags[Number(result)]!),
      (r) => BigInt(r.eflags & 0x45),
    );
  });
});

function binary(
  name: FloatFunction,
  code: readonly number[],
  format: Sse,
  ours: (result: bigint) => bigint,
  theirs: (r: Result) => bigint,
): void {
  const random = new Random(name.length);
  const edge = edges(ENCODING[format]);
  const pairs = edge.flatMap((a) => edge.map((b): [bigint, bigint] => [a, b]));
  for (let i = 0; i < COUNT; i++) pairs.push(pair(random, ENCODING[format], edge));
  const trials = pairs.map(([a, b]): Trial => {
    const mxcsr = anyMxcsr(random);
    instance.mxcsr = mxcsr;
    const result = BigInt.asUintN(64, BigInt(instance.functions[name](a, b)));
    return {
      name: `${name} ${hex(a)}, ${hex(b)} mxcsr ${hex(mxcsr)}`,
      request: { code, mxcsr, xmm: [a, b] },
      ours: sseOutcome(ours(result), instance.takeRaised(), mxcsr),
      theirs: (r) => sseResult(r, theirs(r)),
    };
  });
  judge(trials);
}

function* integers(): Generator<bigint> {
  const random = new Random(4);
  for (let i = 0; i < 64; i++) for (const d of [-1n, 0n, 1n]) yield BigInt.asUintN(64, (1n << BigInt(i)) + d);
  for (let i = 0; i < COUNT; i++) {
    const value = random.bits(1 + random.below(64)) & (-1n << BigInt(random.below(40)));
    yield BigInt.asUintN(64, random.below(2) === 0 ? value : -value);
  }
}

/** f64 around the f32 that exist: half of a unit, the ends of the range. */
function* narrowing(): Generator<bigint> {
  const random = new Random(5);
  yield* edges(ENCODING.f64);
  for (let i = 0; i < COUNT; i++) {
    const exponent = random.below(2) === 0 ? random.pick([-152, 124]) + random.below(30) : random.below(280) - 160;
    const fraction = pair(random, ENCODING.f64, [0n])[0] & ((1n << 52n) - 1n);
    const near = random.below(2) === 0 ? fraction & (-1n << 27n) : fraction | (((1n << 24n) - 1n) << 28n);
    yield encode(ENCODING.f64, random.bits(1), BigInt(exponent + 1023), near & ((1n << 52n) - 1n));
  }
}
