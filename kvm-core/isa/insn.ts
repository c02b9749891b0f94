/**
 * insn(): one instruction, described once: mnemonic, forms, meaning.
 * Document: architecture.md section 5.
 * Left out: CPUID feature gates; they come with the CPU models.
 */

import type { Emitter, Operand } from "../emit/emitter.ts";
import { type Form, parseForm } from "./form.ts";

export interface Description {
  readonly forms: readonly string[];
  /** The meaning, over the form's operands in order. */
  readonly exec: (e: Emitter, ...operands: Operand[]) => void;
  /** LOCK is legal with a memory destination (SDM volume 2A, "LOCK"); "always": such a form is locked without it (XCHG). */
  readonly lock?: true | "always";
  /** Which repeat prefixes mean something. */
  readonly repeat?: "rep" | "repe-repne";
  /** Uses the stack through the Emitter: the form depends on the stack size, and on whether the segment needs checks. */
  readonly stack?: true;
  /** Uses string operands: the form depends on the address size, and on whether the segments need checks. */
  readonly string?: true;
  /** Counts in rCX: the form depends on the address size. */
  readonly counts?: true;
  /** Never falls through to the next instruction. */
  readonly ends?: true;
  /** The memory operand is an address only: no segment, no access (LEA, NOP Ev). */
  readonly address?: true;
  /** A mnemonic per operand size 16, 32, 64, for the disassembly: cbw, cwde, cdqe. */
  readonly names?: readonly [string, string, string];
  /** The CPUID feature that it needs, in QEMU's spelling. */
  readonly cpuid?: string;
  /** POP Ev: a memory address that uses RSP is computed with RSP after the increment. */
  readonly popsAddress?: true;
}

export interface Insn extends Description {
  readonly mnemonic: string;
  readonly parsed: readonly Form[];
}

/** All optional fields, so that all descriptions have one shape: the decoder reads them for every instruction. */
const ABSENT = {
  lock: undefined,
  repeat: undefined,
  stack: undefined,
  string: undefined,
  counts: undefined,
  ends: undefined,
  address: undefined,
  names: undefined,
  cpuid: undefined,
  popsAddress: undefined,
} satisfies Record<Exclude<keyof Description, "forms" | "exec">, undefined>;

export function insn(mnemonic: string, description: Description): Insn {
  return { ...ABSENT, ...description, mnemonic, parsed: description.forms.map(parseForm) } as Insn;
}
