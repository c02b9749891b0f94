/**
 * Bit manipulation: BMI1, BMI2, LZCNT, ADX, CRC32.
 * Document: SDM volume 2, ANDN BEXTR BLSI BLSMSK BLSR TZCNT LZCNT BZHI MULX PDEP PEXT RORX SARX SHLX SHRX ADCX ADOX CRC32.
 * Left out: flags that the manual leaves undefined are whatever is cheapest.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { GPR } from "../../cpu/state.ts";
import type { Emitter, Operand, Size } from "../../emit/emitter.ts";
import { carry, logicFlags, overflow, resultFlags, setCarryOverflow } from "../../emit/flags.ts";
import { type Expr, i32, i64, select } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";
import { multiplyHigh } from "./muldiv.ts";

const ZERO = i64.const(0);
const ONE = i64.const(1);
const ALL = i64.const(-1);
const not = (a: Expr): Expr => i64.xor(a, ALL);
const BYTE = i64.const(0xff);

/** Bits of `a` below bit `n`; all of them if `n` is 64 or more. */
const below = (a: Expr, n: Expr): Expr =>
  select(i64.ltu(n, i64.const(64)), i64.and(a, i64.sub(i64.shl(ONE, n), ONE)), a);

/** BLSI, BLSMSK, BLSR: from the source and the source less one. CF as given. */
const lowest = (mnemonic: string, digit: number, result: (a: Expr) => Expr, carried: (zero: Expr) => Expr): Insn =>
  insn(mnemonic, {
    forms: [`VEX.LZ.0F38 F3 /${digit} By,Ey`],
    cpuid: "bmi1",
    exec(e, dst, src) {
      const a = e.let(e.read(src!));
      const r = e.let(result(a));
      const cf = e.let(i32.toI64u(carried(i64.eqz(a))));
      e.write(dst!, r);
      resultFlags(e, r, cf, ZERO, dst!.size);
    },
  });

/** TZCNT, LZCNT: the operand size for a source of zero, which CF tells. */
const count = (mnemonic: string, opcode: string, cpuid: CpuFeature, zeros: (a: Expr, size: Size) => Expr): Insn =>
  insn(mnemonic, {
    forms: [`F3 0F ${opcode} /r Gv,Ev`],
    cpuid,
    exec(e, dst, src) {
      const { size } = src!;
      const a = e.let(e.read(src!));
      const r = e.let(select(i64.eqz(a), i64.const(size), zeros(a, size)));
      const cf = e.let(i32.toI64u(i64.eqz(a)));
      e.write(dst!, r);
      resultFlags(e, r, cf, ZERO, size);
    },
  });

/** A shift or rotate without flags, by the count in a register, which is masked as ever. */
const shift = (mnemonic: string, prefix: string, act: (a: Expr, n: Expr) => Expr, isSigned = false): Insn =>
  insn(mnemonic, {
    forms: [`VEX.LZ.${prefix}.0F38 F7 /r Gy,Ey,By`],
    cpuid: "bmi2",
    exec(e, dst, src, by) {
      const n = e.let(i64.and(e.read(by!), i64.const(src!.size - 1)));
      e.write(dst!, act(isSigned ? e.readSigned(src!) : e.read(src!), n));
    },
  });

const deposit = (mnemonic: "pdep" | "pext", prefix: string): Insn =>
  insn(mnemonic, {
    forms: [`VEX.LZ.${prefix}.0F38 F5 /r Gy,By,Ey`],
    cpuid: "bmi2",
    exec(e, dst, src, mask) {
      const m = e.read(mask!);
      e.write(dst!, e.call(mnemonic, "i64", e.read(src!), m));
    },
  });

/** The sum, and its carry as 0 or 1. */
function addCarry(e: Emitter, dst: Operand, src: Operand, carried: Expr): readonly [sum: Expr, carry: Expr] {
  const b = e.let(e.read(src));
  const a = e.let(e.read(dst));
  const sum = e.let(i64.add(i64.add(a, b), carried));
  if (dst.size === 32) return [sum, i64.shru(sum, i64.const(32))];
  return [sum, i64.shru(i64.or(i64.and(a, b), i64.and(i64.or(a, b), not(sum))), i64.const(63))];
}

const crc32 = (form: string): Insn =>
  insn("crc32", {
    forms: [form],
    cpuid: "sse4.2",
    exec(e, dst, src) {
      const { size } = src!;
      const data = e.read(src!);
      // The upper half of a 64-bit destination does not count, and ends as 0.
      const crc = i64.and(e.read(dst!), i64.const(0xffff_ffffn));
      const sum = e.call("crc32", "i64", crc, data, i32.const(size));
      e.write(dst!, sum);
    },
  });

export const BMI: readonly Insn[] = [
  insn("andn", {
    forms: ["VEX.LZ.0F38 F2 /r Gy,By,Ey"],
    cpuid: "bmi1",
    exec(e, dst, a, b) {
      const second = e.read(b!);
      const r = e.let(i64.and(not(e.read(a!)), second));
      e.write(dst!, r);
      logicFlags(e, r, dst!.size);
    },
  }),
  insn("bextr", {
    forms: ["VEX.LZ.0F38 F7 /r Gy,Ey,By"],
    cpuid: "bmi1",
    exec(e, dst, src, by) {
      const a = e.let(e.read(src!));
      const control = e.let(e.read(by!));
      const start = e.let(i64.and(control, BYTE));
      const length = e.let(i64.and(i64.shru(control, i64.const(8)), BYTE));
      const field = e.let(select(i64.ltu(start, i64.const(64)), i64.shru(a, start), ZERO));
      const r = e.let(below(field, length));
      e.write(dst!, r);
      logicFlags(e, r, dst!.size);
    },
  }),
  lowest(
    "blsi",
    3,
    (a) => i64.and(a, i64.sub(ZERO, a)),
    (zero) => i32.eqz(zero),
  ),
  lowest(
    "blsmsk",
    2,
    (a) => i64.xor(a, i64.sub(a, ONE)),
    (zero) => zero,
  ),
  lowest(
    "blsr",
    1,
    (a) => i64.and(a, i64.sub(a, ONE)),
    (zero) => zero,
  ),
  count("tzcnt", "BC", "bmi1", (a) => i64.ctz(a)),
  count("lzcnt", "BD", "abm", (a, size) => i64.sub(i64.clz(a), i64.const(64 - size))),
  insn("bzhi", {
    forms: ["VEX.LZ.0F38 F5 /r Gy,Ey,By"],
    cpuid: "bmi2",
    exec(e, dst, src, by) {
      const { size } = dst!;
      const a = e.let(e.read(src!));
      const n = e.let(i64.and(e.read(by!), BYTE));
      const r = e.let(below(a, n));
      const cf = e.let(i32.toI64u(i64.gtu(n, i64.const(size - 1))));
      e.write(dst!, r);
      resultFlags(e, r, cf, ZERO, size);
    },
  }),
  insn("mulx", {
    forms: ["VEX.LZ.F2.0F38 F6 /r Gy,By,Ey"],
    cpuid: "bmi2",
    exec(e, high, low, src) {
      const { size } = src!;
      const b = e.let(e.read(src!));
      const a = e.let(e.gpr(GPR.rdx, size));
      const product = e.let(i64.mul(a, b));
      const top = e.let(size === 64 ? multiplyHigh(e, a, b) : i64.shru(product, i64.const(32)));
      // If both are one register, it ends as the upper half.
      e.write(low!, product);
      e.write(high!, top);
    },
  }),
  deposit("pdep", "F2"),
  deposit("pext", "F3"),
  insn("rorx", {
    forms: ["VEX.LZ.F2.0F3A F0 /r ib Gy,Ey,Ib"],
    cpuid: "bmi2",
    exec(e, dst, src, by) {
      const { size } = src!;
      const a = e.let(e.read(src!));
      const n = e.let(i64.and(e.read(by!), i64.const(size - 1)));
      // Of 32 bits both halves are the operand: what is shifted out below comes in above.
      const doubled = size === 64 ? a : i64.or(a, i64.shl(a, i64.const(32)));
      e.write(dst!, size === 64 ? i64.rotr(doubled, n) : i64.shru(doubled, n));
    },
  }),
  shift("shlx", "66", i64.shl),
  shift("shrx", "F2", i64.shru),
  shift("sarx", "F3", i64.shrs, true),
  insn("adcx", {
    forms: ["66 0F 38 F6 /r Gy,Ey"],
    cpuid: "adx",
    exec(e, dst, src) {
      const [sum, out] = addCarry(e, dst!, src!, e.let(carry(e)));
      const cf = e.let(out);
      e.write(dst!, sum);
      setCarryOverflow(e, cf, e.let(overflow(e)));
    },
  }),
  insn("adox", {
    forms: ["F3 0F 38 F6 /r Gy,Ey"],
    cpuid: "adx",
    exec(e, dst, src) {
      const [sum, out] = addCarry(e, dst!, src!, e.let(overflow(e)));
      const of = e.let(out);
      e.write(dst!, sum);
      setCarryOverflow(e, e.let(carry(e)), of);
    },
  }),
  crc32("F2 0F 38 F0 /r Gy,Eb"),
  crc32("F2 0F 38 F1 /r Gy,Ev"),
];
