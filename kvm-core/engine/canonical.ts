/**
 * Addresses that are not canonical, in 64-bit mode: which exception an operand gets, and which instruction a branch's is.
 * Document: SDM volume 1, 3.3.7.1; volume 3, 6.15 (#SS, #GP); volume 2, JMP, Jcc.
 * Left out: the stack's own accesses and computed branches, which generated code checks (emit/segment.ts).
 */

import { canonicalHigh, sumHigh } from "../cpu/address.ts";
import { VECTOR } from "../cpu/fault.ts";
import { CPU, GPR, SEG } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { RECORD } from "../emit/record.ts";
import type { OpcodeMap } from "../isa/opcode-map.ts";

/** The vector for an access to the memory operand of the record at `ip` that failed with `vector`: #GP may have to be #SS. */
export function operandVector({ u8 }: VcpuState, ip: number, vector: number): number {
  if (vector !== VECTOR.GP) return vector;
  // The segment is SS if RSP or RBP is the base, unless FS or GS is named: then its base is in the record too.
  const made = u8[ip + RECORD.base] === CPU.ea;
  const at = made ? ip - RECORD.size : ip;
  const slot = u8[at + (made ? RECORD.dst : RECORD.index)]!;
  if (slot >= CPU.segBase + SEG.fs * 8 && slot <= CPU.segBase + SEG.gs * 8) return vector;
  const base = u8[at + RECORD.base];
  return base === CPU.gpr + GPR.rsp * 8 || base === CPU.gpr + GPR.rbp * 8 ? VECTOR.SS : vector;
}

/**
 * A relative branch in 64-bit code has reached its link record, and CPU.rip is its target: if there is no such address,
 * the record of the branch, to which CPU.ripBase is put back; else 0.
 */
export function branchToNowhere(state: VcpuState, map: OpcodeMap, link: number): number {
  if (canonicalHigh(state.high(CPU.rip))) return 0;
  const branch = link - RECORD.size;
  // Other instructions have run on to their end, and the fault is the next one's.
  const instruction = map.cases[state.u32[branch >>> 2]! & 0xffff];
  if (!instruction?.operands.some(({ kind }) => kind === "target")) return 0;
  const distance = state.u32[(branch + RECORD.imm) >>> 2]! | 0;
  const lo = state.get(CPU.ripBase);
  state.set64(CPU.ripBase, lo - distance, sumHigh(lo, state.high(CPU.ripBase), -distance));
  return branch;
}
