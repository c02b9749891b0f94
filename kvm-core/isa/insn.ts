/**
 * insn(): one instruction, described once: mnemonic, forms, meaning.
 * Document: architecture.md section 5.
 * Left out: nothing.
 */

import type { CpuFeature } from "../../shared/cpu-features.ts";
import type { UnitName } from "../cpu/fpu-state.ts";
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
  /**
   * The CPUID feature that the forms need: without it they are undefined, or what an overridden form makes of them. A pair:
   * with an operand size below 64, and of 64.
   */
  readonly cpuid?: CpuFeature | readonly [CpuFeature, CpuFeature];
  /** Never falls through to the next instruction. */
  readonly ends?: true;
  /** The memory operand is an address only: no segment, no access (LEA, NOP Ev). */
  readonly address?: true;
  /** A mnemonic per operand size 16, 32, 64, for the disassembly: cbw, cwde, cdqe. */
  readonly names?: readonly [string, string, string];
  /** POP Ev: a memory address that uses RSP is computed with RSP after the increment. */
  readonly popsAddress?: true;
  /**
   * The unit that it uses: #NM, #UD or a pending #MF come before everything else (SDM volume 3, tables 2-2 and 9-3). Where a
   * unit is named, `exec` need not care; one of "mmx" also ends with all registers valid and TOP 0 (SDM volume 1, 9.2.1).
   */
  readonly unit?: UnitName;
  /** Memory of 128 bits may be misaligned. */
  readonly unaligned?: true;
  /** What `exec` asks for first (else #UD, #GP): if a memory operand is beyond its segment's limit, that comes before it too. */
  readonly wants?: readonly ("protectedMode" | "level0")[];
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
  cpuid: undefined,
  ends: undefined,
  address: undefined,
  names: undefined,
  popsAddress: undefined,
  unit: undefined,
  unaligned: undefined,
  wants: undefined,
} satisfies Record<Exclude<keyof Description, "forms" | "exec">, undefined>;

export function insn(mnemonic: string, description: Description): Insn {
  const parsed = description.forms.map(parseForm);
  const exec = withVex(parsed, withUnit(description));
  return { ...ABSENT, ...description, exec, mnemonic, parsed } as Insn;
}

function withVex(forms: readonly Form[], exec: Description["exec"]): Description["exec"] {
  if (forms.every(({ vex }) => vex === undefined)) return exec;
  if (forms.some(({ vex }) => vex === undefined)) throw new Error(`${forms[0]!.text}: VEX forms are described apart`);
  return (e, ...operands) => {
    e.protectedOnly();
    exec(e, ...operands);
  };
}

/** Made once for each: what has the same exec shares its cases (opcode-map.ts). */
const WITH_UNIT = new Map<UnitName, Map<Description["exec"], Description["exec"]>>();

function withUnit({ unit, exec }: Description): Description["exec"] {
  if (unit === undefined) return exec;
  const made = WITH_UNIT.get(unit) ?? new Map<Description["exec"], Description["exec"]>();
  WITH_UNIT.set(unit, made);
  const found = made.get(exec);
  if (found) return found;
  const whole: Description["exec"] = (e, ...operands) => {
    e.unit(unit);
    exec(e, ...operands);
    if (unit === "mmx") e.enterMmx();
  };
  made.set(exec, whole);
  return whole;
}
