/**
 * What of an instruction's outcome is not compared with the host's, or not exactly, and why.
 * Document: SDM volume 2 of each instruction; AMD's manual, volumes 1 and 5, where its processors differ from Intel's.
 * Left out: RFLAGS: undefined-flags.ts. What the manual calls undefined and both makers do alike is compared.
 */

import type { Form } from "../../kvm-core/isa/form.ts";
import type { Insn } from "../../kvm-core/isa/insn.ts";
import { FSW } from "../kvm-core/support/fpu.ts";

/** Of one case; addresses are linear. */
export interface Looseness {
  /** Bits of the x87 status word that are not looked at. */
  readonly fsw?: number;
  /** x87 results may differ by so many units in the last place. */
  readonly ulps?: number;
  /** Single-precision lanes may differ by 2^-relative of their value. */
  readonly relative?: number;
  /** CR2 may differ by less than so many bytes. */
  readonly cr2?: number;
  /** Bytes of memory that are not looked at: from, number. */
  readonly memory?: readonly (readonly [from: number, bytes: number])[];
}

interface NotCompared extends Omit<Looseness, "memory"> {
  readonly mnemonics: readonly string[];
  /** The form's text begins so; all forms if absent. */
  readonly form?: string;
  /** Offsets in the memory operand, by operand size 16 and otherwise. */
  readonly memory?: Readonly<Record<16 | 32, readonly (readonly [from: number, bytes: number])[]>>;
  readonly reason: string;
}

/** FIP, FCS, FOP, FDP, FDS of an environment in memory (SDM volume 1, figures 8-9 and 8-11). */
const POINTERS = { 16: [[6, 8]], 32: [[12, 16]] } as const;
const POINTERS_REASON =
  "x87 pointers: processors differ in whether instructions without exception set them, and in the selectors";
/** FOP, FIP, FDP; MXCSR_MASK. */
const FXSAVE_BYTES = [
  [6, 18],
  [28, 4],
] as const;
/** The same and XSTATE_BV. */
const XSAVE_BYTES = [...FXSAVE_BYTES, [512, 8]] as const;
const FAULT_REASON = "a page fault names the image's first byte on some processors, its last on others";

export const NOT_COMPARED: readonly NotCompared[] = [
  {
    mnemonics: ["fnstenv", "fnsave"],
    memory: POINTERS,
    cr2: 108,
    reason: `${POINTERS_REASON}; and in which piece they write first`,
  },
  { mnemonics: ["fldenv"], cr2: 28, reason: "processors differ in which piece of the image they read first" },
  {
    mnemonics: ["fxsave", "fxsave64"],
    memory: { 16: FXSAVE_BYTES, 32: FXSAVE_BYTES },
    cr2: 512,
    reason: `${POINTERS_REASON}; AMD's MXCSR_MASK has the bit of its misaligned mode; ${FAULT_REASON}`,
  },
  {
    mnemonics: ["xsave", "xsaveopt", "xsavec"],
    memory: { 16: XSAVE_BYTES, 32: XSAVE_BYTES },
    cr2: 576,
    reason: `as of fxsave; XSTATE_BV: when a component counts as in use is the processor's matter; ${FAULT_REASON}`,
  },
  { mnemonics: ["fxrstor", "fxrstor64", "xrstor"], cr2: 576, reason: FAULT_REASON },
  {
    mnemonics: ["rcpps", "rcpss", "rsqrtps", "rsqrtss"],
    // Each is within 1.5 * 2^-12 of the true value.
    relative: 10,
    reason: "approximations, each maker's own",
  },
  {
    mnemonics: ["f2xm1", "fyl2x", "fyl2xp1", "fsin", "fcos", "fsincos", "fptan", "fpatan"],
    ulps: 2,
    fsw: FSW.C1,
    reason: "transcendental: good to an ulp or so (SDM volume 1, 8.3.10), not rounded exactly",
  },
];

/** What is loose about a case of a form whose memory operand, if any, lies at `address`. */
export function looseness({ mnemonic }: Insn, { text }: Form, size: number, address: number): Looseness | undefined {
  const row = NOT_COMPARED.find(({ mnemonics, form = "" }) => mnemonics.includes(mnemonic) && text.startsWith(form));
  if (row === undefined) return undefined;
  const { mnemonics: _, form: __, memory, reason: ___, ...rest } = row;
  if (memory === undefined) return rest;
  return { ...rest, memory: memory[size === 16 ? 16 : 32].map(([from, bytes]) => [address + from, bytes] as const) };
}
