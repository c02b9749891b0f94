/**
 * Whom an interrupt message reaches: IPIs, IOAPIC entries and MSIs against all local APICs of a VM. Any thread may send:
 * what it leaves in a target's page is taken by that vCPU's thread.
 * Document: SDM volume 3, 11.6.2 (destinations), 11.6.2.4 (lowest priority), 11.11 (MSI), 11.12.10 (x2APIC).
 * As in KVM, lowest priority takes the target whose task priority is lowest, of equals the lowest number.
 * Left out: SMI; interrupt remapping.
 */
import { MAX_VCPUS } from "../../shared/server-area.ts";
import { CPU } from "../cpu/state.ts";
import { DELIVERY, type Delivery } from "./delivery.ts";
import { EVENT, LapicPage, REG } from "./lapic-page.ts";

const BROADCAST = 0xff;
const BROADCAST_X2APIC = 0xffff_ffff;
const FLAT = 0xf;
/** 31..20 of an MSI's address. */
const MSI_ADDRESS = 0xfee;

export class LapicDelivery implements Delivery {
  readonly #pages: readonly LapicPage[];

  constructor(memory: WebAssembly.Memory) {
    this.#pages = Array.from({ length: MAX_VCPUS }, (_, vcpu) => new LapicPage(memory, vcpu));
  }

  send(destination: number, logical: boolean, mode: number, vector: number, level: boolean): boolean {
    return this.ipi(destination & 0xff, logical, false, mode, vector, level);
  }

  message(addressLow: number, _addressHigh: number, data: number): boolean {
    if (addressLow >>> 20 !== MSI_ADDRESS) return false;
    const level = (data & 0x8000) !== 0;
    return this.send((addressLow >>> 12) & 0xff, (addressLow & 4) !== 0, (data >> 8) & 7, data & 0xff, level);
  }

  /** As send(); `wide`: the destination has 32 bits, as an ICR has it in x2APIC mode. */
  ipi(destination: number, logical: boolean, wide: boolean, mode: number, vector: number, level: boolean): boolean {
    const all = destination >>> 0 === (wide ? BROADCAST_X2APIC : BROADCAST);
    let taken = false;
    let lowest: LapicPage | undefined;
    for (const page of this.#pages) {
      if (!page.present) continue;
      if (!(all || (logical ? matchesLogical(page, destination) : matchesPhysical(page, destination)))) continue;
      if (mode !== DELIVERY.lowestPriority) taken = this.#give(page, mode, vector, level) || taken;
      else if (page.accepts && (lowest === undefined || taskPriority(page) < taskPriority(lowest))) lowest = page;
    }
    return lowest === undefined ? taken : this.#give(lowest, DELIVERY.fixed, vector, level);
  }

  /** The ICR's shorthands: all of them, or (`except` a vCPU) the others. */
  sendAll(except: number, mode: number, vector: number): void {
    for (const page of this.#pages) if (page.present && page.vcpu !== except) this.#give(page, mode, vector, false);
  }

  #give(page: LapicPage, mode: number, vector: number, level: boolean): boolean {
    switch (mode) {
      case DELIVERY.fixed:
      case DELIVERY.lowestPriority:
        if (!page.accepts || vector < 16) return false;
        page.post(vector, level);
        return true;
      case DELIVERY.nmi:
        if (!page.enabled) return false;
        page.postEvent(EVENT.nmi);
        return true;
      case DELIVERY.init:
        page.postEvent(EVENT.init);
        return true;
      case DELIVERY.startup:
        page.postEvent(EVENT.startup, vector);
        return true;
      default:
        return false;
    }
  }
}

function taskPriority(page: LapicPage): number {
  return page.words[(page.zone + CPU.cr8) >> 2]!;
}

function matchesPhysical(page: LapicPage, destination: number): boolean {
  const id = page.get(REG.id);
  return destination === (page.x2apic ? id : id >>> 24);
}

function matchesLogical(page: LapicPage, destination: number): boolean {
  const ldr = page.get(REG.ldr);
  if (page.x2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
  const id = ldr >>> 24;
  if (page.get(REG.dfr) >>> 28 === FLAT) return (id & destination) !== 0;
  return id >> 4 === destination >> 4 && (id & destination & 0xf) !== 0;
}
