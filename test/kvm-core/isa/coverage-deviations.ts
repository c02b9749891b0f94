/**
 * Opcodes of the model that no description has, with the reason.
 * Document: coverage.ts.
 * Left out: nothing: coverage.test.ts fails for an opcode that is neither described nor here, and for a row that nothing needs.
 */

import type { CoverageRow } from "./coverage.ts";

interface Deviation {
  /** Of "opcode | instruction"; any if absent. */
  readonly line?: RegExp;
  /** iced-x86's name of a feature that the instruction needs. */
  readonly feature?: string;
  readonly reason: string;
}

export const DEVIATIONS: readonly Deviation[] = [
  { line: /^o\d\d 90 \| NOP/, reason: "90 is NOP whatever its operand size; the disassembly says so" },
  { feature: "PREFETCHW", line: /^0F 0D \/[034567] /, reason: "reserved hints of PREFETCHW: a NOP" },
  { feature: "SYSCALL", line: /^0F 0[57] /, reason: "outside 64-bit mode SYSCALL and SYSRET are AMD's alone" },
];

/** The row that explains why an opcode is not described. */
export function deviation({ opcode, instruction, features }: CoverageRow): Deviation | undefined {
  return DEVIATIONS.find(
    ({ line, feature }) =>
      (feature === undefined || features.includes(feature)) && (line?.test(`${opcode} | ${instruction}`) ?? true),
  );
}

/** Encodings of the model that no processor of Intel's has, or none at all. */
export const ABSENT: readonly { readonly line: RegExp; readonly reason: string }[] = [
  { line: /^a64 o16 E[0-3] cb /, reason: "with 66 before a near branch in 64-bit mode AMD's processors take 16 bits" },
  { line: /^0F FF {2}UD0$/, reason: "UD0 without ModRM: processors before the ones of 64 bits" },
];
