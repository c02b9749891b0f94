/**
 * What a row of vectors says of x87, MMX and SSE: `xmm3`, `mm1`, `st0`, `mxcsr`, `fcw`, `fsw`, `tags`.
 * Document: vectors.ts.
 * Left out: the rest of a row: vectors.test.ts.
 */

import { type FpuState, f80, freshFpu, topOf } from "../support/fpu.ts";
import type { Mode } from "../support/machine.ts";
import type { State, Value } from "./vectors.ts";

const NAME = /^(?:(xmm|mm|st)(\d+)|mxcsr|fcw|fsw|tags)$/;
/** What an MMX register's write leaves in the rest of the x87 register. */
const MMX_EXPONENT = 0xffffn << 64n;

export const isFpuName = (name: string): boolean => NAME.test(name);

const stValue = (value: Value): bigint => (typeof value === "bigint" ? value : f80(Number(value)));
/** Not cut to 64 bits, as other values are. */
const register = (value: Value): bigint => BigInt.asUintN(128, BigInt(value));

export function fpuBefore(mode: Mode, before: State): FpuState {
  const fresh = freshFpu(mode);
  const [xmm, st] = [[...fresh.xmm], [...fresh.st]];
  const word = (name: "mxcsr" | "fcw" | "fsw"): number => Number(before[name] ?? fresh[name]);
  const fsw = word("fsw");
  let tags = 0;
  const setPhysical = (i: number, value: bigint): void => {
    st[i & 7] = value;
    tags |= 1 << (i & 7);
  };
  for (const [name, value] of Object.entries(before)) {
    const [, file, number] = NAME.exec(name) ?? [];
    if (file === "xmm") xmm[Number(number)] = register(value);
    else if (file === "mm") setPhysical(Number(number), MMX_EXPONENT | BigInt.asUintN(64, BigInt(value)));
    else if (file === "st") setPhysical(topOf(fsw) + Number(number), stValue(value));
  }
  if (before["tags"] !== undefined) tags = Number(before["tags"]);
  return { xmm, st, mxcsr: word("mxcsr"), fcw: word("fcw"), fsw, tags };
}

/** Name, what is there, and what the row wants there. */
export function fpuAfter(fpu: FpuState, after: State): (readonly [name: string, got: bigint, wanted: bigint])[] {
  return Object.entries(after).flatMap(([name, value]) => {
    const match = NAME.exec(name);
    if (match === null) return [];
    const [, file, number] = match;
    const i = Number(number);
    if (file === "xmm") return [[name, fpu.xmm[i]!, register(value)] as const];
    if (file === "mm") return [[name, BigInt.asUintN(64, fpu.st[i]!), BigInt.asUintN(64, BigInt(value))] as const];
    if (file === "st") return [[name, fpu.st[(topOf(fpu.fsw) + i) & 7]!, stValue(value)] as const];
    return [[name, BigInt(fpu[name as "mxcsr" | "fcw" | "fsw" | "tags"]), BigInt(value)] as const];
  });
}
