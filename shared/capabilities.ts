/**
 * Capabilities: what KVM_CHECK_EXTENSION can be asked for.
 * Spec: KVM API document; numbers are those of Linux's include/uapi/linux/kvm.h.
 * Leaves out: the requests that a capability stands for (ioctls.ts).
 */
import { KVM_GUESTDBG_ALL } from "./ioctls.ts";

/** Capabilities, KVM_CAP_* with Linux's numbers; SPLITVM_CAP_* are ours. The value is what KVM_CHECK_EXTENSION returns. */
export const CAPABILITIES = {
  KVM_CAP_IRQCHIP: { nr: 0, value: 1 },
  KVM_CAP_USER_MEMORY: { nr: 3, value: 1 },
  KVM_CAP_EXT_CPUID: { nr: 7, value: 1 },
  KVM_CAP_NR_VCPUS: { nr: 9, value: 8 },
  KVM_CAP_NR_MEMSLOTS: { nr: 10, value: 64 },
  KVM_CAP_MP_STATE: { nr: 14, value: 1 },
  KVM_CAP_COALESCED_MMIO: { nr: 15, value: 1 },
  KVM_CAP_USER_NMI: { nr: 22, value: 1 },
  KVM_CAP_SET_GUEST_DEBUG: { nr: 23, value: 1 },
  KVM_CAP_REINJECT_CONTROL: { nr: 24, value: 1 },
  KVM_CAP_IRQ_ROUTING: { nr: 25, value: 1024 },
  KVM_CAP_IRQFD: { nr: 32, value: 1 },
  KVM_CAP_PIT2: { nr: 33, value: 1 },
  KVM_CAP_PIT_STATE2: { nr: 35, value: 1 },
  KVM_CAP_IOEVENTFD: { nr: 36, value: 1 },
  KVM_CAP_VCPU_EVENTS: { nr: 41, value: 1 },
  KVM_CAP_XSAVE: { nr: 55, value: 1 },
  KVM_CAP_XCRS: { nr: 56, value: 1 },
  KVM_CAP_MAX_VCPUS: { nr: 66, value: 8 },
  KVM_CAP_TSC_DEADLINE_TIMER: { nr: 72, value: 1 },
  KVM_CAP_SIGNAL_MSI: { nr: 77, value: 1 },
  KVM_CAP_READONLY_MEM: { nr: 81, value: 1 },
  KVM_CAP_IRQFD_RESAMPLE: { nr: 82, value: 1 },
  KVM_CAP_ENABLE_CAP_VM: { nr: 98, value: 1 },
  KVM_CAP_SPLIT_IRQCHIP: { nr: 121, value: 1 },
  KVM_CAP_MAX_VCPU_ID: { nr: 128, value: 8 },
  KVM_CAP_IMMEDIATE_EXIT: { nr: 136, value: 1 },
  KVM_CAP_COALESCED_PIO: { nr: 162, value: 1 },
  KVM_CAP_SET_GUEST_DEBUG2: { nr: 195, value: KVM_GUESTDBG_ALL },
  KVM_CAP_BINARY_STATS_FD: { nr: 203, value: 0 },
  SPLITVM_CAP_PAGE_MODE: { nr: 0x10000, value: 1 },
  SPLITVM_CAP_REGIONS: { nr: 0x10001, value: 256 },
  SPLITVM_CAP_TAKE_OVER: { nr: 0x10002, value: 1 },
  SPLITVM_CAP_CODE_MAP: { nr: 0x10003, value: 1 },
} as const;
