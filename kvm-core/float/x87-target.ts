/**
 * The x87 flavour of arithmetic: slots of extended precision under the control word.
 * Document: SDM volume 1, 8.2.2 (encodings that are not supported), table 4-7 (which NaN is the result), 8.5 (exceptions).
 * Left out: stack faults and everything else about the stack.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { EXTENDED, FCW, INTEGER_BIT, QUIET_BIT, RAISED } from "./format.ts";
import { signed } from "./integral.ts";
import { type Operand, type Operation, Target } from "./target.ts";
import type { Wide } from "./words.ts";
import { defineX87Pack } from "./x87-round.ts";

/** Functions that other x87 functions call. */
export interface X87Parts {
  /** x87-round.ts */
  readonly pack: number;
  /** nan(cpu, dst, a, b): writes the NaN that an operation with a NaN gives -> done. */
  readonly nan: number;
}

/**
 * Set in the bytes above sign and exponent of a slot: a number from a memory operand that was denormal there, and is a normal
 * number in extended precision.
 */
export const WAS_DENORMAL = 1 << 16;

const NAN_TYPE: FuncType = { params: ["i32", "i32", "i32", "i32"], results: ["i32"] };

export function defineX87Parts(module: ModuleBuilder): X87Parts {
  const pack = defineX87Pack(module);
  const nan = module.define("", NAN_TYPE);
  emitNan(new X87Target(nan, { pack, nan: -1 }));
  return { pack, nan: module.indexOf(nan) };
}

/** Of an SNaN and a QNaN the QNaN, of two alike the one with the larger significand, of two equal ones the positive one. */
function emitNan(f: X87Target): void {
  const { code } = f;
  const [a, b] = [f.load(code.param(2)), f.load(code.param(3))];
  const signallingA = code.let(f.isSignalling(a));
  const signallingB = code.let(f.isSignalling(b));
  const isB = code.local("i32");
  const larger = i64.gtu(b.significand, a.significand);
  const positive = i32.and(i64.eq(a.significand, b.significand), i32.and(a.sign, i32.const(1)));
  code.set(isB, i32.or(larger, positive));
  code.if(i32.ne(signallingA, signallingB), () => {
    code.if(i32.and(f.isNan(a), f.isNan(b)), () => code.set(isB, signallingA));
  });
  code.if(i32.eqz(f.isNan(a)), () => code.set(isB, i32.const(1)));
  code.if(i32.eqz(f.isNan(b)), () => code.set(isB, i32.const(0)));
  code.if(i32.or(signallingA, signallingB), () => f.raiseBefore(RAISED.IE));
  const significand = i64.or(select(isB, b.significand, a.significand), i64.const(QUIET_BIT));
  f.write(significand, i32.or(i32.const(EXTENDED.top), i32.shl(select(isB, b.sign, a.sign), i32.const(15))));
  code.unreachable();
}

/** An operand whose raw fields are at hand. */
export interface X87Operand extends Operand {
  /** Bytes 8 to 11 of the slot. */
  readonly word: Expr;
  readonly field: Expr;
}

export class X87Target extends Target {
  readonly parts: X87Parts;
  readonly masks = FCW.masks;
  readonly rounding = FCW.rounding;
  /** Where finish() writes; the slot may be that of an operand, all of which were loaded before. */
  readonly dst: Expr;
  /** Does PC count? */
  readonly controlled: boolean;

  constructor(code: Code, parts: X87Parts, controlled = false) {
    super(code);
    this.parts = parts;
    this.dst = code.param(1);
    this.controlled = controlled;
  }

  control(): Expr {
    return i32.load(this.cpu, FPU.fcw);
  }

  /** The operand in a slot, as if it were a normal number. */
  load(address: Expr): X87Operand {
    const { code } = this;
    const word = code.let(i32.load(address, 8));
    const field = code.let(i32.and(word, i32.const(EXTENDED.top)));
    return {
      word,
      field,
      sign: code.let(i32.and(i32.shru(word, i32.const(15)), i32.const(1))),
      exponent: code.let(i32.sub(field, i32.const(EXTENDED.bias))),
      significand: code.let(i64.load(address)),
      infinite: i32.eq(field, i32.const(EXTENDED.top)),
    };
  }

  /** No normal number, or one that was denormal in memory. */
  isSpecial({ word, significand }: X87Operand): Expr {
    const rest = i32.and(word, i32.const(~0x8000));
    const field = i32.geu(i32.sub(rest, i32.const(1)), i32.const(EXTENDED.top - 1));
    return i32.or(field, i64.ges(significand, i64.const(0)));
  }

  isNan({ field, significand }: X87Operand): Expr {
    return i32.and(i32.eq(field, i32.const(EXTENDED.top)), i64.ne(i64.shl(significand, i64.const(1)), i64.const(0)));
  }

  isSignalling(operand: X87Operand): Expr {
    return i32.and(this.isNan(operand), i64.eqz(i64.and(operand.significand, i64.const(QUIET_BIT))));
  }

  /** An encoding of the 8087 and 80287 that is none any more: unnormals, pseudo-infinities, pseudo-NaNs. */
  isUnsupported({ field, significand }: X87Operand): Expr {
    return i32.and(i32.ne(field, i32.const(0)), i64.ges(significand, i64.const(0)));
  }

  arithmetic(operation: Operation, count: number): void {
    const { code } = this;
    const addresses = [2, 3].slice(0, count).map((i) => code.param(i));
    const operands = addresses.map((address) => this.load(address));
    code.if(operands.map((each) => this.isSpecial(each)).reduce(i32.or), () => {
      code.if(operands.map((each) => this.isUnsupported(each)).reduce(i32.or), () => this.invalid());
      code.if(operands.map((each) => this.isNan(each)).reduce(i32.or), () => {
        const done = code.local("i32");
        code.call(this.parts.nan, [this.cpu, this.dst, addresses[0]!, addresses.at(-1)!], done);
        code.return(done);
      });
      const denormal = this.smallOperands(operands);
      operation.refuse(this, ...operands);
      code.if(denormal, () => this.raiseBefore(RAISED.DE));
      operation.special(this, ...operands);
    });
    operation.compute(this, ...operands);
  }

  /** Makes denormals of operands what they are; returns whether there was one. Pseudo-denormals are denormals. */
  smallOperands(operands: readonly X87Operand[]): Expr {
    const { code } = this;
    const denormal = code.local("i32");
    code.set(denormal, i32.const(0));
    for (const { word, field, significand, exponent } of operands) {
      code.set(denormal, i32.or(denormal, i32.and(word, i32.const(WAS_DENORMAL))));
      code.if(i32.and(i32.eqz(field), i64.ne(significand, i64.const(0))), () => {
        const up = code.let(i64.clz(significand));
        code.set(significand, i64.shl(significand, up));
        code.set(exponent, i32.sub(i32.const(1 - EXTENDED.bias), i64.toI32(up)));
        code.set(denormal, i32.const(1));
      });
    }
    return denormal;
  }

  invalid(): void {
    this.raiseBefore(RAISED.IE);
    this.write(i64.const(INTEGER_BIT | QUIET_BIT), i32.const(0x8000 | EXTENDED.top));
  }

  infinity(sign: Expr): void {
    this.write(i64.const(INTEGER_BIT), i32.or(i32.const(EXTENDED.top), i32.shl(sign, i32.const(15))));
  }

  zero(sign: Expr, conditions = i32.const(0)): void {
    this.write(i64.const(0), i32.shl(sign, i32.const(15)), conditions);
  }

  finish(sign: Expr, exponent: Expr, { hi, lo }: Wide, conditions = i32.const(0)): void {
    const done = this.code.local("i32");
    this.code.call(this.parts.pack, [this.cpu, this.dst, sign, exponent, hi, lo, this.cut()], done);
    this.code.return(i32.or(done, conditions));
  }

  /** 64 less the precision. */
  cut(): Expr {
    if (!this.controlled) return i32.const(0);
    // A byte for each PC; the reserved value 1 is extended precision.
    const pc = i32.and(i32.shru(this.control(), i32.const(FCW.precision - 3)), i32.const(3 << 3));
    return i32.and(i32.shru(i32.const(0x000b_0028), pc), i32.const(0xff));
  }

  /** Writes the result and returns. */
  write(significand: Expr, word: Expr, conditions = i32.const(0)): void {
    this.fill(this.dst, significand, word);
    this.code.return(i32.or(i32.const(1), conditions));
  }

  fill(slot: Expr, significand: Expr, word: Expr): void {
    this.code.store("i64", slot, significand);
    this.code.store("i64", slot, i32.toI64u(word), 8);
  }

  /** A signed integer. */
  fillInteger(slot: Expr, value: Expr): void {
    const { code } = this;
    const sign = code.let(i64.lts(value, i64.const(0)));
    const magnitude = code.let(signed(sign, value));
    const up = code.let(i64.clz(magnitude));
    const exponent = i32.sub(i32.const(EXTENDED.bias + 63), i64.toI32(up));
    const word = i32.or(exponent, i32.shl(sign, i32.const(15)));
    this.fill(slot, i64.shl(magnitude, up), select(i64.eqz(magnitude), i32.const(0), word));
  }

  refused(): void {
    this.code.return(i32.const(0));
  }
}
