/**
 * Structures of a vCPU's state, with Linux's names for the fields: registers, CPUID, MSRs, and what is on its way to it.
 * Spec: KVM API document.
 * Leaves out: of kvm_vcpu_events smi, triple_fault and exception payloads, which kvm-core does not have.
 */
import type { Fields, FieldType, Values } from "./fields.ts";

const SEGMENT = {
  struct: {
    base: "u64",
    limit: "u32",
    selector: "u16",
    type: "u8",
    present: "u8",
    dpl: "u8",
    db: "u8",
    s: "u8",
    l: "u8",
    g: "u8",
    avl: "u8",
    unusable: "u8",
  },
} as const satisfies FieldType;
const DTABLE = { struct: { base: "u64", limit: "u16" } } as const satisfies FieldType;

/** struct kvm_regs */
export const KVM_REGS = {
  rax: "u64",
  rbx: "u64",
  rcx: "u64",
  rdx: "u64",
  rsi: "u64",
  rdi: "u64",
  rsp: "u64",
  rbp: "u64",
  r8: "u64",
  r9: "u64",
  r10: "u64",
  r11: "u64",
  r12: "u64",
  r13: "u64",
  r14: "u64",
  r15: "u64",
  rip: "u64",
  rflags: "u64",
} as const satisfies Fields;
export type KvmRegs = Values<typeof KVM_REGS>;

/** struct kvm_sregs */
export const KVM_SREGS = {
  cs: SEGMENT,
  ds: SEGMENT,
  es: SEGMENT,
  fs: SEGMENT,
  gs: SEGMENT,
  ss: SEGMENT,
  tr: SEGMENT,
  ldt: SEGMENT,
  gdt: DTABLE,
  idt: DTABLE,
  cr0: "u64",
  cr2: "u64",
  cr3: "u64",
  cr4: "u64",
  cr8: "u64",
  efer: "u64",
  apic_base: "u64",
  interrupt_bitmap: { list: "u64", max: 4 },
} as const satisfies Fields;
export type KvmSregs = Values<typeof KVM_SREGS>;
export type KvmSegment = KvmSregs["cs"];

/** struct kvm_fpu: x87 registers in stack order and XMM registers, 16 bytes each. */
export const KVM_FPU = {
  fpr: "bytes",
  fcw: "u16",
  fsw: "u16",
  ftwx: "u8",
  last_opcode: "u16",
  last_ip: "u64",
  last_dp: "u64",
  xmm: "bytes",
  mxcsr: "u32",
} as const satisfies Fields;
export type KvmFpu = Values<typeof KVM_FPU>;

/** struct kvm_xcrs */
export const KVM_XCRS = {
  flags: "u32",
  xcrs: { list: { struct: { xcr: "u32", value: "u64" } }, max: 16 },
} as const satisfies Fields;
export type KvmXcrs = Values<typeof KVM_XCRS>;

export const CPUID_ENTRIES = {
  list: {
    struct: { function: "u32", index: "u32", flags: "u32", eax: "u32", ebx: "u32", ecx: "u32", edx: "u32" },
  },
  max: 256,
} as const satisfies FieldType;
export const MSR_ENTRIES = { list: { struct: { index: "u32", data: "u64" } }, max: 256 } as const satisfies FieldType;
export type CpuidEntry = Values<(typeof CPUID_ENTRIES)["list"]["struct"]>;

/** struct kvm_vcpu_events: what is on its way to a vCPU. Linux's inner structs are flat here: `exception.nr` is `exception_nr`. */
export const VCPU_EVENTS = {
  exception_injected: "u8",
  exception_nr: "u8",
  exception_has_error_code: "u8",
  exception_error_code: "u32",
  interrupt_injected: "u8",
  interrupt_nr: "u8",
  interrupt_soft: "u8",
  /** KVM_X86_SHADOW_INT. */
  interrupt_shadow: "u8",
  nmi_injected: "u8",
  nmi_pending: "u8",
  nmi_masked: "u8",
  sipi_vector: "u32",
  /** KVM_VCPUEVENT_VALID. */
  flags: "u32",
} as const satisfies Fields;
export type KvmVcpuEvents = Values<typeof VCPU_EVENTS>;

export const KVM_VCPUEVENT_VALID = { NMI_PENDING: 1, SIPI_VECTOR: 2, SHADOW: 4 } as const;
export const KVM_X86_SHADOW_INT = { MOV_SS: 1, STI: 2 } as const;
