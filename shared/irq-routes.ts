/**
 * Where GSIs lead on a PC: the numbers of the chips, and the table that is in force from KVM_CREATE_IRQCHIP on.
 * Spec: KVM API document, KVM_SET_GSI_ROUTING; the table is what QEMU sets for a PC (hw/i386/kvm, kvm_pc_setup_irq_routing).
 * Left out: messages. A client that adds them with KVM_SET_GSI_ROUTING, which replaces the whole table, keeps these rows.
 */
import { KVM_IRQ_ROUTING, type KvmIrqRoutingEntry } from "./ioctls.ts";

/** Numbers of the chips: KVM_IRQCHIP_PIC_MASTER, PIC_SLAVE, IOAPIC. */
export const IRQCHIP = { picMaster: 0, picSlave: 1, ioapic: 2 } as const;
export const PIC_PINS = 8;
export const IOAPIC_PINS = 24;
/** The 8259s' cascade input, which is no GSI; GSI 0 takes its pin of the IOAPIC. */
const CASCADE = 2;

/** GSI n to input n of the 8259s and of the IOAPIC; 0 to IOAPIC pin 2; 2 nowhere. */
export const DEFAULT_ROUTES: readonly KvmIrqRoutingEntry[] = Array.from({ length: IOAPIC_PINS }, (_, gsi) => {
  const to = (irqchip: number, pin: number): KvmIrqRoutingEntry => ({
    ...{ gsi, type: KVM_IRQ_ROUTING.IRQCHIP, flags: 0, irqchip, pin },
    ...{ address_lo: 0, address_hi: 0, data: 0 },
  });
  if (gsi === CASCADE) return [];
  const ioapic = to(IRQCHIP.ioapic, gsi === 0 ? CASCADE : gsi);
  if (gsi >= 2 * PIC_PINS) return [ioapic];
  return [to(gsi < PIC_PINS ? IRQCHIP.picMaster : IRQCHIP.picSlave, gsi % PIC_PINS), ioapic];
}).flat();
