/**
 * The last step of x87 arithmetic: rounds 128 bits to the precision asked for and writes a slot.
 * Document: SDM volume 1, 8.1.5.2 (precision control), 8.5.4 to 8.5.6 (overflow, underflow, inexact), table 4-10.
 * Left out: stores to memory, which have their own exponent range: x87-store.ts.
 *
 * pack(cpu, dst, sign, exponent, hi, lo, cut) -> 1; `cut` is 64 less the precision: 0, 11 or 40.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { EXTENDED, FCW, INTEGER_BIT, RAISED } from "./format.ts";
import { roundsUp } from "./target.ts";
import { isNonzero, shiftWideJam } from "./words.ts";

const PACK_TYPE: FuncType = { params: ["i32", "i32", "i32", "i32", "i64", "i64", "i32"], results: ["i32"] };

/** Defines pack(); returns its function index. */
export function defineX87Pack(module: ModuleBuilder): number {
  const code = module.define("", PACK_TYPE);
  new PackGenerator(code).generate();
  return module.indexOf(code);
}

class PackGenerator {
  readonly #code: Code;
  readonly #cpu: Expr;
  readonly #dst: Expr;
  readonly #sign: Expr;
  readonly #exponent: Expr;
  readonly #hi: Expr;
  readonly #lo: Expr;
  readonly #cut: Expr;
  readonly #fcw: Expr;
  readonly #mode: Expr;
  /** What #round() makes of hi:lo: what stays, rounded; what was cut off; was it rounded up. */
  readonly #kept: Expr;
  readonly #rest: Expr;
  readonly #up: Expr;

  constructor(code: Code) {
    this.#code = code;
    [this.#cpu, this.#dst, this.#sign, this.#exponent, this.#hi, this.#lo, this.#cut] = [0, 1, 2, 3, 4, 5, 6].map((i) =>
      code.param(i),
    ) as [Expr, Expr, Expr, Expr, Expr, Expr, Expr];
    this.#fcw = code.let(i32.load(this.#cpu, FPU.fcw));
    this.#mode = code.let(i32.and(i32.shru(this.#fcw, i32.const(FCW.rounding)), i32.const(3)));
    this.#kept = code.local("i64");
    this.#rest = code.local("i64");
    this.#up = code.local("i32");
  }

  generate(): void {
    const code = this.#code;
    this.#round();
    const biased = code.let(i32.add(this.#exponent, i32.const(EXTENDED.bias)));
    // A carry out of the significand.
    code.if(i64.ges(this.#kept, i64.const(0)), () => {
      code.set(this.#kept, i64.const(INTEGER_BIT));
      code.set(biased, i32.add(biased, i32.const(1)));
    });
    code.if(i32.ltu(i32.sub(biased, i32.const(1)), i32.const(EXTENDED.top - 1)), () => {
      this.#raiseInexact(RAISED.PE);
      this.#write(this.#kept, biased);
    });
    code.if(i32.gts(biased, i32.const(0)), () => this.#overflow(biased));
    this.#underflow(biased);
  }

  #round(): void {
    const code = this.#code;
    code.if(
      i32.eqz(this.#cut),
      () => {
        code.set(this.#kept, this.#hi);
        code.set(this.#rest, this.#lo);
      },
      () => {
        const cut = code.let(i32.toI64u(this.#cut));
        code.set(this.#kept, i64.shl(i64.shru(this.#hi, cut), cut));
        code.set(this.#rest, i64.or(i64.shl(this.#hi, i64.sub(i64.const(64), cut)), isNonzero(this.#lo)));
      },
    );
    const unit = code.let(i64.shl(i64.const(1), i32.toI64u(this.#cut)));
    const odd = i32.toI64u(i64.ne(i64.and(this.#kept, unit), i64.const(0)));
    code.set(this.#up, roundsUp(code, this.#mode, this.#sign, odd, this.#rest, i64.const(INTEGER_BIT)));
    code.set(this.#kept, i64.add(this.#kept, select(this.#up, unit, i64.const(0))));
  }

  #raise(flags: Expr): void {
    this.#code.store("i32", this.#cpu, i32.or(i32.load(this.#cpu, FPU.raised), flags), FPU.raised);
  }

  /** `flags` and C1 if something was cut off. */
  #raiseInexact(flags: number): void {
    const roundedUp = i32.shl(this.#up, i32.const(Math.log2(RAISED.roundedUp)));
    this.#raise(select(i64.eqz(this.#rest), i32.const(0), i32.or(i32.const(flags), roundedUp)));
  }

  #unmasked(exception: number): Expr {
    return i32.eqz(i32.and(this.#fcw, i32.const(exception << FCW.masks)));
  }

  #write(significand: Expr, biased: Expr): void {
    const code = this.#code;
    code.store("i64", this.#dst, significand);
    code.store("i64", this.#dst, i32.toI64u(i32.or(biased, i32.shl(this.#sign, i32.const(15)))), 8);
    code.return(i32.const(1));
  }

  #overflow(biased: Expr): void {
    const code = this.#code;
    code.if(this.#unmasked(RAISED.OE), () => {
      const wrapped = code.let(i32.sub(biased, i32.const(EXTENDED.wrap)));
      // Only FSCALE comes beyond what the wrapped exponent reaches: an infinity, then, in every rounding mode.
      code.if(i32.geu(wrapped, i32.const(EXTENDED.top)), () => {
        this.#raise(i32.const(RAISED.OE | RAISED.PE | RAISED.roundedUp));
        this.#write(i64.const(INTEGER_BIT), i32.const(EXTENDED.top));
      });
      this.#raise(i32.const(RAISED.OE));
      this.#raiseInexact(RAISED.PE);
      this.#write(this.#kept, wrapped);
    });
    // The directed modes stop at the largest finite number unless they lead away from zero.
    const away = i32.eq(this.#mode, i32.sub(i32.const(2), this.#sign));
    const infinite = code.let(i32.or(i32.eqz(this.#mode), away));
    this.#raise(
      select(infinite, i32.const(RAISED.OE | RAISED.PE | RAISED.roundedUp), i32.const(RAISED.OE | RAISED.PE)),
    );
    const largest = i64.shl(i64.const(-1), i32.toI64u(this.#cut));
    this.#write(select(infinite, i64.const(INTEGER_BIT), largest), i32.sub(i32.const(EXTENDED.top), i32.eqz(infinite)));
  }

  /** `biased` is that of the result rounded with an exponent of any size: it is tiny. */
  #underflow(biased: Expr): void {
    const code = this.#code;
    code.if(this.#unmasked(RAISED.UE), () => {
      const wrapped = code.let(i32.add(biased, i32.const(EXTENDED.wrap)));
      // As above: a zero.
      code.if(i32.les(wrapped, i32.const(0)), () => {
        this.#raise(i32.const(RAISED.UE | RAISED.PE));
        this.#write(i64.const(0), i32.const(0));
      });
      this.#raise(i32.const(RAISED.UE));
      this.#raiseInexact(RAISED.PE);
      this.#write(this.#kept, wrapped);
    });
    const shift = code.let(i32.sub(i32.const(1 - EXTENDED.bias), this.#exponent));
    shiftWideJam(code, { hi: this.#hi, lo: this.#lo }, shift);
    this.#round();
    this.#raiseInexact(RAISED.UE | RAISED.PE);
    this.#write(this.#kept, i64.toI32(i64.shru(this.#kept, i64.const(63))));
    code.unreachable();
  }
}
