/**
 * Where RAM lies in guest-physical space: below the PCI hole, as slots for kvm-core and as a map for the guest.
 * Follows: the PC's memory map (i440FX data sheet section 4.1; ACPI 6.5 section 15, "INT 15h E820").
 * Left out: RAM above 4 GiB. wasm32 bounds guest RAM at 3.75 GiB, and there is nothing above the hole within that.
 */
import { GiB, KiB, MiB } from "../../shared/bits.ts";
import type { MemorySlot } from "../../shared/guest-memory.ts";
import type { MemoryMapEntry } from "../loader/placement.ts";

/** Legacy video memory, option ROMs and BIOS: not usable as RAM by a guest that follows the map. */
const HOLE_640K = 0xa_0000;
/** Extended BIOS data area: firmware's, below the hole. */
const EBDA = 0x9_fc00;
/** The system BIOS, and here the ACPI tables. */
const BIOS = 0xf_0000;
const ABOVE_1M = MiB;

/** 32-bit PCI memory begins here; the RAM must end below it. */
export const PCI_HOLE = 0xe000_0000;
/** The I/O APIC's page and what follows belong to the chip set. */
export const PCI_HOLE_END = 0xfec0_0000;

/** Smallest RAM that has room for the first megabyte's holes and a kernel at 1 MiB. */
export const RAM_MIN = 2 * MiB;
export const RAM_MAX = PCI_HOLE;

export interface MemoryMap {
  readonly ramSize: number;
  /** RAM as one memory slot; `at` counts from the beginning of the RAM's memfd. */
  readonly slots: readonly MemorySlot[];
  /** Sorted, not overlapping; covers RAM only. */
  readonly entries: readonly MemoryMapEntry[];
}

/** The map for `ramSize` bytes of RAM. Throws an Error, fit for the user, for a size that this machine cannot have. */
export function memoryMap(ramSize: number): MemoryMap {
  if (!Number.isSafeInteger(ramSize) || ramSize % (4 * KiB) !== 0) {
    throw new Error(`-m: ${ramSize} bytes are not a whole number of 4 KiB pages`);
  }
  if (ramSize < RAM_MIN) throw new Error(`-m: at least ${RAM_MIN / MiB}M are needed`);
  if (ramSize > RAM_MAX) {
    const asked = ramSize % GiB === 0 ? `${ramSize / GiB}G` : `${ramSize / MiB}M`;
    throw new Error(
      `-m: ${asked} are more than the ${RAM_MAX / MiB}M below the PCI hole; RAM above 4G is not built yet`,
    );
  }
  return {
    ramSize,
    slots: [{ gpa: 0, size: ramSize, at: 0 }],
    entries: [
      { base: 0, size: EBDA, type: 1 },
      { base: EBDA, size: HOLE_640K - EBDA, type: 2 },
      { base: BIOS, size: ABOVE_1M - BIOS, type: 2 },
      { base: ABOVE_1M, size: ramSize - ABOVE_1M, type: 1 },
    ],
  };
}
