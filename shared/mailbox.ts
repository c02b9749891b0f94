/**
 * Interrupts without a message: the mailbox of a device server, and the KICK page of a vCPU.
 * Order at the device: DMA stores, then the bit (edge or level), then `summary`, then the kick. The vCPU exchanges
 * the kick first, then `summary`, then reads the bits, so a bit is never left behind.
 * An edge bit is an event that KVM_IRQFD tied to a GSI; a level bit is the GSI itself, set while this server asserts it.
 * A line that fell and rose again between two looks must still count as an edge, so `rises` notes every rise.
 * The other way, kvm-core tells a server that the interrupt of a level-triggered event ended (KVM_IRQFD_FLAG_RESAMPLE): bit, then
 * `resampleSummary`, then the doorbell. The server exchanges the summary, then the bits, and raises the event again if its device
 * still asks; the bit's number is the one that KVM_IRQFD was given, where Linux has a resamplefd.
 * A server can only reach what was granted to it: kvm-core masks both with private tables.
 * Leaves out: where a GSI leads (KVM_SET_GSI_ROUTING), and messages that have no GSI (KVM_SIGNAL_MSI).
 */
import { layout } from "./layout.ts";
import { futexWake } from "./native.ts";
import { AREA, AREA_MAILBOX } from "./server-area.ts";

/** Events (KVM_IRQFD) of a server. */
export const MAILBOX_EVENTS = 1024;
/** Interrupt lines a mailbox can carry; the two 8259s have sixteen of them. */
export const MAILBOX_GSIS = 64;

export const MAILBOX = layout({
  summary: { at: 0, of: "u32" },
  edges: { at: 64, of: ["u32", MAILBOX_EVENTS / 32] },
  levels: { at: 64 + MAILBOX_EVENTS / 8, of: ["u32", MAILBOX_GSIS / 32] },
  rises: ["u32", MAILBOX_GSIS / 32],
  resampleSummary: { at: 256, of: "u32" },
  resamples: ["u32", MAILBOX_EVENTS / 32],
});

/** KICK page: one word. Bit 0: look at the mailboxes; bit 1: the vCPU sleeps on this word. */
export const KICKED = 1;
export const KICK_SLEEPING = 2;

/** Makes the vCPU whose KICK word is words[index] look, and wakes it if it sleeps. Any thread of any process that maps it. */
export function kick(words: Int32Array, index: number): void {
  if (Atomics.or(words, index, KICKED) & KICK_SLEEPING) futexWake(words, index, 1);
}

/** kvm-core's end of resampling: tells the server whose area lies at byte `area`. */
export function postResample(words: Int32Array, area: number, event: number): void {
  const mailbox = area + AREA_MAILBOX;
  Atomics.or(words, ((mailbox + MAILBOX.resamples) >>> 2) + (event >> 5), 1 << (event & 31));
  Atomics.or(words, (mailbox + MAILBOX.resampleSummary) >>> 2, 1);
  const doorbell = (area + AREA.doorbell) >>> 2;
  if (Atomics.add(words, doorbell, 2) & 1) futexWake(words, doorbell, 1);
}

/** A server's end: raises events and lines and kicks the vCPU that takes interrupts. */
export class Mailbox {
  readonly #words: Int32Array;
  readonly #summary: number;
  readonly #edges: number;
  readonly #levels: number;
  readonly #rises: number;
  readonly #resampleSummary: number;
  readonly #resamples: number;
  readonly #kick: Int32Array;
  readonly #kickIndex: number;

  /** `area` is the server area's byte offset in `buffer`, `kickAt` the KICK page's in `kickBuffer`. */
  constructor(buffer: ArrayBufferLike, area: number, kickBuffer: ArrayBufferLike, kickAt: number) {
    this.#words = new Int32Array(buffer);
    this.#summary = (area + AREA_MAILBOX + MAILBOX.summary) >>> 2;
    this.#edges = (area + AREA_MAILBOX + MAILBOX.edges) >>> 2;
    this.#levels = (area + AREA_MAILBOX + MAILBOX.levels) >>> 2;
    this.#rises = (area + AREA_MAILBOX + MAILBOX.rises) >>> 2;
    this.#resampleSummary = (area + AREA_MAILBOX + MAILBOX.resampleSummary) >>> 2;
    this.#resamples = (area + AREA_MAILBOX + MAILBOX.resamples) >>> 2;
    this.#kick = new Int32Array(kickBuffer);
    this.#kickIndex = kickAt >>> 2;
  }

  /** An edge on the GSI that KVM_IRQFD tied to `event`. */
  signal(event: number): void {
    Atomics.or(this.#words, this.#edges + (event >> 5), 1 << (event & 31));
    this.#ring();
  }

  /** Asserts or releases this server's part of a GSI's level. */
  setLevel(gsi: number, level: boolean): void {
    const word = this.#levels + (gsi >> 5);
    const bit = 1 << (gsi & 31);
    const before = level ? Atomics.or(this.#words, word, bit) : Atomics.and(this.#words, word, ~bit);
    if (((before & bit) !== 0) === level) return;
    if (level) Atomics.or(this.#words, this.#rises + (gsi >> 5), bit);
    this.#ring();
  }

  /** Calls `each` with the resample events that came since the last call: what a server does when its doorbell rang. */
  takeResamples(each: (event: number) => void): void {
    if (Atomics.load(this.#words, this.#resampleSummary) === 0) return;
    Atomics.exchange(this.#words, this.#resampleSummary, 0);
    for (let word = 0; word < MAILBOX_EVENTS / 32; word++) {
      let bits = Atomics.exchange(this.#words, this.#resamples + word, 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits);
        bits &= ~(1 << bit);
        each(32 * word + bit);
      }
    }
  }

  #ring(): void {
    Atomics.or(this.#words, this.#summary, 1);
    kick(this.#kick, this.#kickIndex);
  }
}
