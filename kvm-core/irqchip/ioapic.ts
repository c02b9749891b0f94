/**
 * The IOAPIC of a PC at 0xfec00000: 24 inputs, each with an entry of the redirection table.
 * Spec: Intel 82093AA data sheet (290566), chapter 3; version, access sizes and state as KVM has them.
 * State lies in VM state and is touched under the irqchip lock (lock.ts); Lines is the way in for other threads' EOIs.
 * As in KVM an edge on a masked pin is noted in IRR while the line is high, but unmasking does not deliver it (data
 * sheet, "Interrupt Mask"); the polarity bit is stored, inputs are logical levels; delivery status is always idle.
 * Left out: the EOI register (version 0x20), directed EOI, the APIC bus and its arbitration.
 */
import type { KvmIoApicState } from "../../shared/ioctls.ts";
import { IOAPIC_PINS } from "../../shared/irq-routes.ts";
import { layout } from "../../shared/layout.ts";
import { VM_STATE } from "../vm/vm-state.ts";
import type { Delivery } from "./delivery.ts";

export const IOAPIC_BASE = 0xfec0_0000;
/** Bytes that the chip answers, as in KVM. */
export const IOAPIC_LENGTH = 0x100;
const VERSION = 0x11;

const STATE = layout({
  select: "u32",
  id: "u32",
  /** Inputs that are high; of edge-triggered ones, too. */
  irr: "u32",
  /** Edge-triggered inputs of `irr` whose interrupt was sent. */
  delivered: "u32",
  entries: ["u32", 2 * IOAPIC_PINS],
});

const IOREGSEL = 0x00;
const IOWIN = 0x10;
const REG_ID = 0x00;
const REG_VERSION = 0x01;
const REG_ARBITRATION = 0x02;
const REG_TABLE = 0x10;

/** A redirection entry's low half. */
const LOGICAL = 1 << 11;
const STATUS = 1 << 12;
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const LOW_BITS = 0x1_ffff;
const HIGH_BITS = 0xff00_0000;

export class IoApic {
  readonly #state: Int32Array;
  readonly #delivery: Delivery;

  constructor(memory: WebAssembly.Memory, delivery: Delivery) {
    this.#state = new Int32Array(memory.buffer, VM_STATE.ioapic, STATE.size >> 2);
    this.#delivery = delivery;
  }

  /** Power-on state: every entry masked. */
  reset(): void {
    this.#state.fill(0);
    for (let pin = 0; pin < IOAPIC_PINS; pin++) this.#setLow(pin, MASKED);
  }

  static owns(gpa: number): boolean {
    return gpa >= IOAPIC_BASE && gpa < IOAPIC_BASE + IOAPIC_LENGTH;
  }

  /** The inputs that were high when they were last set. */
  get inputs(): number {
    return this.#get("irr");
  }

  /** Sets an input. An edge-triggered one sends on a rise, a level-triggered one while it is high and not in service. */
  setPin(pin: number, level: boolean): void {
    const bit = 1 << pin;
    const irr = this.#get("irr");
    if (!level) {
      this.#set("irr", irr & ~bit);
      return;
    }
    this.#set("irr", irr | bit);
    if ((this.#low(pin) & LEVEL) === 0) {
      if (irr & bit) return;
      this.#set("delivered", this.#get("delivered") & ~bit);
    }
    this.#send(pin);
  }

  /** A local APIC's EOI of a level-triggered vector: entries with it are out of service, and sent again if still high. */
  eoi(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.#low(pin);
      if ((low & 0xff) !== vector || (low & LEVEL) === 0) continue;
      this.#setLow(pin, low & ~REMOTE_IRR);
      if (this.#get("irr") & (1 << pin)) this.#send(pin);
    }
  }

  /** The inputs whose entries have this vector, as bits. */
  pinsOf(vector: number): number {
    let pins = 0;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) if ((this.#low(pin) & 0xff) === vector) pins |= 1 << pin;
    return pins;
  }

  /** `size` 1, 2, 4 or 8: the low bytes of the register, as KVM answers; a register has 32 bits. */
  read(offset: number, size: number): number {
    const value = offset === IOREGSEL ? this.#get("select") : offset === IOWIN ? this.#readSelected() : 0;
    return (size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value) >>> 0;
  }

  /** A narrow write writes zeros to the register's other bytes, as in KVM; of a wide one the low half counts. */
  write(offset: number, size: number, value: number): void {
    const data = size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value | 0;
    if (offset === IOREGSEL) this.#set("select", data & 0xff);
    else if (offset === IOWIN) this.#writeSelected(data);
  }

  /** KVM_GET_IRQCHIP: struct kvm_ioapic_state. */
  save(): KvmIoApicState {
    const redirtbl: bigint[] = [];
    for (let pin = 0; pin < IOAPIC_PINS; pin++)
      redirtbl.push((BigInt(this.#high(pin) >>> 0) << 32n) | BigInt(this.#low(pin) >>> 0));
    return {
      base_address: BigInt(IOAPIC_BASE),
      ioregsel: this.#get("select"),
      id: this.#get("id"),
      irr: (this.#get("irr") & ~this.#get("delivered")) >>> 0,
      redirtbl,
    };
  }

  /** KVM_SET_IRQCHIP. Bits that the chip cannot have are dropped; what `irr` names is a rise, as in KVM. */
  load(state: KvmIoApicState): void {
    this.#set("select", state.ioregsel & 0xff);
    this.#set("id", state.id & 0xf);
    this.#set("irr", 0);
    this.#set("delivered", 0);
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const entry = state.redirtbl[pin]!;
      const low = Number(entry & BigInt(LOW_BITS & ~STATUS));
      this.#setLow(pin, low & LEVEL ? low : low & ~REMOTE_IRR);
      this.#setHigh(pin, Number(entry >> 32n) & HIGH_BITS);
    }
    for (let pin = 0; pin < IOAPIC_PINS; pin++) if (state.irr & (1 << pin)) this.setPin(pin, true);
  }

  #readSelected(): number {
    const register = this.#get("select");
    switch (register) {
      case REG_ID:
      case REG_ARBITRATION:
        return this.#get("id") << 24;
      case REG_VERSION:
        return ((IOAPIC_PINS - 1) << 16) | VERSION;
      default: {
        const pin = (register - REG_TABLE) >> 1;
        if (pin < 0 || pin >= IOAPIC_PINS) return 0;
        return register & 1 ? this.#high(pin) : this.#low(pin);
      }
    }
  }

  #writeSelected(value: number): void {
    const register = this.#get("select");
    if (register === REG_ID) this.#set("id", (value >>> 24) & 0xf);
    const pin = (register - REG_TABLE) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if (register & 1) {
      this.#setHigh(pin, value & HIGH_BITS);
    } else {
      // Remote IRR is read-only, but systems rely on it being cleared when the entry is made edge-triggered.
      const remote = value & LEVEL ? this.#low(pin) & REMOTE_IRR : 0;
      this.#setLow(pin, (value & LOW_BITS & ~(STATUS | REMOTE_IRR)) | remote);
    }
    if (this.#low(pin) & LEVEL && this.#get("irr") & (1 << pin)) this.#send(pin);
  }

  #send(pin: number): void {
    const low = this.#low(pin);
    if (low & MASKED || (low & LEVEL && low & REMOTE_IRR)) return;
    const level = (low & LEVEL) !== 0;
    if (!level) this.#set("delivered", this.#get("delivered") | (1 << pin));
    const destination = this.#high(pin) >>> 24;
    const took = this.#delivery.send(destination, (low & LOGICAL) !== 0, (low >> 8) & 7, low & 0xff, level);
    if (took && level) this.#setLow(pin, low | REMOTE_IRR);
  }

  #get(field: "select" | "id" | "irr" | "delivered"): number {
    return this.#state[STATE[field] >> 2]!;
  }

  #set(field: "select" | "id" | "irr" | "delivered", value: number): void {
    this.#state[STATE[field] >> 2] = value;
  }

  #low(pin: number): number {
    return this.#state[(STATE.entries >> 2) + 2 * pin]!;
  }

  #high(pin: number): number {
    return this.#state[(STATE.entries >> 2) + 2 * pin + 1]!;
  }

  #setLow(pin: number, value: number): void {
    this.#state[(STATE.entries >> 2) + 2 * pin] = value;
  }

  #setHigh(pin: number, value: number): void {
    this.#state[(STATE.entries >> 2) + 2 * pin + 1] = value;
  }
}
