/**
 * What a description allows: its forms in each mode, operand size, with a register or with memory.
 * Document: SDM volume 2, the forms; not-run.ts for what is left out.
 * Left out: states: generate.ts.
 */

import type { Size } from "../../kvm-core/emit/emitter.ts";
import type { Form } from "../../kvm-core/isa/form.ts";
import { INSNS } from "../../kvm-core/isa/insn/all.ts";
import type { Insn } from "../../kvm-core/isa/insn.ts";
import type { Mode } from "../kvm-core/support/machine.ts";
import { notRun } from "./not-run.ts";
import { undefinedResult } from "./undefined-flags.ts";

export interface Variant {
  readonly insn: Insn;
  readonly form: Form;
  readonly mode: Mode;
  readonly size: Size;
  readonly memory: boolean;
}

/** All that a description allows in a mode: sizes times register or memory. */
export function variants(insn: Insn, form: Form, mode: Mode): Variant[] {
  if (notRun(insn, form, "all") || (mode === 64 ? form.i64 : form.o64)) return [];
  let sizes: readonly Size[] = [32];
  if (form.sized) sizes = mode === 32 ? [16, 32] : form.f64 ? [64] : form.d64 ? [16, 64] : [16, 32, 64];
  for (const left of [16, 32] as const) {
    if (notRun(insn, form, `operand size ${left}`)) sizes = sizes.filter((size) => size !== left);
  }
  // 66 would make another instruction of it.
  if (form.np || form.vex || form.prefix === 0x66) sizes = sizes.filter((size) => size !== 16);
  sizes = sizes.filter((size) => undefinedResult(insn.mnemonic, { size, count: 0 }) === "");
  const has = (methods: string): boolean => form.operands.some(({ method }) => methods.includes(method));
  const kinds = (has("EWQ") ? [false, true] : has("MO") ? [true] : [false]).filter(
    (memory) => memory || notRun(insn, form, "register operand") === undefined,
  );
  return sizes.flatMap((size) => kinds.map((memory) => ({ insn, form, mode, size, memory })));
}

/** Groups of variants: one for each form of each description. */
export function forms(mode: Mode, insns: readonly Insn[] = INSNS): Variant[][] {
  return insns.flatMap((insn) => insn.parsed.map((form) => variants(insn, form, mode))).filter((all) => all.length > 0);
}
