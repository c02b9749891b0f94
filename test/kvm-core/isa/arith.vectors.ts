/**
 * Vectors of kvm-core/isa/insn/arith.ts.
 * Document: SDM volume 2, ADD ADC SUB SBB CMP INC DEC NEG XADD CMPXCHG CMPXCHG8B.
 * Left out: random values, which the check against the host's processor has.
 */

import { both, everyKind, M, type Vectors } from "./vectors.ts";

const ONES = 0xffff_ffff;

export const VECTORS: Vectors = {
  both: [
    ...everyKind("add", [0x7fff_ffff, 1], {}, 0x8000_0000, "PF AF SF OF"),
    ...everyKind("adc", [ONES, ONES], { flags: "CF" }, ONES, "CF PF AF SF"),
    ...everyKind("sbb", [0, ONES], { flags: "CF" }, 0, "CF PF AF ZF"),
    ...everyKind("sub", [0x8000_0000, 1], {}, 0x7fff_ffff, "PF AF OF"),
    ...everyKind("cmp", [3, 5], {}, 3, "CF AF SF"),
    [{ rax: 0xff, rbx: 1 }, "add al, bl", { rax: 0, flags: "CF PF AF ZF" }],
    [{ rax: 0xff, rbx: 0, flags: "CF" }, "adc al, bl", { rax: 0, flags: "CF PF AF ZF" }],
    [{ rax: 0x7fff_ffff, flags: "CF" }, "adc eax, 0", { rax: 0x8000_0000, flags: "PF AF SF OF" }],
    [{ rax: 0, flags: "CF" }, "sbb eax, 0", { rax: 0xffff_ffff, flags: "CF PF AF SF" }],
    [{ rax: 0x1234 }, "add ah, 0xf0", { rax: 0x0234, flags: "CF" }],
    ...both("inc", ONES, { flags: "CF" }, 0, "CF PF AF ZF"),
    ...both("dec", 0, {}, ONES, "PF AF SF"),
    ...both("neg", 0x8000_0000, {}, 0x8000_0000, "CF PF SF OF"),
    [{ rax: 0x7f, flags: "" }, "inc al", { rax: 0x80, flags: "AF SF OF" }],
    [{ rax: 0x80, flags: "CF" }, "dec al", { rax: 0x7f, flags: "CF AF OF" }],
    [{ rax: 0 }, "neg eax", { rax: 0, flags: "PF ZF" }],
    [{ rax: 5, rbx: 9, rcx: 7 }, "cmpxchg ebx, ecx", { rax: 9, rbx: 9, flags: "CF PF AF SF" }],
    [{ rax: 9, rbx: 9, rcx: 7 }, "cmpxchg ebx, ecx", { rax: 9, rbx: 7, flags: "PF ZF" }],
    [{ rax: 9, rcx: 7, m: 2 }, `lock cmpxchg dword ptr ${M}, ecx`, { rax: 2, m: 2, flags: "" }],
    [{ rax: 9, rcx: 7, m: 9 }, `lock cmpxchg dword ptr ${M}, ecx`, { rax: 9, m: 7, flags: "PF ZF" }],
    [{ rax: 1, rbx: 2 }, "xadd eax, ebx", { rax: 3, rbx: 1, flags: "PF" }],
    [{ m: 1, rbx: 2 }, `xadd dword ptr ${M}, ebx`, { m: 3, rbx: 1, flags: "PF" }],
    [{ rdx: 0, rax: 5, rcx: 7, rbx: 8, m: 5, flags: "SF" }, `cmpxchg8b ${M}`, { m: 0x7_0000_0008n, flags: "ZF SF" }],
    [{ rdx: 0, rax: 6, m: 0x9_0000_0005n }, `cmpxchg8b ${M}`, { rdx: 9, rax: 5, flags: "" }, "ZF"],
    [{ m: 0xffff_ffffn }, `add dword ptr ${M}, 1`, { m: 0, flags: "CF PF AF ZF" }],
  ],
  only64: [
    [{ rax: 0xffff_ffff_ffff_ffffn, rbx: 1 }, "add eax, ebx", { rax: 0, flags: "CF PF AF ZF" }],
    [{ rax: 0x7fff_ffff_ffff_ffffn }, "add rax, 1", { rax: 1n << 63n, flags: "PF AF SF OF" }],
    [{ rax: 1n << 63n }, "sub rax, 1", { rax: 0x7fff_ffff_ffff_ffffn, flags: "PF AF OF" }],
    [{ rax: 0 }, "sub rax, 1", { rax: 0xffff_ffff_ffff_ffffn, flags: "CF PF AF SF" }],
    [
      { rdx: 2, rax: 1, rcx: 4, rbx: 3, rsi: 0x30_0010, flags: "SF" },
      "mov [rsi], rax; mov [rsi+8], rdx; cmpxchg16b [rsi]; mov rdi, [rsi]; mov rsi, [rsi+8]",
      { rdi: 3, rsi: 4, rax: 1, rdx: 2, flags: "ZF SF" },
    ],
    [
      { rdx: 2, rax: 1, rcx: 4, rbx: 3, rsi: 0x30_0010, flags: "ZF" },
      "mov [rsi], rax; mov [rsi+8], rax; cmpxchg16b [rsi]; mov rdi, [rsi]; mov rsi, [rsi+8]",
      { rdi: 1, rsi: 1, rax: 1, rdx: 1, flags: "" },
    ],
    [{ r14: 0x30_0000, m: 9 }, "add r15, [r14]", { r15: 9 }, ""],
  ],
};
