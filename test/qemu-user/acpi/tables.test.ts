/** The ACPI tables as a kernel would walk them: from the RSDP down, with a small reader of AML. */
import { describe, expect, test } from "vitest";
import * as aml from "../../../qemu-user/acpi/aml.ts";
import { acpiTables, writeAcpi } from "../../../qemu-user/acpi/tables.ts";
import { acpiInfo } from "../../../qemu-user/machine/pc.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";

const MiB = 0x10_0000;
const CPUS = 3;

function guest(): { readonly view: DataView; readonly bytes: Uint8Array; readonly rsdp: number } {
  const buffer = new ArrayBuffer(2 * MiB);
  const memory = new GuestMemory(buffer, [{ gpa: 0, size: 2 * MiB, at: 0 }]);
  const rsdp = writeAcpi(memory, acpiInfo(CPUS));
  return { view: new DataView(buffer), bytes: new Uint8Array(buffer), rsdp };
}

const { view, bytes, rsdp } = guest();
const u32 = (at: number) => view.getUint32(at, true);
const u16 = (at: number) => view.getUint16(at, true);
const text = (at: number, length: number) => String.fromCharCode(...bytes.subarray(at, at + length));
const sum = (at: number, length: number) => bytes.subarray(at, at + length).reduce((s, byte) => (s + byte) & 0xff, 0);

const rsdt = u32(rsdp + 16);
const xsdt = Number(view.getBigUint64(rsdp + 24, true));
const listed = Array.from({ length: (u32(rsdt + 4) - 36) / 4 }, (_, i) => u32(rsdt + 36 + 4 * i));
const find = (signature: string) => listed.find((at) => text(at, 4) === signature)!;
const fadt = find("FACP");
const dsdt = u32(fadt + 40);

describe("tables", () => {
  test("RSDP lies where kernels look, with both checksums", () => {
    expect([text(rsdp, 8), bytes[rsdp + 15], u32(rsdp + 20)]).toEqual(["RSD PTR ", 2, 36]);
    expect([rsdp % 16, rsdp >= 0xe_0000, rsdp < MiB, sum(rsdp, 20), sum(rsdp, 36)]).toEqual([0, true, true, 0, 0]);
  });

  test("RSDT and XSDT list the same tables; all sums are zero", () => {
    const long = Array.from({ length: (u32(xsdt + 4) - 36) / 8 }, (_, i) =>
      Number(view.getBigUint64(xsdt + 36 + 8 * i, true)),
    );
    expect(long).toEqual(listed);
    expect(listed.map((at) => text(at, 4))).toEqual(["FACP", "APIC", "MCFG"]);
    for (const at of [rsdt, xsdt, dsdt, ...listed]) {
      expect([text(at, 4), sum(at, u32(at + 4)), text(at + 10, 6)]).toEqual([text(at, 4), 0, "SPLITV"]);
    }
  });

  test("all parts lie below 1 MiB and do not overlap", () => {
    const parts = [...acpiTables(acpiInfo(255)).parts].sort((a, b) => a.gpa - b.gpa);
    parts.forEach(({ gpa, bytes: part }, i) => {
      expect(gpa).toBeGreaterThanOrEqual(0xe_0000);
      expect(gpa + part.length).toBeLessThanOrEqual(parts[i + 1]?.gpa ?? MiB);
    });
  });

  test("FADT: ports, SCI, reset, and addresses twice", () => {
    expect([u32(fadt + 4), bytes[fadt + 8], u16(fadt + 46)]).toEqual([244, 3, 9]);
    expect([u32(fadt + 48), bytes[fadt + 52], bytes[fadt + 53]]).toEqual([0xb2, 0xf1, 0xf0]);
    expect([56, 64, 76, 80].map((at) => u32(fadt + at))).toEqual([0x600, 0x604, 0x608, 0x620]);
    expect([...bytes.subarray(fadt + 88, fadt + 93)]).toEqual([4, 2, 0, 4, 4]);
    expect([u16(fadt + 109), u32(fadt + 112), u32(fadt + 120), bytes[fadt + 128]]).toEqual([3, 0x465, 0xcf9, 6]);
    expect([132, 140, 152, 176, 212, 224].map((at) => u32(fadt + at))).toEqual([
      u32(fadt + 36),
      dsdt,
      0x600,
      0x604,
      0x608,
      0x620,
    ]);
    const facs = u32(fadt + 36);
    expect([text(facs, 4), u32(facs + 4), facs % 64]).toEqual(["FACS", 64, 0]);
  });

  test("MADT: processors, I/O APIC, overrides, NMI", () => {
    const madt = find("APIC");
    expect([u32(madt + 36), u32(madt + 40)]).toEqual([0xfee0_0000, 1]);
    const rows: string[] = [];
    for (let at = madt + 44; at < madt + u32(madt + 4); at += bytes[at + 1]!) {
      rows.push(Buffer.from(bytes.subarray(at, at + bytes[at + 1]!)).toString("hex"));
    }
    expect(rows).toEqual([
      ...[0, 1, 2].map((cpu) => `00080${cpu}0${cpu}01000000`),
      "010c00000000c0fe00000000",
      "020a0000020000000500",
      "020a0009090000000d00",
      "020a000a0a0000000d00",
      "020a000b0b0000000d00",
      "0406ff000001",
    ]);
  });

  test("MCFG: ECAM of bus 0", () => {
    const mcfg = find("MCFG");
    expect([u32(mcfg + 4), u32(mcfg + 44), u32(mcfg + 48), u32(mcfg + 52)]).toEqual([60, 0xe000_0000, 0, 0]);
  });
});

/** Objects by path, their AML as it lies there. Reads what the writer writes, and nothing else. */
function namespace(from: number, to: number, at = "", found = new Map<string, string>()): Map<string, string> {
  let p = from;
  const packageEnd = (): number => {
    const [start, lead] = [p, bytes[p++]!];
    let length = lead >> 6 === 0 ? lead & 0x3f : lead & 0xf;
    for (let i = 0; i < lead >> 6; i++) length |= bytes[p++]! << (4 + 8 * i);
    return start + length;
  };
  const label = (): string => {
    if (bytes[p] === 0x5c) p++;
    const name = text(p, 4);
    p += 4;
    return `${at}\\${name}`;
  };
  const skip = (): void => {
    const op = bytes[p++]!;
    if (op <= 1) return;
    if (op === 0x0a || op === 0x0b || op === 0x0c) p += op === 0x0a ? 1 : op === 0x0b ? 2 : 4;
    else if (op === 0x0d) p = bytes.indexOf(0, p) + 1;
    else if (op === 0x11 || op === 0x12) p = packageEnd();
    else throw new Error(`no term begins with ${op}`);
  };
  while (p < to) {
    const op = bytes[p++];
    if (op === 0x08) {
      const name = label();
      const start = p;
      skip();
      found.set(name, Buffer.from(bytes.subarray(start, p)).toString("hex"));
    } else if (op === 0x14) {
      const end = packageEnd();
      const name = label();
      found.set(name, Buffer.from(bytes.subarray(p, end)).toString("hex"));
      p = end;
    } else if (op === 0x10 || (op === 0x5b && bytes[p++] === 0x82)) {
      const end = packageEnd();
      namespace(p + (bytes[p] === 0x5c ? 5 : 4), end, label(), found);
      p = end;
    } else throw new Error(`no object begins with ${op} at ${p - 1 - from}`);
  }
  expect(p).toBe(to);
  return found;
}

describe("DSDT", () => {
  const objects = namespace(dsdt + 36, dsdt + u32(dsdt + 4));

  test("names its devices", () => {
    const ids = [...objects].filter(([name]) => name.endsWith("_HID"));
    expect(Object.fromEntries(ids)).toEqual({
      "\\_SB_\\PCI0\\_HID": "0c41d00a03",
      "\\_SB_\\PCI0\\RTC_\\_HID": "0c41d00b00",
      "\\_SB_\\PCI0\\KBD_\\_HID": "0c41d00303",
      "\\_SB_\\PCI0\\MOU_\\_HID": "0c41d00f13",
      "\\_SB_\\PCI0\\COM1\\_HID": "0c41d00501",
      "\\_SB_\\PCI0\\FWCF\\_HID": "0d51454d553030303200", // QEMU0002
      "\\_SB_\\MBRD\\_HID": "0c41d00c02",
      "\\_SB_\\C000\\_HID": "0d414350493030303700",
      "\\_SB_\\C001\\_HID": "0d414350493030303700",
      "\\_SB_\\C002\\_HID": "0d414350493030303700",
    });
  });

  test("S5 has type 0, in four elements", () => {
    expect(objects.get("\\_S5_")).toBe("12060400000000");
  });

  test("_PRT: 128 wires, INTA of slot 1 to GSI 11", () => {
    const prt = objects.get("\\_SB_\\PCI0\\_PRT")!;
    expect(prt.match(/^12.{4}80/)).not.toBeNull();
    expect(prt).toContain("120b040cffff010000000a0b"); // slot 1, pin 0
    expect(prt.endsWith("120c040cffff1f000a03000a0a")).toBe(true);
  });

  test("_CRS of the bridge leaves ECAM and the configuration ports out", () => {
    const crs = objects.get("\\_SB_\\PCI0\\_CRS")!;
    expect(crs).toContain("880d00010c030000" + "0000f70c0000f80c");
    expect(crs).toContain("880d00010c030000" + "000dffff000000f3");
    expect(crs).toContain("8717" + "00000c01" + "00000000" + "000010e0" + "ffffbffe" + "00000000" + "0000b01e");
    expect(objects.get("\\_SB_\\PCI0\\FWCF\\_CRS")).toContain("4701" + "10051005" + "010c");
    expect(objects.get("\\_SB_\\MBRD\\_CRS")).toContain("86090001" + "000000e0" + "00001000");
  });
});

describe("AML", () => {
  test.each([
    [58, "113f"],
    [59, "114104"],
  ])("a template of %i bytes has the shortest PkgLength", (length, start) => {
    const term = aml.resources(new Array<number>(length).fill(0));
    expect(Buffer.from(term).toString("hex").startsWith(start)).toBe(true);
  });

  test.each([
    ["A", "415f5f5f"],
    ["\\_SB.PCI0", "5c2e5f53425f50434930"],
    ["A.B.C", "2f03" + "415f5f5f" + "425f5f5f" + "435f5f5f"],
  ])("path %s", (path, hex) => {
    expect(Buffer.from(aml.path(path)).toString("hex")).toBe(hex);
  });

  test.each(["1A", "ABCDE", "a"])("%j is no path", (path) => {
    expect(() => aml.path(path)).toThrow(/not a name segment/);
  });

  test("integers take the shortest form", () => {
    const forms = [0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff].map((value) => aml.integer(value).length);
    expect(forms).toEqual([1, 1, 2, 2, 3, 3, 5, 5]);
  });
});
