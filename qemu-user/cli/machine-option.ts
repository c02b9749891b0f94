/**
 * `-machine [type=]pc[,prop=value...]`, also `-M`: this program's board by its name, and what QEMU lets one ask of it.
 * Follows: QEMU's -machine, its list of machines and its `pc`.
 * Left out: every other machine. A property is taken with the value that the board has, and refused by name otherwise.
 */
import { onOff, parseSettings, splitWords } from "./key-values.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

const OPTION = "-machine";
const HELP_WORDS: readonly (string | undefined)[] = ["help", "?"];

const MACHINES: Readonly<Record<string, string>> = { pc: "Standard PC (i440FX + PIIX, 1996) (default)" };

/** Machines of QEMU for x86 that a script may well name; "pc-" and the like begin versioned ones. */
const ABSENT_MACHINES = /^(q35|microvm|isapc|none|x-remote|xenfv|xenpv|nitro-enclave|pc-q35-.*|pc-i440fx-.*)$/;

/** What QEMU can turn on or off, and this board has or has not. */
const SWITCHES: Readonly<Record<string, { readonly is: boolean; readonly help: string }>> = {
  "kernel-irqchip": { is: true, help: "interrupt controllers in kvm-core" },
  acpi: { is: true, help: "ACPI tables" },
  pic: { is: true, help: "the 8259s" },
  pit: { is: true, help: "the 8254" },
  i8042: { is: true, help: "keyboard controller" },
  graphics: { is: false, help: "a display" },
  hpet: { is: false, help: "HPET" },
  nvdimm: { is: false, help: "NVDIMMs" },
  smm: { is: false, help: "system management mode" },
  usb: { is: false, help: "a USB controller" },
  vmport: { is: false, help: "VMware's port" },
};

/** Properties of QEMU's `pc` that have no word of ours at all. */
const ABSENT_PROPERTIES = new Set(
  [
    "confidential-guest-support dea-key-wrap default-bus-bypass-iommu dump-guest-core dumpdtb fd-bootchk firmware hmat",
    "igd-passthru max-fw-size max-ram-below-4g mem-merge memory memory-backend memory-encryption pcspk-audiodev pflash0",
    "pflash1 sata sgx-epc smbios-entry-point-type smp suppress-vmdesc x-south-bridge",
  ].flatMap((line) => line.split(" ")),
);

/** Checks that it asks for this board; undefined, or a help text that was asked for. Throws a UsageError. */
export function parseMachine(text: string): string | undefined {
  const words = splitWords(text);
  if (words.some((word) => HELP_WORDS.includes(word))) {
    return HELP_WORDS.includes(words[0]) ? describeMachines() : describeProperties();
  }
  const [first, ...rest] = parseSettings(OPTION, text);
  const named = first?.[1] === undefined ? ([["type", first?.[0] ?? ""], ...rest] as const) : [first, ...rest];
  for (const [key, value] of named) {
    if (value === undefined) throw new UsageError(`${OPTION}: ${key} needs a value: ${key}=...`);
    if (key === "type") checkType(value);
    else checkProperty(key.replaceAll("_", "-"), value); // as QEMU reads them
  }
  return undefined;
}

function checkType(name: string): void {
  if (Object.hasOwn(MACHINES, name)) return;
  if (ABSENT_MACHINES.test(name)) {
    throw new UsageError(`${OPTION} ${name}: this machine of QEMU is not built yet; pc is`);
  }
  throw unknownWord(OPTION, name, Object.keys(MACHINES), "-machine help lists what there is");
}

function checkProperty(key: string, value: string): void {
  if (key === "accel") throw new UsageError(`${OPTION} accel=${value}: write -accel ${value}`);
  if (key === "kernel-irqchip" && value === "split") {
    throw new UsageError(`${OPTION}: kernel-irqchip=split is not built yet; on is`);
  }
  const property = Object.hasOwn(SWITCHES, key) ? SWITCHES[key] : undefined;
  if (property === undefined) {
    if (ABSENT_PROPERTIES.has(key)) throw new UsageError(`${OPTION}: ${key} is not built yet`);
    throw unknownWord(`${OPTION}: property`, key, Object.keys(SWITCHES), "-machine pc,help lists what there is");
  }
  const { is } = property;
  if (value === "auto" || onOff(OPTION, key, value) === is) return;
  throw new UsageError(`${OPTION}: ${key}=${value} is not built yet; ${is ? "on" : "off"} is`);
}

/** As QEMU prints it. */
function describeMachines(): string {
  const rows = Object.entries(MACHINES).map(([name, help]) => `${name.padEnd(20)} ${help}\n`);
  return `Supported machines are:\n${rows.join("")}`;
}

function describeProperties(): string {
  const rows = Object.entries(SWITCHES).map(
    ([key, { is, help }]) => `  ${`${key}=${is ? "on" : "off"}`.padEnd(20)}${help}\n`,
  );
  return `Properties of pc, each with the value that there is:\n${rows.join("")}`;
}
