/**
 * KVM_SET_GUEST_DEBUG on the vCPU state.
 * Document: KVM API, KVM_SET_GUEST_DEBUG; Linux <asm/kvm.h>, struct kvm_guest_debug_arch.
 * Left out: KVM_GUESTDBG_INJECT_DB, INJECT_BP and BLOCKIRQ: refused.
 */

import { KVM_GUESTDBG, KVM_GUESTDBG_ALL } from "../../shared/ioctls.ts";
import { CPU } from "./state.ts";

/** Registers that struct kvm_guest_debug_arch has; only DR0 to DR3 and DR7 count. */
const REGISTERS = 8;

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
  const view = new DataView(memory.buffer);
  view.setUint32(zone + CPU.guestDebug, enabled ? control : 0, true);
  debugreg.forEach((value, i) => {
    view.setBigUint64(zone + CPU.guestDr + i * 8, hardware ? value : 0n, true);
  });
  // Instructions may have to run another way: look at each from here on.
  view.setUint32(zone + CPU.resumeRecord, 0, true);
  return true;
}
