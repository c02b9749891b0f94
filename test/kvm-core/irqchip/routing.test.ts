/**
 * GSI routes: the default of QEMU's PC, KVM_SET_GSI_ROUTING's table, and what it refuses (KVM API document).
 */
import { beforeEach, describe, expect, test } from "vitest";
import { Routes, validateRoutes } from "../../../kvm-core/irqchip/routing.ts";
import { NO_PIN, VM_STATE } from "../../../kvm-core/vm/vm-state.ts";
import type { KvmIrqRoutingEntry } from "../../../shared/ioctls.ts";

const memory = new WebAssembly.Memory({ initial: 32, maximum: 32, shared: true });
const version = () => new Int32Array(memory.buffer)[VM_STATE.routeVersion >> 2]!;
let routes: Routes;

/** An entry for a pin of a chip. */
function pin(gsi: number, irqchip: number, pin: number): KvmIrqRoutingEntry {
  return { gsi, type: 1, flags: 0, irqchip, pin, address_lo: 0, address_hi: 0, data: 0 };
}

function message(gsi: number, address_lo: number, data: number): KvmIrqRoutingEntry {
  return { gsi, type: 2, flags: 0, irqchip: 0, pin: 0, address_lo, address_hi: 0xffff_ff00, data };
}

beforeEach(() => {
  routes = new Routes(memory);
  routes.reset();
});

test("the default is QEMU's", () => {
  expect([0, 1, 2, 3, 15, 16, 23, 24].map((gsi) => [routes.pic(gsi), routes.ioapic(gsi)])).toEqual([
    [0, 2],
    [1, 1],
    [NO_PIN, NO_PIN],
    [3, 3],
    [15, 15],
    [NO_PIN, 16],
    [NO_PIN, 23],
    [NO_PIN, NO_PIN],
  ]);
});

test("set() replaces the whole table, and counts as one change", () => {
  const before = version();
  routes.set([pin(5, 0, 7), pin(5, 2, 20), pin(9, 1, 3), message(1023, 0xfee0_1000, 0x4031)]);
  expect(version()).toBe(before + 2);
  expect([routes.pic(5), routes.ioapic(5), routes.pic(9), routes.ioapic(9)]).toEqual([7, 20, 11, NO_PIN]);
  expect([routes.pic(0), routes.ioapic(0), routes.isMessage(5)]).toEqual([NO_PIN, NO_PIN, false]);
  expect([routes.isMessage(1023), routes.pic(1023), routes.ioapic(1023)]).toEqual([true, NO_PIN, NO_PIN]);
  expect([routes.addressLow(1023), routes.addressHigh(1023), routes.data(1023)]).toEqual([
    0xfee0_1000, 0xffff_ff00, 0x4031,
  ]);
  routes.set([]);
  expect([routes.isMessage(1023), routes.pic(5)]).toEqual([false, NO_PIN]);
});

describe("a table is refused for", () => {
  test.each<[string, KvmIrqRoutingEntry[]]>([
    ["a GSI beyond the table", [pin(1024, 0, 0)]],
    ["flags", [{ ...pin(1, 0, 0), flags: 1 }]],
    ["a type that there is none of", [{ ...pin(1, 0, 0), type: 3 }]],
    ["a chip that there is none of", [pin(1, 3, 0)]],
    ["a pin that an 8259 has not", [pin(1, 0, 8)]],
    ["a pin that the IOAPIC has not", [pin(1, 2, 24)]],
    ["two pins of one chip", [pin(1, 2, 1), pin(1, 2, 2)]],
    ["pins of both 8259s", [pin(1, 0, 1), pin(1, 1, 2)]],
    ["two messages", [message(30, 0, 0), message(30, 0, 1)]],
    ["a message beside a pin", [pin(1, 0, 1), message(1, 0, 0)]],
    ["a pin beside a message", [message(1, 0, 0), pin(1, 0, 1)]],
  ])("%s", (_what, entries) => {
    expect(() => validateRoutes([pin(0, 0, 0), ...entries], true)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test("a pin where there are no chips", () => {
    expect(() => validateRoutes([pin(0, 0, 0)], false)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    validateRoutes([message(0, 0, 0)], false);
  });

  test("and only for that", () => {
    validateRoutes([], true);
    validateRoutes([pin(1, 1, 7), pin(1, 2, 23), pin(2, 1, 7), message(1023, 0, 0)], true);
  });
});
