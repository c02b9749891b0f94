/**
 * Vectors of kvm-core/isa/insn/system.ts.
 * Document: SDM volume 2, CPUID RDTSC RDMSR WRMSR HLT LGDT LIDT SGDT SIDT MOV CR/DR/Sreg INVLPG SWAPGS CLTS WBINVD, fences.
 * Left out: what they refuse: exceptions.test.ts and the check against the host's processor.
 */

import { DATA, M, type Vectors } from "./vectors.ts";

/** IA32_KERNEL_GS_BASE. */
const MSR = 0xc000_0102;
/** CR0.TS. */
const TS = 8;

export const VECTORS: Vectors = {
  both: [
    // Leaf 0: "GenuineIntel".
    [{ rax: 0 }, "cpuid; mov eax, 0", { rax: 0, rbx: 0x756e_6547, rcx: 0x6c65_746e, rdx: 0x4965_6e69 }],
    [{ rax: -1, rdx: -1 }, "rdtsc; shr edx, 31", { rdx: 0 }, ""],
    [{ rcx: MSR, rax: 0x1234_5678 }, "wrmsr; xor eax, eax; rdmsr", { rax: 0x1234_5678, rdx: 0 }, ""],
    [{}, "hlt; inc eax", { rax: 0 }],
    [{}, `sgdt ${M}`, { m: 0x8000_0017 }],
    [{ m: 0x9000_0fff }, `lgdt ${M}; sgdt [0x300010]; mov eax, [0x300010]`, { rax: 0x9000_0fff }],
    [{ m: 0x9000_0fff }, `lidt ${M}; sidt [0x300010]; mov eax, [0x300010]`, { rax: 0x9000_0fff }],
    [{ m: 7 }, `mov eax, ${M}; invlpg ${M}; add eax, ${M}`, { rax: 14 }, ""],
    [{}, "invd; wbinvd; lfence; mfence; sfence; inc eax", { rax: 1 }, ""],
    [{ rbx: 0x1234_0000 }, "mov eax, ds; mov bx, ds", { rax: 16, rbx: 0x1234_0010 }],
    [{ m: -1n }, `mov word ptr ${M}, ds`, { m: 0xffff_ffff_ffff_0010n }],
    [{ rax: 0 }, "mov fs, ax; mov ebx, fs", { rbx: 0 }],
    [{ m: 0, rbx: 1 }, `mov es, word ptr ${M}; mov ebx, es`, { rbx: 0 }],
  ],
  only32: [
    [{}, `mov eax, cr0; or eax, ${TS}; mov cr0, eax; mov eax, cr0; clts; mov ebx, cr0; sub eax, ebx`, { rax: TS }, ""],
  ],
  only64: [
    [{}, `mov rax, cr0; or rax, ${TS}; mov cr0, rax; mov rax, cr0; clts; mov rbx, cr0; sub rax, rbx`, { rax: TS }, ""],
    [{ rcx: MSR, rax: DATA, m: 7 }, "wrmsr; swapgs; mov rbx, gs:[0]; swapgs", { rbx: 7 }],
  ],
  elsewhere: ["r,dr", "dr,r"].map((operands) => ({
    mnemonic: "mov",
    operands,
    file: "test/host/host.test.ts",
    reason: "its #GP at CPL 3; at CPL 0 the opcode map gives it the case of MOV CR, whose name is the same",
  })),
};
