/**
 * KVM_SET_GUEST_DEBUG on the vCPU state.
 * Document: KVM API, KVM_SET_GUEST_DEBUG; Linux <asm/kvm.h>, struct kvm_guest_debug_arch.
 * Left out: KVM_GUESTDBG_INJECT_DB, INJECT_BP and BLOCKIRQ, and breakpoints on data and ports: refused.
 */

import { KVM_GUESTDBG, KVM_GUESTDBG_ALL } from "../../shared/ioctls.ts";
import { CPU } from "./state.ts";

/** Registers that struct kvm_guest_debug_arch has; only DR0 to DR3 and DR7 count. */
const REGISTERS = 8;
/** DR7: the enable bits, and R/W and LEN of each breakpoint: zero is execution. */
const ENABLES = 0xffn;
const KINDS = 0xffff_0000n;

/** False, with nothing changed, where Linux gives EINVAL or something is asked for that is not built. */
export function setGuestDebug(
  memory: WebAssembly.Memory,
  zone: number,
  control: number,
  debugreg: readonly bigint[],
): boolean {
  if (control & ~KVM_GUESTDBG_ALL || debugreg.length !== REGISTERS) return false;
  const enabled = (control & KVM_GUESTDBG.ENABLE) !== 0;
  const hardware = enabled && (control & KVM_GUESTDBG.USE_HW_BP) !== 0;
  const dr7 = debugreg[7]!;
  if (hardware && dr7 & ENABLES && dr7 & KINDS) return false;
  const view = new DataView(memory.buffer);
  view.setUint32(zone + CPU.guestDebug, enabled ? control : 0, true);
  debugreg.forEach((value, i) => {
    view.setBigUint64(zone + CPU.guestDr + i * 8, hardware ? value : 0n, true);
  });
  // Instructions may have to run another way: look at each from here on.
  view.setUint32(zone + CPU.resumeRecord, 0, true);
  return true;
}
