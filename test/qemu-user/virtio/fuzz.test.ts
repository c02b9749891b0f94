/**
 * A driver that does anything: random registers, rings and buffers. The device must not throw; it goes on, or stands in
 * NEEDS_RESET; and a reset always brings it back. A failure names its seed.
 */
import { expect, test } from "vitest";
import type { Width } from "../../../qemu-user/bus/interfaces.ts";
import { VirtioConsole } from "../../../qemu-user/virtio/console.ts";
import { VIRTIO_F } from "../../../qemu-user/virtio/features.ts";
import { VirtioPci } from "../../../qemu-user/virtio/pci.ts";
import { VirtioRng } from "../../../qemu-user/virtio/rng.ts";
import type { VirtioHost } from "../../../qemu-user/virtio/virtio.ts";
import { FakeBackend } from "../support/fakes.ts";
import { FakeSlot, queueAt, RAM, TestDriver, testMemory } from "./driver.ts";
import { Echo } from "./echo.ts";

const SEEDS = Array.from({ length: 60 }, (_, i) => 1000 + i);
const STEPS = 400;
const NEEDS_RESET = 0x40;

/** Numbers that a careless check would get wrong, besides any. */
const EDGES = [
  0,
  1,
  2,
  7,
  8,
  9,
  15,
  16,
  0x7fff,
  0x8000,
  0xffff,
  RAM - 16,
  RAM - 1,
  RAM,
  0x7fff_ffff,
  0xffff_fff0,
  0xffff_ffff,
];

function randomOf(seed: number) {
  let x = seed >>> 0;
  const next = () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x;
  };
  const below = (n: number) => Math.floor((next() / 2 ** 32) * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const value = () => (below(2) === 0 ? pick(EDGES) : next());
  return { below, pick, value };
}

const DEVICES: readonly ((host: VirtioHost) => Echo | VirtioRng | VirtioConsole)[] = [
  (host) => new Echo(host),
  () => new VirtioRng("rng"),
  (host) => new VirtioConsole("console", host, new FakeBackend()),
];

test.each(SEEDS)("seed %i", (seed) => {
  const { below, pick, value } = randomOf(seed);
  const slot = new FakeSlot();
  const memory = testMemory();
  const env = { slot, memory, log: () => {}, properties: {} };
  const make = pick(DEVICES);
  let pci = new VirtioPci(env, make);
  let driver = new TestDriver(pci, memory);
  const queues = pci.queueSizes.length;

  /** A start that succeeds mostly, with rings where they belong. */
  const begin = () => {
    const rings = [VIRTIO_F.RING_PACKED, VIRTIO_F.RING_EVENT_IDX, VIRTIO_F.RING_INDIRECT_DESC];
    driver.begin(rings.reduce((sum, bit) => (below(2) === 0 ? sum | bit : sum), 0n));
    for (let n = 0; n < queues; n++) driver.queue(n, pick([1, 2, 4, 8]));
    driver.go();
  };
  /** Rings with plausible rubbish: descriptors in RAM, small indices, both wrap counters. */
  const scribble = () => {
    const { desc, driver: avail } = queueAt(below(queues));
    const at = desc + 16 * below(8);
    memory.writeU32(at, below(4) === 0 ? value() : below(RAM));
    memory.writeU32(at + 4, below(20) === 0 ? value() : 0);
    memory.writeU32(at + 8, below(8) === 0 ? value() : 16 * below(8));
    memory.writeU16(at + 12, below(8));
    memory.writeU16(at + 14, below(4) === 0 ? value() : pick([0, 0x80, 0x8000]) | below(8));
    if (below(2) === 0) memory.writeU16(at + 12, below(8)); // split: flags
    memory.writeU16(avail + 2 * below(12), below(4) === 0 ? value() : below(16));
  };
  const actions: readonly (() => void)[] = [
    begin,
    scribble,
    scribble,
    scribble,
    () => driver.kick(below(queues + 1)),
    () => driver.kick(below(queues + 1)),
    () => driver.bar.region.write(below(0x40), pick<Width>([1, 2, 4]), value()),
    () => driver.bar.region.write(below(0x4000), pick<Width>([1, 2, 4]), value()),
    () => void driver.bar.region.read(below(0x4000), pick<Width>([1, 2, 4])),
    () => pci.capabilities.at(-1)!.write!(2 + below(18), pick<Width>([1, 2, 4]), value()),
    () => void pci.capabilities.at(-1)!.read!(2 + below(18), pick<Width>([1, 2, 4])),
    () => {
      slot.master = below(8) !== 0;
      slot.msix.enabled = below(2) === 0;
    },
    () => {
      if (below(8) !== 0) return;
      const state = JSON.parse(JSON.stringify(pci.save()));
      pci = new VirtioPci(env, make);
      pci.load(state);
      driver = new TestDriver(pci, memory);
    },
  ];
  begin();
  for (let step = 0; step < STEPS; step++) {
    pick(actions)();
    const status = driver.status;
    expect(status & ~0xcf, `status ${status.toString(16)} at step ${step}`).toBe(0);
  }

  // Whatever happened: a driver that begins again, and does it right, is served.
  slot.master = true;
  driver.begin(0n);
  const echo = driver.queue(0, 1);
  driver.go();
  expect(driver.status & NEEDS_RESET).toBe(0);
  echo.add({ at: 0x80000, length: 4 });
  driver.kick(0);
  expect(driver.status).toBe(15);
  expect(echo.used()).toEqual([[0, 0]]);
});
