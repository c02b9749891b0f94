/**
 * Vectors of kvm-core/isa/insn/move.ts.
 * Document: SDM volume 2, MOV MOVZX MOVSX MOVSXD MOVBE MOVNTI LEA XCHG CMOVcc SETcc NOP PREFETCHh PREFETCHW XLAT.
 * Left out: nothing.
 */

import { CONDITION_FLAGS, DATA, M, type Row, type Vectors } from "./vectors.ts";

const D = `dword ptr ${M}`;

const CMOV: readonly Row[] = CONDITION_FLAGS.flatMap(([name, holds, not]): Row[] => [
  [{ rax: 1, rbx: 2, flags: holds }, `cmov${name} eax, ebx`, { rax: 2, flags: holds }],
  [{ rax: 1, rbx: 2, flags: not }, `cmov${name} eax, ebx`, { rax: 1, flags: not }],
  [{ rax: 1, m: 2, flags: holds }, `cmov${name} eax, ${D}`, { rax: 2 }],
  [{ rax: 1, m: 2, flags: not }, `cmov${name} eax, ${D}`, { rax: 1 }],
]);

const SET: readonly Row[] = CONDITION_FLAGS.flatMap(([name, holds, not]): Row[] => [
  [{ rax: 0xffff, flags: holds }, `set${name} al`, { rax: 0xff01, flags: holds }],
  [{ rax: 0xffff, flags: not }, `set${name} ah`, { rax: 0x00ff, flags: not }],
  [{ m: 0xffff, flags: holds }, `set${name} byte ptr ${M}`, { m: 0xff01 }],
  [{ m: 0xffff, flags: not }, `set${name} byte ptr ${M}`, { m: 0xff00 }],
]);

export const VECTORS: Vectors = {
  both: [
    [{ rax: 0x1234_5678, rbx: 0xff }, "mov ah, bl", { rax: 0x1234_ff78 }],
    [{ rax: 0x1234_5678 }, `mov ${D}, eax`, { m: 0x1234_5678 }],
    [{ rsi: DATA, rcx: 1, m: 0x0000_0005_0000_0000n }, "mov eax, [esi+ecx*4]", { rax: 5 }],
    [{ rax: 0xffff_ffff }, "mov ax, 0x1234", { rax: 0xffff_1234 }],
    [{ m: -1n }, `mov word ptr ${M}, 0x1234`, { m: 0xffff_ffff_ffff_1234n }],
    [{ rbx: 0x80 }, "movsx eax, bl", { rax: 0xffff_ff80 }],
    [{ m: 0x8000 }, `movsx eax, word ptr ${M}`, { rax: 0xffff_8000 }],
    [{ rbx: 0x8080 }, "movzx eax, bx", { rax: 0x8080 }],
    [{ m: 0x80ff, rax: -1 }, `movzx eax, byte ptr ${M}`, { rax: 0xff }],
    [{ rbx: 3, rcx: 5 }, "lea eax, [ebx+ecx*4-1]", { rax: 22 }],
    [{ rax: 1, rbx: 2 }, "xchg eax, ebx", { rax: 2, rbx: 1 }],
    [{ rcx: 1, rbx: 2 }, "xchg ecx, ebx", { rcx: 2, rbx: 1 }],
    [{ rax: 1, m: 2 }, `xchg ${D}, eax`, { rax: 2, m: 1 }],
    [{ rax: 0x1234_5602, rbx: DATA, m: 0x77_0000 }, "xlatb", { rax: 0x1234_5677 }],
    [{ m: 0x1122_3344 }, `movbe eax, ${D}`, { rax: 0x4433_2211 }],
    [{ m: 0x1122_3344, rax: 0xffff_ffff }, `movbe ax, word ptr ${M}`, { rax: 0xffff_4433 }],
    [{ rax: 0x1122_3344 }, `movbe ${D}, eax`, { m: 0x4433_2211 }],
    [{ rax: 0x1122_3344 }, `movnti ${D}, eax`, { m: 0x1122_3344 }],
    ...CMOV,
    ...SET,
    // Nor that of a hint.
    ...["nta", "t0", "t1", "t2", "w", "wt1"].map((name): Row => [{ rbx: -1 }, `prefetch${name} [ebx]`, { rbx: -1 }]),
    // The address of a NOP is computed and never used.
    [{ rax: 5, rbx: -1 }, "nop; pause; nop eax; nop dword ptr [ebx]", { rax: 5 }],
  ],
  only64: [
    [{ rbx: 0x8000_0000n }, "movsxd rax, ebx", { rax: 0xffff_ffff_8000_0000n }],
    [{ m: 0x7fff_ffff }, `movsxd rax, ${D}`, { rax: 0x7fff_ffff }],
    [{}, "mov rax, 0x123456789abcdef0", { rax: 0x1234_5678_9abc_def0n }],
    [{ m: 0x1122_3344_5566_7788n }, `movabs rax, ${M}`, { rax: 0x1122_3344_5566_7788n }],
    [{ m: 0x1122_3344_5566_7788n }, `movbe rax, qword ptr ${M}`, { rax: 0x8877_6655_4433_2211n }],
    [{ rax: 0x1122_3344_5566_7788n }, `movnti qword ptr ${M}, rax`, { m: 0x1122_3344_5566_7788n }],
    [{ rbx: 0x12 }, "mov sil, bl", { rsi: 0x12 }],
    [{ rax: 5, r8: 6 }, "xchg r8, rax", { rax: 6, r8: 5 }],
    [{ rax: 0xffff_ffff_ffff_ffffn }, "nop; .byte 0x90", { rax: 0xffff_ffff_ffff_ffffn }],
    // A 32-bit destination loses its upper half even when nothing is moved.
    [{ rax: -1n, flags: "" }, "cmove eax, ebx", { rax: 0xffff_ffffn }],
  ],
};
