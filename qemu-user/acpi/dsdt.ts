/**
 * The board's namespace: PCI host bridge with its windows and interrupt wires, ISA devices, fw_cfg, S5, processors.
 * Follows: ACPI 6.5 section 5.3 (namespace), 6.2 (_CRS, _PRT), 7.4.2 (_S5), 8.4 (ACPI0007); PCI Firmware 3.0 section 4.1.2
 * (ECAM is reserved by a motherboard resource).
 * Left out: S3 and S4, hot plug, thermal zones, interrupt link devices: the wires of this board are fixed.
 */
import {
  type Aml,
  busWindow,
  device,
  eisaId,
  integer,
  io,
  ioWindow,
  irq,
  memory32,
  memoryWindow,
  method,
  name,
  packageOf,
  resources,
  scope,
  string,
} from "./aml.ts";

/** What the tables say of the board. */
export interface AcpiInfo {
  readonly cpus: number;
  /** GSI of INTA of a PCI slot. */
  readonly pciGsi: (slot: number) => number;
  /** Level-triggered GSIs below 16, the SCI among them: MADT says so. */
  readonly levelGsis: readonly number[];
  readonly sciGsi: number;
  /** First port of the power-management block, and its length. */
  readonly pmBase: number;
  readonly pmSize: number;
  /** SMI_CMD, and the bytes that turn ACPI on and off. */
  readonly smiCommand: number;
  readonly acpiEnable: number;
  readonly acpiDisable: number;
  /** SLP_TYP of S5. */
  readonly s5Type: number;
  /** First port of fw_cfg, and how many it has. */
  readonly fwCfgBase: number;
  readonly fwCfgSize: number;
  readonly ecamBase: number;
  readonly ecamSize: number;
  /** Where BARs may lie; `end` is the first address behind. */
  readonly pciMemory: { readonly base: number; readonly end: number };
}

const PCI_SLOTS = 32;
const PCI_PINS = 4;

/** A row of _PRT: any function of the slot, pin, GSI. INTB is wired as INTA of the next slot, and so on. */
function interruptWires(pciGsi: AcpiInfo["pciGsi"]): Aml {
  const rows = Array.from({ length: PCI_SLOTS * PCI_PINS }, (_, n) => {
    const [slot, pin] = [Math.floor(n / PCI_PINS), n % PCI_PINS];
    return packageOf(integer(slot * 0x1_0000 + 0xffff), integer(pin), integer(0), integer(pciGsi(slot + pin)));
  });
  return packageOf(...rows);
}

function pciBridge(info: AcpiInfo): Aml {
  return device(
    "PCI0",
    name("_HID", eisaId("PNP0A03")),
    name("_BBN", integer(0)),
    name("_UID", integer(0)),
    name(
      "_CRS",
      resources(
        busWindow(0, 1),
        io(0xcf8, 8),
        ioWindow(0, 0xcf8),
        ioWindow(0xd00, 0x1_0000),
        memoryWindow(0xa_0000, 0xc_0000, true),
        memoryWindow(info.pciMemory.base, info.pciMemory.end, false),
      ),
    ),
    name("_PRT", interruptWires(info.pciGsi)),
    isaDevice("RTC", "PNP0B00", io(0x70, 2), irq(8)),
    isaDevice("KBD", "PNP0303", io(0x60, 1), io(0x64, 1), irq(1)),
    isaDevice("MOU", "PNP0F13", irq(12)),
    isaDevice("COM1", "PNP0501", io(0x3f8, 8), irq(4)),
    fwCfg(info),
  );
}

/** As in QEMU's tables: present, enabled and working, not shown to users. */
function fwCfg(info: AcpiInfo): Aml {
  return device(
    "FWCF",
    name("_HID", string("QEMU0002")),
    name("_STA", integer(0xb)),
    name("_CRS", resources(io(info.fwCfgBase, info.fwCfgSize))),
  );
}

/** A device with fixed resources that is always there. */
function isaDevice(label: string, id: string, ...crs: Aml[]): Aml {
  return device(
    label,
    name("_HID", eisaId(id)),
    name("_UID", integer(1)),
    method("_STA", integer(0xf)),
    name("_CRS", resources(...crs)),
  );
}

/** What no driver may be given: ECAM and the power-management ports. */
function motherboard(info: AcpiInfo): Aml {
  return device(
    "MBRD",
    name("_HID", eisaId("PNP0C02")),
    name("_UID", integer(0)),
    name(
      "_CRS",
      resources(memory32(info.ecamBase, info.ecamSize), io(info.pmBase, info.pmSize), io(info.smiCommand, 2)),
    ),
  );
}

function processor(n: number): Aml {
  const digits = n.toString(16).toUpperCase().padStart(3, "0");
  return device(`C${digits}`, name("_HID", string("ACPI0007")), name("_UID", integer(n)));
}

/** The terms of the DSDT, without its header. */
export function dsdtTerms(info: AcpiInfo): Aml {
  const processors = Array.from({ length: info.cpus }, (_, n) => processor(n));
  const s5 = packageOf(integer(info.s5Type), integer(info.s5Type), integer(0), integer(0));
  return [...scope("\\_SB", pciBridge(info), motherboard(info), ...processors), ...name("\\_S5", s5)];
}
