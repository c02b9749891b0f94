/**
 * `-device NAME[,prop=value...]`: parsing against the catalog, and the catalog's help.
 * Follows: QEMU's -device: `help`, `NAME,help`, `id=`, a doubled comma for a comma in a value, `prop` alone for `prop=on`.
 * Left out: JSON syntax.
 */
import { describeKind, type Property, type PropertyTable, type PropertyValue, parseProperty } from "../bus/property.ts";
import { DEVICE_CATALOG, type DeviceOption, defaultProperties } from "../machine/device-catalog.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

/** QEMU's rule for identifiers. */
const ID = /^[A-Za-z][A-Za-z0-9._-]*$/;
const HELP_WORDS = ["help", "?"];

/** A device to add, or a help text that was asked for. Throws a UsageError. */
export function parseDevice(text: string): DeviceOption | { readonly help: string } {
  // A NUL cannot be in an argument, so it can stand in for an escaped comma.
  const [name = "", ...settings] = text
    .replaceAll(",,", "\0")
    .split(",")
    .map((part) => part.replaceAll("\0", ","));
  if (HELP_WORDS.includes(name)) return { help: describeDevices() };
  const row = Object.hasOwn(DEVICE_CATALOG, name) ? DEVICE_CATALOG[name] : undefined;
  if (row === undefined) {
    throw unknownWord("-device", name, Object.keys(DEVICE_CATALOG), "-device help lists what there is");
  }
  let id: string | undefined;
  const given: Record<string, PropertyValue> = {};
  for (const setting of settings) {
    if (HELP_WORDS.includes(setting)) return { help: describeProperties(name, row.properties) };
    const equals = setting.indexOf("=");
    const key = equals < 0 ? setting : setting.slice(0, equals);
    if (key === "id") id = parseId(setting.slice(3));
    else given[key] = parseSetting(name, row.properties, key, equals < 0 ? undefined : setting.slice(equals + 1));
  }
  return { name, id, properties: { ...defaultProperties(name), ...given } };
}

function parseId(text: string): string {
  if (ID.test(text)) return text;
  throw new UsageError(`-device: id ${JSON.stringify(text)} must be a letter, then letters, digits, '-', '.' or '_'`);
}

function parseSetting(device: string, table: PropertyTable, key: string, text: string | undefined): PropertyValue {
  const property: Property | undefined = Object.hasOwn(table, key) ? table[key] : undefined;
  if (property === undefined) {
    throw unknownWord(`-device ${device}: property`, key, [...Object.keys(table), "id"]);
  }
  if (text === undefined && property.kind !== "bool") {
    throw new UsageError(`-device ${device}: ${key} needs a value: ${key}=${describeKind(property.kind)}`);
  }
  const value = parseProperty(property.kind, text ?? "on");
  if (value !== undefined) return value;
  throw new UsageError(`-device ${device}: ${key}=${text} is not ${describeKind(property.kind)}`);
}

function describeDevices(): string {
  const rows = Object.entries(DEVICE_CATALOG).map(
    ([name, { bus, description }]) => `  ${name.padEnd(18)}${bus.padEnd(6)}${description}`,
  );
  return `Devices (-device NAME,help lists a device's properties):\n${rows.join("\n")}\n`;
}

function describeProperties(name: string, table: PropertyTable): string {
  const rows = Object.entries(table).map(([key, property]) => {
    const value = property.kind === "bool" ? (property.default ? "on" : "off") : String(property.default);
    return `  ${`${key}=${describeKind(property.kind)}`.padEnd(24)}${property.help} (${value} unless said)`;
  });
  return `Properties of ${name}:\n${rows.join("\n")}\n  ${"id=NAME".padEnd(24)}what the device is called\n`;
}
