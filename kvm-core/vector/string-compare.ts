/**
 * The comparison that PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM share, up to IntRes2.
 * Document: SDM volume 1, 12.10 (string and text processing) and volume 2, 4.1 (imm8, aggregation, polarity).
 * Left out: lengths, the index of the result, and flags: the descriptions.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, select } from "../wasm/expr.ts";
import { i8x16, i16x8, v128 } from "../wasm/simd.ts";
import type { VectorFunction } from "./functions.ts";

/** Bits of imm8. */
const WORDS = 1;
const SIGNED = 2;
const NEGATIVE = 0x10;
const MASKED = 0x20;
const EXPANDED = 0x40;
const AGGREGATION = { any: 0, ranges: 1, each: 2, ordered: 3 } as const;
const ONE = i32.const(1);
type Shape = typeof i8x16 | typeof i16x8;

const bit = (value: Expr, mask: number): Expr => i32.and(value, i32.const(mask));
/** The low `count` bits. */
const low = (count: Expr): Expr => i32.sub(i32.shl(ONE, count), ONE);

class Comparison {
  readonly #code: Code;
  readonly #cpu: Expr;
  readonly #a: Expr;
  readonly #b: Expr;
  readonly #control: Expr;
  readonly #lengthA: Expr;
  readonly #isWords: Expr;
  readonly #count: Expr;
  readonly #all: Expr;
  readonly #validA: Expr;
  readonly #validB: Expr;
  /** IntRes1. */
  readonly #result: Expr;

  constructor(code: Code) {
    this.#code = code;
    this.#cpu = code.param(0);
    this.#a = code.param(1);
    this.#b = code.param(2);
    this.#lengthA = code.param(3);
    this.#control = code.param(5);
    this.#isWords = code.let(bit(this.#control, WORDS));
    this.#count = code.let(i32.shru(i32.const(16), this.#isWords));
    this.#all = code.let(low(this.#count));
    this.#validA = code.let(low(this.#lengthA));
    this.#validB = code.let(low(code.param(4)));
    this.#result = code.local("i32");
  }

  generate(): Expr {
    const code = this.#code;
    // Elements of `a` are taken one by one from memory.
    code.store("v128", this.#cpu, this.#a, FPU.scratch);
    const aggregation = code.let(bit(i32.shru(this.#control, i32.const(2)), 3));
    code.set(this.#result, i32.const(0));
    const arms: Readonly<Record<keyof typeof AGGREGATION, () => void>> = {
      any: () => this.#any(),
      ranges: () => this.#ranges(),
      each: () => this.#each(),
      ordered: () => this.#ordered(),
    };
    code.block((end) => {
      code.switch(
        aggregation,
        (["any", "ranges", "each", "ordered"] as const).map((name) => () => {
          arms[name]();
          code.br(end);
        }),
      );
    });
    // Masked: what lies behind the end of `b` is not turned over.
    const turned = select(bit(this.#control, MASKED), this.#validB, this.#all);
    return i32.xor(this.#result, select(bit(this.#control, NEGATIVE), turned, i32.const(0)));
  }

  /** Evaluates one of two values. */
  #choose(condition: Expr, then: () => Expr, otherwise: () => Expr): Expr {
    const code = this.#code;
    const value = code.local("i32");
    code.if(
      condition,
      () => code.set(value, then()),
      () => code.set(value, otherwise()),
    );
    return value;
  }

  /** Runs `inside` for i = 0, step, ... while i < end. */
  #forEach(end: Expr, step: number, inside: (i: Expr) => void): void {
    const code = this.#code;
    const i = code.local("i32");
    code.set(i, i32.const(0));
    code.block((out) => {
      code.loop((next) => {
        code.brIf(out, i32.geu(i, end));
        code.scope(() => inside(i));
        code.set(i, i32.add(i, i32.const(step)));
        code.br(next);
      });
    });
  }

  #element(i: Expr): Expr {
    return this.#choose(
      this.#isWords,
      () => i32.load16u(i32.add(this.#cpu, i32.shl(i, ONE)), FPU.scratch),
      () => i32.load8u(i32.add(this.#cpu, i), FPU.scratch),
    );
  }

  /** The mask of b's elements that equal those of `shape` in another vector, which is made of an element or is `a`. */
  #equal(other: (shape: Shape) => Expr): Expr {
    const mask = (shape: Shape) => (): Expr => shape.bitmask(shape.eq(this.#b, other(shape)));
    return this.#choose(this.#isWords, mask(i16x8), mask(i8x16));
  }

  /** The mask of b's elements that lie between two, both included. */
  #between(from: Expr, to: Expr): Expr {
    const inside = (shape: Shape, less: "lts" | "ltu") => (): Expr => {
      const outside = v128.or(shape[less](this.#b, shape.splat(from)), shape[less](shape.splat(to), this.#b));
      return i32.xor(shape.bitmask(outside), this.#all);
    };
    const ofShape = (shape: Shape) => (): Expr =>
      this.#choose(bit(this.#control, SIGNED), inside(shape, "lts"), inside(shape, "ltu"));
    return this.#choose(this.#isWords, ofShape(i16x8), ofShape(i8x16));
  }

  /** The mask of b's elements that equal element i of `a`. */
  #equalTo(i: Expr): Expr {
    const element = this.#element(i);
    return this.#equal((shape) => shape.splat(element));
  }

  #any(): void {
    const [code, result] = [this.#code, this.#result];
    this.#forEach(this.#lengthA, 1, (i) => code.set(result, i32.or(result, this.#equalTo(i))));
    code.set(result, i32.and(result, this.#validB));
  }

  /** Pairs; the last one counts only if both of it are valid. */
  #ranges(): void {
    const [code, result] = [this.#code, this.#result];
    this.#forEach(i32.and(this.#lengthA, i32.const(-2)), 2, (i) => {
      const [from, to] = [this.#element(i), this.#element(i32.add(i, ONE))];
      code.set(result, i32.or(result, this.#between(from, to)));
    });
    code.set(result, i32.and(result, this.#validB));
  }

  /** Equal, and both valid or both not. */
  #each(): void {
    const [code, result] = [this.#code, this.#result];
    const equal = this.#equal(() => this.#a);
    const bothValid = i32.and(this.#validA, this.#validB);
    const neither = i32.xor(i32.or(this.#validA, this.#validB), this.#all);
    code.set(result, i32.or(i32.and(equal, bothValid), neither));
  }

  /** Where `a` begins in `b`; what would lie behind the last element counts as equal. */
  #ordered(): void {
    const [code, result] = [this.#code, this.#result];
    code.set(result, this.#all);
    this.#forEach(this.#lengthA, 1, (i) => {
      const found = i32.shru(i32.and(this.#equalTo(i), this.#validB), i);
      const beyond = i32.xor(i32.shru(this.#all, i), i32.const(-1));
      code.set(result, i32.and(result, i32.or(found, beyond)));
    });
  }
}

export const STRING_COMPARE: Readonly<Record<string, VectorFunction>> = {
  /** (cpu, a, b, length of a, length of b, imm8) -> IntRes2; lengths of at most the number of elements. */
  stringCompare: {
    type: { params: ["i32", "v128", "v128", "i32", "i32", "i32"], results: ["i32"] },
    emit: (code) => new Comparison(code).generate(),
  },
  /** (cpu, IntRes2, imm8) -> the mask of PCMPESTRM and PCMPISTRM: bits, or all ones in each element. */
  stringMask: {
    type: { params: ["i32", "i32", "i32"], results: ["v128"] },
    emit(code) {
      const [found, control] = [code.param(1), code.param(2)];
      const mask = code.local("v128");
      const all = i16x8.splat(found);
      const eachBit = v128.const(0x0080_0040_0020_0010_0008_0004_0002_0001n);
      const eachByte = v128.const(0x8040_2010_0804_0201_8040_2010_0804_0201n);
      const bytes = v128.shuffle(all, all, [...Array(8).fill(0), ...Array(8).fill(1)]);
      code.set(mask, v128.from64(i32.toI64u(found)));
      code.if(bit(control, EXPANDED), () =>
        code.if(
          bit(control, WORDS),
          () => code.set(mask, i16x8.eq(v128.and(all, eachBit), eachBit)),
          () => code.set(mask, i8x16.eq(v128.and(bytes, eachByte), eachByte)),
        ),
      );
      return mask;
    },
  },
};
