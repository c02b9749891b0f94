/**
 * The register stack as generated functions see it: registers by their place in the stack, push, pop, exceptions.
 * Document: SDM volume 1, 8.1.2 (register stack), 8.1.3 (status word), 8.5.1.1 (stack overflow and underflow), 8.6 (masks).
 * Left out: what is computed: arith.ts, compare.ts, transfer.ts, single.ts.
 */

import { FPU, FPU_SLOT, FSW, TRAPS } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { ModuleBuilder } from "../wasm/module.ts";

/** Functions that the others call. */
export interface StackFunctions {
  readonly commit: number;
  readonly fault: number;
}

/** Bits of the status word that an instruction's exceptions set; C1 and SF can be among what is committed. */
const COMMITTED = FSW.exceptions | FSW.SF | FSW.C1;
/** The real indefinite, the answer to invalid operations (SDM volume 1, 4.8.3.7). */
export const INDEFINITE = { significand: BigInt.asIntN(64, 0xc000_0000_0000_0000n), exponent: 0xffff } as const;

/** Defines commit(cpu, raised) and fault(cpu, C1 or 0) -> 1 if the fault is masked. */
export function defineStack(module: ModuleBuilder): StackFunctions {
  const commit = module.define("", { params: ["i32", "i32"], results: [] });
  emitCommit(commit);
  const fault = module.define("", { params: ["i32", "i32"], results: ["i32"] });
  const [cpu, c1] = [fault.param(0), fault.param(1)];
  fault.call(module.indexOf(commit), [cpu, i32.or(c1, i32.const(FSW.IE | FSW.SF))]);
  fault.return(i32.and(i32.load(cpu, FPU.fcw), i32.const(FSW.IE)));
  fault.unreachable();
  return { commit: module.indexOf(commit), fault: module.indexOf(fault) };
}

/** The exceptions of `raised` are in the status word from now on; C1 is what `raised` says. */
function emitCommit(code: Code): void {
  const [cpu, raised] = [code.param(0), code.param(1)];
  const kept = i32.and(i32.load(cpu, FPU.fsw), i32.const(~FSW.C1));
  const status = code.let(i32.or(kept, i32.and(raised, i32.const(COMMITTED))));
  code.store("i32", cpu, status, FPU.fsw);
  code.if(i32.and(status, i32.const(FSW.exceptions)), () => summary(code, cpu));
}

/** ES and B, and FPU.traps, after the status or the control word changed. */
export function summary(code: Code, cpu: Expr): void {
  const status = code.let(i32.and(i32.load(cpu, FPU.fsw), i32.const(~(FSW.ES | FSW.B))));
  const traps = code.let(i32.and(i32.load(cpu, FPU.traps), i32.const(~TRAPS.pending)));
  const unmasked = code.let(i32.and(i32.and(status, not(i32.load(cpu, FPU.fcw))), i32.const(FSW.exceptions)));
  code.store("i32", cpu, select(unmasked, i32.or(status, i32.const(FSW.ES | FSW.B)), status), FPU.fsw);
  code.store("i32", cpu, select(unmasked, i32.or(traps, i32.const(TRAPS.pending)), traps), FPU.traps);
}

export const not = (value: Expr): Expr => i32.xor(value, i32.const(-1));

/** What the code of one function does with the stack. */
export class Stack {
  readonly code: Code;
  readonly cpu: Expr;
  readonly #functions: StackFunctions;

  constructor(code: Code, functions: StackFunctions) {
    this.code = code;
    this.cpu = code.param(0);
    this.#functions = functions;
  }

  /** Number of the physical register that ST(i) is. */
  #physical(i: Expr): Expr {
    return i32.and(i32.add(i32.load(this.cpu, FPU.top), i), i32.const(7));
  }

  /** i32: address of ST(i). */
  slot(i: Expr | number): Expr {
    const at = i32.shl(this.#physical(expr(i)), i32.const(Math.log2(FPU_SLOT)));
    return this.code.let(i32.add(i32.add(this.cpu, i32.const(FPU.st)), at));
  }

  /** i32, 1 or 0: ST(i) is not empty. */
  filled(i: Expr | number): Expr {
    return i32.and(i32.shru(i32.load(this.cpu, FPU.tags), this.#physical(expr(i))), i32.const(1));
  }

  mark(i: Expr | number, filled: boolean): void {
    const bit = i32.shl(i32.const(1), this.#physical(expr(i)));
    const tags = i32.load(this.cpu, FPU.tags);
    this.code.store("i32", this.cpu, filled ? i32.or(tags, bit) : i32.and(tags, not(bit)), FPU.tags);
  }

  /** TOP moves; the tags stay. */
  turn(by: 1 | -1): void {
    this.code.store("i32", this.cpu, this.#physical(i32.const(by)), FPU.top);
  }

  push(): void {
    this.turn(-1);
    this.mark(0, true);
  }

  pop(): void {
    this.mark(0, false);
    this.turn(1);
  }

  popIf(condition: Expr): void {
    this.code.if(condition, () => this.pop());
  }

  /** Before a function of kvm-core/float. */
  begin(): void {
    this.code.store("i32", this.cpu, i32.const(0), FPU.raised);
  }

  get raised(): Expr {
    return i32.load(this.cpu, FPU.raised);
  }

  /** Those of `bits` that were raised and are not masked. */
  unmasked(bits: number): Expr {
    return i32.and(i32.and(this.raised, not(i32.load(this.cpu, FPU.fcw))), i32.const(bits));
  }

  commit(raised: Expr = this.raised): void {
    this.code.call(this.#functions.commit, [this.cpu, raised]);
  }

  setCodes(codes: Expr, among: number = FSW.codes): void {
    const rest = i32.and(i32.load(this.cpu, FPU.fsw), i32.const(~among));
    this.code.store("i32", this.cpu, i32.or(rest, codes), FPU.fsw);
  }

  indefinite(slot: Expr): void {
    this.code.store("i64", slot, i64.const(INDEFINITE.significand), 0);
    this.code.store("i64", slot, i64.const(INDEFINITE.exponent), 8);
  }

  copy(to: Expr, from: Expr): void {
    this.code.store("i64", to, i64.load(from));
    this.code.store("i64", to, i64.load(from, 8), 8);
  }

  /** If `condition`: stack underflow, and `masked` is the response; the function ends. */
  underflowIf(condition: Expr, masked: () => void, result?: Expr): void {
    this.#faultIf(condition, 0, masked, result);
  }

  overflowIf(condition: Expr, masked: () => void): void {
    this.#faultIf(condition, FSW.C1, masked);
  }

  /** If there is no room to push: stack overflow; the response is an indefinite that is pushed all the same. */
  overflowIfFull(): void {
    this.overflowIf(this.filled(-1), () => {
      this.push();
      this.indefinite(this.slot(0));
    });
  }

  #faultIf(condition: Expr, c1: number, masked: () => void, result?: Expr): void {
    const { code } = this;
    code.if(condition, () => {
      const isMasked = code.local("i32");
      code.call(this.#functions.fault, [this.cpu, i32.const(c1)], isMasked);
      code.if(isMasked, masked);
      code.return(result);
    });
  }
}

const expr = (i: Expr | number): Expr => (typeof i === "number" ? i32.const(i) : i);
export const empty = (filled: Expr): Expr => i32.eqz(filled);
