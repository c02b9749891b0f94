/**
 * What fw_cfg tells the guest of this board.
 * Follows: QEMU's fw_cfg of `pc` (hw/i386/fw_cfg.c): keys, sizes and names.
 * Left out: what firmware alone needs: boot order, ACPI and SMBIOS tables (the loader has put ACPI's into memory), and kernel and
 * initrd as items: they are in memory, too.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { FW_CFG, FwCfg, type FwCfgFile } from "../hw/fw-cfg.ts";

export interface FwCfgContents {
  readonly cpus: number;
  readonly nographic: boolean;
  /** -append. */
  readonly commandLine: string;
  /** -fw_cfg. */
  readonly files: readonly FwCfgFile[];
}

export const NO_FW_CFG: FwCfgContents = { cpus: 1, nographic: false, commandLine: "", files: [] };

const E820_RAM = 1;
const E820_BYTES = 20;

/** Throws an Error on a file's name that cannot be, or is there twice. */
export function boardFwCfg(memory: GuestMemory, contents: FwCfgContents): FwCfg {
  const { cpus, nographic, commandLine, files } = contents;
  const ramSize = memory.slots.reduce((sum, { size }) => sum + size, 0);
  const line = Buffer.from(`${commandLine}\0`);
  const items = new Map([
    [FW_CFG.UUID, new Uint8Array(16)],
    [FW_CFG.RAM_SIZE, le(ramSize, 8)],
    [FW_CFG.NOGRAPHIC, le(nographic ? 1 : 0, 2)],
    [FW_CFG.NB_CPUS, le(cpus, 2)],
    [FW_CFG.MAX_CPUS, le(cpus, 2)],
    [FW_CFG.CMDLINE_SIZE, le(line.length, 4)],
    [FW_CFG.CMDLINE_DATA, Uint8Array.from(line)],
    [FW_CFG.IRQ0_OVERRIDE, le(1, 4)], // the PIT is GSI 2, as MADT says
  ]);
  return new FwCfg(memory, items, [{ name: "etc/e820", bytes: e820(memory) }, ...files]);
}

/** struct e820_entry: base, size, type. RAM as a whole: what the first megabyte keeps back is firmware's to say. */
function e820({ slots }: GuestMemory): Uint8Array {
  const bytes = new Uint8Array(slots.length * E820_BYTES);
  slots.forEach(({ gpa, size }, i) => {
    bytes.set([...le(gpa, 8), ...le(size, 8), ...le(E820_RAM, 4)], i * E820_BYTES);
  });
  return bytes;
}

function le(value: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.floor(value / 256 ** i) % 256);
}
