/**
 * Vectors of kvm-core/isa/insn/system.ts.
 * Document: SDM volume 2, CPUID RDTSC RDTSCP RDPID RDRAND RDSEED RDMSR WRMSR HLT MONITOR MWAIT MOV CR/DR SMSW LMSW INVLPG
 * INVPCID SWAPGS CLTS WBINVD CLFLUSH CLFLUSHOPT CLWB, fences.
 * Left out: what they refuse: exceptions.test.ts and the check against the host's processor.
 */

import { DATA, M, type Vectors } from "./vectors.ts";

/** IA32_KERNEL_GS_BASE. */
const MSR = 0xc000_0102;
/** IA32_TSC_AUX. */
const TSC_AUX = 0xc000_0103;
/** Of CR0. */
const PE_ET = 0x11;
const TS = 8;

export const VECTORS: Vectors = {
  both: [
    // Leaf 0: "GenuineIntel".
    [{ rax: 0 }, "cpuid; mov eax, 0", { rax: 0, rbx: 0x756e_6547, rcx: 0x6c65_746e, rdx: 0x4965_6e69 }],
    [{ rax: -1, rdx: -1 }, "rdtsc; shr edx, 31", { rdx: 0 }, ""],
    [
      { rcx: TSC_AUX, rax: 0x1234_5678, rbp: -1 },
      "wrmsr; xor ecx, ecx; rdtscp; shr edx, 31; xor eax, eax; .byte 0xf3, 0x0f, 0xc7, 0xfd",
      { rax: 0, rcx: 0x1234_5678, rdx: 0, rbp: 0x1234_5678 },
      "",
    ],
    [{ flags: "PF AF ZF SF OF" }, "rdrand eax; mov eax, 0", { flags: "CF" }],
    [{ flags: "PF AF ZF SF OF" }, "rdseed eax; mov eax, 0", { flags: "CF" }],
    [{ rbx: -1 }, "rdrand bx; rdseed bx; or bx, -1", { rbx: -1 }, ""],
    [{ rax: DATA }, "monitor; mwait; inc ebx", { rbx: 1 }, ""],
    [{ m: 5 }, `clflush ${M}; clflushopt ${M}; clwb ${M}; mov eax, ${M}`, { rax: 5, m: 5 }],
    [{ rcx: MSR, rax: 0x1234_5678 }, "wrmsr; xor eax, eax; rdmsr", { rax: 0x1234_5678, rdx: 0 }, ""],
    [{}, "hlt; inc eax", { rax: 0 }],
    [{ m: 7 }, `mov eax, ${M}; invlpg ${M}; add eax, ${M}`, { rax: 14 }, ""],
    [{}, "invd; wbinvd; lfence; mfence; sfence; inc eax", { rax: 1 }, ""],
    [{ m: -1n }, `smsw ax; smsw word ptr ${M}`, { m: 0xffff_ffff_ffff_0000n | BigInt(PE_ET), rax: PE_ET }, ""],
    // PE can be set only; the others go both ways.
    [{ rax: TS }, "lmsw ax; smsw bx; clts; smsw cx", { rbx: PE_ET | TS, rcx: PE_ET }, ""],
    [{ m: TS }, `lmsw ${M}; smsw bx; clts; smsw cx`, { rbx: PE_ET | TS, rcx: PE_ET }, ""],
  ],
  only32: [
    [{ rax: 0x1234_5678 }, "mov dr1, eax; mov ebx, dr1", { rbx: 0x1234_5678 }],
    // All of the TLB but global entries.
    [{ m: 0, rcx: 3 }, `mov eax, ${M}; invpcid ecx, ${M}; add eax, ${M}; add eax, ecx`, { rax: 3 }, ""],
    [{}, `mov eax, cr0; or eax, ${TS}; mov cr0, eax; mov eax, cr0; clts; mov ebx, cr0; sub eax, ebx`, { rax: TS }, ""],
  ],
  only64: [
    [{ rax: 0x1234_5678 }, "mov dr1, rax; mov rbx, dr1", { rbx: 0x1234_5678 }],
    [{ m: 0, rcx: 3 }, `mov eax, ${M}; invpcid rcx, ${M}; add eax, ${M}; add eax, ecx`, { rax: 3 }, ""],
    [{}, `mov rax, cr0; or rax, ${TS}; mov cr0, rax; mov rax, cr0; clts; mov rbx, cr0; sub rax, rbx`, { rax: TS }, ""],
    [{ rcx: MSR, rax: DATA, m: 7 }, "wrmsr; swapgs; mov rbx, gs:[0]; swapgs", { rbx: 7 }],
  ],
  elsewhere: ["rdpmc", "rsm"].map((mnemonic) => ({
    mnemonic,
    file: "test/kvm-core/engine/privilege.test.ts",
    reason: "always faults in this CPU model",
  })),
};
