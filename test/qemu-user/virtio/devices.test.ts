/** Entropy device and console, behind the transport; and both on the board. */
import { beforeEach, describe, expect, test } from "vitest";
import { VirtioConsole } from "../../../qemu-user/virtio/console.ts";
import { VIRTIO_F } from "../../../qemu-user/virtio/features.ts";
import { VirtioPci } from "../../../qemu-user/virtio/pci.ts";
import { VirtioRng } from "../../../qemu-user/virtio/rng.ts";
import type { GuestMemory } from "../../../shared/guest-memory.ts";
import { FakeBackend, option, PciDriver, testBoard } from "../support/fakes.ts";
import { type DriverQueue, FakeSlot, TestDriver, testMemory } from "./driver.ts";

const BUFFER = 0x80000;

describe("virtio-rng", () => {
  const slot = new FakeSlot();
  const memory = testMemory();
  const make = (source?: (into: Uint8Array) => void) => {
    const pci = new VirtioPci({ slot, memory, log: () => {}, properties: {} }, () => new VirtioRng("rng.0", source));
    const driver = new TestDriver(pci, memory);
    driver.begin(0n);
    const queue = driver.queue(0, 8);
    driver.go();
    return { pci, driver, queue };
  };

  test("is an entropy device without configuration", () => {
    const { pci } = make();
    expect(pci.identity).toMatchObject({ device: 0x1044, classCode: 0x00_ff00 });
    expect(pci.capabilities.map(({ bytes }) => bytes[1])).toEqual([1, 2, 3, 5]);
  });

  test("fills all that may be written, from its source", () => {
    let next = 0;
    const { driver, queue } = make((into) => {
      for (let i = 0; i < into.length; i++) into[i] = ++next;
    });
    memory.fill(BUFFER, 32, 0);
    queue.add({ at: BUFFER, length: 3, writable: true }, { at: BUFFER + 16, length: 5, writable: true });
    driver.kick(0);
    expect(queue.used()).toEqual([[0, 8]]);
    expect([...memory.slice(BUFFER, 4)!, ...memory.slice(BUFFER + 16, 6)!]).toEqual([1, 2, 3, 0, 4, 5, 6, 7, 8, 0]);
  });

  test("gives the host's random bytes, at most 64 KiB for a request, and nothing where there is nothing to write", () => {
    const { driver, queue } = make();
    queue.add({ at: BUFFER, length: 0x40000, writable: true });
    queue.add({ at: BUFFER, length: 8 });
    driver.kick(0);
    expect(queue.used()).toEqual([
      [0, 0x10000],
      [1, 0],
    ]);
    expect(new Set(memory.slice(BUFFER, 0x10000)!).size).toBe(256);
  });
});

describe("virtio-console", () => {
  let slot: FakeSlot;
  let memory: GuestMemory;
  let backend: FakeBackend;
  let device: VirtioConsole;
  let pci: VirtioPci;
  let driver: TestDriver;
  let input: DriverQueue;
  let output: DriverQueue;

  const make = (far: FakeBackend | null) => {
    pci = new VirtioPci({ slot, memory, log: () => {}, properties: {} }, (host) => {
      device = new VirtioConsole("console.0", host, far);
      return device;
    });
    driver = new TestDriver(pci, memory);
  };
  const start = (features = 1n) => {
    driver.begin(features);
    input = driver.queue(0, 16);
    output = driver.queue(1, 16);
    driver.go();
  };
  beforeEach(() => {
    slot = new FakeSlot();
    memory = testMemory();
    backend = new FakeBackend();
    make(backend);
    start();
  });
  const print = (text: string, ...split: number[]) => {
    memory.write(BUFFER, new TextEncoder().encode(text));
    const ends = [...split, text.length];
    output.add(...ends.map((end, i) => ({ at: BUFFER + (ends[i - 1] ?? 0), length: end - (ends[i - 1] ?? 0) })));
    driver.kick(1);
  };

  test("is a communication device", () => {
    expect(pci.identity).toMatchObject({ device: 0x1043, classCode: 0x07_8000 });
    expect(driver.offered() & 0xffn).toBe(0b101n);
  });

  test("sends what the driver gives it, and returns the buffer", () => {
    print("hello, world", 5);
    expect(backend.text).toBe("hello, world");
    expect(output.used()).toEqual([[0, 0]]);
    expect(driver.isr()).toBe(1);
  });

  test("keeps the buffer until the far end has all of it", () => {
    backend.room = 7;
    print("hello, world", 5);
    expect(backend.text).toBe("hello, ");
    expect(output.used()).toEqual([]);
    backend.makeRoom(2);
    expect(output.used()).toEqual([]);
    backend.makeRoom(100);
    expect(backend.text).toBe("hello, world");
    expect(output.used()).toEqual([[0, 0]]);
  });

  test("puts input into the driver's buffers, and leaves the rest where it is", () => {
    backend.type(1, 2, 3);
    expect(backend.pending).toBe(3);
    input.add({ at: BUFFER, length: 2, writable: true });
    driver.kick(0);
    expect(input.used()).toEqual([[0, 2]]);
    expect([...memory.slice(BUFFER, 2)!]).toEqual([1, 2]);
    input.add({ at: BUFFER, length: 2, writable: true }, { at: BUFFER + 8, length: 8, writable: true });
    driver.kick(0);
    expect(input.used()).toEqual([[1, 1]]);
    input.add({ at: BUFFER, length: 2, writable: true }, { at: BUFFER + 8, length: 8, writable: true });
    driver.kick(0);
    expect(input.used()).toEqual([]);
    backend.type(4, 5, 6);
    expect(input.used()).toEqual([[3, 3]]);
    expect(memory.readU8(BUFFER + 8)).toBe(6);
    input.add({ at: BUFFER, length: 2 }); // not writable: of no use
    driver.kick(0);
    expect(input.used()).toEqual([[5, 0]]);
  });

  test("without a back end lets output vanish", () => {
    make(null);
    start();
    print("nobody");
    input.add({ at: BUFFER, length: 2, writable: true });
    driver.kick(0);
    expect(output.used()).toHaveLength(1);
    expect(input.used()).toEqual([]);
  });

  test("tells a driver that wants to know of a new size", () => {
    expect(driver.bar.region.read(0x2000, 4)).toBe(0);
    device.resize(132, 43);
    expect(driver.bar.region.read(0x2000, 2)).toBe(132);
    expect(driver.bar.region.read(0x2002, 2)).toBe(43);
    expect(driver.isr()).toBe(2);
    start(0n);
    device.resize(80, 25);
    expect(driver.isr()).toBe(0);
  });

  test("tells a driver of the size that there was before it, at its first output", () => {
    start(0n);
    device.resize(80, 25);
    start();
    expect(driver.isr()).toBe(0);
    print("a");
    expect(driver.isr() & 2).toBe(2);
    print("b");
    expect(driver.isr() & 2).toBe(0);
  });

  test("takes an emergency's bytes at any time, and no other write to its configuration", () => {
    driver.status = 0;
    driver.bar.region.write(0x2008, 4, 0x58);
    driver.bar.region.write(0x2000, 4, 0x50);
    expect(backend.text).toBe("X");
    expect(driver.bar.region.read(0x2000, 4)).toBe(0);
  });

  test("state goes on in the middle of a buffer", () => {
    backend.room = 3;
    print("abcdef");
    device.resize(80, 25);
    input.add({ at: BUFFER + 64, length: 4, writable: true });
    driver.kick(0);
    const state = JSON.parse(JSON.stringify(pci.save()));
    const far = new FakeBackend();
    make(far);
    pci.load(state);
    expect(far.text).toBe("def");
    expect(output.used()).toEqual([[0, 0]]);
    far.type(7);
    expect(input.used()).toEqual([[0, 1]]);
    expect(driver.bar.region.read(0x2000, 4)).toBe(80 | (25 << 16));
  });

  test("a reset drops what was under way", () => {
    backend.room = 3;
    print("abcdef");
    start();
    backend.makeRoom(100);
    expect(backend.text).toBe("abc");
    print("xyz");
    expect(backend.text).toBe("abcxyz");
  });
});

describe("on the board", () => {
  test("both are there, with the identity that drivers look for", () => {
    const { pc } = testBoard(option("virtio-rng-pci"), option("virtio-console-pci"));
    const config = new PciDriver(pc);
    const found = [...Array(32).keys()].map((slot) => config.read(slot, 0));
    expect(found).toEqual(expect.arrayContaining([0x1044_1af4, 0x1043_1af4]));
  });

  test("properties take features away", () => {
    const { pc } = testBoard(option("virtio-rng-pci", { packed: false, event_idx: false }));
    const device = pc.devices.get("virtio-rng-pci.0") as VirtioPci;
    expect(device.offered).toBe(VIRTIO_F.VERSION_1 | VIRTIO_F.RING_INDIRECT_DESC);
  });

  test("a chardev has one device; one that there is not is an error", () => {
    const console = (chardev: string) => option("virtio-console-pci", { chardev });
    expect(() => testBoard(console("c0"))).toThrow("-device virtio-console-pci: there is no -chardev with id=c0");
    expect(() => testBoard(console("char0"), console("char0"))).toThrow(
      "the -chardev with id=char0 has a device already",
    );
    const { pc, char0 } = testBoard(console("char0"));
    const device = pc.devices.get("virtio-console-pci.0") as VirtioPci;
    device.bars[0]!.region.write(0x2008, 4, 0x41);
    expect(char0.text).toBe("A");
  });

  test("state goes through the board", () => {
    const { pc } = testBoard(option("virtio-rng-pci"), option("virtio-console-pci"));
    const state = JSON.parse(JSON.stringify(pc.save()));
    pc.load(state);
    expect(pc.save()).toEqual(state);
    pc.reset();
  });
});
