/**
 * A port that ends the run: writing v gives the process the status (v << 1) | 1.
 * Follows: QEMU's isa-debug-exit (hw/misc/debugexit.c).
 * Left out: nothing.
 */
import type { BusDevice, Device, DeviceState, ExitRequest, Width } from "../bus/interfaces.ts";
import type { PropertyTable } from "../bus/property.ts";
import { expectVersion } from "../bus/state.ts";

/** QEMU's names and meaning; the default place is this board's own. */
export const ISA_DEBUG_EXIT_PROPERTIES = {
  iobase: { kind: "u16", default: 0xf4, help: "first port" },
  iosize: { kind: "u8", default: 4, help: "ports taken, at least 1" },
} as const satisfies PropertyTable;

export class IsaDebugExit implements BusDevice, Device {
  readonly name = "isa-debug-exit";
  readonly #exit: ExitRequest;

  constructor(exit: ExitRequest) {
    this.#exit = exit;
  }

  read(_offset: number, _width: Width): number {
    return 0;
  }

  write(_offset: number, _width: Width, value: number): void {
    this.#exit(((value << 1) | 1) >>> 0);
  }

  reset(): void {}

  save(): DeviceState {
    return { version: 1 };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
  }
}
