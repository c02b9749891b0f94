/**
 * The ACPI tables of the board, as firmware leaves them below 1 MiB: RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT, MCFG.
 * Follows: ACPI 6.5 section 5.2; FADT as of revision 3 (ACPI 2.0c), which every kernel reads; PCI Firmware 3.0 section 4.1.2 (MCFG).
 * Left out: HPET, SRAT, SSDT; waking vectors of FACS, since there is no S3.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { le } from "./aml.ts";
import { type AcpiInfo, dsdtTerms } from "./dsdt.ts";

export type { AcpiInfo } from "./dsdt.ts";

export interface AcpiTables {
  /** Address of the RSDP, on a 16-byte boundary where kernels look for it. */
  readonly rsdp: number;
  readonly parts: readonly { readonly gpa: number; readonly bytes: Uint8Array }[];
}

const RSDP_AT = 0xf_0000;
/** The other tables lie from here on, below the RSDP's segment's end. */
const TABLES_AT = 0xf_0040;
const TABLES_END = 0x10_0000;

const OEM_ID = "SPLITV";
const OEM_TABLE_ID = "SPLITVM ";
const CREATOR = "SPVM";
const HEADER_SIZE = 36;
const LAPIC_BASE = 0xfee0_0000;
const IOAPIC_BASE = 0xfec0_0000;

/** Writes a little-endian structure at increasing offsets; `at` checks that a field lies where the document says. */
class Fields {
  readonly bytes: number[] = [];

  at(offset: number): this {
    while (this.bytes.length < offset) this.bytes.push(0);
    if (this.bytes.length !== offset) throw new Error(`ACPI table: at ${this.bytes.length}, not ${offset}`);
    return this;
  }

  put(width: 1 | 2 | 4 | 8, ...values: number[]): this {
    for (const value of values) this.bytes.push(...le(value, width));
    return this;
  }

  text(text: string): this {
    for (const letter of text) this.bytes.push(letter.charCodeAt(0));
    return this;
  }

  /** A generic address of a port (5.2.3.2). */
  port(address: number, bits: number, accessSize: number): this {
    return this.put(1, 1, bits, 0, accessSize).put(8, address);
  }
}

function checksum(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = 0;
  bytes[at] = -bytes.subarray(0, length).reduce((sum, byte) => sum + byte, 0);
}

function table(signature: string, revision: number, body: readonly number[]): Uint8Array {
  const header = new Fields()
    .text(signature)
    .put(4, HEADER_SIZE + body.length)
    .put(1, revision, 0)
    .text(OEM_ID)
    .text(OEM_TABLE_ID)
    .put(4, 1)
    .text(CREATOR)
    .put(4, 1);
  const bytes = Uint8Array.from([...header.bytes, ...body]);
  checksum(bytes, 9, bytes.length);
  return bytes;
}

const FADT_SIZE = 244;
const FADT_FLAGS = {
  WBINVD: 1 << 0,
  PROC_C1: 1 << 2,
  /** There is no sleep button, and no RTC wake in the fixed registers; the power button is there (bit 4 clear). */
  SLP_BUTTON: 1 << 5,
  FIX_RTC: 1 << 6,
  RESET_REG_SUP: 1 << 10,
} as const;
/** IAPC_BOOT_ARCH: there are ISA devices and an 8042. */
const LEGACY_DEVICES_8042 = 3;
const RESET_PORT = 0xcf9;
const RESET_VALUE = 6;
/** A latency that says that the state is not there (P_LVL2_LAT above 100, P_LVL3_LAT above 1000). */
const NO_C_STATE = 0xfff;

function fadt(info: AcpiInfo, facs: number, dsdt: number): Uint8Array {
  const pm1Event = info.pmBase;
  const [pm1Control, timer, gpe0] = [pm1Event + 4, pm1Event + 8, pm1Event + 0x20];
  const f = new Fields().put(4, facs, dsdt).put(1, 0, 0).put(2, info.sciGsi).put(4, info.smiCommand);
  f.put(1, info.acpiEnable, info.acpiDisable, 0, 0);
  f.at(56 - HEADER_SIZE).put(4, pm1Event, 0, pm1Control, 0, 0, timer, gpe0, 0);
  f.put(1, 4, 2, 0, 4, 4, 0, 0, 0).put(2, NO_C_STATE, NO_C_STATE);
  f.at(108 - HEADER_SIZE)
    .put(1, 0x32)
    .put(2, LEGACY_DEVICES_8042)
    .put(1, 0); // the century lies in byte 0x32 of the RTC
  f.put(
    4,
    Object.values(FADT_FLAGS).reduce((all, flag) => all | flag, 0),
  );
  f.port(RESET_PORT, 8, 1).put(1, RESET_VALUE);
  f.at(132 - HEADER_SIZE).put(8, facs, dsdt);
  f.port(pm1Event, 32, 2).at(160 - HEADER_SIZE);
  f.at(172 - HEADER_SIZE).port(pm1Control, 16, 2);
  f.at(208 - HEADER_SIZE)
    .port(timer, 32, 3)
    .port(gpe0, 32, 1);
  return table("FACP", 3, f.at(FADT_SIZE - HEADER_SIZE).bytes);
}

function facs(): Uint8Array {
  return Uint8Array.from(new Fields().text("FACS").put(4, 64).at(32).put(1, 1).at(64).bytes);
}

/** Flags of an interrupt source override: active high, and edge or level (5.2.12.5). */
const EDGE_HIGH = 0x05;
const LEVEL_HIGH = 0x0d;

function madt(info: AcpiInfo): Uint8Array {
  const f = new Fields().put(4, LAPIC_BASE, 1); // PCAT_COMPAT: there are 8259s too
  for (let cpu = 0; cpu < info.cpus; cpu++) f.put(1, 0, 8, cpu, cpu).put(4, 1);
  f.put(1, 1, 12, 0, 0).put(4, IOAPIC_BASE, 0);
  f.put(1, 2, 10, 0, 0).put(4, 2).put(2, EDGE_HIGH);
  for (const gsi of info.levelGsis) f.put(1, 2, 10, 0, gsi).put(4, gsi).put(2, LEVEL_HIGH);
  f.put(1, 4, 6, 0xff).put(2, 0).put(1, 1); // NMI at LINT1 of every processor
  return table("APIC", 3, f.bytes);
}

function mcfg(info: AcpiInfo): Uint8Array {
  const lastBus = info.ecamSize / 0x10_0000 - 1;
  const f = new Fields().put(8, 0, info.ecamBase).put(2, 0).put(1, 0, lastBus).put(4, 0);
  return table("MCFG", 1, f.bytes);
}

function rsdp(rsdt: number, xsdt: number): Uint8Array {
  const f = new Fields().text("RSD PTR ").put(1, 0).text(OEM_ID).put(1, 2).put(4, rsdt, 36).put(8, xsdt);
  const bytes = Uint8Array.from(f.at(36).bytes);
  checksum(bytes, 8, 20);
  checksum(bytes, 32, 36);
  return bytes;
}

/** All tables, laid out one behind the other. */
export function acpiTables(info: AcpiInfo): AcpiTables {
  const parts: { gpa: number; bytes: Uint8Array }[] = [];
  let next = TABLES_AT;
  const place = (bytes: Uint8Array): number => {
    const gpa = next;
    if (gpa + bytes.length > TABLES_END) throw new Error("the ACPI tables do not fit below 1 MiB");
    parts.push({ gpa, bytes });
    next = (gpa + bytes.length + 63) & ~63; // FACS wants 64
    return gpa;
  };
  const facsAt = place(facs());
  const dsdtAt = place(table("DSDT", 2, dsdtTerms(info)));
  const listed = [place(fadt(info, facsAt, dsdtAt)), place(madt(info)), place(mcfg(info))];
  const rsdt = place(table("RSDT", 1, new Fields().put(4, ...listed).bytes));
  const xsdt = place(table("XSDT", 1, new Fields().put(8, ...listed).bytes));
  parts.unshift({ gpa: RSDP_AT, bytes: rsdp(rsdt, xsdt) });
  return { rsdp: RSDP_AT, parts };
}

/** Puts the tables into guest memory, as firmware does before a kernel starts; returns the RSDP's address. */
export function writeAcpi(memory: GuestMemory, info: AcpiInfo): number {
  const { rsdp, parts } = acpiTables(info);
  for (const { gpa, bytes } of parts) {
    if (!memory.write(gpa, bytes)) throw new Error("the ACPI tables need RAM below 1 MiB");
  }
  return rsdp;
}
