/**
 * Checks on saved state: what comes back from a snapshot or another process is not to be trusted.
 * Follows: the rule that `load` names the device and changes nothing when it refuses.
 * Left out: migration between versions; a device that has a second version handles it itself.
 */
import type { DeviceState, StateValue } from "./interfaces.ts";

/** Throws an Error unless the state is of the version that this device writes. */
export function expectVersion(device: string, state: DeviceState, version: number): void {
  if (state.version !== version) {
    throw new Error(`${device}: saved state has version ${state.version}, this program reads ${version}`);
  }
}

/** An integer from 0 to `max`. Throws an Error naming device and field. */
export function expectUnsigned(device: string, field: string, value: StateValue | undefined, max: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new Error(`${device}: saved ${field} is not a number from 0 to ${max}`);
}

export function expectBoolean(device: string, field: string, value: StateValue | undefined): boolean {
  if (typeof value === "boolean") return value;
  throw new Error(`${device}: saved ${field} is not true or false`);
}

/** At most `length` integers from 0 to `max`. */
export function expectList(
  device: string,
  field: string,
  value: StateValue | undefined,
  length: number,
  max: number,
): readonly number[] {
  if (!Array.isArray(value) || value.length > length) {
    throw new Error(`${device}: saved ${field} is not a list of at most ${length}`);
  }
  return value.map((item: StateValue) => expectUnsigned(device, field, item, max));
}
