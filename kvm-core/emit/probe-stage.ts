/**
 * The probing stage of the Emitter: runs an `exec` to learn what it does with its memory operand, and emits nothing.
 * Document: architecture.md section 5 (an instruction is described once).
 * Left out: accesses that are not to the operand: of the stack, of strings, and those that exec computes from it; they are
 * checked where they are made.
 */

import { type Expr, local, type ValType } from "../wasm/expr.ts";
import type { Access, Emitter, Operand, Size } from "./emitter.ts";
import type { FormFacts } from "./stage.ts";

/** What an instruction does with its memory operand. No bytes: nothing (LEA, INVLPG). */
export interface OperandAccess {
  readonly bytes: number;
  readonly write: boolean;
}

/** Stands for every value. */
const VALUE = local("i64", 0);
const NUMBER = local("i32", 0);
const VECTOR = local("v128", 0);

const bytesOf = (operand: Operand): number =>
  operand.kind === "mem" && operand.whole ? 16 : "size" in operand ? operand.size / 8 : 0;

/** The access of `exec` with these operands. */
export function probe(
  exec: (e: Emitter, ...operands: Operand[]) => void,
  facts: FormFacts,
  operands: readonly Operand[],
): OperandAccess {
  const stage = new ProbeStage(facts);
  exec(stage, ...operands);
  return { bytes: stage.bytes, write: stage.written };
}

class ProbeStage implements Emitter {
  readonly #facts: FormFacts;
  bytes = 0;
  written = false;

  constructor(facts: FormFacts) {
    this.#facts = facts;
  }

  #note(operand: Operand, access: Access, bytes: number): Expr {
    if (operand.kind === "mem") {
      this.bytes = Math.max(this.bytes, bytes);
      this.written ||= access !== "read";
    }
    return VALUE;
  }

  get size(): Size {
    return this.#facts.size;
  }
  get addressSize(): 16 | 32 | 64 {
    return this.#facts.addressSize;
  }
  get stackSize(): 16 | 32 | 64 {
    return this.#facts.stackSize;
  }
  get repeat(): "none" | "rep" | "repne" {
    return this.#facts.repeat;
  }

  get segmented(): boolean {
    return this.#facts.segmented;
  }

  let(value: Expr): Expr {
    return value;
  }
  variable(value: Expr): Expr {
    return value;
  }
  assign(): void {}
  if(_condition: Expr, then: () => void, otherwise?: () => void): void {
    then();
    otherwise?.();
  }

  read(operand: Operand): Expr {
    return this.#note(operand, "read", operand.size / 8);
  }
  readSigned(operand: Operand): Expr {
    return this.read(operand);
  }
  modify(operand: Operand): Expr {
    return this.#note(operand, "modify", operand.size / 8);
  }
  write(operand: Operand): void {
    this.#note(operand, "write", operand.size / 8);
  }
  at(linear: Expr, size: Size, of: Operand): Operand {
    return { kind: "at", size, linear, of };
  }
  readSelector(): Expr {
    return VALUE;
  }
  offset(): Expr {
    return VALUE;
  }
  linear(operand: Operand, access: Access = "read", bytes = 0): Expr {
    return this.#note(operand, access, bytes);
  }

  unit(): void {}
  enterMmx(): void {}
  readV(operand: Operand): Expr {
    this.#note(operand, "read", bytesOf(operand));
    return VECTOR;
  }
  writeV(operand: Operand): void {
    this.#note(operand, "write", bytesOf(operand));
  }
  slot(): Expr {
    return NUMBER;
  }
  scratch(): Expr {
    return NUMBER;
  }
  fpu(_offset: number, type: "i32" | "i64"): Expr {
    return type === "i32" ? NUMBER : VALUE;
  }
  setFpu(): void {}
  call(_name: string, result: ValType | "none"): Expr {
    return result === "none" ? NUMBER : local(result, 0);
  }

  gpr(): Expr {
    return VALUE;
  }
  setGpr(): void {}
  flagResult(): Expr {
    return VALUE;
  }
  flagAux(): Expr {
    return VALUE;
  }
  setFlagResult(): void {}
  setFlagAux(): void {}
  direction(): Expr {
    return NUMBER;
  }
  setDirection(): void {}
  setAlignmentCheck(): void {}
  privilege(): Expr {
    return NUMBER;
  }

  load(): Expr {
    return VALUE;
  }
  store(): void {}
  direct(): Expr {
    return NUMBER;
  }
  prepare(): void {}
  sourceAddress(): Expr {
    return VALUE;
  }
  destinationAddress(): Expr {
    return VALUE;
  }

  push(): void {}
  top(): Expr {
    return VALUE;
  }
  release(): void {}
  stackAddress(): Expr {
    return VALUE;
  }
  setStackPointer(): void {}

  nextRip(): Expr {
    return VALUE;
  }
  thisRip(): Expr {
    return VALUE;
  }
  jump(): void {}
  jumpIf(): void {}
  jumpTo(): void {}
  checkTarget(): void {}
  fence(): void {}
  again(): void {}

  protectedOnly(): void {}
  raise(): void {}
  trap(): void {}
  helper(): void {}
  data(): Expr {
    return VALUE;
  }
  setData(): void {}
}
