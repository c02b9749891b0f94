/**
 * The local APIC against SDM volume 3, chapter 11: registers, priorities, EOI, the timer with a given clock, whom messages
 * reach, and changes of mode.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { VCPU_ZONE_COUNT, VCPU_ZONE_SIZE, VCPU_ZONES } from "../../../kvm-core/cpu/zones.ts";
import { DELIVERY } from "../../../kvm-core/irqchip/delivery.ts";
import { Lapic } from "../../../kvm-core/irqchip/lapic.ts";
import { LapicAccess } from "../../../kvm-core/irqchip/lapic-access.ts";
import { LapicDelivery } from "../../../kvm-core/irqchip/lapic-delivery.ts";
import { EVENT, MSR_APIC_BASE, MSR_TSC_DEADLINE, REG, startupVector } from "../../../kvm-core/irqchip/lapic-page.ts";

const PAGES = Math.ceil((VCPU_ZONES + VCPU_ZONE_COUNT * VCPU_ZONE_SIZE) / 65536);
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
const words = new Int32Array(memory.buffer);
const PAGE = 0xfee0_0000;

let now: number;
let apics: Lapic[];
let lapic: Lapic;
let access: LapicAccess;
let delivery: LapicDelivery;

beforeEach(() => {
  now = 1_000_000;
  delivery = new LapicDelivery(memory);
  apics = [0, 1, 2].map((vcpu) => new Lapic(memory, vcpu, delivery, () => now));
  for (const apic of apics) {
    apic.reset();
    apic.write(REG.svr, 0x1ff);
  }
  lapic = apics[0]!;
  access = new LapicAccess(lapic);
});

const served = (apic = lapic): number[] => {
  const vectors: number[] = [];
  for (; apic.pending(); apic.write(REG.eoi, 0)) vectors.push(apic.acknowledge());
  return vectors;
};
const wrmsr = (index: number, low: number, high = 0): boolean => {
  const data = (lapic.page.zone + CPU.data) >> 2;
  words[data] = low;
  words[data + 1] = high;
  return access.writeMsr(index);
};
const rdmsr = (index: number): number | undefined =>
  access.readMsr(index) ? words[(lapic.page.zone + CPU.data) >> 2]! >>> 0 : undefined;
const x2apic = () => wrmsr(MSR_APIC_BASE, 0xfee0_0d00 | 0);

describe("registers", () => {
  test("after reset", () => {
    lapic.reset();
    expect(lapic.read(REG.version)).toBe(0x5_0014);
    expect(lapic.read(REG.svr)).toBe(0xff);
    expect(lapic.read(REG.dfr)).toBe(-1);
    expect(lapic.read(REG.lvtTimer)).toBe(0x1_0000);
    expect(lapic.read(REG.lvtLint0)).toBe(0x700);
    expect(lapic.passesExtInt).toBe(true);
    expect(apics[1]!.passesExtInt).toBe(false);
    expect(apics[1]!.read(REG.id)).toBe(1 << 24);
  });
  test("software-disabled, all LVT entries are masked and stay so", () => {
    lapic.write(REG.lvtLint1, 0x400);
    lapic.write(REG.svr, 0xff);
    lapic.write(REG.lvtLint1, 0x400);
    expect(lapic.read(REG.lvtLint1)).toBe(0x1_0400);
    expect(lapic.passesExtInt).toBe(false);
    expect(delivery.send(0, false, DELIVERY.fixed, 0x40, false)).toBe(false);
  });
  test("the page: bytes of a register, nothing for what is not aligned, the page's end", () => {
    expect(access.owns(PAGE)).toBe(true);
    expect(access.owns(PAGE + 0xfff)).toBe(true);
    expect(access.owns(PAGE + 0x1000)).toBe(false);
    expect(access.mmioRead(PAGE + REG.version + 2, 1) & 0xff).toBe(5);
    expect(access.mmioRead(PAGE + REG.version, 8)).toBe(0);
    access.mmioWrite(PAGE + REG.tpr + 4, 4, 0x20);
    access.mmioWrite(PAGE + REG.tpr, 1, 0x20);
    expect(lapic.read(REG.tpr)).toBe(0);
    for (let at = 0; at < 0x1000; at += 4) {
      access.mmioWrite(PAGE + at, 4, -1);
      access.mmioRead(PAGE + at, 4);
    }
    expect(lapic.read(REG.version)).toBe(0x5_0014);
  });
  test("vectors below 16 are errors", () => {
    lapic.write(REG.icrLow, 0x4_0005);
    expect(lapic.read(REG.esr)).toBe(0);
    lapic.write(REG.esr, 0);
    expect(lapic.read(REG.esr)).toBe(1 << 5);
    lapic.write(REG.esr, 0);
    expect(lapic.read(REG.esr)).toBe(0);
    expect(lapic.pending()).toBe(false);
  });
  test("KVM_GET_LAPIC and KVM_SET_LAPIC", () => {
    delivery.send(0, false, DELIVERY.fixed, 0x51, true);
    lapic.write(REG.tpr, 0x23);
    const saved = lapic.save();
    lapic.reset();
    lapic.write(REG.svr, 0x1ff);
    expect(delivery.send(0, false, DELIVERY.fixed, 0x77, false)).toBe(true); // not in what was saved
    lapic.load(saved);
    expect(lapic.read(REG.tpr)).toBe(0x23);
    expect(served()).toEqual([0x51]);
    lapic.load(new Uint8Array(1024).fill(0xff));
    lapic.service();
    expect(lapic.read(REG.version)).toBe(0x5_0014);
    expect(lapic.read(REG.irr) & 0xffff).toBe(0);
  });
});

describe("priorities", () => {
  test("the highest first; a class in service holds off its own and lower ones", () => {
    for (const vector of [0x41, 0x93, 0x45]) delivery.send(0, false, DELIVERY.fixed, vector, false);
    expect(lapic.acknowledge()).toBe(0x93);
    delivery.send(0, false, DELIVERY.fixed, 0x9f, false);
    expect(lapic.pending()).toBe(false);
    expect(lapic.read(REG.ppr)).toBe(0x90);
    lapic.write(REG.eoi, 0);
    expect(served()).toEqual([0x9f, 0x45, 0x41]);
  });
  test("TPR and CR8 are one", () => {
    const cr8 = (lapic.page.zone + CPU.cr8) >> 2;
    lapic.write(REG.tpr, 0x4f);
    expect(words[cr8]).toBe(4);
    delivery.send(0, false, DELIVERY.fixed, 0x4f, false);
    expect(lapic.pending()).toBe(false);
    words[cr8] = 3;
    lapic.cr8Written();
    expect(lapic.read(REG.tpr)).toBe(0x30);
    expect(lapic.pending()).toBe(true);
  });
  test("EOI broadcasts cannot be suppressed: the IOAPIC here has no EOI register", () => {
    lapic.write(REG.svr, 0x11ff);
    expect([lapic.read(REG.svr), lapic.read(REG.version) & (1 << 24)]).toEqual([0x1ff, 0]);
  });

  test("EOI is broadcast for level-triggered vectors alone", () => {
    const ends: number[] = [];
    lapic.onEoi = (vector, level) => level && ends.push(vector);
    delivery.send(0, false, DELIVERY.fixed, 0x61, true);
    delivery.send(0, false, DELIVERY.fixed, 0x72, false);
    expect(served()).toEqual([0x72, 0x61]);
    lapic.write(REG.eoi, 0);
    expect(ends).toEqual([0x61]);
  });
});

describe("the timer", () => {
  const arm = (lvt: number, count: number, divide = 0xb) => {
    lapic.write(REG.divide, divide);
    lapic.write(REG.lvtTimer, lvt);
    lapic.write(REG.initialCount, count);
  };
  const at = (time: number): number[] => {
    now = time;
    lapic.service(now);
    return served();
  };
  test("one-shot, with every divisor", () => {
    for (const [divide, tick] of [
      [0xb, 1],
      [0, 2],
      [1, 4],
      [2, 8],
      [3, 16],
      [8, 32],
      [9, 64],
      [0xa, 128],
    ] as const) {
      const begin = now;
      arm(0x30, 1000, divide);
      expect(lapic.nextDeadline()).toBe(begin + 1000 * tick);
      now = begin + 400 * tick;
      expect(lapic.read(REG.currentCount)).toBe(600);
      expect(at(begin + 1000 * tick - 1)).toEqual([]);
      expect(at(begin + 1000 * tick)).toEqual([0x30]);
      expect(lapic.read(REG.currentCount)).toBe(0);
      expect(lapic.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    }
  });
  test("periodic: late, one interrupt, and on at the next multiple", () => {
    const begin = now;
    arm(0x2_0030, 1000);
    expect(at(begin + 3500)).toEqual([0x30]);
    expect(lapic.nextDeadline()).toBe(begin + 4000);
    now = begin + 3600;
    expect(lapic.read(REG.currentCount)).toBe(400);
    lapic.write(REG.initialCount, 0);
    expect(at(begin + 9000)).toEqual([]);
  });
  test("masked, it gives nothing and wakes nobody", () => {
    arm(0x1_0030, 1000);
    expect(lapic.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    now += 2000;
    lapic.write(REG.lvtTimer, 0x30);
    expect(at(now)).toEqual([]);
  });
  test("TSC-deadline", () => {
    lapic.write(REG.lvtTimer, 0x4_0030);
    lapic.write(REG.initialCount, 1000);
    expect(lapic.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    expect(wrmsr(MSR_TSC_DEADLINE, 5_000_000)).toBe(true);
    expect(lapic.nextDeadline()).toBe(5_000_000);
    expect(rdmsr(MSR_TSC_DEADLINE)).toBe(5_000_000);
    expect(at(4_999_999)).toEqual([]);
    expect(at(5_000_000)).toEqual([0x30]);
    expect(rdmsr(MSR_TSC_DEADLINE)).toBe(0);
    wrmsr(MSR_TSC_DEADLINE, -1, -1);
    expect(at(5_000_001)).toEqual([0x30]);
  });
});

describe("whom a message reaches", () => {
  const reached = (vector: number) => apics.flatMap((apic, i) => (served(apic).includes(vector) ? [i] : []));
  test("physical, broadcast, flat, cluster, lowest priority", () => {
    delivery.send(1, false, DELIVERY.fixed, 0x50, false);
    expect(reached(0x50)).toEqual([1]);
    delivery.send(0xff, false, DELIVERY.fixed, 0x50, false);
    expect(reached(0x50)).toEqual([0, 1, 2]);
    for (const apic of apics) apic.write(REG.ldr, 1 << (24 + apic.page.vcpu));
    delivery.send(0b101, true, DELIVERY.fixed, 0x50, false);
    expect(reached(0x50)).toEqual([0, 2]);
    apics[2]!.write(REG.dfr, 0x0fff_ffff);
    apics[2]!.write(REG.ldr, 0x24 << 24);
    expect(delivery.send(0x14, true, DELIVERY.fixed, 0x50, false)).toBe(false);
    expect(delivery.send(0x28, true, DELIVERY.fixed, 0x50, false)).toBe(false);
    expect(delivery.message(0xfee2_4004, 0, 0x50)).toBe(true);
    expect(reached(0x50)).toEqual([2]);
    lapic.write(REG.tpr, 0x20);
    delivery.send(0b11, true, DELIVERY.lowestPriority, 0x50, false);
    expect(reached(0x50)).toEqual([1]);
    expect(delivery.message(0xfed0_0000, 0, 0x50)).toBe(false);
  });
  test("the ICR: self, all, the others; NMI, INIT, start-up", () => {
    lapic.write(REG.icrLow, 0x4_0050);
    expect(reached(0x50)).toEqual([0]);
    lapic.write(REG.icrLow, 0x8_0050);
    expect(reached(0x50)).toEqual([0, 1, 2]);
    lapic.write(REG.icrLow, 0xc_0050);
    expect(reached(0x50)).toEqual([1, 2]);
    lapic.write(REG.icrHigh, 2 << 24);
    lapic.write(REG.icrLow, 0x4500);
    lapic.write(REG.icrLow, 0x8500);
    lapic.write(REG.icrLow, 0x4699);
    const events = apics[2]!.page.takeEvents(EVENT.init | EVENT.startup | EVENT.nmi);
    expect([events & 0xff, startupVector(events)]).toEqual([EVENT.init | EVENT.startup, 0x99]);
    lapic.write(REG.icrLow, 0x400);
    expect(apics[2]!.page.takeEvents(EVENT.nmi) & 0xff).toBe(EVENT.nmi);
  });
});

describe("modes", () => {
  test("x2APIC: registers are MSRs and the page is gone", () => {
    expect(rdmsr(0x802)).toBe(undefined);
    expect(x2apic()).toBe(true);
    expect(access.owns(PAGE)).toBe(false);
    expect(rdmsr(0x802)).toBe(0);
    expect(rdmsr(0x80d)).toBe(1);
    for (const absent of [0x800, 0x80e, 0x831, 0x80b, 0x83f, 0x840, 0x8ff]) expect(rdmsr(absent)).toBe(undefined);
    expect(wrmsr(0x80b, 1)).toBe(false);
    expect(wrmsr(0x808, 0x100)).toBe(false);
    expect(wrmsr(0x808, 0, 1)).toBe(false);
    expect(wrmsr(0x802, 0)).toBe(false);
    expect(wrmsr(0x83f, 0x50)).toBe(true);
    expect(served()).toEqual([0x50]);
    expect(wrmsr(0x830, 0x60, 1)).toBe(true);
    expect(served(apics[1])).toEqual([0x60]);
    expect(wrmsr(0x830, 0x60, -1)).toBe(true);
    expect([served(), served(apics[1]), served(apics[2])]).toEqual([[0x60], [0x60], [0x60]]);
  });
  test("changes of mode", () => {
    expect(wrmsr(MSR_APIC_BASE, 0xfee0_0500 | 0)).toBe(false);
    expect(wrmsr(MSR_APIC_BASE, 0xfee0_0901 | 0)).toBe(false);
    expect(wrmsr(MSR_APIC_BASE, 0xfee0_0900 | 0, -1)).toBe(false);
    x2apic();
    expect(wrmsr(MSR_APIC_BASE, 0xfee0_0900 | 0)).toBe(false);
    expect(wrmsr(MSR_APIC_BASE, 0xfee0_0100 | 0)).toBe(true);
    expect(lapic.passesExtInt).toBe(true);
    expect(access.owns(PAGE)).toBe(false);
    expect(x2apic()).toBe(false);
    expect(wrmsr(MSR_APIC_BASE, 0xd000_0900 | 0)).toBe(true);
    expect(access.owns(0xd000_0000)).toBe(true);
  });
});
