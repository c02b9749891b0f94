/**
 * Fast system calls, and the bases of FS and GS as instructions.
 * Document: SDM volume 2, SYSCALL SYSRET SYSENTER SYSEXIT RDFSBASE RDGSBASE WRFSBASE WRGSBASE.
 * Left out: which of them a vendor has in which mode: engine/helpers/syscall.ts. SWAPGS: system.ts.
 */

import { SEG } from "../../cpu/state.ts";
import { i32 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const readBase = (mnemonic: string, digit: number, segment: number): Insn =>
  insn(mnemonic, {
    forms: [`F3 0F AE /${digit} Ry o64`],
    cpuid: "fsgsbase",
    exec(e, dst) {
      e.helper("readBase", i32.const(segment));
      e.write(dst!, e.data());
    },
  });

const writeBase = (mnemonic: string, digit: number, segment: number): Insn =>
  insn(mnemonic, {
    forms: [`F3 0F AE /${digit} Ry o64`],
    cpuid: "fsgsbase",
    exec(e, src) {
      e.setData(e.read(src!));
      e.helper("writeBase", i32.const(segment));
    },
  });

export const SYSCALL: readonly Insn[] = [
  insn("syscall", { forms: ["0F 05"], cpuid: "syscall", ends: true, exec: (e) => e.helper("syscall") }),
  insn("sysret", {
    forms: ["0F 07 sized"],
    names: ["sysret", "sysret", "sysretq"],
    cpuid: "syscall",
    ends: true,
    exec: (e) => e.helper("sysret", i32.const(e.size)),
  }),
  insn("sysenter", { forms: ["0F 34"], cpuid: "sep", ends: true, exec: (e) => e.helper("sysenter") }),
  insn("sysexit", {
    forms: ["0F 35 sized"],
    names: ["sysexit", "sysexit", "sysexitq"],
    cpuid: "sep",
    ends: true,
    exec: (e) => e.helper("sysexit", i32.const(e.size)),
  }),
  readBase("rdfsbase", 0, SEG.fs),
  readBase("rdgsbase", 1, SEG.gs),
  writeBase("wrfsbase", 2, SEG.fs),
  writeBase("wrgsbase", 3, SEG.gs),
];
