/**
 * Message-signalled interrupts on the main thread: the VM's GSI routing table with a row for each vector, the events
 * that are tied to those GSIs, and single messages.
 * Follows: KVM_SET_GSI_ROUTING replaces the whole table, so the chips' default rows are in each.
 * Leaves out: who asks and what happens until then (device/msi.ts). Vectors are never given up: there is no unplugging.
 */
import type { KvmError } from "../../shared/errno.ts";
import { KVM_IRQ_ROUTING } from "../../shared/ioctls.ts";
import { DEFAULT_ROUTES } from "../../shared/irq-routes.ts";
import type { KvmIrqRoutingEntry } from "../../shared/irqchip-structs.ts";
import type { MsiMessage, MsiRoute } from "../device/messages.ts";
import type { Vm } from "./kvm.ts";

/** Told of each route that is in force, or that kvm-core refused. */
export type Confirm = (event: number, version: number, done: boolean) => void;

export class MsiRoutes {
  readonly #vm: Pick<Vm, "request">;
  readonly #confirm: Confirm;
  readonly #routes = new Map<number, MsiRoute>();
  readonly #tied = new Set<number>();
  /** Not in force yet. */
  readonly #new = new Map<number, MsiRoute>();
  #busy = false;

  constructor(vm: Pick<Vm, "request">, confirm: Confirm) {
    this.#vm = vm;
    this.#confirm = confirm;
  }

  /** Puts a route in force. Those that come while kvm-core is asked go together next. */
  set(route: MsiRoute): void {
    this.#routes.set(route.event, route);
    this.#new.set(route.event, route);
    if (!this.#busy) void this.#bring();
  }

  /** One message. A refused one goes where hardware would send it: nowhere. */
  send({ addressLow, addressHigh, data }: MsiMessage): void {
    const message = { address_lo: addressLow, address_hi: addressHigh, data, flags: 0 };
    void this.#vm.request("KVM_SIGNAL_MSI", message).catch(() => {});
  }

  async #bring(): Promise<void> {
    this.#busy = true;
    while (this.#new.size > 0) {
      const batch = [...this.#new.values()];
      this.#new.clear();
      const done = await this.#ask(batch);
      for (const { event, version } of batch) this.#confirm(event, version, done);
    }
    this.#busy = false;
  }

  async #ask(batch: readonly MsiRoute[]): Promise<boolean> {
    const entries = [...DEFAULT_ROUTES, ...[...this.#routes.values()].map(messageRoute)];
    try {
      await this.#vm.request("KVM_SET_GSI_ROUTING", { flags: 0, entries });
      for (const route of batch) await this.#tie(route);
      return true;
    } catch {
      for (const { event } of batch) this.#routes.delete(event); // or every later table would be refused with it
      return false;
    }
  }

  /** EBUSY: the process whose place this one took had tied it, to the same GSI. */
  async #tie({ event, gsi }: MsiRoute): Promise<void> {
    if (this.#tied.has(event)) return;
    await this.#vm.request("KVM_IRQFD", { event, gsi, flags: 0, resample_event: 0 }).catch((error: KvmError) => {
      if (error.code !== "EBUSY") throw error;
    });
    this.#tied.add(event);
  }
}

function messageRoute({ gsi, message }: MsiRoute): KvmIrqRoutingEntry {
  const { addressLow, addressHigh, data } = message;
  return {
    ...{ gsi, type: KVM_IRQ_ROUTING.MSI, flags: 0, irqchip: 0, pin: 0 },
    ...{ address_lo: addressLow, address_hi: addressHigh, data },
  };
}
