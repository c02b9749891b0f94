/**
 * KVM_IRQFD_FLAG_RESAMPLE: an event holds its GSI until an 8259 or the IOAPIC ends the interrupt; then the line falls, the server
 * is told, and raises it again if its device still asks. Meaning: the KVM API document, Linux's virt/kvm/eventfd.c.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { VCPU_ZONES } from "../../../kvm-core/cpu/zones.ts";
import { IoApic } from "../../../kvm-core/irqchip/ioapic.ts";
import { Lines } from "../../../kvm-core/irqchip/lines.ts";
import { Pic } from "../../../kvm-core/irqchip/pic.ts";
import { Routes } from "../../../kvm-core/irqchip/routing.ts";
import { DeviceServers } from "../../../kvm-core/vm/device-servers.ts";
import { serverAreaAt, VM_STATE } from "../../../kvm-core/vm/vm-state.ts";
import { Mailbox } from "../../../shared/mailbox.ts";

const KICK = VCPU_ZONES;
const LEVEL = 0x8000;
const SERVER = 3;
const EVENT = 40;
const RESAMPLE = 1000;
/** Of the slave, and of the IOAPIC. */
const GSI = 11;
const PIC_VECTOR = 0x73;
const VECTOR = 0x5b;

const memory = new WebAssembly.Memory({ initial: 300, maximum: 300, shared: true });
const words = new Int32Array(memory.buffer);
const doorbell = serverAreaAt(SERVER) >> 2;

let pic: Pic;
let lines: Lines;
let servers: DeviceServers;
let box: Mailbox;
let sent: number[];

const delivery = {
  send: (_destination: number, _logical: boolean, _mode: number, vector: number) => sent.push(vector) > 0,
  message: (_low: number, _high: number, data: number) => sent.push(data) > 0,
};
const resampled = (of = box) => {
  const events: number[] = [];
  of.takeResamples((event) => events.push(event));
  return events;
};
const vectors = () => {
  lines.gather();
  return sent.splice(0);
};

/** The 8259s as a PC has them, at 68h and 70h; `icw4` 3: automatic EOI. GSI 11 alone is open. */
function initialisePics(icw4 = 1): void {
  for (const [port, ...icws] of [
    [0x20, 0x68, 4, icw4],
    [0xa0, 0x70, 2, icw4],
  ] as const) {
    pic.write(port, 0x11);
    for (const icw of icws) pic.write(port + 1, icw);
  }
  pic.write(0x21, 0xfb);
  pic.write(0xa1, 0xf7);
}
function picEoi(): void {
  for (const port of [0xa0, 0x20]) pic.write(port, 0x20);
}
function openIoApic(trigger: number): void {
  lines.writeIoApic(0, 4, 0x10 + 2 * GSI);
  lines.writeIoApic(0x10, 4, trigger | VECTOR);
}
/** Whether an interrupt of the 8259s waits; it is taken. */
function picVector(): number {
  lines.gather();
  return pic.intr ? lines.acknowledge() : 0;
}

beforeEach(() => {
  new Uint8Array(memory.buffer).fill(0);
  sent = [];
  pic = new Pic(memory);
  pic.reset();
  const ioapic = new IoApic(memory, delivery);
  ioapic.reset();
  new Routes(memory).reset();
  servers = new DeviceServers(memory);
  lines = new Lines(memory, pic, ioapic, delivery);
  words[(VM_STATE.serverArea >> 2) + SERVER] = 1;
  box = new Mailbox(memory.buffer, serverAreaAt(SERVER), memory.buffer, KICK);
  servers.tieResampled(SERVER, EVENT, GSI, RESAMPLE);
});

describe("the IOAPIC", () => {
  test.each([
    ["level-triggered", LEVEL],
    ["edge-triggered", 0],
  ])("%s: EOI, resample, raised again", (_what, trigger) => {
    openIoApic(trigger);
    box.signal(EVENT);
    expect(vectors()).toEqual([VECTOR]);
    box.signal(EVENT); // high already
    expect([vectors(), resampled()]).toEqual([[], []]);
    lines.eoi(VECTOR, trigger !== 0);
    expect([vectors(), resampled()]).toEqual([[], [RESAMPLE]]);
    box.signal(EVENT);
    expect(vectors()).toEqual([VECTOR]);
    lines.eoi(VECTOR, trigger !== 0);
    expect([vectors(), resampled(), resampled()]).toEqual([[], [RESAMPLE], []]);
  });

  test("another vector's EOI ends nothing", () => {
    openIoApic(LEVEL);
    box.signal(EVENT);
    expect(vectors()).toEqual([VECTOR]);
    lines.eoi(VECTOR + 1, true);
    expect([vectors(), resampled()]).toEqual([[], []]);
  });

  test("another source of the GSI keeps it high", () => {
    openIoApic(LEVEL);
    words[VM_STATE.lineLevels >> 2] = 1 << GSI;
    box.signal(EVENT);
    expect(vectors()).toEqual([VECTOR]);
    lines.eoi(VECTOR, true);
    expect([sent.splice(0), resampled()]).toEqual([[VECTOR], [RESAMPLE]]);
  });
});

describe("the 8259s", () => {
  test.each([
    ["level-triggered", 0x08],
    ["edge-triggered", 0],
  ])("%s: EOI, resample, raised again", (_what, elcr) => {
    initialisePics();
    pic.write(0x4d1, elcr);
    for (let n = 0; n < 2; n++) {
      box.signal(EVENT);
      expect(picVector()).toBe(PIC_VECTOR);
      expect([picVector(), resampled()]).toEqual([0, []]);
      picEoi();
      expect([picVector(), resampled()]).toEqual([0, [RESAMPLE]]);
    }
  });

  test("an automatic EOI is an end, and so is ICW1", () => {
    initialisePics(3);
    box.signal(EVENT);
    expect([picVector(), resampled()]).toEqual([PIC_VECTOR, [RESAMPLE]]);
    box.signal(EVENT);
    lines.gather();
    pic.write(0xa0, 0x11);
    expect(resampled()).toEqual([RESAMPLE]);
  });
});

test("all events of a GSI are one source, and each server hears of its end", () => {
  openIoApic(LEVEL);
  words[(VM_STATE.serverArea >> 2) + 5] = 1;
  servers.tieResampled(5, 1, GSI, 2);
  servers.tieResampled(6, 1, GSI, 2); // in message mode: it has no area
  const other = new Mailbox(memory.buffer, serverAreaAt(5), memory.buffer, KICK);
  box.signal(EVENT);
  other.signal(1);
  expect(vectors()).toEqual([VECTOR]);
  lines.eoi(VECTOR, true);
  expect([resampled(), resampled(other), vectors()]).toEqual([[RESAMPLE], [2], []]);
});

test("a server's doorbell rings", () => {
  openIoApic(LEVEL);
  box.signal(EVENT);
  lines.gather();
  const before = words[doorbell]!;
  lines.eoi(VECTOR, true);
  expect(words[doorbell]).toBe(before + 2);
});

test("untied it falls, but not while another event is tied to the GSI", () => {
  openIoApic(LEVEL);
  servers.tieResampled(SERVER, EVENT + 1, GSI, RESAMPLE + 1);
  box.signal(EVENT);
  lines.gather();
  servers.untie(SERVER, EVENT);
  expect([servers.tied(SERVER, EVENT), servers.tied(SERVER, EVENT + 1)]).toEqual([0xffff, GSI]);
  expect(words[VM_STATE.resampleLevels >> 2]).toBe(1 << GSI);
  servers.untie(SERVER, EVENT + 1);
  expect(words[VM_STATE.resampleLevels >> 2]).toBe(0);
  box.signal(EVENT);
  lines.gather();
  expect(words[VM_STATE.resampleLevels >> 2]).toBe(0);
});

test("where the GSI is a message, it goes with each event", () => {
  const route = { type: 2, flags: 0, irqchip: 0, pin: 0, address_lo: 0xfee0_0000, address_hi: 0, data: 0x44 };
  new Routes(memory).set([{ ...route, gsi: GSI }]);
  for (let n = 0; n < 2; n++) {
    box.signal(EVENT);
    expect(vectors()).toEqual([0x44]);
  }
});
