/**
 * GSI routing: where each GSI leads, to pins of the 8259s and the IOAPIC or to a message (MSI).
 * Spec: KVM API document, KVM_SET_GSI_ROUTING; the default is in shared/irq-routes.ts.
 * The table lies in VM state; it is read and written under the irqchip lock (lock.ts), `routeVersion` counts the changes.
 * Left out: adapter and Hyper-V SynIC routes; a GSI on pins of both 8259s at once.
 */
import { KvmError } from "../../shared/errno.ts";
import { KVM_IRQ_ROUTING, type KvmIrqRoutingEntry } from "../../shared/ioctls.ts";
import { DEFAULT_ROUTES, IOAPIC_PINS, IRQCHIP, PIC_PINS } from "../../shared/irq-routes.ts";
import { MAX_GSIS, NO_PIN, ROUTE_ROW, VM_STATE } from "../vm/vm-state.ts";

/** An MSI's data: level-triggered. */
const MSI_LEVEL = 0x8000;
export class Routes {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #version: Int32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#bytes = new Uint8Array(memory.buffer, VM_STATE.routes, MAX_GSIS * ROUTE_ROW.size);
    this.#words = new Int32Array(memory.buffer, VM_STATE.routes, (MAX_GSIS * ROUTE_ROW.size) >> 2);
    this.#version = new Int32Array(memory.buffer, VM_STATE.routeVersion, 1);
  }

  /** KVM_CREATE_IRQCHIP. */
  reset(): void {
    this.set(DEFAULT_ROUTES);
  }

  /** Input of the 8259s (0 to 15), or NO_PIN. */
  pic(gsi: number): number {
    return this.#bytes[gsi * ROUTE_ROW.size + ROUTE_ROW.pic]!;
  }

  /** Input of the IOAPIC, or NO_PIN. */
  ioapic(gsi: number): number {
    return this.#bytes[gsi * ROUTE_ROW.size + ROUTE_ROW.ioapic]!;
  }

  isMessage(gsi: number): boolean {
    return this.#bytes[gsi * ROUTE_ROW.size + ROUTE_ROW.msi] === 1;
  }

  addressLow(gsi: number): number {
    return this.#words[(gsi * ROUTE_ROW.size + ROUTE_ROW.addressLow) >> 2]! >>> 0;
  }

  addressHigh(gsi: number): number {
    return this.#words[(gsi * ROUTE_ROW.size + ROUTE_ROW.addressHigh) >> 2]! >>> 0;
  }

  data(gsi: number): number {
    return this.#words[(gsi * ROUTE_ROW.size + ROUTE_ROW.data) >> 2]! >>> 0;
  }

  /** KVM_CAP_SPLIT_IRQCHIP: nothing leads anywhere yet. */
  clear(): void {
    this.#change(() => {});
  }

  /** One of the first `count` GSIs is a level-triggered message of this vector: its EOI is the user's IOAPIC's. */
  handlesVector(vector: number, count: number): boolean {
    for (let gsi = 0; gsi < count; gsi++) {
      if (!this.isMessage(gsi)) continue;
      const data = this.data(gsi);
      if ((data & 0xff) === vector && (data & MSI_LEVEL) !== 0) return true;
    }
    return false;
  }

  /** KVM_SET_GSI_ROUTING after validateRoutes(): this is the whole table; a GSI without an entry leads nowhere. */
  set(entries: readonly KvmIrqRoutingEntry[]): void {
    this.#change(() => {
      for (const entry of entries) {
        if (entry.type === KVM_IRQ_ROUTING.MSI) {
          const row = (entry.gsi * ROUTE_ROW.size) >> 2;
          this.#setByte(entry.gsi, ROUTE_ROW.msi, 1);
          this.#words[row + (ROUTE_ROW.addressLow >> 2)] = entry.address_lo;
          this.#words[row + (ROUTE_ROW.addressHigh >> 2)] = entry.address_hi;
          this.#words[row + (ROUTE_ROW.data >> 2)] = entry.data;
        } else if (entry.irqchip === IRQCHIP.ioapic) {
          this.#setByte(entry.gsi, ROUTE_ROW.ioapic, entry.pin);
        } else {
          this.#setByte(entry.gsi, ROUTE_ROW.pic, entry.irqchip * PIC_PINS + entry.pin);
        }
      }
    });
  }

  /** Empties the table and fills it anew; the version is odd meanwhile. */
  #change(fill: () => void): void {
    Atomics.add(this.#version, 0, 1);
    this.#bytes.fill(0);
    for (let gsi = 0; gsi < MAX_GSIS; gsi++) {
      this.#setByte(gsi, ROUTE_ROW.pic, NO_PIN);
      this.#setByte(gsi, ROUTE_ROW.ioapic, NO_PIN);
    }
    fill();
    Atomics.add(this.#version, 0, 1);
  }

  #setByte(gsi: number, field: number, value: number): void {
    this.#bytes[gsi * ROUTE_ROW.size + field] = value;
  }
}

/**
 * Checks a whole routing table; without `chips` (a split irqchip) it can have messages only.
 * EINVAL: a type, chip or pin that there is none of, flags, a GSI of MAX_GSIS or more, or
 * a GSI with two entries that exclude each other: a message goes alone, and a kind of chip comes once.
 */
export function validateRoutes(entries: readonly KvmIrqRoutingEntry[], chips: boolean): void {
  const MESSAGE = 4;
  const kinds = new Uint8Array(MAX_GSIS);
  for (const { gsi, type, flags, irqchip, pin } of entries) {
    const refuse = (what: string) => {
      throw new KvmError("EINVAL", `the route of GSI ${gsi}: ${what}`);
    };
    if (gsi >= MAX_GSIS) refuse(`GSIs are below ${MAX_GSIS}`);
    if (flags !== 0) refuse(`flags ${flags}`);
    let kind = MESSAGE;
    if (type === KVM_IRQ_ROUTING.IRQCHIP) {
      if (!chips) refuse("8259s and IOAPIC are the user's");
      if (irqchip > IRQCHIP.ioapic) refuse(`there is no irqchip ${irqchip}`);
      const pins = irqchip === IRQCHIP.ioapic ? IOAPIC_PINS : PIC_PINS;
      if (pin >= pins) refuse(`irqchip ${irqchip} has pins 0 to ${pins - 1}`);
      kind = irqchip === IRQCHIP.ioapic ? 2 : 1;
    } else if (type !== KVM_IRQ_ROUTING.MSI) {
      refuse(`type ${type} is not built`);
    }
    const before = kinds[gsi]!;
    if (before & kind || (before !== 0 && (before | kind) & MESSAGE)) refuse("two entries exclude each other");
    kinds[gsi] = before | kind;
  }
}
