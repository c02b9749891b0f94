/**
 * The IOAPIC against the Intel 82093AA data sheet (290566), and against KVM where that is what guests know: access
 * sizes, remote IRR, edges on masked pins, and the state of KVM_GET_IRQCHIP.
 */
import { beforeEach, describe, expect, test } from "vitest";
import type { Delivery } from "../../../kvm-core/irqchip/delivery.ts";
import { IoApic } from "../../../kvm-core/irqchip/ioapic.ts";

const memory = new WebAssembly.Memory({ initial: 32, maximum: 32, shared: true });
const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const REMOTE_IRR = 0x4000;

let sent: unknown[][];
let takes: boolean;
const delivery: Delivery = {
  send: (...message) => {
    sent.push(message);
    return takes;
  },
  message: () => false,
};
let ioapic: IoApic;

function write(register: number, value: number): void {
  ioapic.write(0, 4, register);
  ioapic.write(0x10, 4, value);
}

function read(register: number): number {
  ioapic.write(0, 4, register);
  return ioapic.read(0x10, 4);
}

function entry(pin: number, low: number, destination = 0): void {
  write(0x11 + 2 * pin, destination << 24);
  write(0x10 + 2 * pin, low);
}

beforeEach(() => {
  sent = [];
  takes = true;
  ioapic = new IoApic(memory, delivery);
  ioapic.reset();
});

describe("registers", () => {
  test("after reset: version 0x11 with 24 entries, all masked", () => {
    expect(read(0)).toBe(0);
    expect(read(1)).toBe(0x0017_0011);
    for (let pin = 0; pin < 24; pin++) expect([read(0x10 + 2 * pin), read(0x11 + 2 * pin)]).toEqual([MASKED, 0]);
  });

  test("the ID has four bits, and arbitration follows it; version and arbitration are read-only", () => {
    write(0, 0xffff_ffff);
    write(1, 0);
    write(2, 0);
    expect([read(0), read(1), read(2)]).toEqual([0x0f00_0000, 0x0017_0011, 0x0f00_0000]);
  });

  test("an entry keeps what it has bits for; polarity is stored", () => {
    write(0x10, 0xffff_ffff);
    write(0x11, 0xffff_ffff);
    expect([read(0x10), read(0x11)]).toEqual([0x1_afff, 0xff00_0000]);
  });

  test("beyond the table nothing is there, nor at other offsets", () => {
    write(0x40, 0xffff_ffff);
    expect([read(0x40), read(0xff), read(3), ioapic.read(0x20, 4), ioapic.read(4, 4)]).toEqual([0, 0, 0, 0, 0]);
    expect([IoApic.owns(0xfec0_00ff), IoApic.owns(0xfec0_0100), IoApic.owns(0xfebf_ffff)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("narrow and wide accesses: the low bytes, as in KVM", () => {
    ioapic.write(0, 1, 0x101);
    expect([1, 2, 4, 8].map((size) => ioapic.read(0x10, size))).toEqual([0x11, 0x11, 0x17_0011, 0x17_0011]);
    ioapic.write(0, 8, 0x10);
    ioapic.write(0x10, 2, 0xffff_0033);
    expect(read(0x10)).toBe(0x33);
  });
});

describe("an edge-triggered pin", () => {
  test("sends each rise, with the entry's destination, mode and vector", () => {
    entry(4, 0x0931, 0x42);
    ioapic.setPin(4, true);
    ioapic.setPin(4, true);
    expect(sent).toEqual([[0x42, true, 1, 0x31, false]]);
    ioapic.setPin(4, false);
    ioapic.setPin(4, true);
    expect(sent).toHaveLength(2);
    expect(read(0x18)).toBe(0x0931);
  });

  test("that is masked notes the edge in IRR and does not send it when it is unmasked", () => {
    entry(4, MASKED | 0x31);
    ioapic.setPin(4, true);
    expect(ioapic.save().irr).toBe(1 << 4);
    entry(4, 0x31);
    expect(sent).toEqual([]);
  });

  test("knows no EOI", () => {
    entry(4, 0x31);
    ioapic.setPin(4, true);
    ioapic.eoi(0x31);
    expect(sent).toHaveLength(1);
  });
});

describe("a level-triggered pin", () => {
  test("sends once, and again at each EOI while it is high", () => {
    entry(10, LEVEL | 0x52);
    ioapic.setPin(10, true);
    ioapic.setPin(10, true);
    expect(sent).toEqual([[0, false, 0, 0x52, true]]);
    expect(read(0x24)).toBe(LEVEL | REMOTE_IRR | 0x52);
    ioapic.eoi(0x51);
    expect(sent).toHaveLength(1);
    ioapic.eoi(0x52);
    expect(sent).toHaveLength(2);
    ioapic.setPin(10, false);
    ioapic.eoi(0x52);
    expect(sent).toHaveLength(2);
    expect(read(0x24)).toBe(LEVEL | 0x52);
  });

  test("that is masked sends when it is unmasked, if it is still high", () => {
    entry(10, MASKED | LEVEL | 0x52);
    ioapic.setPin(10, true);
    expect(sent).toEqual([]);
    entry(10, LEVEL | 0x52);
    expect(sent).toHaveLength(1);
    entry(11, MASKED | LEVEL | 0x53);
    ioapic.setPin(11, true);
    ioapic.setPin(11, false);
    entry(11, LEVEL | 0x53);
    expect(sent).toHaveLength(1);
  });

  test("that is masked in service sends nothing at its EOI", () => {
    entry(10, LEVEL | 0x52);
    ioapic.setPin(10, true);
    write(0x24, MASKED | LEVEL | 0x52);
    expect(read(0x24)).toBe(MASKED | LEVEL | REMOTE_IRR | 0x52);
    ioapic.eoi(0x52);
    expect(sent).toHaveLength(1);
  });

  test("that nobody took is not in service", () => {
    takes = false;
    entry(10, LEVEL | 0x52);
    ioapic.setPin(10, true);
    expect(read(0x24)).toBe(LEVEL | 0x52);
    takes = true;
    ioapic.setPin(10, true);
    expect(read(0x24)).toBe(LEVEL | REMOTE_IRR | 0x52);
  });

  test("remote IRR is read-only, and cleared when the entry becomes edge-triggered", () => {
    entry(3, LEVEL | REMOTE_IRR | 0x33);
    expect(read(0x16)).toBe(LEVEL | 0x33);
    ioapic.setPin(3, true);
    entry(3, 0x33);
    expect(read(0x16)).toBe(0x33);
  });

  test("two pins of one vector are both answered by its EOI", () => {
    entry(10, LEVEL | 0x52);
    entry(11, LEVEL | 0x52);
    ioapic.setPin(10, true);
    ioapic.setPin(11, true);
    ioapic.eoi(0x52);
    expect(sent).toHaveLength(4);
  });
});

describe("KVM_GET_IRQCHIP and KVM_SET_IRQCHIP (struct kvm_ioapic_state)", () => {
  test("carry everything; a sent edge is not told as pending", () => {
    write(0, 0x0500_0000);
    entry(4, 0x31, 1);
    entry(10, LEVEL | 0x52, 0xff);
    ioapic.setPin(4, true);
    ioapic.setPin(10, true);
    const state = ioapic.save();
    expect(state).toMatchObject({ base_address: 0xfec0_0000n, ioregsel: 0x24, id: 5, irr: 1 << 10 });
    expect(state.redirtbl[4]).toBe(0x0100_0000_0000_0031n);
    expect(state.redirtbl[10]).toBe(0xff00_0000_0000_c052n);
    ioapic.reset();
    sent = [];
    ioapic.load(state);
    expect(ioapic.save()).toEqual(state);
    expect(sent).toEqual([]);
    ioapic.eoi(0x52);
    expect(sent).toHaveLength(1);
  });

  test("an edge that is pending in the state is sent, and bits that there are none of are dropped", () => {
    const state = ioapic.save();
    state.redirtbl[5] = 0x0200_00ff_fffe_5035n;
    ioapic.load({ ...state, irr: 1 << 5, id: 0xff, ioregsel: 0x1ff });
    expect(sent).toEqual([[2, false, 0, 0x35, false]]);
    expect(ioapic.save()).toMatchObject({ id: 0xf, ioregsel: 0xff, irr: 0 });
    expect(ioapic.save().redirtbl[5]).toBe(0x0200_0000_0000_0035n);
  });
});
