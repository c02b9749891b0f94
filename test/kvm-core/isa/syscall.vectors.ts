/**
 * Vectors of kvm-core/isa/insn/syscall.ts.
 * Document: SDM volume 2, RDFSBASE RDGSBASE WRFSBASE WRGSBASE.
 * Left out: the system calls, which change privilege levels: test/kvm-core/engine/syscall.test.ts.
 */

import { M, type Vectors } from "./vectors.ts";

const FILE = "test/kvm-core/engine/syscall.test.ts";
const REASON = "goes to another privilege level";
/** Sets CR4.FSGSBASE. */
const ALLOW = "mov rax, cr4; or eax, 0x10000; mov cr4, rax; xor eax, eax";

export const VECTORS: Vectors = {
  both: [],
  only64: [
    [
      { rbx: "0x7ffffffff000" },
      `${ALLOW}; wrfsbase rbx; rdfsbase rcx; rdfsbase edx`,
      { rcx: "0x7ffffffff000", rdx: 0xffff_f000 },
      "",
    ],
    [
      { rbx: "0xffff800000001000" },
      `${ALLOW}; wrgsbase rbx; rdgsbase rcx; rdgsbase edx`,
      { rcx: "0xffff800000001000", rdx: 0x1000 },
      "",
    ],
    // 32 bits are zero-extended.
    [
      { rbx: -1 },
      `${ALLOW}; wrfsbase ebx; rdfsbase rcx; wrgsbase ebx; rdgsbase rdx`,
      { rcx: 0xffff_ffff, rdx: 0xffff_ffff },
      "",
    ],
    [{ rbx: 8, m: 7 }, `${ALLOW}; wrgsbase rbx; mov rdx, gs:[0x2ffff8]; mov rcx, ${M}`, { rcx: 7, rdx: 7 }, ""],
  ],
  elsewhere: ["syscall", "sysret", "sysenter", "sysexit"].map((mnemonic) => ({ mnemonic, file: FILE, reason: REASON })),
};
