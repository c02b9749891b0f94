/**
 * Tells kvm-core which addresses this device server answers: regions, ioeventfds and coalesced ranges, as the board
 * has them. In message mode nothing is posted: every write is an exit.
 * Until a moved BAR's claim has landed its exits go to the VM's owner as any unclaimed address's do, so a late claim
 * costs names in the statistics and never an access.
 */
import type { KvmError } from "../../shared/errno.ts";
import { KVM_IOEVENTFD_FLAG_DEASSIGN, KVM_IOEVENTFD_FLAG_PIO, SPACE_PIO } from "../../shared/ioctls.ts";
import type { RegionReport } from "../device/messages.ts";
import type { Vm } from "./kvm.ts";

/** Refusals that are errors; what a guest can repeat must not fill a disk with reports. */
const REPORTS = 16;
/** What a request meets whose kvm-core, or VM, has ended. */
const GONE: readonly string[] = ["ECONNRESET", "EPIPE", "EBADF"];

export class Claims {
  readonly #vm: Vm;
  readonly #posting: boolean;
  readonly #ids = new Map<string, number>();
  #last: Promise<void> = Promise.resolve();
  #nextEvent = 1;
  #refusals = 0;

  constructor(vm: Vm, posting: boolean) {
    this.#vm = vm;
    this.#posting = posting;
  }

  /** Claims or gives up a region; calls are carried out in order. Rejects if kvm-core refuses, the first few times. */
  change(kind: "map" | "unmap", region: RegionReport): Promise<void> {
    const done = this.#last.then(() => (kind === "map" ? this.#claim(region) : this.#giveUp(region)));
    this.#last = done.catch(() => {}); // the next one goes on
    return done.catch((error: KvmError) => {
      if (GONE.includes(error.code)) return; // with the VM; whoever runs its vCPU says so
      if (this.#refusals++ < REPORTS) throw error;
    });
  }

  async #claim(region: RegionReport): Promise<void> {
    const { space, base, size, name } = region;
    const range = { space, address: BigInt(base), length: BigInt(size) };
    const { region: id } = await this.#vm.request("SPLITVM_REGISTER_REGION", { ...range, name });
    this.#ids.set(key(region), id);
    await this.#post(region, 0);
  }

  async #giveUp(region: RegionReport): Promise<void> {
    const id = this.#ids.get(key(region));
    if (id === undefined) return;
    this.#ids.delete(key(region));
    await this.#post(region, KVM_IOEVENTFD_FLAG_DEASSIGN);
    await this.#vm.request("SPLITVM_UNREGISTER_REGION", { region: id });
  }

  async #post(region: RegionReport, deassign: number): Promise<void> {
    if (!this.#posting) return;
    const pio = region.space === SPACE_PIO;
    for (const { offset, size, kind } of region.posted) {
      const addr = BigInt(region.base + offset);
      if (kind === "coalesced") {
        const name = deassign ? "KVM_UNREGISTER_COALESCED_MMIO" : "KVM_REGISTER_COALESCED_MMIO";
        await this.#vm.request(name, { addr, size, pio: pio ? 1 : 0 });
        continue;
      }
      const flags = deassign | (pio ? KVM_IOEVENTFD_FLAG_PIO : 0);
      const where = `${key(region)}+${offset}`;
      const event = deassign ? this.#ids.get(where)! : this.#nextEvent++;
      this.#ids.set(where, event);
      await this.#vm.request("KVM_IOEVENTFD", { datamatch: 0n, addr, len: size, event, flags });
    }
  }
}

function key({ space, base }: RegionReport): string {
  return `${space}:${base}`;
}
