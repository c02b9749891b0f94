/**
 * What the families of MMX and SSE share: instructions from rows of tables, and what differs between the two register files.
 * Document: SDM volume 2, the instructions of insn/simd-*.ts; volume 1, 9.2 (MMX registers).
 * Left out: floating-point arithmetic.
 *
 * An MMX register is read as a vector whose upper half is 0, and only the lower half of what is written to it counts. So what
 * treats each lane by itself means the same in both files; what moves lanes between halves is told which file it is for.
 */

import type { CpuFeature } from "../../shared/cpu-features.ts";
import type { Emitter, Operand } from "../emit/emitter.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { v128 } from "../wasm/simd.ts";
import { type Insn, insn } from "./insn.ts";

export type File = "mmx" | "sse";
/** Of destination and source. */
export type Operation = (a: Expr, b: Expr, file: File, e: Emitter) => Expr;

export const ZERO = v128.const(0n);
/** A vector of the bytes f(0), f(1) ... f(15). */
export function bytesOf(f: (i: number) => number): Expr {
  return v128.const(Array.from({ length: 16 }, (_, i) => BigInt(f(i) & 0xff) << BigInt(i * 8)).reduce((a, b) => a | b));
}
/** 0, 1 ... 15: what swizzle() turns into the vector itself. */
export const BYTE_NUMBERS = bytesOf((i) => i);

/** The immediate byte as i32; a constant where the operand is one, so that what follows from it is one. */
export function immediate(e: Emitter, operand: Operand): Expr {
  const value = e.read(operand);
  return value.kind === "const" ? i32.const(Number(value.value)) : i64.toI32(value);
}

/** dst = act(dst, src), in one form. */
export function vector(mnemonic: string, form: string, unit: File, cpuid: CpuFeature, act: Operation): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit,
    cpuid,
    exec: (e, dst, src) => {
      const a = e.readV(dst!);
      e.writeV(dst!, act(a, e.let(e.readV(src!)), unit, e));
    },
  });
}

/** The CPUID features that the forms of a row need: in MMX registers, in XMM registers. */
export type Features = readonly [mmx: CpuFeature, sse: CpuFeature];

/** `code` as in "0F 38 01": the form with MMX registers and the one with XMM registers. */
export function inBoth(mnemonic: string, code: string, [mmx, sse]: Features, act: Operation): Insn[] {
  return [
    vector(mnemonic, `NP ${code} /r Pq,Qq`, "mmx", mmx, act),
    vector(mnemonic, `66 ${code} /r Vx,Wx`, "sse", sse, act),
  ];
}

/**
 * Lanes of `bytes` bytes: lane i of the result is lane pick(i) of a's lanes followed by b's, of which a register of the file
 * has `lanes` each.
 */
export function arrange(a: Expr, b: Expr, file: File, bytes: number, pick: (i: number, lanes: number) => number): Expr {
  const width = file === "mmx" ? 8 : 16;
  const lanes = width / bytes;
  const sources = Array.from({ length: 16 }, (_, at) => {
    const byte = at % width;
    const from = pick(Math.floor(byte / bytes), lanes) * bytes + (byte % bytes);
    return from < width ? from : from - width + 16;
  });
  return v128.shuffle(a, b, sources);
}

/** Two MMX registers in one vector, b above a: what narrows or shifts across both takes it so. */
export const joined = (a: Expr, b: Expr): Expr => v128.shuffle(a, b, JOINED);
const JOINED = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
