/**
 * Shifts of packed lanes, and of whole XMM registers by bytes.
 * Document: SDM volume 2, PSLLW PSLLD PSLLQ PSRLW PSRLD PSRLQ PSRAW PSRAD PSLLDQ PSRLDQ.
 * Left out: VEX forms; they come with AVX.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { type Expr, i32, i64, select } from "../../wasm/expr.ts";
import { i8x16, i16x8, i32x4, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";
import { BYTE_NUMBERS, type File, immediate, ZERO } from "../simd.ts";

type Shift = (a: Expr, count: Expr) => Expr;

/** By an unsigned count of 64 bits: one that leaves nothing of a lane gives 0, or its sign everywhere. */
function shifted(a: Expr, count: Expr, bits: number, act: Shift, keepsSign: boolean | undefined): Expr {
  const last = i64.const(bits - 1);
  const beyond = i64.gtu(count, last);
  if (keepsSign) return act(a, i64.toI32(select(beyond, last, count)));
  return select(beyond, ZERO, act(a, i64.toI32(count)));
}

interface Row {
  readonly mnemonic: string;
  readonly bits: 16 | 32 | 64;
  /** Opcode of the form that takes the count from a register or memory. */
  readonly code: string;
  /** Opcode and ModRM.reg of the one that takes an immediate. */
  readonly group: string;
  readonly act: Shift;
  readonly keepsSign?: true;
}

function shift({ mnemonic, bits, code, group, act, keepsSign }: Row): Insn[] {
  const one = (unit: File, cpuid: CpuFeature, counted: string, byNumber: string): Insn[] => [
    insn(mnemonic, {
      forms: [counted],
      unit,
      cpuid,
      exec: (e, dst, src) => {
        const a = e.readV(dst!);
        const count = e.let(i64x2.extract(e.readV(src!), 0));
        e.writeV(dst!, shifted(a, count, bits, act, keepsSign));
      },
    }),
    insn(mnemonic, {
      forms: [byNumber],
      unit,
      cpuid,
      exec: (e, dst, count) => e.writeV(dst!, shifted(e.readV(dst!), e.let(e.read(count!)), bits, act, keepsSign)),
    }),
  ];
  return [
    ...one("mmx", "mmx", `NP ${code} /r Pq,Qq`, `NP ${group} ib Nq,Ib`),
    ...one("sse", "sse2", `66 ${code} /r Vx,Wx`, `66 ${group} ib Ux,Ib`),
  ];
}

const ROWS: readonly Row[] = [
  { mnemonic: "psllw", bits: 16, code: "0F F1", group: "0F 71 /6", act: i16x8.shl },
  { mnemonic: "pslld", bits: 32, code: "0F F2", group: "0F 72 /6", act: i32x4.shl },
  { mnemonic: "psllq", bits: 64, code: "0F F3", group: "0F 73 /6", act: i64x2.shl },
  { mnemonic: "psrlw", bits: 16, code: "0F D1", group: "0F 71 /2", act: i16x8.shru },
  { mnemonic: "psrld", bits: 32, code: "0F D2", group: "0F 72 /2", act: i32x4.shru },
  { mnemonic: "psrlq", bits: 64, code: "0F D3", group: "0F 73 /2", act: i64x2.shru },
  { mnemonic: "psraw", bits: 16, code: "0F E1", group: "0F 71 /4", act: i16x8.shrs, keepsSign: true },
  { mnemonic: "psrad", bits: 32, code: "0F E2", group: "0F 72 /4", act: i32x4.shrs, keepsSign: true },
];

/** A number of a byte beyond the register makes 0. */
function byBytes(mnemonic: string, form: string, numbers: (count: Expr) => Expr): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit: "sse",
    cpuid: "sse2",
    exec: (e, dst, n) => e.writeV(dst!, v128.swizzle(e.readV(dst!), numbers(immediate(e, n!)))),
  });
}

export const SIMD_SHIFT: readonly Insn[] = [
  ...ROWS.flatMap(shift),
  byBytes("psrldq", "66 0F 73 /3 ib Ux,Ib", (count) => i8x16.addSatu(BYTE_NUMBERS, i8x16.splat(count))),
  byBytes("pslldq", "66 0F 73 /7 ib Ux,Ib", (count) =>
    // More than 16 are 16, or numbers would come round.
    i8x16.sub(BYTE_NUMBERS, i8x16.minu(i8x16.splat(count), i8x16.splat(i32.const(16)))),
  ),
];
