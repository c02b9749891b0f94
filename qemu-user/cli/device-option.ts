/**
 * `-device NAME[,prop=value...]`: parsing against the catalog, and the catalog's help.
 * Follows: QEMU's -device: `help`, `NAME,help`, `id=`, a doubled comma for a comma in a value, `prop` alone for `prop=on`.
 * Or all of it as JSON, with the name as "driver".
 * Left out: lists.
 */
import { describeKind, type Property, type PropertyTable, type PropertyValue, parseProperty } from "../bus/property.ts";
import { DEVICE_CATALOG, type DeviceOption, defaultProperties } from "../machine/device-catalog.ts";
import { isJson, parseId, parseSettings, type Settings, splitSetting, splitWords } from "./key-values.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

const HELP_WORDS = ["help", "?"];

/** A device to add, or a help text that was asked for. Throws a UsageError. */
export function parseDevice(text: string): DeviceOption | { readonly help: string } {
  const [name, settings] = isJson(text) ? driverOf(parseSettings("-device", text)) : nameOf(splitWords(text));
  if (HELP_WORDS.includes(name)) return { help: describeDevices() };
  const row = Object.hasOwn(DEVICE_CATALOG, name) ? DEVICE_CATALOG[name] : undefined;
  if (row === undefined) {
    throw unknownWord("-device", name, Object.keys(DEVICE_CATALOG), "-device help lists what there is");
  }
  let id: string | undefined;
  const given: Record<string, PropertyValue> = {};
  for (const [key, value] of settings) {
    if (value === undefined && HELP_WORDS.includes(key)) return { help: describeProperties(name, row.properties) };
    if (key === "id") id = parseId("-device", value ?? "");
    else given[key] = parseSetting(name, row.properties, key, value);
  }
  return { name, id, properties: { ...defaultProperties(name), ...given } };
}

function nameOf([name = "", ...settings]: readonly string[]): readonly [string, Settings] {
  return [name, settings.map(splitSetting)];
}

function driverOf(settings: Settings): readonly [string, Settings] {
  const driver = settings.find(([key]) => key === "driver")?.[1];
  if (driver === undefined) throw new UsageError('-device: the JSON form needs "driver", the name of the device');
  return [driver, settings.filter(([key]) => key !== "driver")];
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
    ([name, { bus, description }]) => `  ${name.padEnd(20)}${bus.padEnd(6)}${description}`,
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
