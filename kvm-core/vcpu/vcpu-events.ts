/**
 * KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS: NMIs that wait or are blocked, the interrupt shadow, the start-up IPI's vector,
 * KVM_INTERRUPT's vector where the 8259s are the user's (Linux forgets it where the local APICs are not).
 * Document: KVM API document, KVM_GET_VCPU_EVENTS.
 * Left out: exceptions and NMIs in mid-delivery: the engine delivers each whole, so that none is ever found there.
 */
import { KvmError } from "../../shared/errno.ts";
import { KVM_VCPUEVENT_VALID, KVM_X86_SHADOW_INT, type KvmVcpuEvents } from "../../shared/vcpu-structs.ts";
import { CPU } from "../cpu/state.ts";
import { SHADOW } from "../engine/debug.ts";
import { EVENT, LAPIC, type LapicPage } from "../irqchip/lapic-page.ts";
import { controlAt, IRQCHIP_MODE } from "../vm/vm-state.ts";

const { NMI_PENDING, SIPI_VECTOR, SHADOW: SHADOW_VALID } = KVM_VCPUEVENT_VALID;
const ALL_VALID = NMI_PENDING | SIPI_VECTOR | SHADOW_VALID;

/** Of a vCPU at rest. Flags as Linux gives them: `sipi_vector` is only ever set. */
export function getVcpuEvents(page: LapicPage): KvmVcpuEvents {
  const { words, vcpu } = page;
  const injected = Atomics.load(words, controlAt(vcpu, "injected") >> 2);
  return {
    exception_injected: 0,
    exception_nr: 0,
    exception_has_error_code: 0,
    exception_error_code: 0,
    interrupt_injected: injected === 0 ? 0 : 1,
    interrupt_nr: injected === 0 ? 0 : injected - 1,
    interrupt_soft: 0,
    interrupt_shadow: shadowOf(page),
    nmi_injected: 0,
    nmi_pending: page.get(LAPIC.events) & EVENT.nmi ? 1 : 0,
    nmi_masked: words[(page.zone + CPU.nmiBlocked) >> 2] === 0 ? 0 : 1,
    sipi_vector: 0,
    flags: NMI_PENDING | SHADOW_VALID,
  };
}

/** EINVAL: flags, what can only be in mid-delivery, an NMI that waits or an interrupt that something else delivers. */
export function setVcpuEvents(page: LapicPage, mode: number, events: KvmVcpuEvents): void {
  const { words, vcpu, zone } = page;
  const [irqchip, pics] = [mode !== IRQCHIP_MODE.none, mode === IRQCHIP_MODE.kernel];
  const { flags, interrupt_injected, interrupt_nr } = events;
  if (flags & ~ALL_VALID) throw new KvmError("EINVAL", `flags ${flags}`);
  if (events.exception_injected || events.nmi_injected || events.interrupt_soft)
    throw new KvmError("EINVAL", "exceptions, NMIs and software interrupts are delivered whole: none can be injected");
  if (interrupt_injected && pics) throw new KvmError("EINVAL", "interrupts come from the irqchip");
  if (flags & NMI_PENDING && events.nmi_pending && !irqchip) throw new KvmError("EINVAL", "NMIs need an irqchip");
  if (flags & SHADOW_VALID && events.interrupt_shadow > KVM_X86_SHADOW_INT.STI)
    throw new KvmError("EINVAL", `interrupt_shadow ${events.interrupt_shadow}: MOV_SS or STI`);
  if (!pics) Atomics.store(words, controlAt(vcpu, "injected") >> 2, interrupt_injected ? interrupt_nr + 1 : 0);
  words[(zone + CPU.nmiBlocked) >> 2] = events.nmi_masked ? 1 : 0;
  if (flags & SHADOW_VALID) {
    const { interrupt_shadow: shadow } = events;
    words[(zone + CPU.shadow) >> 2] =
      shadow === KVM_X86_SHADOW_INT.STI ? SHADOW.sti : shadow === KVM_X86_SHADOW_INT.MOV_SS ? SHADOW.movSs : 0;
    for (const half of [0, 4]) words[(zone + CPU.shadowRip + half) >> 2] = words[(zone + CPU.rip + half) >> 2]!;
  }
  if (flags & NMI_PENDING) {
    if (events.nmi_pending) page.postEvent(EVENT.nmi);
    else page.takeEvents(EVENT.nmi);
  }
  if (flags & SIPI_VECTOR && irqchip) page.setStartupVector(events.sipi_vector & 0xff);
}

/** 0 unless RIP is still where the shadow was cast. */
function shadowOf({ words, zone }: LapicPage): number {
  const same = (half: number) => words[(zone + CPU.shadowRip + half) >> 2] === words[(zone + CPU.rip + half) >> 2];
  const shadow = words[(zone + CPU.shadow) >> 2]!;
  if (shadow === 0 || !same(0) || !same(4)) return 0;
  return shadow === SHADOW.sti ? KVM_X86_SHADOW_INT.STI : KVM_X86_SHADOW_INT.MOV_SS;
}
