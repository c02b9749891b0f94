/**
 * What is raised before an instruction of x87, MMX or SSE, or of the system, and that it comes before what its memory operand
 * is checked for.
 * Document: SDM volume 3, 2.5 (EM, MP, TS, NE), tables 2-2 and 9-3, table 6-2 (priorities).
 * Left out: when: FPU.traps (cpu/control.ts).
 */

import { CR0, CR4 } from "../cpu/control.ts";
import { VECTOR } from "../cpu/fault.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { FPU, UNITS } from "../cpu/fpu-state.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { MICRO, RECORD } from "../emit/record.ts";
import type { OpcodeMap } from "../isa/opcode-map.ts";

/** FPU.traps said that something is due; `unit` is a number of UNITS. */
export function unitVector(state: VcpuState, unit: number): number {
  const cr0 = state.get(CPU.cr0);
  const { sse, mmx } = UNITS;
  const isVector = unit === sse.number || unit === mmx.number;
  if (isVector && cr0 & CR0.EM) return VECTOR.UD;
  if (unit === sse.number && !(state.get(CPU.cr4) & CR4.OSFXSR)) return VECTOR.UD;
  if (unit === UNITS.wait.number) {
    if (cr0 & CR0.TS && cr0 & CR0.MP) return VECTOR.NM;
  } else if (cr0 & (CR0.TS | CR0.EM)) return VECTOR.NM;
  return VECTOR.MF;
}

/** The vector that comes before `vector`, which a check in the record at `ip` raises; that is one of an address, or not. */
export function firstVector(state: VcpuState, map: OpcodeMap, ip: number, vector: number): number {
  const caseAt = (record: number): number => state.u32[record >>> 2]! & 0xffff;
  const micro = caseAt(ip);
  if (micro < MICRO.ea16 || micro > MICRO.eaWide) return vector;
  const { unit, wants = [] } = map.cases[caseAt(ip + RECORD.size)]?.insn ?? {};
  const cr0 = state.get(CPU.cr0);
  const isVirtual = (state.get(CPU.eflags) & RFLAGS.VM) !== 0;
  if (wants.includes("protectedMode") && (!(cr0 & CR0.PE) || isVirtual)) return VECTOR.UD;
  if (wants.includes("level0") && state.get(CPU.cpl) !== 0) return VECTOR.GP;
  if (unit === undefined || !(state.get(FPU.traps) & UNITS[unit].traps)) return vector;
  return unitVector(state, UNITS[unit].number);
}
