/**
 * One access of the guest's, from whichever mode it came, to the buses of the board.
 * Leaves out: how it came and how the answer goes back (ring-server.ts, device-thread.ts).
 */
import { IO_IN } from "../../shared/exits.ts";
import { SPACE_PIO } from "../../shared/ioctls.ts";
import type { Bus } from "../bus/bus.ts";
import type { Width } from "../bus/interfaces.ts";
import type { Pc } from "../machine/pc.ts";

/** Notes an access for `-d exits`; data is the answer's for an input. */
export type AccessLog = (
  space: number,
  direction: number,
  address: number,
  size: number,
  low: number,
  high: number,
) => void;

/** The two buses of a board. */
export type Buses = Pick<Pc, "ports" | "mmio">;

export class Dispatcher {
  readonly #ports: Bus;
  readonly #mmio: Bus;
  readonly #pair = new Uint32Array(2);
  readonly #log: AccessLog | undefined;
  /** The answer of the last access; i32, as in a ring page. */
  low = 0;
  high = 0;

  constructor({ ports, mmio }: Buses, log: AccessLog | undefined) {
    this.#ports = ports;
    this.#mmio = mmio;
    this.#log = log;
  }

  /** `size` is 1, 2, 4 or 8. Allocates nothing. */
  access(space: number, direction: number, address: number, size: number, low: number, high: number): void {
    const bus = space === SPACE_PIO ? this.#ports : this.#mmio;
    this.low = 0;
    this.high = 0;
    if (direction === IO_IN) {
      if (size === 8) {
        bus.read64(address, this.#pair);
        this.low = this.#pair[0]! | 0;
        this.high = this.#pair[1]! | 0;
      } else {
        this.low = bus.read(address, size as Width) | 0;
      }
      this.#log?.(space, direction, address, size, this.low, this.high);
      return;
    }
    this.#log?.(space, direction, address, size, low, high);
    if (size === 8) bus.write64(address, low >>> 0, high >>> 0);
    else bus.write(address, size as Width, low >>> 0);
  }
}
