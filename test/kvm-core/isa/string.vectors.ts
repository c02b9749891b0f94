/**
 * Vectors of kvm-core/isa/insn/string.ts.
 * Document: SDM volume 2, MOVS STOS LODS CMPS SCAS INS OUTS REP.
 * Left out: faults in the middle, which the check against the host's processor has.
 */

import { DATA, type Vectors } from "./vectors.ts";

export const VECTORS: Vectors = {
  both: [
    // Pointers move by the direction flag; a count of zero does nothing.
    [{ rsi: DATA, rdi: DATA + 1, m: 0x11 }, "movsb", { m: 0x1111, rsi: DATA + 1, rdi: DATA + 2 }],
    [
      { rsi: DATA, rdi: DATA + 4, m: 0x1122_3344 },
      "movsd",
      { m: 0x1122_3344_1122_3344n, rsi: DATA + 4, rdi: DATA + 8 },
    ],
    [
      { rsi: DATA + 2, rdi: DATA + 6, rcx: 2, m: 0x1111_2222 },
      "std; rep movsw; cld",
      { m: 0x1111_2222_1111_2222n, rsi: DATA - 2 },
    ],
    [{ rdi: DATA, rcx: 3, rax: 0xab }, "rep stosb", { m: 0xab_abab, rdi: DATA + 3, rcx: 0 }],
    [{ rdi: DATA, rcx: 0, rax: 0xab }, "rep stosb", { m: 0, rdi: DATA }],
    [{ rdi: DATA + 4, rax: 0x1122_3344 }, "std; stosd; cld", { m: 0x1122_3344_0000_0000n, rdi: DATA }],
    [{ rsi: DATA, rax: 0x5500, m: 0x22 }, "lodsb", { rax: 0x5522, rsi: DATA + 1 }],
    [{ rsi: DATA, m: 0x1122n }, "lodsw", { rax: 0x1122, rsi: DATA + 2 }],
    [{ rdi: DATA, rax: 0x33, rcx: 8, m: 0x4433_2211n }, "repne scasb", { rcx: 5, rdi: DATA + 3, flags: "ZF PF" }],
    [{ rdi: DATA, rax: 1, m: 2 }, "scasd", { rdi: DATA + 4, flags: "CF PF AF SF" }],
    [
      { rsi: DATA, rdi: DATA + 4, rcx: 4, m: 0x0102_0304_ff02_0304n },
      "repe cmpsb",
      { rcx: 0, flags: "SF" },
      "ZF CF SF",
    ],
    [{ rsi: DATA, rdi: DATA + 2, m: 0x0001_0001 }, "cmpsw", { rsi: DATA + 2, rdi: DATA + 4, flags: "PF ZF" }],
    [{ rdx: 0x3f8, rdi: DATA, rcx: 2 }, "rep insb", { m: 0x7878, rdi: DATA + 2, rcx: 0 }],
    [{ rdx: 0x3f8, rdi: DATA }, "insd", { m: 0x1234_5678, rdi: DATA + 4 }],
    [{ rdx: 0x3f8, rsi: DATA, rcx: 2, m: 0x2211 }, "rep outsb", { rsi: DATA + 2, rcx: 0, out: "3f8 1 11, 3f8 1 22" }],
    [{ rdx: 0x3f8, rsi: DATA, m: 0x4433_2211 }, "outsd", { rsi: DATA + 4, out: "3f8 4 44332211" }],
  ],
  only64: [
    [{ rsi: DATA, rcx: 2, m: 5 }, "lea rdi, [rsi+16]; rep movsq", { rsi: DATA + 16, rdi: DATA + 32, rcx: 0 }],
    // REX.W makes no 64-bit port access.
    [{ rdx: 0x3f8, rdi: DATA, m: -1n }, ".byte 0x48; insd", { m: 0xffff_ffff_1234_5678n, rdi: DATA + 4 }],
    [{ rdx: 0x3f8, rsi: DATA, m: 0x4433_2211 }, ".byte 0x48; outsd", { rsi: DATA + 4, out: "3f8 4 44332211" }],
  ],
};
