/**
 * System control port A, 0x92: fast A20 and fast reset.
 * Follows: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A"; QEMU's hw/i386/port92.c.
 * Left out: the security lock, the watchdog's status, the disk lights: stored, and without effect.
 */
import type { BusDevice, Device, DeviceState, PowerRequest, Width } from "../bus/interfaces.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

const FAST_RESET = 0x01;
const FAST_A20 = 0x02;

/** What address line 20 is wired to: the keyboard controller's output port has it too. */
export interface FastA20 {
  enabled: boolean;
}

export class Port92 implements BusDevice, Device {
  readonly name = "port92";
  readonly #a20: FastA20;
  readonly #power: PowerRequest;
  #stored = 0;

  constructor(a20: FastA20, power: PowerRequest) {
    this.#a20 = a20;
    this.#power = power;
  }

  read(_offset: number, _width: Width): number {
    return (this.#stored & ~FAST_A20) | (this.#a20.enabled ? FAST_A20 : 0);
  }

  write(_offset: number, _width: Width, value: number): void {
    const rises = (value & ~this.#stored & FAST_RESET) !== 0;
    this.#stored = value;
    this.#a20.enabled = (value & FAST_A20) !== 0;
    if (rises) this.#power("reset");
  }

  /** The board's A20 gate is the keyboard controller's to reset, and to save. */
  reset(): void {
    this.#stored = 0;
  }

  save(): DeviceState {
    return { version: 1, stored: this.#stored };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    this.#stored = expectUnsigned(this.name, "stored", state["stored"], 0xff);
  }
}
