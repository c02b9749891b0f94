/**
 * How message-signalled interrupts leave the device thread. In page mode a vector is an event of the mailbox, which
 * kvm-core turns into the message through KVM_IRQFD and a GSI route that the main thread sets up; in message mode, and
 * where kvm-core refused the route, the message goes to the main thread, which does KVM_SIGNAL_MSI.
 * Leaves out: masks and pending bits (pci/msix.ts), the requests (kvm/msi-routes.ts).
 *
 * While a route is under way an interrupt is owed, and sent when the main thread has confirmed the route, so that none
 * is lost and none goes by an old route. At most one route of a vector is under way, whatever the guest writes.
 */
import { CAPABILITIES } from "../../shared/capabilities.ts";
import { MAILBOX_EVENTS, MAILBOX_GSIS, type Mailbox } from "../../shared/mailbox.ts";
import type { MsiSender, MsiVector } from "../bus/interfaces.ts";
import type { FromDevice, MsiMessage } from "./messages.ts";

type Post = (message: Extract<FromDevice, { kind: "msi" | "msi-route" }>) => void;

/** Vector n is event n and this GSI and n: those below can be a mailbox's lines. */
const FIRST_GSI = MAILBOX_GSIS;
const MAX_VECTORS = Math.min(MAILBOX_EVENTS, CAPABILITIES.KVM_CAP_IRQ_ROUTING.value - FIRST_GSI);

/** Message mode: the main thread has the message before the answer of the access that caused it. */
export class PostedMsi implements MsiSender {
  readonly #post: Post;

  constructor(post: Post) {
    this.#post = post;
  }

  vector(): MsiVector {
    let message: MsiMessage = { addressLow: 0, addressHigh: 0, data: 0 };
    return {
      set: (addressLow, addressHigh, data) => {
        message = { addressLow, addressHigh, data };
      },
      send: () => this.#post({ kind: "msi", message }),
      withdraw: () => false,
    };
  }
}

/** Page mode. */
export class RoutedMsi implements MsiSender {
  readonly #mailbox: Pick<Mailbox, "signal">;
  readonly #post: Post;
  readonly #vectors: RoutedVector[] = [];

  constructor(mailbox: Pick<Mailbox, "signal">, post: Post) {
    this.#mailbox = mailbox;
    this.#post = post;
  }

  /** Throws an Error, fit for the user, when all are in use. */
  vector(): MsiVector {
    const event = this.#vectors.length;
    if (event === MAX_VECTORS) throw new Error(`-device: at most ${MAX_VECTORS} MSI-X vectors are possible in all`);
    const vector = new RoutedVector(event, this.#mailbox, this.#post);
    this.#vectors.push(vector);
    return vector;
  }

  /** The main thread's answer to "msi-route". */
  routed(event: number, version: number, done: boolean): void {
    this.#vectors[event]?.routed(version, done);
  }
}

class RoutedVector implements MsiVector {
  readonly #event: number;
  readonly #mailbox: Pick<Mailbox, "signal">;
  readonly #post: Post;
  #message: MsiMessage = { addressLow: 0, addressHigh: 0, data: 0 };
  /** Counts the messages; 0: there was none yet. */
  #version = 0;
  /** The version that kvm-core has. */
  #routed = 0;
  #underWay = false;
  #refused = false;
  #owed = false;

  constructor(event: number, mailbox: Pick<Mailbox, "signal">, post: Post) {
    this.#event = event;
    this.#mailbox = mailbox;
    this.#post = post;
  }

  set(addressLow: number, addressHigh: number, data: number): void {
    const { addressLow: low, addressHigh: high, data: old } = this.#message;
    if (this.#version > 0 && low === addressLow && high === addressHigh && old === data) return;
    this.#message = { addressLow, addressHigh, data };
    this.#version++;
    if (!this.#underWay && !this.#refused) this.#ask();
  }

  /** The mailbox's ordering holds: the device's stores come before the event's bit. */
  send(): void {
    if (this.#routed === this.#version) this.#mailbox.signal(this.#event);
    else if (this.#refused) this.#post({ kind: "msi", message: this.#message });
    else this.#owed = true;
  }

  withdraw(): boolean {
    const owed = this.#owed;
    this.#owed = false;
    return owed;
  }

  routed(version: number, done: boolean): void {
    this.#underWay = false;
    if (done) this.#routed = version;
    else {
      this.#refused = true;
      this.#routed = -1;
    }
    if (done && version !== this.#version) this.#ask();
    else if (this.withdraw()) this.send();
  }

  #ask(): void {
    this.#underWay = true;
    const [event, version, message] = [this.#event, this.#version, this.#message];
    this.#post({ kind: "msi-route", route: { event, gsi: FIRST_GSI + event, version, message } });
  }
}
