/**
 * Saving and restoring x87, MMX and SSE state as a whole, and the register that says which of it is enabled: one helper each.
 * Document: SDM volume 2, FXSAVE FXRSTOR XSAVE XSAVEOPT XSAVEC XSAVES XRSTOR XRSTORS XGETBV XSETBV.
 * Left out: what they do: engine/helpers/xsave.ts. They have no `unit`: CR0.EM and pending exceptions mean less to them.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { AREA, FXSAVE_SIZE } from "../../cpu/xstate.ts";
import type { HelperName } from "../../emit/helper-names.ts";
import { i32 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

/** The segment is checked for `bytes` bytes; components behind the header lie in 64-bit code's, or fault by their pages. */
const image = (
  mnemonic: HelperName,
  opcode: string,
  access: "read" | "write",
  bytes: number,
  cpuid: CpuFeature,
): Insn =>
  insn(mnemonic, {
    forms: [`NP ${opcode} M sized`],
    names: [mnemonic, mnemonic, `${mnemonic}64`],
    cpuid,
    exec(e, memory) {
      e.setData(e.linear(memory!, access, bytes));
      e.helper(mnemonic, i32.const(e.size === 64 ? 1 : 0));
    },
  });

const xsave = (mnemonic: HelperName, opcode: string, access: "read" | "write", cpuid: CpuFeature): Insn =>
  image(mnemonic, opcode, access, AREA.extended, cpuid);

export const XSAVE: readonly Insn[] = [
  image("fxsave", "0F AE /0", "write", FXSAVE_SIZE, "fxsr"),
  image("fxrstor", "0F AE /1", "read", FXSAVE_SIZE, "fxsr"),
  xsave("xsave", "0F AE /4", "write", "xsave"),
  xsave("xrstor", "0F AE /5", "read", "xsave"),
  xsave("xsaveopt", "0F AE /6", "write", "xsaveopt"),
  xsave("xsavec", "0F C7 /4", "write", "xsavec"),
  xsave("xsaves", "0F C7 /5", "write", "xsaves"),
  xsave("xrstors", "0F C7 /3", "read", "xsaves"),
  insn("xgetbv", { forms: ["NP 0F 01 D0"], cpuid: "xsave", exec: (e) => e.helper("xgetbv") }),
  insn("xsetbv", { forms: ["NP 0F 01 D1"], cpuid: "xsave", exec: (e) => e.helper("xsetbv") }),
];
