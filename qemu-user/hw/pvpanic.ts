/**
 * A port through which a guest reports that it has crashed.
 * Follows: QEMU's docs/specs/pvpanic.rst, section "ISA Interface".
 * Left out: the shutdown event (4); ACPI and fw_cfg, by which a guest could find the port. No event stops the VM.
 */
import type { BusDevice, Device, DeviceState, Log, Width } from "../bus/interfaces.ts";
import type { PropertyTable } from "../bus/property.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

/** Values of the port and their reports. Of a write with several bits, the first row counts, as in QEMU. */
const EVENTS = [
  { mask: 1, report: "the guest panicked" },
  { mask: 2, report: "the guest crashed and loaded a crash kernel" },
] as const;

const ALL_EVENTS = EVENTS.reduce((all, { mask }) => all | mask, 0);

/** QEMU's names; its default of `events` has 4 too. */
export const PVPANIC_PROPERTIES = {
  ioport: { kind: "u16", default: 0x505, help: "port" },
  events: { kind: "u8", default: ALL_EVENTS, help: "events that are recognized: 1 panicked, 2 crash kernel loaded" },
} as const satisfies PropertyTable;

/** Reports before the log falls silent: a guest that panics and resets the machine in turn must not fill a disk. */
const REPORTS = 16;

export class Pvpanic implements BusDevice, Device {
  readonly name = "pvpanic";
  readonly #events: number;
  readonly #log: Log;
  /** Events since reset. Each is reported once. */
  #reported = 0;
  #reports = 0;

  /** Throws an Error on `events` that this device does not have. */
  constructor(events: number, log: Log) {
    if ((events & ~ALL_EVENTS) !== 0) throw new Error(`pvpanic: events=${events}: give a sum of 1 and 2, at most 3`);
    this.#events = events;
    this.#log = log;
  }

  read(_offset: number, _width: Width): number {
    return this.#events;
  }

  write(_offset: number, _width: Width, value: number): void {
    const event = EVENTS.find(({ mask }) => (value & this.#events & mask) !== 0);
    if (event === undefined || (this.#reported & event.mask) !== 0) return;
    this.#reported |= event.mask;
    if (this.#reports++ < REPORTS) this.#log(event.report);
  }

  reset(): void {
    this.#reported = 0;
  }

  save(): DeviceState {
    return { version: 1, reported: this.#reported };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    this.#reported = expectUnsigned(this.name, "reported", state["reported"], ALL_EVENTS);
  }
}
