/**
 * struct kvm_vcpu_events: what is on its way to a vCPU (KVM_GET_VCPU_EVENTS), with Linux's names for the fields.
 * Spec: KVM API document, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS.
 * Leaves out: smi, triple_fault and exception payloads, which kvm-core does not have.
 */
import type { Fields, Values } from "./fields.ts";

/** Linux's inner structs are flat here: `exception.nr` is `exception_nr`. */
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
