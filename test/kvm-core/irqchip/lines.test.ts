/**
 * From mailboxes, irqfd events and KVM_IRQ_LINE to the 8259s' inputs (kvm-core/irqchip/lines.ts), with the servers' end
 * as they use it (shared/mailbox.ts).
 */
import { beforeEach, describe, expect, test } from "vitest";
import { VCPU_ZONES } from "../../../kvm-core/cpu/zones.ts";
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
