/**
 * From mailboxes, irqfd events and KVM_IRQ_LINE to the 8259s' inputs (kvm-core/irqchip/lines.ts), with the servers' end
 * as they use it (shared/mailbox.ts).
 */
import { beforeEach, describe, expect, test } from "vitest";
import { VCPU_ZONES } from "../../../kvm-core/cpu/zones.ts";
import { IoApic } from "../../../kvm-core/irqchip/ioapic.ts";
import { Lines } from "../../../kvm-core/irqchip/lines.ts";
import { Pic } from "../../../kvm-core/irqchip/pic.ts";
import { Routes } from "../../../kvm-core/irqchip/routing.ts";
import { MAX_SERVERS, NO_GSI, serverAreaAt, VM_STATE } from "../../../kvm-core/vm/vm-state.ts";
import { MAILBOX_EVENTS, MAILBOX_GSIS, Mailbox } from "../../../shared/mailbox.ts";

const KICK = VCPU_ZONES;
const memory = new WebAssembly.Memory({ initial: 300, maximum: 300, shared: true });
const words = new Int32Array(memory.buffer);
const bytes = new Uint8Array(memory.buffer);
const irqfds = new Uint16Array(memory.buffer, VM_STATE.irqfds, MAX_SERVERS * MAILBOX_EVENTS);

let pic: Pic;
let lines: Lines;

/** A device server with its area mapped, and the GSIs (bits) that it may assert. */
function server(place: number, granted: number): Mailbox {
  words[(VM_STATE.serverArea >> 2) + place] = 1;
  words[(VM_STATE.granted >> 2) + (place * MAILBOX_GSIS) / 32] = granted;
  return new Mailbox(memory.buffer, serverAreaAt(place), memory.buffer, KICK);
}

function tie(place: number, event: number, gsi: number): void {
  irqfds[place * MAILBOX_EVENTS + event] = gsi;
}

/** What the vCPU's thread sees: the requests of both chips as GSI bits. */
function requests(): number {
  lines.gather();
  return pic.save(0).irr | (pic.save(1).irr << 8);
}

beforeEach(() => {
  bytes.fill(0);
  irqfds.fill(NO_GSI);
  pic = new Pic(memory);
  pic.reset();
  new Routes(memory).reset();
  lines = new Lines(memory, pic);
});

describe("levels", () => {
  test("reach the controllers, and fall again", () => {
    const box = server(0, -1);
    pic.write(0x4d0, 0x20);
    box.setLevel(5, true);
    expect(requests()).toBe(1 << 5);
    box.setLevel(5, false);
    expect(requests()).toBe(0);
  });

  test("of several servers on one GSI are OR-ed", () => {
    const [a, b] = [server(0, -1), server(3, 1 << 11)];
    pic.write(0x4d1, 0x08);
    a.setLevel(11, true);
    b.setLevel(11, true);
    expect(requests()).toBe(0x804); // and the cascade input
    a.setLevel(11, false);
    expect(requests() & 0x800).toBe(0x800);
    b.setLevel(11, false);
    expect(requests() & 0x800).toBe(0);
  });

  test("that were not granted do nothing, and a server without a mapped area neither", () => {
    server(2, 1 << 4).setLevel(5, true);
    expect(requests()).toBe(0);
    server(2, 1 << 5);
    words[(VM_STATE.serverArea >> 2) + 2] = 0;
    expect(requests()).toBe(0);
  });

  test("beyond the 8259s' sixteen inputs do nothing", () => {
    const box = server(0, -1);
    box.setLevel(16, true);
    box.setLevel(63, true);
    expect(requests()).toBe(0);
  });

  test("stay high over many looks without a second edge", () => {
    const box = server(0, -1);
    box.setLevel(4, true);
    expect(requests()).toBe(1 << 4);
    pic.acknowledge();
    expect(requests()).toBe(0);
    expect(requests()).toBe(0);
  });
});

describe("edges", () => {
  test("a line that fell and rose between two looks is an edge", () => {
    const box = server(0, -1);
    box.setLevel(4, true);
    requests();
    pic.acknowledge();
    box.setLevel(4, false);
    box.setLevel(4, true);
    expect(requests()).toBe(1 << 4);
  });

  test("a line that rose and fell between two looks is an edge", () => {
    const box = server(0, -1);
    box.setLevel(4, true);
    box.setLevel(4, false);
    expect(requests()).toBe(1 << 4);
  });

  test("an event pulses the GSI that it is tied to, once", () => {
    const box = server(1, 0);
    tie(1, 1023, 7);
    tie(1, 31, 12);
    box.signal(1023);
    box.signal(31);
    expect(requests()).toBe((1 << 7) | (1 << 12) | 4);
    pic.load(0, { ...pic.save(0), irr: 0 });
    pic.load(1, { ...pic.save(1), irr: 0 });
    expect(requests()).toBe(0);
    box.signal(1023);
    expect(requests()).toBe(1 << 7);
  });

  test("an event that is tied to nothing does nothing; another server's tie is not its", () => {
    tie(2, 5, 6);
    server(2, 0);
    server(1, 0).signal(5);
    expect(requests()).toBe(0);
  });
});

describe("KVM_IRQ_LINE's words", () => {
  test("are a source like the others", () => {
    words[VM_STATE.lineLevels >> 2] = 1 << 3;
    words[VM_STATE.lineRises >> 2] = 1 << 3;
    expect(requests()).toBe(1 << 3);
    expect(words[VM_STATE.lineRises >> 2]).toBe(0);
  });

  test("a rise that fell again is not lost", () => {
    words[VM_STATE.lineRises >> 2] = 1 << 3;
    expect(requests()).toBe(1 << 3);
  });
});

describe("routes", () => {
  let sent: unknown[][];
  let ioapic: IoApic;
  const delivery = {
    send: (...message: unknown[]) => sent.push(message) > 0,
    message: (...message: unknown[]) => sent.push(message) > 0,
  };
  const entry = { type: 1, flags: 0, irqchip: 0, pin: 0, address_lo: 0, address_hi: 0, data: 0 };

  /** Every entry of the IOAPIC with the vector 0x40 + pin. */
  function unmask(trigger: number): void {
    for (let pin = 0; pin < 24; pin++) {
      lines.writeIoApic(0, 4, 0x10 + 2 * pin);
      lines.writeIoApic(0x10, 4, trigger | (0x40 + pin));
    }
  }
  const vectors = () => sent.splice(0).map((message) => message[3]);

  beforeEach(() => {
    sent = [];
    ioapic = new IoApic(memory, delivery);
    ioapic.reset();
    lines = new Lines(memory, pic, ioapic, delivery);
  });

  test("of the default: GSI 0 to pin 2, n to n, up to 23", () => {
    unmask(0);
    const box = server(0, -1);
    for (const gsi of [0, 1, 2, 16, 23, 24, 31]) box.setLevel(gsi, true);
    lines.gather();
    expect(vectors().sort()).toEqual([0x41, 0x42, 0x50, 0x57]);
    expect(pic.save(0).irr).toBe(3);
    lines.gather();
    expect(vectors()).toEqual([]);
  });

  test("GSIs above 31 have levels, too, where they were granted", () => {
    new Routes(memory).set([{ ...entry, gsi: 63, irqchip: 2, pin: 7 }]);
    unmask(0x8000);
    const box = server(1, 0);
    box.setLevel(63, true);
    lines.gather();
    expect(vectors()).toEqual([]);
    words[(VM_STATE.granted >> 2) + 2 + 1] = 1 << 31;
    lines.gather();
    expect(vectors()).toEqual([0x47]);
  });

  test("GSIs that share a pin are OR-ed", () => {
    new Routes(memory).set([
      { ...entry, gsi: 20, irqchip: 2, pin: 5 },
      { ...entry, gsi: 40, irqchip: 2, pin: 5 },
    ]);
    unmask(0x8000);
    const box = server(0, -1);
    words[(VM_STATE.granted >> 2) + 1] = -1;
    box.setLevel(20, true);
    box.setLevel(40, true);
    lines.gather();
    expect(vectors()).toEqual([0x45]);
    box.setLevel(20, false);
    lines.eoi(0x45, true);
    expect(vectors()).toEqual([0x45]);
    box.setLevel(40, false);
    lines.eoi(0x45, true);
    expect(vectors()).toEqual([]);
  });

  test("an EOI sees that the device released its line, without a look between", () => {
    unmask(0x8000);
    const box = server(0, -1);
    box.setLevel(11, true);
    lines.gather();
    expect(vectors()).toEqual([0x4b]);
    box.setLevel(11, false);
    lines.eoi(0x4b, true);
    expect(vectors()).toEqual([]);
  });

  test("a message goes on each event and each rise, and not for a level that stays", () => {
    const msi = { ...entry, type: 2, address_lo: 0xfee0_1000, address_hi: 2, data: 0x4051 };
    new Routes(memory).set([
      { ...msi, gsi: 900 },
      { ...msi, gsi: 6, data: 0x52 },
    ]);
    const box = server(2, 1 << 6);
    tie(2, 40, 900);
    box.signal(40);
    box.setLevel(6, true);
    lines.gather();
    expect(sent.splice(0).sort()).toEqual([
      [0xfee0_1000, 2, 0x4051],
      [0xfee0_1000, 2, 0x52],
    ]);
    lines.gather();
    expect(sent).toEqual([]);
    box.signal(40);
    lines.gather();
    expect(sent).toEqual([[0xfee0_1000, 2, 0x4051]]);
    expect(pic.save(0).irr).toBe(0);
  });

  test("an event above the lines pulses a pin", () => {
    new Routes(memory).set([{ ...entry, gsi: 100, irqchip: 2, pin: 9 }]);
    unmask(0);
    const box = server(1, 0);
    tie(1, 3, 100);
    for (let n = 0; n < 2; n++) {
      box.signal(3);
      lines.gather();
      expect(vectors()).toEqual([0x49]);
    }
  });

  test("a pulse from inside kvm-core is a rise", () => {
    unmask(0);
    lines.pulse(0);
    lines.gather();
    expect(vectors()).toEqual([0x42]);
    expect(pic.save(0).irr).toBe(1);
    pic.load(0, { ...pic.save(0), irq_base: 0x30 });
    expect(lines.acknowledge()).toBe(0x30);
    expect(words[VM_STATE.irqchipLock >> 2]).toBe(0);
  });
});
