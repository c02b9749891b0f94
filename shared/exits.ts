/**
 * Exit reasons and the flat result of KVM_RUN, after struct kvm_run of <linux/kvm.h>: the fields of every exit stand
 * side by side, the ones that a reason does not use are 0 or empty.
 * Leaves out: reasons of other architectures.
 */
import type { Fields, Values } from "./fields.ts";

/** KVM_EXIT_* with Linux's numbers. SPLITVM_EXIT_* are ours and begin at 0x1000. */
export const EXIT = {
  KVM_EXIT_UNKNOWN: 0,
  KVM_EXIT_EXCEPTION: 1,
  KVM_EXIT_IO: 2,
  KVM_EXIT_HYPERCALL: 3,
  KVM_EXIT_DEBUG: 4,
  KVM_EXIT_HLT: 5,
  KVM_EXIT_MMIO: 6,
  KVM_EXIT_IRQ_WINDOW_OPEN: 7,
  KVM_EXIT_SHUTDOWN: 8,
  KVM_EXIT_FAIL_ENTRY: 9,
  KVM_EXIT_INTR: 10,
  KVM_EXIT_INTERNAL_ERROR: 17,
  KVM_EXIT_SYSTEM_EVENT: 24,
  KVM_EXIT_IOAPIC_EOI: 26,
} as const;
export type ExitReason = keyof typeof EXIT;

const NAMES = new Map<number, ExitReason>(Object.entries(EXIT).map(([name, nr]) => [nr, name as ExitReason]));

/** The name of an exit's number, for logs and statistics. */
export function exitName(reason: number): string {
  return NAMES.get(reason) ?? `exit ${reason}`;
}

/** Direction of a port or memory access, as KVM_EXIT_IO_IN and KVM_EXIT_IO_OUT. */
export const IO_IN = 0;
export const IO_OUT = 1;

/** What KVM_RUN returns: `address` is the port (IO) or the guest-physical address (MMIO), `data` is little endian. */
export const RUN_RESULT = {
  reason: "u32",
  direction: "u8",
  size: "u8",
  count: "u32",
  address: "u64",
  data: "bytes",
  /** KVM_EXIT_INTERNAL_ERROR: KVM_INTERNAL_ERROR_EMULATION is 1. */
  suberror: "u32",
  /** One line for a person: which instruction, which state. */
  detail: "string",
  /** KVM_EXIT_DEBUG, struct kvm_debug_exit_arch: 1 or 3; the linear address; DR6 of this event; the DR7 in force. */
  exception: "u32",
  pc: "u64",
  dr6: "u64",
  dr7: "u64",
  /** KVM_EXIT_IOAPIC_EOI: kvm_run.eoi.vector. */
  vector: "u8",
  if_flag: "u8",
  ready_for_interrupt_injection: "u8",
} as const satisfies Fields;
export type RunResult = Values<typeof RUN_RESULT>;

/** A result of `reason` whose other fields are 0. */
export function runResult(reason: ExitReason, fields: Partial<RunResult> = {}): RunResult {
  return {
    reason: EXIT[reason],
    direction: 0,
    size: 0,
    count: 0,
    address: 0n,
    data: new Uint8Array(0),
    suberror: 0,
    detail: "",
    exception: 0,
    pc: 0n,
    dr6: 0n,
    dr7: 0n,
    vector: 0,
    if_flag: 0,
    ready_for_interrupt_injection: 0,
    ...fields,
  };
}
