/**
 * System instructions: one helper each.
 * Document: SDM volume 2, CPUID RDTSC RDTSCP RDPID RDPMC RDRAND RDSEED RDMSR WRMSR HLT MONITOR MWAIT MOV CR/DR SMSW LMSW
 * INVLPG INVPCID SWAPGS CLTS WBINVD CLFLUSH CLFLUSHOPT CLWB RSM, fences.
 * Left out: SMM, so that RSM is always outside it; the instructions of VMX and SVM, which this CPU model lacks: #UD. LFENCE and SFENCE do nothing: loads and stores are done in program order.
 */

import { AUX } from "../../cpu/flags.ts";
import { GPR } from "../../cpu/state.ts";
import { unsigned } from "../../emit/flags.ts";
import { i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const UD = 6;
const GP = 13;

/** Fences ignore ModRM.rm. */
const withAnyRm = (modrm: number): string[] =>
  Array.from({ length: 8 }, (_, rm) => `NP 0F AE ${(modrm + rm).toString(16).toUpperCase()}`);

/** A random number; CF says that there is one, and the other flags are clear. */
const random = (mnemonic: "rdrand" | "rdseed", digit: number): Insn =>
  insn(mnemonic, {
    forms: [`NFx 0F C7 /${digit} Rv`],
    cpuid: mnemonic,
    exec(e, dst) {
      e.helper("random");
      e.write(dst!, e.data());
      // A result of 1 with an odd parity mended: neither ZF nor SF nor PF; bit 62 with bit 63: no OF.
      e.setFlagResult(i64.const(1));
      e.setFlagAux(i64.const(BigInt.asIntN(64, (1n << BigInt(AUX.CF)) | (1n << BigInt(AUX.PO)))));
    },
  });

/** There is no cache, but the address is checked as that of a load. */
const flush = (mnemonic: "clflush" | "clflushopt" | "clwb", form: string): Insn =>
  insn(mnemonic, {
    forms: [form],
    cpuid: mnemonic,
    exec(e, memory) {
      e.setData(e.linear(memory!, "read", 1));
      e.helper("flushLine");
    },
  });

export const SYSTEM: readonly Insn[] = [
  insn("cpuid", { forms: ["0F A2"], exec: (e) => e.helper("cpuid") }),
  insn("rdtsc", { forms: ["0F 31"], cpuid: "tsc", exec: (e) => e.helper("rdtsc") }),
  insn("rdtscp", { forms: ["0F 01 F9"], cpuid: "rdtscp", exec: (e) => e.helper("rdtscp") }),
  insn("rdpid", {
    forms: ["F3 0F C7 /7 Ry f64"],
    cpuid: "rdpid",
    exec(e, dst) {
      e.helper("rdpid");
      e.write(dst!, e.data());
    },
  }),
  insn("rdpmc", { forms: ["0F 33"], exec: (e) => e.helper("rdpmc") }),
  random("rdrand", 6),
  random("rdseed", 7),
  insn("rdmsr", { forms: ["0F 32"], cpuid: "msr", exec: (e) => e.helper("rdmsr") }),
  insn("wrmsr", {
    forms: ["0F 30"],
    cpuid: "msr",
    ends: true,
    exec(e) {
      e.helper("wrmsr");
      e.jumpTo(e.nextRip());
    },
  }),
  insn("hlt", { forms: ["F4"], ends: true, exec: (e) => e.helper("hlt") }),
  insn("monitor", {
    forms: ["NP 0F 01 C8"],
    cpuid: "monitor",
    string: true,
    exec(e) {
      e.if(e.privilege(), () => e.raise(UD));
      e.setData(e.sourceAddress(e.gpr(GPR.rax, e.addressSize), 1));
      e.helper("monitor");
    },
  }),
  insn("mwait", {
    forms: ["NP 0F 01 C9"],
    cpuid: "monitor",
    exec(e) {
      e.if(e.privilege(), () => e.raise(UD));
      e.helper("mwait");
    },
  }),
  insn("rsm", { forms: ["0F AA"], ends: true, exec: (e) => e.raise(UD) }),
  flush("clflush", "NP 0F AE /7 Mb"),
  flush("clflushopt", "66 0F AE /7 Mb"),
  flush("clwb", "66 0F AE /6 Mb"),
  insn("invlpg", {
    forms: ["0F 01 /7 M"],
    ends: true,
    exec(e, memory) {
      e.setData(e.linear(memory!));
      e.helper("invlpg");
      e.jumpTo(e.nextRip());
    },
  }),
  insn("invpcid", {
    forms: ["66 0F 38 82 /r Gy,M f64"],
    cpuid: "invpcid",
    ends: true,
    exec(e, type, memory) {
      const kind = e.let(e.read(type!));
      e.setData(e.linear(memory!));
      e.helper("invpcid", i64.toI32(kind), i64.toI32(i64.shru(kind, i64.const(32))));
      e.jumpTo(e.nextRip());
    },
  }),
  insn("swapgs", { forms: ["0F 01 F8 o64"], exec: (e) => e.helper("swapgs") }),
  insn("clts", { forms: ["0F 06"], exec: (e) => e.helper("clts") }),
  insn("invd", { forms: ["0F 08"], exec: (e) => e.helper("privileged") }),
  insn("wbinvd", { forms: ["0F 09"], exec: (e) => e.helper("privileged") }),
  insn("mov", {
    forms: ["0F 20 /r Ry,Cy f64"],
    exec(e, dst, register) {
      e.helper("readCr", i64.toI32(e.read(register!)));
      e.write(dst!, e.data());
    },
  }),
  insn("mov", {
    forms: ["0F 22 /r Cy,Ry f64"],
    ends: true,
    exec(e, register, src) {
      e.setData(unsigned(e.read(src!), src!.size));
      e.helper("writeCr", i64.toI32(e.read(register!)));
      e.jumpTo(e.nextRip());
    },
  }),
  insn("mov", {
    forms: ["0F 21 /r Ry,Dy f64"],
    exec(e, dst, register) {
      e.helper("readDr", i64.toI32(e.read(register!)));
      e.write(dst!, e.data());
    },
  }),
  insn("mov", {
    forms: ["0F 23 /r Dy,Ry f64"],
    exec(e, register, src) {
      e.setData(unsigned(e.read(src!), src!.size));
      e.helper("writeDr", i64.toI32(e.read(register!)));
    },
  }),
  insn("smsw", {
    forms: ["0F 01 /4 Rv", "0F 01 /4 Mw"],
    exec(e, dst) {
      e.helper("smsw");
      e.write(dst!, e.data());
    },
  }),
  insn("lmsw", {
    forms: ["0F 01 /6 Ew"],
    wants: ["level0"],
    ends: true,
    exec(e, src) {
      e.if(e.privilege(), () => e.raise(GP));
      e.helper("lmsw", i64.toI32(e.read(src!)));
      e.jumpTo(e.nextRip());
    },
  }),
  insn("lfence", { forms: withAnyRm(0xe8), cpuid: "sse2", exec() {} }),
  insn("mfence", { forms: withAnyRm(0xf0), cpuid: "sse2", exec: (e) => e.fence() }),
  insn("sfence", { forms: withAnyRm(0xf8), cpuid: "sse", exec() {} }),
];
