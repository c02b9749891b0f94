/**
 * From the world to the interrupt controllers: the GSIs' levels and edges, gathered from the servers' mailboxes, from
 * KVM_IRQFD's events and from KVM_IRQ_LINE, brought through the GSI routes to pins of the 8259s and the IOAPIC or sent
 * as messages. The thread of vCPU 0 gathers; an EOI that is broadcast gathers first on its own thread.
 * The order is that of shared/mailbox.ts: the summary is exchanged before the bits are read.
 * The end of an interrupt at a controller ends a level that KVM_IRQFD's events hold (resamplers.ts); that is looked for only where
 * there are such.
 */
import { MAILBOX, MAILBOX_EVENTS, MAILBOX_GSIS } from "../../shared/mailbox.ts";
import { AREA_MAILBOX } from "../../shared/server-area.ts";
import {
  IRQCHIP_MODE,
  MAX_GSIS,
  MAX_SERVERS,
  NO_GSI,
  NO_PIN,
  RESAMPLED_TIE,
  serverAreaAt,
  VM_STATE,
} from "../vm/vm-state.ts";
import type { Delivery } from "./delivery.ts";
import type { IoApic } from "./ioapic.ts";
import { IrqchipLock } from "./lock.ts";
import type { Pic } from "./pic.ts";
import { Resamplers } from "./resamplers.ts";
import { Routes } from "./routing.ts";

const EVENT_WORDS = MAILBOX_EVENTS / 32;
const GSI_WORDS = MAILBOX_GSIS / 32;

export class Lines {
  readonly #words: Int32Array;
  readonly #irqfds: Uint16Array;
  readonly #pic: Pic;
  readonly #ioapic: IoApic | undefined;
  readonly #delivery: Delivery | undefined;
  readonly #routes: Routes;
  readonly #resamplers: Resamplers;
  /** Also for who drives the PIT, or the 8259s other than by the methods below. */
  readonly lock: IrqchipLock;
  /** By GSI, of the look under way. */
  readonly #levels = new Int32Array(GSI_WORDS);
  readonly #rises = new Int32Array(GSI_WORDS);
  /** By GSI: whose interrupts ended. */
  readonly #endedGsis = new Int32Array(GSI_WORDS);
  /** By pin, of the look under way. */
  #picLevels = 0;
  #picRises = 0;
  #ioapicLevels = 0;
  #ioapicRises = 0;

  /** Without an IOAPIC or a delivery, what leads there is dropped. */
  constructor(memory: WebAssembly.Memory, pic: Pic, ioapic?: IoApic, delivery?: Delivery) {
    this.#words = new Int32Array(memory.buffer);
    this.#irqfds = new Uint16Array(memory.buffer, VM_STATE.irqfds, MAX_SERVERS * MAILBOX_EVENTS);
    this.#pic = pic;
    this.#ioapic = ioapic;
    this.#delivery = delivery;
    this.#routes = new Routes(memory);
    this.#resamplers = new Resamplers(memory);
    this.lock = new IrqchipLock(memory);
    // Who drives the 8259s holds the lock.
    pic.onEnd = (pins) => {
      if (this.#resamplers.count !== 0) this.#ended(0, pins);
    };
  }

  /** Looks at every source and brings the controllers' inputs up to date, under the irqchip lock. Allocates nothing. */
  gather(): void {
    this.lock.take();
    this.#gather();
    this.lock.give();
  }

  /**
   * A local APIC's EOI of a vector, from any vCPU's thread; of an edge-triggered one only the resampled events hear. What a
   * device released before the EOI must not interrupt again, so the lines are looked at first.
   */
  eoi(vector: number, level: boolean): void {
    const ioapic = this.#ioapic;
    if (ioapic === undefined || (!level && this.#resamplers.count === 0)) return;
    this.lock.take();
    this.#gather();
    if (this.#resamplers.count !== 0) this.#ended(ioapic.pinsOf(vector), 0);
    if (level) ioapic.eoi(vector);
    this.lock.give();
  }

  /** Of a split irqchip: the user's IOAPIC waits for this vector's EOI. */
  handlesVector(vector: number): boolean {
    this.lock.take();
    const handled = this.#routes.handlesVector(vector, this.#words[VM_STATE.reservedRoutes >> 2]!);
    this.lock.give();
    return handled;
  }

  /** The processor's INTA cycles: the 8259s' vector. */
  acknowledge(): number {
    this.lock.take();
    const vector = this.#pic.acknowledge();
    this.lock.give();
    return vector;
  }

  /** The guest's access to the IOAPIC's registers, from any vCPU's thread. */
  readIoApic(offset: number, size: number): number {
    this.lock.take();
    const value = this.#ioapic?.read(offset, size) ?? 0;
    this.lock.give();
    return value;
  }

  writeIoApic(offset: number, size: number, value: number): void {
    this.lock.take();
    this.#gather(); // an entry that is unmasked sends what is high now
    this.#ioapic?.write(offset, size, value);
    this.lock.give();
  }

  /** A pulse on a GSI with lines, from inside kvm-core (the PIT): the next look delivers it. */
  pulse(gsi: number): void {
    Atomics.or(this.#words, (VM_STATE.lineRises >> 2) + (gsi >> 5), 1 << (gsi & 31));
  }

  #gather(): void {
    const words = this.#words;
    const [levels, rises] = [this.#levels, this.#rises];
    this.#picLevels = this.#picRises = this.#ioapicLevels = this.#ioapicRises = 0;
    for (let word = 0; word < GSI_WORDS; word++) {
      levels[word] = Atomics.load(words, (VM_STATE.lineLevels >> 2) + word) | this.#resamplers.levels(word);
      const rise = (VM_STATE.lineRises >> 2) + word;
      rises[word] = Atomics.load(words, rise) === 0 ? 0 : Atomics.exchange(words, rise, 0);
    }
    for (let server = 0; server < MAX_SERVERS; server++) this.#server(server);
    for (let word = 0; word < GSI_WORDS; word++) {
      let bits = levels[word]! | rises[word]!;
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits);
        bits &= ~(1 << bit);
        this.#route(32 * word + bit, ((levels[word]! >>> bit) & 1) !== 0, ((rises[word]! >>> bit) & 1) !== 0);
      }
    }
    if (this.#words[VM_STATE.irqchip >> 2] !== IRQCHIP_MODE.split) this.#toPins(); // there, all routes are messages
  }

  #server(server: number): void {
    const words = this.#words;
    if (Atomics.load(words, (VM_STATE.serverArea >> 2) + server) === 0) return;
    const mailbox = serverAreaAt(server) + AREA_MAILBOX;
    this.#levelsOf(server, mailbox);
    if (Atomics.exchange(words, (mailbox + MAILBOX.summary) >> 2, 0) === 0) return;
    for (let word = 0; word < GSI_WORDS; word++) {
      const granted = words[(VM_STATE.granted >> 2) + server * GSI_WORDS + word]!;
      this.#rises[word]! |= Atomics.exchange(words, ((mailbox + MAILBOX.rises) >> 2) + word, 0) & granted;
    }
    // Read again: a line that rose after the first look and before the exchange must not be lost.
    this.#levelsOf(server, mailbox);
    this.#events(server, mailbox);
  }

  #levelsOf(server: number, mailbox: number): void {
    const words = this.#words;
    for (let word = 0; word < GSI_WORDS; word++) {
      const granted = words[(VM_STATE.granted >> 2) + server * GSI_WORDS + word]!;
      this.#levels[word]! |= Atomics.load(words, ((mailbox + MAILBOX.levels) >> 2) + word) & granted;
    }
  }

  /** Events that were signalled: rises of the GSIs that they are tied to. */
  #events(server: number, mailbox: number): void {
    for (let word = 0; word < EVENT_WORDS; word++) {
      const index = ((mailbox + MAILBOX.edges) >> 2) + word;
      if (Atomics.load(this.#words, index) === 0) continue;
      let bits = Atomics.exchange(this.#words, index, 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits);
        bits &= ~(1 << bit);
        const gsi = this.#irqfds[server * MAILBOX_EVENTS + word * 32 + bit]!;
        if (gsi !== NO_GSI && gsi & RESAMPLED_TIE) this.#resampled(gsi & ~RESAMPLED_TIE);
        if (gsi >= MAX_GSIS) continue;
        if (gsi < MAILBOX_GSIS) this.#rises[gsi >> 5]! |= 1 << (gsi & 31);
        else this.#route(gsi, false, true);
      }
    }
  }

  /** A level-triggered event. A message has no level: it goes each time, as in Linux. */
  #resampled(gsi: number): void {
    const bit = 1 << (gsi & 31);
    if (this.#resamplers.raise(gsi) || this.#routes.isMessage(gsi)) this.#rises[gsi >> 5]! |= bit;
    this.#levels[gsi >> 5]! |= bit;
  }

  /** Interrupts ended at these pins: what their GSIs' events held falls before the servers hear of it. */
  #ended(ioapicPins: number, picPins: number): void {
    const gsis = this.#endedGsis;
    gsis.fill(0);
    for (let gsi = 0; gsi < MAILBOX_GSIS; gsi++) {
      const [ioapic, pic] = [this.#routes.ioapic(gsi), this.#routes.pic(gsi)];
      const ended = (ioapic !== NO_PIN && (ioapicPins >>> ioapic) & 1) || (pic !== NO_PIN && (picPins >>> pic) & 1);
      if (ended) gsis[gsi >> 5]! |= 1 << (gsi & 31);
    }
    if (!this.#resamplers.end(gsis)) return;
    this.#gather();
    this.#resamplers.tell(gsis);
  }

  /** Adds a GSI to its pins; a message goes at once, on a rise alone. */
  #route(gsi: number, level: boolean, rise: boolean): void {
    const routes = this.#routes;
    if (routes.isMessage(gsi)) {
      if (rise) this.#delivery?.message(routes.addressLow(gsi), routes.addressHigh(gsi), routes.data(gsi));
      return;
    }
    const pic = routes.pic(gsi);
    if (pic !== NO_PIN) {
      if (level) this.#picLevels |= 1 << pic;
      if (rise) this.#picRises |= 1 << pic;
    }
    const pin = routes.ioapic(gsi);
    if (pin !== NO_PIN) {
      if (level) this.#ioapicLevels |= 1 << pin;
      if (rise) this.#ioapicRises |= 1 << pin;
    }
  }

  #toPins(): void {
    this.#pic.setLines(this.#picLevels, this.#picRises);
    const ioapic = this.#ioapic;
    if (ioapic === undefined) return;
    let pins = this.#ioapicRises | this.#ioapicLevels | ioapic.inputs;
    while (pins !== 0) {
      const pin = 31 - Math.clz32(pins);
      pins &= ~(1 << pin);
      if (this.#ioapicRises & (1 << pin)) {
        ioapic.setPin(pin, false);
        ioapic.setPin(pin, true);
      }
      ioapic.setPin(pin, (this.#ioapicLevels & (1 << pin)) !== 0);
    }
  }
}
