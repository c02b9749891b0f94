/**
 * System instructions: one helper each.
 * Document: SDM volume 2, CPUID RDTSC RDMSR WRMSR HLT MOV CR/DR SMSW LMSW INVLPG INVPCID SWAPGS CLTS WBINVD, fences.
 * Left out: what unbuilt.ts names. LFENCE and SFENCE do nothing: loads and stores are done in program order.
 */

import { unsigned } from "../../emit/flags.ts";
import { i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const GP = 13;

export const SYSTEM: readonly Insn[] = [
  insn("cpuid", { forms: ["0F A2"], exec: (e) => e.helper("cpuid") }),
  insn("rdtsc", { forms: ["0F 31"], cpuid: "tsc", exec: (e) => e.helper("rdtsc") }),
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
    ends: true,
    exec(e, src) {
      e.if(e.privilege(), () => e.raise(GP));
      e.helper("lmsw", i64.toI32(e.read(src!)));
      e.jumpTo(e.nextRip());
    },
  }),
  insn("lfence", { forms: ["0F AE E8"], cpuid: "sse2", exec() {} }),
  insn("mfence", { forms: ["0F AE F0"], cpuid: "sse2", exec: (e) => e.fence() }),
  insn("sfence", { forms: ["0F AE F8"], cpuid: "sse", exec() {} }),
];
