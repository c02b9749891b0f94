/**
 * Reset control register of the PIIX3, port 0xcf9: byte 1 of the place where PCI's CONFIG_ADDRESS has its four.
 * Follows: Intel's 82371SB (PIIX3) data sheet, "RC - Reset Control Register".
 * Left out: soft reset (bit 1 clear) as something of its own: the whole machine resets, as in QEMU.
 */
import type { BusDevice, Device, DeviceState, PowerRequest, Width } from "../bus/interfaces.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

const SYSTEM_RESET = 0x02;
const RESET_CPU = 0x04;

export class ResetControl implements BusDevice, Device {
  readonly name = "reset-control";
  readonly #power: PowerRequest;
  /** Only the kind of reset stays: the reset bit falls with the reset that it makes. */
  #kind = 0;

  constructor(power: PowerRequest) {
    this.#power = power;
  }

  /** A device that answers as `below`, except to a byte at `at`, which is this register. */
  inside(below: BusDevice, at: number): BusDevice {
    return {
      name: below.name,
      read: (offset, width) => (offset === at && width === 1 ? this.read(0, 1) : below.read(offset, width)),
      write: (offset, width, value) => {
        if (offset === at && width === 1) this.write(0, 1, value);
        else below.write(offset, width, value);
      },
    };
  }

  read(_offset: number, _width: Width): number {
    return this.#kind;
  }

  write(_offset: number, _width: Width, value: number): void {
    this.#kind = value & SYSTEM_RESET;
    if ((value & RESET_CPU) !== 0) this.#power("reset");
  }

  reset(): void {
    this.#kind = 0;
  }

  save(): DeviceState {
    return { version: 1, kind: this.#kind };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    this.#kind = expectUnsigned(this.name, "kind", state["kind"], SYSTEM_RESET) & SYSTEM_RESET;
  }
}
