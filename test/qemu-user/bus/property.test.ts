/** Property values, as -device gives them. */
import { expect, test } from "vitest";
import { type PropertyKind, parseProperty } from "../../../qemu-user/bus/property.ts";

test.each<[PropertyKind, string, unknown]>([
  ["bool", "on", true],
  ["bool", "no", false],
  ["bool", "1", undefined],
  ["bool", "toString", undefined],
  ["u8", "255", 255],
  ["u8", "256", undefined],
  ["u16", "0xffff", 0xffff],
  ["u16", "010", 8],
  ["u32", "0xFFFFFFFF", 0xffff_ffff],
  ["u32", "4294967296", undefined],
  ["u32", "-1", undefined],
  ["u32", "1e3", undefined],
  ["u32", "", undefined],
  ["u32", "99999999999999999999", undefined],
  ["pci-slot", "a", 10],
  ["pci-slot", "0x10.0", 16],
  ["pci-slot", "3.1", undefined],
  ["pci-slot", "0", undefined],
  ["string", "", ""],
])("%s %j", (kind, text, value) => expect(parseProperty(kind, text)).toBe(value));
