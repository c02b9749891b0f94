/**
 * How an interrupt message reaches local APICs: what the IOAPIC, an MSI and an IPI have in common.
 * Document: SDM volume 3, 11.11 (message signalled interrupts: format of address and data), 11.6.2 (destinations).
 * Left out: who implements it: the local APICs (lapic.ts and the files beside it).
 */

/** Delivery modes as ICR, redirection entries and MSI data encode them (bits 10..8). */
export const DELIVERY = { fixed: 0, lowestPriority: 1, smi: 2, nmi: 4, init: 5, startup: 6, extInt: 7 } as const;

export interface Delivery {
  /**
   * Sends to the APICs that `destination` names; true if one of them took it. Any thread may call it.
   * @param destination an APIC ID, or with `logical` a set of them; 8 bits in xAPIC form, 0xff for all.
   * @param mode one of DELIVERY; `extInt` is not routed by destination, and is ignored here.
   * @param level level-triggered: the vector's TMR bit is set, and its EOI is broadcast.
   */
  send(destination: number, logical: boolean, mode: number, vector: number, level: boolean): boolean;
  /** An MSI, as a device or KVM_SIGNAL_MSI writes it. */
  message(addressLow: number, addressHigh: number, data: number): boolean;
}
