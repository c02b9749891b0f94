/**
 * The last step of SSE arithmetic and of x87 stores: rounds a significand of 64 bits to f32 or f64, with overflow and underflow.
 * Document: SDM volume 1, 4.9.1.4 to 4.9.1.6, 10.2.3.3 (FTZ), 11.5.2.4 to 11.5.2.6, 8.5.4 to 8.5.6; tables 4-10 and 4-11.
 * Left out: the scaled results of unmasked overflow and underflow, which neither a register nor memory shows.
 *
 * pack(cpu, sign, exponent, significand) -> bits; what was cut off before is jammed into bit 0 of the significand.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { FCW, type Format, MXCSR, RAISED, ROUNDING } from "./format.ts";
import { roundsUp } from "./target.ts";
import { shiftJamFar } from "./words.ts";

const PACK_TYPE: FuncType = { params: ["i32", "i32", "i32", "i64"], results: ["i64"] };

/** Which control word counts, and what is in it. */
interface Control {
  readonly word: number;
  readonly masks: number;
  readonly rounding: number;
  /** Its bit that turns tiny results to zero. */
  readonly flush: number;
  /** What is raised if the magnitude grew. */
  readonly roundedUp: number;
}
export const UNDER_MXCSR: Control = {
  word: FPU.mxcsr,
  masks: MXCSR.masks,
  rounding: MXCSR.rounding,
  flush: MXCSR.FTZ,
  roundedUp: 0,
};
export const UNDER_FCW: Control = {
  word: FPU.fcw,
  masks: FCW.masks,
  rounding: FCW.rounding,
  flush: 0,
  roundedUp: RAISED.roundedUp,
};

/** Defines pack(); returns its function index. */
export function definePack(module: ModuleBuilder, format: Format, control: Control): number {
  const code = module.define("", PACK_TYPE);
  new PackGenerator(code, format, control).generate();
  return module.indexOf(code);
}

class PackGenerator {
  readonly #code: Code;
  readonly #format: Format;
  readonly #cpu: Expr;
  readonly #sign: Expr;
  readonly #significand: Expr;
  readonly #control: Control;
  readonly #word: Expr;
  readonly #mode: Expr;
  /** Exponent field of a normal result. */
  readonly #biased: Expr;
  readonly #signBit: Expr;
  /** What #round() makes of the significand: what stays, rounded; what was cut off; was it rounded up. */
  readonly #kept: Expr;
  readonly #rest: Expr;
  readonly #up: Expr;

  constructor(code: Code, format: Format, control: Control) {
    this.#code = code;
    this.#format = format;
    this.#cpu = code.param(0);
    this.#sign = code.param(1);
    this.#significand = code.param(3);
    this.#control = control;
    this.#word = code.let(i32.load(this.#cpu, control.word));
    this.#mode = code.let(i32.and(i32.shru(this.#word, i32.const(control.rounding)), i32.const(3)));
    this.#biased = code.let(i32.add(code.param(2), i32.const(format.bias)));
    this.#signBit = code.let(i64.shl(i32.toI64u(this.#sign), i64.const(format.bits - 1)));
    this.#kept = code.local("i64");
    this.#rest = code.local("i64");
    this.#up = code.local("i32");
  }

  generate(): void {
    const code = this.#code;
    const { fraction, top } = this.#format;
    code.if(i32.lts(this.#biased, i32.const(1)), () => this.#small());
    this.#round();
    code.if(i32.lts(this.#biased, i32.const(top)), () => {
      // The integer bit of what is kept adds 1 to the exponent field, and a carry out of it one more.
      const exponent = i64.shl(i32.toI64u(i32.sub(this.#biased, i32.const(1))), i64.const(fraction));
      const bits = code.let(i64.add(exponent, this.#kept));
      code.if(i64.ltu(bits, i64.const(infinity(this.#format))), () => {
        this.#raiseInexact(RAISED.PE);
        code.return(i64.or(bits, this.#signBit));
      });
    });
    this.#overflow();
  }

  #round(): void {
    const code = this.#code;
    const cut = 63 - this.#format.fraction;
    code.set(this.#kept, i64.shru(this.#significand, i64.const(cut)));
    code.set(this.#rest, i64.and(this.#significand, i64.const((1n << BigInt(cut)) - 1n)));
    const odd = i64.and(this.#kept, i64.const(1));
    const up = roundsUp(code, this.#mode, this.#sign, odd, this.#rest, i64.const(1n << BigInt(cut - 1)));
    code.set(this.#up, up);
    code.set(this.#kept, i64.add(this.#kept, i32.toI64u(up)));
  }

  #raise(flags: Expr): void {
    this.#code.store("i32", this.#cpu, i32.or(i32.load(this.#cpu, FPU.raised), flags), FPU.raised);
  }

  /** `flags` if something was cut off; a store in either case, which costs less than a branch. */
  #raiseInexact(flags: number): void {
    this.#raise(select(i64.eqz(this.#rest), i32.const(0), this.#withUp(i32.const(flags), this.#up)));
  }

  /** Flags, and C1 of the x87 status word if the magnitude grew. */
  #withUp(flags: Expr, up: Expr): Expr {
    const { roundedUp } = this.#control;
    return roundedUp === 0 ? flags : i32.or(flags, i32.shl(up, i32.const(Math.log2(roundedUp))));
  }

  #unmasked(exception: number): Expr {
    return i32.eqz(i32.and(this.#word, i32.const(exception << this.#control.masks)));
  }

  #overflow(): void {
    const code = this.#code;
    code.if(this.#unmasked(RAISED.OE), () => {
      this.#raise(i32.const(RAISED.OE));
      if (this.#control === UNDER_MXCSR) this.#raiseInexact(RAISED.PE);
      code.return(this.#signBit);
    });
    // The directed modes stop at the largest finite number unless they lead away from zero.
    const away = i32.eq(this.#mode, i32.sub(i32.const(ROUNDING.up), this.#sign));
    const infinite = code.let(i32.or(i32.eqz(this.#mode), away));
    this.#raise(this.#withUp(i32.const(RAISED.OE | RAISED.PE), infinite));
    const bits = i64.sub(i64.const(infinity(this.#format)), i32.toI64u(i32.eqz(infinite)));
    code.return(i64.or(bits, this.#signBit));
    code.unreachable();
  }

  /** Below the normal numbers, before rounding. */
  #small(): void {
    const code = this.#code;
    // It is tiny unless rounding to full precision, with an exponent of any size, makes a normal number of it.
    this.#round();
    const carries = i64.ne(i64.shru(this.#kept, i64.const(this.#format.fraction + 1)), i64.const(0));
    const tiny = code.let(i32.eqz(i32.and(i32.eqz(this.#biased), carries)));
    code.if(tiny, () => {
      code.if(this.#unmasked(RAISED.UE), () => {
        this.#raise(i32.const(RAISED.UE));
        if (this.#control === UNDER_MXCSR) this.#raiseInexact(RAISED.PE);
        code.return(this.#signBit);
      });
      const { flush } = this.#control;
      if (flush === 0) return;
      code.if(i32.and(this.#word, i32.const(flush)), () => {
        this.#raise(i32.const(RAISED.UE | RAISED.PE));
        code.return(this.#signBit);
      });
    });
    const shift = i32.sub(i32.const(1), this.#biased);
    code.set(this.#significand, shiftJamFar(code, this.#significand, shift));
    this.#round();
    code.if(i64.ne(this.#rest, i64.const(0)), () => {
      const flags = select(tiny, i32.const(RAISED.UE | RAISED.PE), i32.const(RAISED.PE));
      this.#raise(this.#withUp(flags, this.#up));
    });
    code.return(i64.or(this.#kept, this.#signBit));
    code.unreachable();
  }
}

export function infinity(format: Format): bigint {
  return BigInt(format.top) << BigInt(format.fraction);
}
