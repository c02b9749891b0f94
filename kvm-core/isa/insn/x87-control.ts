/**
 * x87 control, constants, and the operations on ST(0) that have no operand.
 * Document: SDM volume 2, FNINIT FNCLEX FLDCW FNSTCW FNSTSW FLDENV FNSTENV FRSTOR FNSAVE FNOP WAIT, FCHS to FYL2XP1.
 * Left out: FENI, FDISI, FSETPM: instructions of the 8087 and the 80287 that do nothing since the 80387.
 */

import { FPU } from "../../cpu/fpu-state.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import type { HelperName } from "../../emit/helper-names.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";
import { betweenRegisters, x87, x87Control } from "../x87.ts";

/** Bytes of an environment, and of a saved state, by operand size. */
const environmentBytes = (e: Emitter): number => (e.size === 16 ? 14 : 28);
const stateBytes = (e: Emitter): number => environmentBytes(e) + 80;

/** The helper gets the linear address in data(), and the number of bytes. */
const wholeState =
  (name: HelperName, access: "read" | "write", bytes: (e: Emitter) => number): Insn["exec"] =>
  (e: Emitter, memory?: Operand): void => {
    e.setData(e.linear(memory!, access, bytes(e)));
    e.helper(name, i32.const(bytes(e)));
  };

const statusWord = (e: Emitter): Expr => i32.toI64u(e.call("x87Status", "i32"));

const SINGLE = betweenRegisters(0xd9, (e, modrm) => e.call("x87Single", "none", modrm));
const TRANSCENDENTAL = betweenRegisters(0xd9, (e, modrm) => e.helper("x87Function", modrm));
const NOTHING = betweenRegisters(0xd9, () => {});

const single = (mnemonic: string, modrm: string): Insn => x87(mnemonic, [`D9 ${modrm}`], SINGLE);
const transcendental = (mnemonic: string, modrm: string): Insn => x87(mnemonic, [`D9 ${modrm}`], TRANSCENDENTAL);

export const X87_CONTROL: readonly Insn[] = [
  insn("wait", { forms: ["9B"], unit: "wait", cpuid: "fpu", exec() {} }),
  x87("fnop", ["D9 D0"], NOTHING),
  single("fchs", "E0"),
  single("fabs", "E1"),
  single("ftst", "E4"),
  single("fxam", "E5"),
  single("fld1", "E8"),
  single("fldl2t", "E9"),
  single("fldl2e", "EA"),
  single("fldpi", "EB"),
  single("fldlg2", "EC"),
  single("fldln2", "ED"),
  single("fldz", "EE"),
  transcendental("f2xm1", "F0"),
  transcendental("fyl2x", "F1"),
  transcendental("fptan", "F2"),
  transcendental("fpatan", "F3"),
  single("fxtract", "F4"),
  single("fprem1", "F5"),
  single("fdecstp", "F6"),
  single("fincstp", "F7"),
  single("fprem", "F8"),
  transcendental("fyl2xp1", "F9"),
  single("fsqrt", "FA"),
  transcendental("fsincos", "FB"),
  single("frndint", "FC"),
  single("fscale", "FD"),
  transcendental("fsin", "FE"),
  transcendental("fcos", "FF"),
  x87("fldcw", ["D9 /5 Mw"], (e, memory) => e.call("x87LoadControl", "none", i64.toI32(e.read(memory!)))),
  x87("fldenv", ["D9 /4 M sized"], wholeState("fldenv", "read", environmentBytes)),
  x87("frstor", ["DD /4 M sized"], wholeState("frstor", "read", stateBytes)),
  x87Control("fnstenv", ["D9 /6 M sized"], wholeState("fnstenv", "write", environmentBytes)),
  x87Control("fnsave", ["DD /6 M sized"], wholeState("fnsave", "write", stateBytes)),
  x87Control("fnstcw", ["D9 /7 Mw"], (e, memory) => e.write(memory!, i32.toI64u(e.fpu(FPU.fcw, "i32")))),
  x87Control("fnstsw", ["DD /7 Mw", "DF E0 AX"], (e, dst) => e.write(dst!, statusWord(e))),
  x87Control("fnclex", ["DB E2"], (e) => e.call("x87Clear", "none")),
  x87Control("fninit", ["DB E3"], (e) => e.call("x87Init", "none")),
  x87Control("fneni", ["DB E0"], () => {}),
  x87Control("fndisi", ["DB E1"], () => {}),
  x87Control("fnsetpm", ["DB E4"], () => {}),
];
