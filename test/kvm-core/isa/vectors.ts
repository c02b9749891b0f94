/**
 * What the tables of vectors are made of: rows of state before, instruction, state after.
 * Document: SDM volume 2; flags as the instruction's "Flags Affected" says, those left undefined are not looked at.
 * Left out: the rows: FAMILY.vectors.ts; running them: vectors.test.ts.
 */

export type Value = bigint | number | string;
/**
 * Registers by their 64-bit names; those not given are 0, RSP 0x200000. `m`: the u64 at DATA; `m1` to `m63` those behind it.
 * `flags`: exactly these of `looksAt` are set (default: CF PF AF ZF SF OF). `out`: what went out of ports, as "port size
 * value" in hex. IN reads 0x12345678.
 *
 * `xmm0` to `xmm15` (128 bits), `mm0` to `mm7`, `st0` to `st7` (the 80 bits as a bigint, or a number as such), `mxcsr`, `fcw`,
 * `fsw` (with TOP), `tags` (bit i: physical register i is not empty). Those not given are as after FNINIT, MXCSR 0x1f80,
 * but an x87 or MMX register that is given is not empty. STn is counted from TOP, before and after.
 */
export type State = Readonly<Record<string, Value>>;
export type Row = readonly [before: State, code: string, after: State, looksAt?: string];

/** A description whose test is not a row. `operands` as the suite names them; all of the mnemonic's if absent. */
export interface Elsewhere {
  readonly mnemonic: string;
  readonly operands?: string;
  readonly file: string;
  readonly reason: string;
}

export interface Vectors {
  /** In 32- and in 64-bit mode. */
  readonly both: readonly Row[];
  readonly only32?: readonly Row[];
  readonly only64?: readonly Row[];
  readonly elsewhere?: readonly Elsewhere[];
}

/** The word of memory that rows use. */
export const DATA = 0x30_0000;
export const M = "[0x300000]";
export const ARITHMETIC = "CF PF AF ZF SF OF";
/** Without AF: logic operations and shifts leave it undefined. */
export const WITHOUT_AF = "CF PF ZF SF OF";

/** The conditions of Jcc, CMOVcc and SETcc: flags with which each holds, and with which it does not (SDM volume 1, B.1). */
export const CONDITION_FLAGS: readonly (readonly [name: string, holds: string, not: string])[] = [
  ["o", "OF", "SF"],
  ["no", "CF", "OF"],
  ["b", "CF", "ZF"],
  ["ae", "ZF", "CF"],
  ["e", "ZF", "CF"],
  ["ne", "CF", "ZF"],
  ["be", "ZF", "SF"],
  ["a", "SF", "CF"],
  ["s", "SF", "OF"],
  ["ns", "OF", "SF"],
  ["p", "PF", "ZF"],
  ["np", "ZF", "PF"],
  ["l", "SF", "SF OF"],
  ["ge", "SF OF", "OF"],
  ["le", "ZF", "SF OF"],
  ["g", "SF OF", "ZF SF OF"],
];

/** An operation on a 32-bit destination and source in every kind of operands that it has. */
export function everyKind(
  operation: string,
  [destination, source]: readonly [number, number],
  before: State,
  result: number,
  flags: string,
  looksAt = ARITHMETIC,
): Row[] {
  const after = { flags };
  return [
    [{ ...before, rax: destination, rbx: source }, `${operation} eax, ebx`, { ...after, rax: result }, looksAt],
    [{ ...before, m: destination, rbx: source }, `${operation} dword ptr ${M}, ebx`, { ...after, m: result }, looksAt],
    [{ ...before, rax: destination, m: source }, `${operation} eax, ${M}`, { ...after, rax: result }, looksAt],
    [{ ...before, rax: destination }, `${operation} eax, ${source}`, { ...after, rax: result }, looksAt],
    [{ ...before, m: destination }, `${operation} dword ptr ${M}, ${source}`, { ...after, m: result }, looksAt],
  ];
}

/** An operation on one 32-bit operand, in a register and in memory. */
export function both(
  operation: string,
  value: number,
  before: State,
  result: number,
  flags: string,
  looksAt = ARITHMETIC,
): Row[] {
  return [
    [{ ...before, rax: value }, `${operation} eax`, { rax: result, flags }, looksAt],
    [{ ...before, m: value }, `${operation} dword ptr ${M}`, { m: result, flags }, looksAt],
  ];
}
