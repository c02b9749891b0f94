/**
 * Vectors of kvm-core/isa/insn/segment.ts.
 * Document: SDM volume 2, MOV Sreg LDS LES LFS LGS LSS LGDT LIDT SGDT SIDT LLDT SLDT STR LAR LSL VERR VERW ARPL.
 * Left out: what they refuse, and descriptors other than flat ones: segment-loads.test.ts.
 */

import { M, type Row, type Vectors } from "./vectors.ts";

/** Selectors of the machine's flat code and data; beyond the table's limit. */
const CODE = 8;
const FLAT = 16;
const BEYOND = 0x1000;
const W = `word ptr ${M}`;
/** What LAR gives for them: the descriptor's second word, without base and limit. */
const CODE_RIGHTS_32 = 0x00c0_9b00;
const CODE_RIGHTS_64 = 0x00a0_9b00;
const DATA_RIGHTS = 0x00c0_9300;

const POINTER = (BigInt(FLAT) << 32n) | 0x1234_5678n;
const pointer = (segment: string): Row => [
  { m: POINTER },
  `l${segment} ecx, ${M}; mov eax, ${segment}`,
  { rcx: 0x1234_5678, rax: FLAT },
];

export const VECTORS: Vectors = {
  both: [
    [{}, `sgdt ${M}`, { m: 0x8000_0017 }],
    [{ m: 0x9000_0fff }, `lgdt ${M}; sgdt [0x300010]; mov eax, [0x300010]`, { rax: 0x9000_0fff }],
    [{ m: 0x9000_0fff }, `lidt ${M}; sidt [0x300010]; mov eax, [0x300010]`, { rax: 0x9000_0fff }],
    [{ rbx: 0x1234_0000 }, "mov eax, ds; mov bx, ds", { rax: 16, rbx: 0x1234_0010 }],
    [{ m: -1n }, `mov word ptr ${M}, ds`, { m: 0xffff_ffff_ffff_0010n }],
    [{ rax: 0 }, "mov fs, ax; mov ebx, fs", { rbx: 0 }],
    [{ m: 0, rbx: 1 }, `mov es, word ptr ${M}; mov ebx, es`, { rbx: 0 }],
    ...["ss", "fs", "gs"].map(pointer),
    [{ m: -1n }, `xor eax, eax; lldt ax; sldt ebx; sldt ${M}`, { rbx: 0, m: 0xffff_ffff_ffff_0000n }, ""],
    [{ m: 0 }, `lldt ${W}; sldt eax`, { rax: 0 }],
    [{ m: -1n, rbx: -1 }, `str ebx; str ${M}`, { rbx: 0, m: 0xffff_ffff_ffff_0000n }],
    [{ rax: CODE, flags: "CF" }, "verr ax", { flags: "CF ZF" }],
    [{ rax: CODE, flags: "ZF" }, "verw ax", { flags: "" }],
    [{ m: FLAT, flags: "SF" }, `verw ${W}`, { flags: "ZF SF" }],
    [{ m: BEYOND, flags: "ZF SF" }, `verr ${W}`, { flags: "SF" }],
    [{ rax: FLAT, rbx: 7 }, "lar ebx, eax", { rbx: DATA_RIGHTS, flags: "ZF" }],
    [{ m: FLAT, rbx: 7 }, `lar bx, ${M}`, { rbx: DATA_RIGHTS & 0xffff, flags: "ZF" }],
    [{ rax: FLAT, rbx: 7 }, "lsl ebx, eax", { rbx: 0xffff_ffff, flags: "ZF" }],
    [{ m: BEYOND, rbx: 7, flags: "ZF" }, `lsl ebx, ${M}`, { rbx: 7, flags: "" }],
  ],
  only32: [
    ...["es", "ds"].map(pointer),
    [{ rax: CODE }, "lar ebx, eax", { rbx: CODE_RIGHTS_32, flags: "ZF" }],
    // The lower of two privilege levels is the greater number.
    [{ rax: 0xaaa8, rbx: 3 }, "arpl ax, bx", { rax: 0xaaab, flags: "ZF" }],
    [{ m: 0xaaaa, rbx: 1, flags: "ZF" }, `arpl ${M}, bx`, { m: 0xaaaa, flags: "" }],
  ],
  only64: [[{ rax: CODE }, "lar ebx, eax", { rbx: CODE_RIGHTS_64, flags: "ZF" }]],
  elsewhere: [
    { mnemonic: "ltr", file: "test/kvm-core/engine/segment-loads.test.ts", reason: "needs a task state segment" },
  ],
};
