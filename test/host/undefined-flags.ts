/**
 * Flags that the manual leaves undefined, by mnemonic and condition; and results that it leaves undefined.
 * Document: SDM volume 2, "Flags Affected" of each instruction; volume 1, appendix A.
 * Left out: what a processor in particular does there: nobody may rely on it.
 */

import { RFLAGS } from "../../kvm-core/cpu/flags.ts";
import type { Size } from "../../kvm-core/emit/emitter.ts";

const { CF, PF, AF, ZF, SF, OF } = RFLAGS;
const ALL = CF | PF | AF | ZF | SF | OF;

/** What decides: the destination's size, and the count of a shift as the processor masks it (else 0). */
export interface Facts {
  readonly size: Size;
  readonly count: number;
}
type Rule = (facts: Facts) => number;

const logic: Rule = () => AF;
const multiply: Rule = () => SF | ZF | AF | PF;
const divide: Rule = () => ALL;
const bitTest: Rule = () => OF | SF | AF | PF;
const extract: Rule = () => AF | PF;
const field: Rule = () => AF | SF | PF;
const count: Rule = () => OF | SF | AF | PF;
const scan: Rule = () => CF | OF | SF | AF | PF;
/** OF is defined for a count of 1 alone. */
const rotate: Rule = ({ count }) => (count > 1 ? OF : 0);
const shift: Rule = ({ count, size }) => (count === 0 ? 0 : AF | (count > 1 ? OF : 0) | (count >= size ? CF : 0));
const arithmeticShift: Rule = ({ count }) => (count === 0 ? 0 : AF | (count > 1 ? OF : 0));
const decimal: Rule = () => OF;
const unpackedDecimal: Rule = () => OF | SF | ZF | PF;
const decimalProduct: Rule = () => OF | AF | CF;
const doubleShift: Rule = ({ count, size }) => (count === 0 ? 0 : count > size ? ALL : AF | (count > 1 ? OF : 0));

export const UNDEFINED_FLAGS: Readonly<Record<string, Rule>> = {
  and: logic,
  or: logic,
  xor: logic,
  test: logic,
  mul: multiply,
  imul: multiply,
  div: divide,
  idiv: divide,
  bt: bitTest,
  bts: bitTest,
  btr: bitTest,
  btc: bitTest,
  bsf: scan,
  bsr: scan,
  andn: extract,
  blsi: extract,
  blsmsk: extract,
  blsr: extract,
  bzhi: extract,
  bextr: field,
  tzcnt: count,
  lzcnt: count,
  rol: rotate,
  ror: rotate,
  rcl: rotate,
  rcr: rotate,
  shl: shift,
  shr: shift,
  sar: arithmeticShift,
  daa: decimal,
  das: decimal,
  aaa: unpackedDecimal,
  aas: unpackedDecimal,
  aam: decimalProduct,
  aad: decimalProduct,
  shld: doubleShift,
  shrd: doubleShift,
};

export const undefinedFlags = (mnemonic: string, facts: Facts): number => UNDEFINED_FLAGS[mnemonic]?.(facts) ?? 0;

/** Why the result, and not only flags, is undefined; such cases are not generated. "" if it is defined. */
export function undefinedResult(mnemonic: string, { size, count }: Facts): string {
  if (mnemonic === "bswap" && size === 16) return "BSWAP of a 16-bit register";
  if ((mnemonic === "shld" || mnemonic === "shrd") && count > size) return "double shift by more than the operand size";
  return "";
}
