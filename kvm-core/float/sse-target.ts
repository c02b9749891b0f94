/**
 * The SSE flavour of arithmetic: f32 and f64 bit patterns under MXCSR.
 * Document: SDM volume 1, 4.8.3.5 and table 4-7 (which NaN is the result), 10.2.3.4 (DAZ), 11.5.2 (exceptions).
 * Left out: packed operands; who calls does them one by one.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { type Format, MXCSR, RAISED } from "./format.ts";
import { definePack, infinity, UNDER_MXCSR } from "./round.ts";
import { type Operand, type Operation, Target } from "./target.ts";
import { isNonzero, type Wide } from "./words.ts";

/** Functions of a format that its other functions call. */
export interface SseParts {
  readonly format: Format;
  /** round.ts */
  readonly pack: number;
  /** nan(cpu, a, b) -> the NaN that an operation with a NaN gives; raises IE for an SNaN. */
  readonly nan: number;
}

const NAN_TYPE: FuncType = { params: ["i32", "i64", "i64"], results: ["i64"] };

export function defineSseParts(module: ModuleBuilder, format: Format): SseParts {
  const pack = definePack(module, format, UNDER_MXCSR);
  const nan = module.define("", NAN_TYPE);
  const parts: SseParts = { format, pack, nan: -1 };
  emitNan(new SseTarget(nan, parts));
  return { ...parts, nan: module.indexOf(nan) };
}

function emitNan(f: SseTarget): void {
  const { code } = f;
  const [a, b] = [code.param(1), code.param(2)];
  code.if(i32.or(f.isSignalling(a), f.isSignalling(b)), () => f.raise(RAISED.IE));
  code.return(i64.or(select(f.isNan(a), a, b), f.quietBit));
  code.unreachable();
}

/** An operand whose raw fields are at hand. */
interface SseOperand extends Operand {
  readonly bits: Expr;
  readonly field: Expr;
}

export class SseTarget extends Target {
  readonly parts: SseParts;
  readonly format: Format;
  readonly masks = MXCSR.masks;
  readonly rounding = MXCSR.rounding;
  readonly quietBit: Expr;
  readonly infinityBits: Expr;
  readonly magnitudeMask: Expr;

  readonly #refusal: Expr;

  /** `refusal` is what the function returns after an unmasked exception, which nobody looks at. */
  constructor(code: Code, parts: SseParts, refusal = i64.const(0)) {
    super(code);
    this.parts = parts;
    this.#refusal = refusal;
    this.format = parts.format;
    const { fraction, bits } = parts.format;
    this.quietBit = i64.const(1n << BigInt(fraction - 1));
    this.infinityBits = i64.const(infinity(parts.format));
    this.magnitudeMask = i64.const((1n << BigInt(bits - 1)) - 1n);
  }

  control(): Expr {
    return i32.load(this.cpu, FPU.mxcsr);
  }

  magnitude(bits: Expr): Expr {
    return i64.and(bits, this.magnitudeMask);
  }

  isNan(bits: Expr): Expr {
    return i64.gtu(this.magnitude(bits), this.infinityBits);
  }

  isSignalling(bits: Expr): Expr {
    return i32.and(this.isNan(bits), i64.eqz(i64.and(bits, this.quietBit)));
  }

  isDenormal(bits: Expr): Expr {
    // Zero becomes the largest number.
    const magnitude = i64.sub(this.magnitude(bits), i64.const(1));
    return i64.ltu(magnitude, i64.const((1n << BigInt(this.format.fraction)) - 1n));
  }

  /** Parameter i; what lies above the format is dropped. */
  param(i: number): Expr {
    const param = this.code.param(i);
    if (this.format.bits === 32) this.code.set(param, i64.and(param, i64.const(0xffff_ffffn)));
    return param;
  }

  sign(bits: Expr): Expr {
    return i64.toI32(i64.shru(bits, i64.const(this.format.bits - 1)));
  }

  signBit(sign: Expr): Expr {
    return i64.shl(i32.toI64u(sign), i64.const(this.format.bits - 1));
  }

  /** The fields, as if it were a normal number. */
  operand(bits: Expr): SseOperand {
    const { code } = this;
    const { fraction, bias, top } = this.format;
    const field = code.let(i32.and(i64.toI32(i64.shru(bits, i64.const(fraction))), i32.const(top)));
    const digits = i64.or(i64.shl(bits, i64.const(63 - fraction)), i64.const(-(1n << 63n)));
    return {
      bits,
      field,
      sign: code.let(this.sign(bits)),
      exponent: code.let(i32.sub(field, i32.const(bias))),
      significand: code.let(digits),
      infinite: i32.eq(field, i32.const(top)),
    };
  }

  isSpecial({ field }: SseOperand): Expr {
    return i32.geu(i32.sub(field, i32.const(1)), i32.const(this.format.top - 1));
  }

  arithmetic(operation: Operation, count: number): void {
    const { code } = this;
    const bits = [1, 2].slice(0, count).map((i) => this.param(i));
    const operands = bits.map((each) => this.operand(each));
    code.if(operands.map((each) => this.isSpecial(each)).reduce(i32.or), () => {
      code.if(bits.map((each) => this.isNan(each)).reduce(i32.or), () => {
        const result = code.local("i64");
        code.call(this.parts.nan, [this.cpu, bits[0]!, bits.at(-1)!], result);
        code.return(result);
      });
      const denormal = this.smallOperands(operands);
      operation.refuse(this, ...operands);
      code.if(denormal, () => this.raiseBefore(RAISED.DE));
      operation.special(this, ...operands);
    });
    operation.compute(this, ...operands);
  }

  /** Makes zeros and denormals of operands what they are; returns whether there was a denormal. */
  smallOperands(operands: readonly SseOperand[]): Expr {
    const { code } = this;
    const denormal = code.local("i32");
    code.set(denormal, i32.const(0));
    for (const { bits, field, significand, exponent } of operands) {
      code.if(i32.eqz(field), () => {
        const digits = code.let(i64.shl(bits, i64.const(64 - this.format.fraction)));
        code.set(significand, i64.const(0));
        const flushed = i32.and(this.control(), i32.const(MXCSR.DAZ));
        code.if(i32.and(i64.ne(digits, i64.const(0)), i32.eqz(flushed)), () => {
          const up = code.let(i64.clz(digits));
          code.set(significand, i64.shl(digits, up));
          code.set(exponent, i32.sub(exponent, i64.toI32(up)));
          code.set(denormal, i32.const(1));
        });
      });
    }
    return denormal;
  }

  invalid(): void {
    this.raise(RAISED.IE);
    this.code.return(this.defaultNan());
  }

  defaultNan(): Expr {
    const { bits, fraction } = this.format;
    const nan = (1n << BigInt(bits - 1)) | infinity(this.format) | (1n << BigInt(fraction - 1));
    return i64.const(BigInt.asIntN(64, nan));
  }

  infinity(sign: Expr): void {
    this.code.return(i64.or(this.infinityBits, this.signBit(sign)));
  }

  zero(sign: Expr): void {
    this.code.return(this.signBit(sign));
  }

  finish(sign: Expr, exponent: Expr, { hi, lo }: Wide): void {
    const significand = lo.kind === "const" ? hi : i64.or(hi, isNonzero(lo));
    this.pack(this.parts.pack, sign, exponent, significand);
  }

  pack(pack: number, sign: Expr, exponent: Expr, significand: Expr): void {
    const result = this.code.local("i64");
    this.code.call(pack, [this.cpu, sign, exponent, significand], result);
    this.code.return(result);
  }

  refused(): void {
    this.code.return(this.#refusal);
  }
}
