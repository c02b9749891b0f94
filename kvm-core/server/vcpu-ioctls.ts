/**
 * Requests on a vCPU's handle. KVM API document, "vcpu ioctls"; SPLITVM_*: shared/ioctls.ts.
 * As in Linux each waits for the vCPU's mutex: while KVM_RUN is under way, the others wait for its end.
 */
import { KvmError } from "../../shared/errno.ts";
import { type Handlers, KVM_MP_STATE } from "../../shared/ioctls.ts";
import { getCpuid, setCpuid } from "../cpu/cpuid.ts";
import { getFpu, getXcrs, getXsave, setFpu, setXcrs, setXsave } from "../cpu/fpu-regs.ts";
import { setGuestDebug } from "../cpu/guest-debug.ts";
import { getMsr, getRegs, getSregs, setMsr, setRegs, setSregs } from "../cpu/regs.ts";
import { EVENT, LAPIC_REGS } from "../irqchip/lapic-page.ts";
import { getVcpuEvents, setVcpuEvents } from "../vcpu/vcpu-events.ts";
import type { Vm } from "../vm/vm.ts";
import type { VcpuHandle } from "./handles.ts";
import type { ServerSession } from "./session.ts";

export type VcpuCall = { readonly session: ServerSession; readonly handle: VcpuHandle };

function requireIrqchip(vm: Vm): void {
  if (!vm.hasIrqchip) throw new KvmError("EINVAL", "there is no irqchip: KVM_CREATE_IRQCHIP comes first");
}

export const VCPU_IOCTLS: Handlers<"vcpu", VcpuCall> = {
  KVM_RUN: ({ handle: { vcpu } }, arg) => vcpu.run(arg),

  KVM_GET_REGS: ({ handle: { vcpu } }) => vcpu.whenIdle(() => getRegs(vcpu.memory, vcpu.zone)),
  KVM_SET_REGS: ({ handle: { vcpu } }, regs) =>
    vcpu.whenIdle(() => {
      setRegs(vcpu.memory, vcpu.zone, regs);
      return {};
    }),
  KVM_GET_SREGS: ({ handle: { vcpu } }) => vcpu.whenIdle(() => getSregs(vcpu.memory, vcpu.zone)),
  KVM_SET_SREGS: ({ handle: { vcpu } }, sregs) =>
    vcpu.whenIdle(() => {
      if (sregs.interrupt_bitmap.length !== 4) throw new KvmError("EINVAL", "interrupt_bitmap has four words");
      const { base } = vcpu.lapic.page;
      if (!setSregs(vcpu.memory, vcpu.zone, sregs)) throw new KvmError("EINVAL", "no processor can be in this state");
      vcpu.lapic.baseSet(base);
      vcpu.flushTlb();
      return {};
    }),
  KVM_GET_MSRS: ({ handle: { vcpu } }, { indices }) =>
    vcpu.whenIdle(() => {
      const entries: { index: number; data: bigint }[] = [];
      for (const index of indices) {
        const data = getMsr(vcpu.memory, vcpu.zone, index);
        if (data === undefined) break;
        entries.push({ index, data });
      }
      return { entries };
    }),
  KVM_SET_MSRS: ({ handle: { vcpu } }, { entries }) =>
    vcpu.whenIdle(() => {
      const { base } = vcpu.lapic.page;
      let count = 0;
      for (const { index, data } of entries) {
        if (!setMsr(vcpu.memory, vcpu.zone, index, data)) break;
        count++;
      }
      vcpu.lapic.baseSet(base);
      return { count };
    }),
  KVM_GET_FPU: ({ handle: { vcpu } }) => vcpu.whenIdle(() => getFpu(vcpu.memory, vcpu.zone)),
  KVM_SET_FPU: ({ handle: { vcpu } }, fpu) =>
    vcpu.whenIdle(() => {
      if (!setFpu(vcpu.memory, vcpu.zone, fpu))
        throw new KvmError("EINVAL", "fpr has 128 bytes, xmm 256, and mxcsr no bits above 15");
      return {};
    }),
  KVM_GET_XSAVE: ({ handle: { vcpu } }) => vcpu.whenIdle(() => ({ region: getXsave(vcpu.memory, vcpu.zone) })),
  KVM_SET_XSAVE: ({ handle: { vcpu } }, { region }) =>
    vcpu.whenIdle(() => {
      if (!setXsave(vcpu.memory, vcpu.zone, region))
        throw new KvmError("EINVAL", "region is no XSAVE area in the standard format with components that exist");
      return {};
    }),
  KVM_GET_XCRS: ({ handle: { vcpu } }) => vcpu.whenIdle(() => getXcrs(vcpu.memory, vcpu.zone)),
  KVM_SET_XCRS: ({ handle: { vcpu } }, xcrs) =>
    vcpu.whenIdle(() => {
      if (!setXcrs(vcpu.memory, vcpu.zone, xcrs)) throw new KvmError("EINVAL", "flags or XCR0 that cannot be");
      return {};
    }),
  KVM_GET_CPUID2: ({ handle: { vcpu } }) => vcpu.whenIdle(() => ({ entries: getCpuid(vcpu.memory, vcpu.zone) })),
  KVM_SET_CPUID2: ({ handle: { vcpu } }, { entries }) =>
    vcpu.whenIdle(() => {
      if (!setCpuid(vcpu.memory, vcpu.zone, entries)) throw new KvmError("E2BIG", "too many CPUID entries");
      return {};
    }),
  KVM_GET_MP_STATE: ({ handle: { vcpu } }) =>
    vcpu.whenIdle(() => {
      vcpu.acceptEvents();
      return { mp_state: vcpu.mpState };
    }),
  KVM_SET_MP_STATE: ({ handle: { vm, vcpu } }, { mp_state }) =>
    vcpu.whenIdle(() => {
      const { RUNNABLE, HALTED, UNINITIALIZED, INIT_RECEIVED, SIPI_RECEIVED } = KVM_MP_STATE;
      const states: readonly number[] = vm.hasIrqchip
        ? [RUNNABLE, HALTED, UNINITIALIZED, INIT_RECEIVED, SIPI_RECEIVED]
        : [RUNNABLE, HALTED];
      if (!states.includes(mp_state))
        throw new KvmError(
          "EINVAL",
          `mp_state ${mp_state}: RUNNABLE, HALTED; with an irqchip also UNINITIALIZED, INIT_RECEIVED, SIPI_RECEIVED`,
        );
      vcpu.acceptEvents();
      vcpu.mpState = mp_state === SIPI_RECEIVED ? INIT_RECEIVED : mp_state;
      if (mp_state === SIPI_RECEIVED) vcpu.lapic.page.repeatStartup();
      return {};
    }),
  KVM_GET_LAPIC: ({ handle: { vm, vcpu } }) => {
    requireIrqchip(vm);
    return vcpu.whenIdle(() => ({ regs: vcpu.lapic.save() }));
  },
  KVM_SET_LAPIC: ({ handle: { vm, vcpu } }, { regs }) => {
    requireIrqchip(vm);
    if (regs.length !== LAPIC_REGS) throw new KvmError("EINVAL", `regs has ${LAPIC_REGS} bytes`);
    return vcpu.whenIdle(() => {
      vcpu.lapic.load(regs);
      return {};
    });
  },
  KVM_NMI: ({ handle: { vm, vcpu } }) => {
    requireIrqchip(vm);
    vcpu.lapic.page.postEvent(EVENT.nmi);
    return {};
  },
  KVM_GET_VCPU_EVENTS: ({ handle: { vcpu } }) => vcpu.whenIdle(() => getVcpuEvents(vcpu.lapic.page)),
  KVM_SET_VCPU_EVENTS: ({ handle: { vm, vcpu } }, events) =>
    vcpu.whenIdle(() => {
      setVcpuEvents(vcpu.lapic.page, vm.irqchip.mode, events);
      return {};
    }),
  KVM_SET_GUEST_DEBUG: ({ handle: { vcpu } }, { control, debugreg }) =>
    vcpu.whenIdle(() => {
      if (!setGuestDebug(vcpu.memory, vcpu.zone, control, debugreg))
        throw new KvmError("EINVAL", "control or debugreg: only steps, INT3 and execution breakpoints are built");
      // Set between an access in message mode and its completion, it holds from the next branch on: the engine has to look.
      vcpu.flushTlb();
      return {};
    }),
  KVM_INTERRUPT: ({ handle: { vm, vcpu } }, { irq }) => {
    if (vm.irqchip.whole) throw new KvmError("ENXIO", "interrupts come from the irqchip");
    return vcpu.whenIdle(() => {
      vcpu.inject(irq);
      return {};
    });
  },

  SPLITVM_KICK: ({ handle: { vcpu } }) => {
    vcpu.kick();
    return {};
  },
  SPLITVM_SET_ENGINE: ({ handle: { vcpu } }, { engine }) =>
    vcpu.whenIdle(() => {
      vcpu.engine = engine;
      return {};
    }),
  SPLITVM_SET_TRACE: ({ handle: { vcpu } }, { mask }) => {
    if (mask > 1) throw new KvmError("EINVAL", `mask ${mask}: only bit 0 (in_asm) exists`);
    vcpu.traceMask = mask;
    return {};
  },
};
