/**
 * Debug console: a port whose every written byte is printed.
 * Follows: the Bochs "port 0xe9 hack", as QEMU's isa-debugcon has it.
 * Left out: the firmware's other debug port (0x402).
 */
import type { BusDevice, CharBackend, Device, DeviceState, Width } from "../bus/interfaces.ts";
import { expectVersion } from "../bus/state.ts";

/** A read gives this, by which a guest knows that the port is there. */
const READBACK = 0xe9;

export class DebugConsole implements BusDevice, Device {
  readonly name = "debugcon";
  readonly #out: CharBackend | null;

  constructor(out: CharBackend | null) {
    this.#out = out;
  }

  read(_offset: number, _width: Width): number {
    return READBACK;
  }

  /** There is no flow control on this port: where the back end is full, the access takes as long as it takes. */
  write(_offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) this.#out?.writeAll((value >>> (8 * i)) & 0xff);
  }

  reset(): void {}

  save(): DeviceState {
    return { version: 1 };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
  }
}
