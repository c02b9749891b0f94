/**
 * What descriptions of x87 instructions share: the ModRM byte, the instruction and operand pointers.
 * Document: SDM volume 1, 8.1.8 (instruction and data pointers), 8.1.9 (last opcode).
 * Left out: the descriptions: insn/x87-*.ts.
 *
 * Records of unit "x87" carry the ModRM byte in `dst` and the number of the memory operand's segment in `src`, since the last
 * opcode and the operand pointer are registers that the program can read. As ModRM.reg is at hand then, instructions that differ
 * in it alone share their cases.
 */

import type { CpuFeature } from "../../shared/cpu-features.ts";
import { MODE } from "../cpu/control.ts";
import { FPU } from "../cpu/fpu-state.ts";
import { CPU, SEG } from "../cpu/state.ts";
import type { Emitter } from "../emit/emitter.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { type Insn, insn } from "./insn.ts";

type Exec = Insn["exec"];

const field = (e: Emitter, name: "dst" | "src"): Expr => i64.toI32(e.read({ kind: "index", size: 8, field: name }));
/** i32: the instruction's ModRM byte. */
export const modrmOf = (e: Emitter): Expr => field(e, "dst");
/** i32: ModRM.reg of an opcode that pops where it is odd. */
export const popsIfOdd = (e: Emitter): Expr => i32.and(i32.shru(modrmOf(e), i32.const(3)), i32.const(1));

/** The last opcode: its low three bits, then ModRM. */
const lastOpcode = (e: Emitter, opcode: number): Expr => i32.or(i32.const((opcode & 7) << 8), modrmOf(e));

/** An instruction between registers: `opcode` is D8 to DF. */
export function betweenRegisters(opcode: number, then: (e: Emitter, modrm: Expr) => void): Exec {
  return (e) => {
    e.setFpu(FPU.fop, lastOpcode(e, opcode));
    e.setFpu(FPU.fip, e.thisRip());
    e.setFpu(FPU.fcs, e.fpu(CPU.selector + SEG.cs * 4, "i32"));
    then(e, modrmOf(e));
  };
}

/** Sets the pointers of an instruction with the memory operand at `linear`, which can fault no more. */
export function pointAt(e: Emitter, opcode: number, linear: Expr): void {
  e.call("x87Operand", "none", lastOpcode(e, opcode), e.thisRip(), field(e, "src"), linear);
}

/** An instruction that reads `bytes` bytes of memory; `read` makes of their linear address what `then` gets. */
export function fromMemory<T>(
  opcode: number,
  bytes: number,
  read: (e: Emitter, linear: Expr) => T,
  then: (e: Emitter, value: T) => void,
): Exec {
  return (e, memory) => {
    const linear = e.let(e.linear(memory!, "read", bytes));
    const value = read(e, linear);
    pointAt(e, opcode, linear);
    then(e, value);
  };
}

/** The linear address `bytes` behind another one: it wraps at 4 GiB but in 64-bit mode. */
export function behind(e: Emitter, linear: Expr, bytes: number): Expr {
  const codeSize = i32.and(e.fpu(CPU.mode, "i32"), i32.const(MODE.codeSize));
  const mask = select(i32.eq(codeSize, i32.const(MODE.code64)), i64.const(-1), i64.const(0xffff_ffff));
  return i64.and(i64.add(linear, i64.const(bytes)), mask);
}

export const x87 = (mnemonic: string, forms: readonly string[], exec: Exec, cpuid: CpuFeature = "fpu"): Insn =>
  insn(mnemonic, { forms, unit: "x87", cpuid, exec });

/** A control instruction, which does not wait for exceptions: #NM alone. */
export const x87Control = (mnemonic: string, forms: readonly string[], exec: Exec): Insn =>
  insn(mnemonic, { forms, unit: "x87control", cpuid: "fpu", exec });
