/**
 * Helpers of transfers of control: far JMP, CALL and RET, IRET, software interrupts.
 * Document: SDM volume 2, the instructions of the names.
 * Left out: how a transfer is done: engine/far/ and cpu/interrupt-gate.ts.
 */

import { KICKED } from "../../../shared/mailbox.ts";
import { CR4 } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { CPU } from "../../cpu/state.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";
import { VirtualInterrupt } from "../../cpu/virtual-interrupt.ts";
import { ZONE } from "../../cpu/zones.ts";
import { type Helper, type HelperContext, RESUME } from "./context.ts";

export function transferHelpers(c: HelperContext): Record<"int" | "iret" | "farJump" | "farCall" | "farRet", Helper> {
  const { machine: m } = c;
  const { state, far } = m;
  const redirected = new VirtualInterrupt(state, m.system, m.fault, m.task);

  return {
    /** INT n with `sensitive`, which virtual-8086 code needs IOPL 3 for, or CR4.VME; INT3 and INTO without. */
    int(ip, vector, sensitive) {
      m.current = ip;
      if (sensitive !== 0 && c.isVirtual) {
        if (state.get(CPU.cr4) & CR4.VME) {
          m.syncNext(ip);
          const outcome = redirected.enter(vector);
          if (outcome !== "other") return outcome === "entered" ? RESUME : c.failed(ip);
        }
        if (c.iopl < 3) return c.fault(ip, VECTOR.GP);
      }
      if (vector === VECTOR.BP && sensitive === 0 && m.debug.takesInt3) {
        m.sync(ip);
        m.debug.leave(VECTOR.BP, 0);
        return RESUME;
      }
      // The return address is behind the instruction; a fault on the way there is reported at it.
      m.syncNext(ip);
      m.deliver(vector, 0, "software", state.u32[(ip + 4) >>> 2]! >>> 24);
      return RESUME;
    },

    iret(ip, size) {
      // Where a nested task goes on that its IRET leaves.
      m.syncNext(ip);
      unblockNmi(state);
      return c.transfer(ip, () => {
        if (!m.returns.interruptReturn(size)) return false;
        m.step.flagsLoaded = true;
        return true;
      });
    },

    farJump(ip, selector) {
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      m.syncNext(ip);
      return c.transfer(ip, () => far.transfer(selector & 0xffff, lo, hi, 0));
    },

    farCall(ip, selector, size) {
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      m.syncNext(ip);
      return c.transfer(ip, () => far.transfer(selector & 0xffff, lo, hi, size));
    },

    farRet: (ip, size, extra) => c.transfer(ip, () => m.returns.farReturn(size, extra)),
  };
}

/** IRET, also one that faults (SDM volume 3, 6.7.1): the vCPU's thread looks whether another NMI waited. */
function unblockNmi(state: VcpuState): void {
  if (state.get(CPU.nmiBlocked) === 0) return;
  state.set(CPU.nmiBlocked, 0);
  Atomics.or(state.i32, (state.zone + ZONE.kick) >>> 2, KICKED);
}
