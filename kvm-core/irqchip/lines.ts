/**
 * From the world to the 8259s: the GSIs' levels and edges, gathered from the servers' mailboxes, from KVM_IRQFD's
 * events and from KVM_IRQ_LINE, and handed to the interrupt controllers by the thread of vCPU 0.
 * The order is that of shared/mailbox.ts: the summary is exchanged before the bits are read.
 * Leaves out: IOAPIC pins and MSI.
 */
import { MAILBOX, MAILBOX_EVENTS, MAILBOX_GSIS } from "../../shared/mailbox.ts";
import { AREA_MAILBOX } from "../../shared/server-area.ts";
import { MAX_SERVERS, NO_GSI, serverAreaAt, VM_STATE } from "../vm/vm-state.ts";
import type { Pic } from "./pic.ts";

/** GSIs that are the 8259s' inputs. */
const PIC_GSIS = 16;
const EVENT_WORDS = MAILBOX_EVENTS / 32;
const GSI_WORDS = MAILBOX_GSIS / 32;

export class Lines {
  readonly #words: Int32Array;
  readonly #irqfds: Uint16Array;
  readonly #pic: Pic;

  constructor(memory: WebAssembly.Memory, pic: Pic) {
    this.#words = new Int32Array(memory.buffer);
    this.#irqfds = new Uint16Array(memory.buffer, VM_STATE.irqfds, MAX_SERVERS * MAILBOX_EVENTS);
    this.#pic = pic;
  }

  /** Looks at every source and brings the controllers' inputs up to date. Allocates nothing. */
  gather(): void {
    const words = this.#words;
    let levels = Atomics.load(words, VM_STATE.lineLevels >> 2);
    let rises = Atomics.exchange(words, VM_STATE.lineRises >> 2, 0);
    let pulses = 0;
    for (let server = 0; server < MAX_SERVERS; server++) {
      if (Atomics.load(words, (VM_STATE.serverArea >> 2) + server) === 0) continue;
      const mailbox = serverAreaAt(server) + AREA_MAILBOX;
      const granted = words[(VM_STATE.granted >> 2) + server * GSI_WORDS]!;
      levels |= Atomics.load(words, (mailbox + MAILBOX.levels) >> 2) & granted;
      if (Atomics.exchange(words, (mailbox + MAILBOX.summary) >> 2, 0) === 0) continue;
      rises |= Atomics.exchange(words, (mailbox + MAILBOX.rises) >> 2, 0) & granted;
      // Read again: a line that rose after the first look and before the exchange must not be lost.
      levels |= Atomics.load(words, (mailbox + MAILBOX.levels) >> 2) & granted;
      pulses |= this.#events(server, mailbox);
    }
    for (let gsi = 0; gsi < PIC_GSIS; gsi++) {
      const bit = 1 << gsi;
      if ((rises | pulses) & bit) {
        this.#pic.setLine(gsi, false);
        this.#pic.setLine(gsi, true);
      }
      this.#pic.setLine(gsi, (levels & bit) !== 0);
    }
  }

  /** The GSIs (as bits) whose events were signalled. */
  #events(server: number, mailbox: number): number {
    let gsis = 0;
    for (let word = 0; word < EVENT_WORDS; word++) {
      const index = ((mailbox + MAILBOX.edges) >> 2) + word;
      if (Atomics.load(this.#words, index) === 0) continue;
      let bits = Atomics.exchange(this.#words, index, 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits);
        bits &= ~(1 << bit);
        const gsi = this.#irqfds[server * MAILBOX_EVENTS + word * 32 + bit]!;
        if (gsi !== NO_GSI && gsi < PIC_GSIS) gsis |= 1 << gsi;
      }
    }
    return gsis;
  }
}
