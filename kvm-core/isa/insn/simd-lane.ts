/**
 * Single lanes put in and taken out, blends, and the test of all bits.
 * Document: SDM volume 2, PINSR* PEXTR* INSERTPS EXTRACTPS PBLENDW BLENDPS BLENDPD PBLENDVB BLENDVPS BLENDVPD PTEST.
 * Left out: VEX forms; they come with AVX.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { zeroCarryFlags } from "../../emit/flags.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { i8x16, i16x8, i32x4, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";
import { bytesOf, type File, immediate, ZERO } from "../simd.ts";

type Bytes = 1 | 2 | 4 | 8;
const LANES = { 1: i8x16, 2: i16x8, 4: i32x4 } as const;

/** All bits of the lane whose number is `number` (i32). Of one of 64 bits each half is compared. */
function isLane(bytes: Bytes, number: Expr): Expr {
  const unit = bytes === 8 ? 4 : bytes;
  const { eq, splat } = LANES[unit];
  return eq(
    splat(number),
    bytesOf((i) => (i % unit === 0 ? Math.floor(i / bytes) : 0)),
  );
}

/** All bits of the lanes whose bits in `choices` (i32) are 1. */
function areChosen(bytes: 2 | 4 | 8, choices: Expr): Expr {
  const unit = bytes === 8 ? 4 : bytes;
  const { eq, splat } = LANES[unit];
  const bits = bytesOf((i) => (i % unit === 0 ? 1 << Math.floor(i / bytes) : 0));
  return eq(v128.and(splat(choices), bits), bits);
}

/** `value` (i64) in lane `number` (i32) of `a`. */
function inserted(a: Expr, bytes: Bytes, number: Expr, value: Expr): Expr {
  const all = bytes === 8 ? i64x2.splat(value) : LANES[bytes].splat(i64.toI32(value));
  return v128.bitselect(all, a, isLane(bytes, number));
}

/** Number of a lane from an immediate, of as many as `width` bytes have. */
const laneNumber = (e: Emitter, n: Operand, width: number, bytes: number): Expr =>
  i32.and(immediate(e, n), i32.const(width / bytes - 1));

function insert(e: Emitter, dst: Operand, src: Operand, n: Operand, width: 8 | 16, bytes: Bytes): void {
  const value = e.let(e.read(src));
  e.writeV(dst, inserted(e.readV(dst), bytes, e.let(laneNumber(e, n, width, bytes)), value));
}

const LOADS = { 1: i64.load8u, 2: i64.load16u, 4: i64.load32u, 8: i64.load } as const;

/** A general register gets the lane zero-extended, memory as much as it is. */
function extract(e: Emitter, dst: Operand, src: Operand, n: Operand, width: 8 | 16, bytes: Bytes): void {
  const number = laneNumber(e, n, width, bytes);
  const at = i32.add(e.slot(src), i32.shl(number, i32.const(Math.log2(bytes))));
  e.write(dst, LOADS[bytes](at));
}

type Exec = (e: Emitter, ...operands: Operand[]) => void;
const lane = (mnemonic: string, unit: File, cpuid: CpuFeature, forms: readonly string[], exec: Exec): Insn =>
  insn(mnemonic, { forms, unit, cpuid, exec });

/** The lane's size is that of the operand, general registers' that of memory. */
const bytesAs = (e: Emitter): 4 | 8 => (e.size === 64 ? 8 : 4);
const doubleNames = (name: string) => [`${name}d`, `${name}d`, `${name}q`] as const;

/** Lanes of b where the immediate has a 1. */
const blend = (mnemonic: string, form: string, bytes: 2 | 4 | 8): Insn =>
  lane(mnemonic, "sse", "sse4.1", [form], (e, dst, src, n) => {
    const a = e.readV(dst!);
    e.writeV(dst!, v128.bitselect(e.readV(src!), a, areChosen(bytes, immediate(e, n!))));
  });

/** Lanes of b where those of XMM0 are negative. */
function blendVariable(mnemonic: string, form: string, negative: (a: Expr, zero: Expr) => Expr): Insn {
  return lane(mnemonic, "sse", "sse4.1", [form], (e, dst, src, mask) => {
    const a = e.readV(dst!);
    const b = e.readV(src!);
    e.writeV(dst!, v128.bitselect(b, a, negative(e.readV(mask!), ZERO)));
  });
}

/** Bits 7 and 6 choose a lane of the source if that is a register, 5 and 4 where it goes, 3 to 0 which lanes become 0. */
const insertps: Exec = (e, dst, src, number) => {
  const n = e.let(immediate(e, number!));
  const two = (shift: number): Expr => i32.and(i32.shru(n, i32.const(shift)), i32.const(3));
  const value = e.let(
    src!.kind === "mem" ? e.read(src!) : i64.load32u(i32.add(e.slot(src!), i32.shl(two(6), i32.const(2)))),
  );
  e.writeV(dst!, v128.andnot(inserted(e.readV(dst!), 4, two(4), value), areChosen(4, n)));
};

export const SIMD_LANE: readonly Insn[] = [
  lane("pinsrw", "mmx", "sse", ["NP 0F C4 /r ib Pq,Rd,Ib", "NP 0F C4 /r ib Pq,Mw,Ib"], (e, dst, src, n) =>
    insert(e, dst!, src!, n!, 8, 2),
  ),
  lane("pinsrw", "sse", "sse2", ["66 0F C4 /r ib Vdq,Rd,Ib", "66 0F C4 /r ib Vdq,Mw,Ib"], (e, dst, src, n) =>
    insert(e, dst!, src!, n!, 16, 2),
  ),
  lane("pinsrb", "sse", "sse4.1", ["66 0F 3A 20 /r ib Vdq,Rd,Ib", "66 0F 3A 20 /r ib Vdq,Mb,Ib"], (e, dst, src, n) =>
    insert(e, dst!, src!, n!, 16, 1),
  ),
  insn("pinsrd", {
    forms: ["66 0F 3A 22 /r ib Vdq,Ey,Ib"],
    unit: "sse",
    cpuid: "sse4.1",
    names: doubleNames("pinsr"),
    exec: (e, dst, src, n) => insert(e, dst!, src!, n!, 16, bytesAs(e)),
  }),
  lane("pextrw", "mmx", "sse", ["NP 0F C5 /r ib Gd,Nq,Ib"], (e, dst, src, n) => extract(e, dst!, src!, n!, 8, 2)),
  lane("pextrw", "sse", "sse2", ["66 0F C5 /r ib Gd,Udq,Ib"], (e, dst, src, n) => extract(e, dst!, src!, n!, 16, 2)),
  lane("pextrw", "sse", "sse4.1", ["66 0F 3A 15 /r ib Rd,Vdq,Ib", "66 0F 3A 15 /r ib Mw,Vdq,Ib"], (e, dst, src, n) =>
    extract(e, dst!, src!, n!, 16, 2),
  ),
  lane("pextrb", "sse", "sse4.1", ["66 0F 3A 14 /r ib Rd,Vdq,Ib", "66 0F 3A 14 /r ib Mb,Vdq,Ib"], (e, dst, src, n) =>
    extract(e, dst!, src!, n!, 16, 1),
  ),
  insn("pextrd", {
    forms: ["66 0F 3A 16 /r ib Ey,Vdq,Ib"],
    unit: "sse",
    cpuid: "sse4.1",
    names: doubleNames("pextr"),
    exec: (e, dst, src, n) => extract(e, dst!, src!, n!, 16, bytesAs(e)),
  }),
  lane("extractps", "sse", "sse4.1", ["66 0F 3A 17 /r ib Rd,Vps,Ib", "66 0F 3A 17 /r ib Md,Vps,Ib"], (e, dst, src, n) =>
    extract(e, dst!, src!, n!, 16, 4),
  ),
  lane("insertps", "sse", "sse4.1", ["66 0F 3A 21 /r ib Vps,Wss,Ib"], insertps),

  blend("pblendw", "66 0F 3A 0E /r ib Vx,Wx,Ib", 2),
  blend("blendps", "66 0F 3A 0C /r ib Vps,Wps,Ib", 4),
  blend("blendpd", "66 0F 3A 0D /r ib Vpd,Wpd,Ib", 8),
  blendVariable("pblendvb", "66 0F 38 10 /r Vx,Wx,XMM0", i8x16.lts),
  blendVariable("blendvps", "66 0F 38 14 /r Vps,Wps,XMM0", i32x4.lts),
  blendVariable("blendvpd", "66 0F 38 15 /r Vpd,Wpd,XMM0", i64x2.lts),

  insn("ptest", {
    forms: ["66 0F 38 17 /r Vx,Wx"],
    unit: "sse",
    cpuid: "sse4.1",
    exec: (e, dst, src) => {
      const a = e.readV(dst!);
      const b = e.let(e.readV(src!));
      const none = (bits: Expr): Expr => i32.eqz(v128.anyTrue(bits));
      zeroCarryFlags(e, none(v128.and(a, b)), none(v128.andnot(b, a)));
    },
  }),
];
