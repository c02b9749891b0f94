/**
 * x87 loads, stores, exchanges, conditional moves.
 * Document: SDM volume 2, FLD FILD FBLD FST FSTP FIST FISTP FISTTP FBSTP FXCH FCMOVcc FFREE; volume 1, 8.5 (what is stored).
 * Left out: what they compute: kvm-core/x87. D9 D8, DD C8, DF C0 to DF DF are not in the manual: see the rows at the end.
 */

import { FPU } from "../../cpu/fpu-state.ts";
import type { Emitter, Operand, Size } from "../../emit/emitter.ts";
import { condition, select, signed } from "../../emit/flags.ts";
import { type Expr, i32 } from "../../wasm/expr.ts";
import { FORMAT, NOT_STORED } from "../../x87/functions.ts";
import type { Insn } from "../insn.ts";
import { behind, betweenRegisters, fromMemory, modrmOf, pointAt, popsIfOdd, x87 } from "../x87.ts";

type Exec = Insn["exec"];

/** FLD m32fp, m64fp; FILD. */
const load = (opcode: number, size: Size, format: number): Exec =>
  fromMemory(
    opcode,
    size / 8,
    (e, linear) => (format === FORMAT.f32 ? e.load(linear, size) : signed(e.load(linear, size), size)),
    (e, bits) => e.call("x87Load", "none", i32.const(format), bits),
  );

/** FLD m80fp, FBLD. */
const loadTen = (opcode: number, name: "x87LoadExtended" | "x87LoadBcd"): Exec =>
  fromMemory(
    opcode,
    10,
    (e, linear) => [e.load(linear, 64), e.load(behind(e, linear, 8), 16)] as const,
    (e, [low, high]) => e.call(name, "none", low, high),
  );

/** i32: no unmasked exception keeps the store from happening. */
function isStored(e: Emitter): Expr {
  const unmasked = i32.and(e.fpu(FPU.raised, "i32"), i32.xor(e.fpu(FPU.fcw, "i32"), i32.const(-1)));
  return i32.eqz(i32.and(unmasked, i32.const(NOT_STORED)));
}

/** Stores the value in `format` where `memory` is; memory that is not stored to is checked all the same. */
function store(opcode: number, size: Size, format: (e: Emitter) => Expr, pops: (e: Emitter) => Expr): Exec {
  return (e, memory) => {
    const linear = e.let(e.linear(memory!, "write", size / 8));
    const bits = e.call("x87Store", "i64", format(e));
    e.if(
      isStored(e),
      () => e.store(linear, bits, size),
      () => e.prepare(linear, size),
    );
    pointAt(e, opcode, linear);
    e.call("x87Stored", "none", pops(e));
  };
}

const always = (value: number) => (): Expr => i32.const(value);
/** FST and FSTP; FIST and FISTP, and FISTTP, which is /1. */
const storeReal = (opcode: number, size: Size, format: number): Exec => store(opcode, size, always(format), popsIfOdd);
function storeInteger(opcode: number, size: Size, format: number, truncate: number): Exec {
  const isTruncated = (e: Emitter): Expr => i32.eq(i32.and(modrmOf(e), i32.const(0x38)), i32.const(1 << 3));
  return store(opcode, size, (e) => select(isTruncated(e), i32.const(truncate), i32.const(format)), popsIfOdd);
}

/** FSTP m80fp, FBSTP. */
const storeTen =
  (opcode: number, name: "x87StoreExtended" | "x87StoreBcd"): Exec =>
  (e: Emitter, memory?: Operand): void => {
    const linear = e.let(e.linear(memory!, "write", 10));
    const second = e.let(behind(e, linear, 8));
    e.prepare(linear, 64);
    e.prepare(second, 16);
    e.call(name, "none");
    e.if(isStored(e), () => {
      e.store(linear, e.fpu(FPU.scratch, "i64"), 64);
      e.store(second, e.fpu(FPU.scratch + 8, "i64"), 16);
    });
    pointAt(e, opcode, linear);
    e.call("x87Stored", "none", i32.const(1));
  };

const storeRegister = (opcode: number, pops: 0 | 1): Exec =>
  betweenRegisters(opcode, (e, modrm) => e.call("x87StoreRegister", "none", modrm, i32.const(pops)));
const exchange = (opcode: number): Exec => betweenRegisters(opcode, (e, modrm) => e.call("x87Exchange", "none", modrm));
const free = (opcode: number, pops: 0 | 1): Exec =>
  betweenRegisters(opcode, (e, modrm) => e.call("x87Free", "none", modrm, i32.const(pops)));

/** B, E, BE, U and their opposites. */
function conditional(name: string, opcode: number, reg: number, cc: number): Insn {
  const exec = betweenRegisters(opcode, (e, modrm) => e.call("x87Move", "none", modrm, condition(e, cc)));
  return x87(`fcmov${name}`, [`${opcode.toString(16).toUpperCase()} /${reg} ST,STi`], exec, "cmov");
}

const DB_INTEGER = storeInteger(0xdb, 32, FORMAT.i32, FORMAT.i32Truncate);
const DF_INTEGER = storeInteger(0xdf, 16, FORMAT.i16, FORMAT.i16Truncate);
const D9_REAL = storeReal(0xd9, 32, FORMAT.f32);
const DD_REAL = storeReal(0xdd, 64, FORMAT.f64);

export const X87_TRANSFER: readonly Insn[] = [
  x87("fld", ["D9 /0 Md"], load(0xd9, 32, FORMAT.f32)),
  x87("fld", ["DD /0 Mq"], load(0xdd, 64, FORMAT.f64)),
  x87("fild", ["DF /0 Mw"], load(0xdf, 16, FORMAT.i16)),
  x87("fild", ["DB /0 Md"], load(0xdb, 32, FORMAT.i32)),
  x87("fild", ["DF /5 Mq"], load(0xdf, 64, FORMAT.i64)),
  x87("fld", ["DB /5 M"], loadTen(0xdb, "x87LoadExtended")),
  x87("fbld", ["DF /4 M"], loadTen(0xdf, "x87LoadBcd")),
  x87(
    "fld",
    ["D9 /0 STi"],
    betweenRegisters(0xd9, (e, modrm) => e.call("x87LoadRegister", "none", modrm)),
  ),
  x87("fst", ["D9 /2 Md"], D9_REAL),
  x87("fstp", ["D9 /3 Md"], D9_REAL),
  x87("fst", ["DD /2 Mq"], DD_REAL),
  x87("fstp", ["DD /3 Mq"], DD_REAL),
  x87("fstp", ["DB /7 M"], storeTen(0xdb, "x87StoreExtended")),
  x87("fbstp", ["DF /6 M"], storeTen(0xdf, "x87StoreBcd")),
  x87("fist", ["DB /2 Md"], DB_INTEGER),
  x87("fistp", ["DB /3 Md"], DB_INTEGER),
  x87("fist", ["DF /2 Mw"], DF_INTEGER),
  x87("fistp", ["DF /3 Mw"], DF_INTEGER),
  x87("fistp", ["DF /7 Mq"], store(0xdf, 64, always(FORMAT.i64), always(1))),
  x87("fisttp", ["DB /1 Md"], DB_INTEGER, "pni"),
  x87("fisttp", ["DF /1 Mw"], DF_INTEGER, "pni"),
  x87("fisttp", ["DD /1 Mq"], store(0xdd, 64, always(FORMAT.i64Truncate), always(1)), "pni"),
  x87("fst", ["DD /2 STi"], storeRegister(0xdd, 0)),
  x87("fstp", ["DD /3 STi"], storeRegister(0xdd, 1)),
  x87("fxch", ["D9 /1 ST,STi"], exchange(0xd9)),
  x87("ffree", ["DD /0 STi"], free(0xdd, 0)),
  conditional("b", 0xda, 0, 2),
  conditional("e", 0xda, 1, 4),
  conditional("be", 0xda, 2, 6),
  conditional("u", 0xda, 3, 10),
  conditional("nb", 0xdb, 0, 3),
  conditional("ne", 0xdb, 1, 5),
  conditional("nbe", 0xdb, 2, 7),
  conditional("nu", 0xdb, 3, 11),
  // Aliases that the manual leaves out.
  x87("ffreep", ["DF /0 STi"], free(0xdf, 1)),
  x87("fxch", ["DD /1 ST,STi"], exchange(0xdd)),
  x87("fxch", ["DF /1 ST,STi"], exchange(0xdf)),
  x87(
    "fstpnce",
    ["D9 /3 STi"],
    betweenRegisters(0xd9, (e, modrm) => e.call("x87StoreUnchecked", "none", modrm)),
  ),
  x87("fstp", ["DF /2 STi"], storeRegister(0xdf, 1)),
  x87("fstp", ["DF /3 STi"], storeRegister(0xdf, 1)),
];
