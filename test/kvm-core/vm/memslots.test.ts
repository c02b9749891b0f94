/**
 * Memory slots: the guest-physical page table's entries and the linear ranges behind them (kvm-core/vm/memslots.ts).
 * What requests may ask for is test/kvm-core/server/memory-ioctls.test.ts's.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PENDING_TLB } from "../../../kvm-core/cpu/requests.ts";
import { GPA_PRESENT, GPA_READONLY, GPA_TABLE, GUEST_RAM } from "../../../kvm-core/cpu/zones.ts";
import { Descriptor } from "../../../kvm-core/vm/descriptor.ts";
import { MemoryPool } from "../../../kvm-core/vm/memory-pool.ts";
import { MAX_GUEST_RAM, MemSlots } from "../../../kvm-core/vm/memslots.ts";

const PAGE = 4096;
const GiB = 2 ** 30;
const pool = new MemoryPool();
let memory: WebAssembly.Memory;
let slots: MemSlots;
let ram: Descriptor;

beforeEach(() => {
  memory = pool.take();
  slots = new MemSlots(memory);
  ram = Descriptor.create("ram", MAX_GUEST_RAM);
});
afterEach(() => {
  slots.releaseAll();
  ram.release();
  pool.give(memory);
});

const entry = (gpa: number) => new Uint32Array(memory.buffer)[GPA_TABLE / 4 + gpa / PAGE]!;
const linear = (gpa: number) => entry(gpa) & ~(PAGE - 1);
const make = (slot: number, gpa: number, size: number, flags = 0, offset = 0) =>
  slots.set(slot, flags, BigInt(gpa), BigInt(size), ram, BigInt(offset));
const remove = (slot: number) => slots.set(slot, 0, 0n, 0n, undefined, 0n);

describe("the page table", () => {
  test("has an entry for each page of a slot, and none beside it", () => {
    expect(make(0, 16 * PAGE, 3 * PAGE)).toBe(0);
    expect(entry(15 * PAGE)).toBe(0);
    for (let page = 0; page < 3; page++)
      expect(entry((16 + page) * PAGE)).toBe((GUEST_RAM + page * PAGE) | GPA_PRESENT);
    expect(entry(19 * PAGE)).toBe(0);
  });

  test("marks read-only pages", () => {
    make(0, 0, PAGE, 2);
    expect(entry(0) & (PAGE - 1)).toBe(GPA_PRESENT | GPA_READONLY);
  });

  test("loses them when the slot goes, and TLBs have to be flushed", () => {
    make(0, 0, 2 * PAGE);
    make(1, 2 * PAGE, PAGE);
    expect(remove(0)).toBe(PENDING_TLB);
    expect([entry(0), entry(PAGE)]).toEqual([0, 0]);
    expect(entry(2 * PAGE) & GPA_PRESENT).toBe(GPA_PRESENT);
  });

  test("reaches linear addresses over 2 GiB, and the last page of guest-physical space", () => {
    make(0, 0, MAX_GUEST_RAM - PAGE);
    make(1, 4 * GiB - PAGE, PAGE);
    expect(linear(4 * GiB - PAGE) >>> 0).toBe(4 * GiB - PAGE);
    slots.copy(BigInt(4 * GiB - 1), Uint8Array.of(3), true);
    expect(new Uint8Array(memory.buffer)[4 * GiB - 1]).toBe(3);
  });
});

describe("linear ranges", () => {
  test("slots of one memfd are the same bytes", () => {
    make(0, 0, PAGE, 0, 5 * PAGE);
    make(1, PAGE, PAGE, 0, 5 * PAGE);
    slots.copy(0n, Uint8Array.of(9), true);
    const seen = new Uint8Array(1);
    slots.copy(BigInt(PAGE), seen, false);
    expect(seen[0]).toBe(9);
  });

  test("of a deleted slot read as zeros at once, and its memfd keeps its bytes", () => {
    make(0, 0, PAGE);
    const at = linear(0) >>> 0;
    slots.copy(0n, Uint8Array.of(9), true);
    remove(0);
    expect(new Uint8Array(memory.buffer)[at]).toBe(0);
    make(0, 0, PAGE);
    const seen = new Uint8Array(1);
    slots.copy(0n, seen, false);
    expect(seen[0]).toBe(9);
  });

  test("are not used again before flushed(), then they are", () => {
    make(0, 0, PAGE);
    const first = linear(0);
    remove(0);
    make(0, 0, PAGE);
    expect(linear(0)).not.toBe(first);
    remove(0);
    slots.flushed();
    make(0, 0, PAGE);
    expect(linear(0)).toBe(first);
  });

  test("the first gap that is large enough is taken", () => {
    make(0, 0, 2 * PAGE);
    make(1, 8 * PAGE, PAGE);
    const gap = linear(0);
    remove(0);
    slots.flushed();
    make(2, 16 * PAGE, 3 * PAGE);
    expect(linear(16 * PAGE)).toBe(gap + 3 * PAGE);
    make(3, 32 * PAGE, PAGE);
    expect(linear(32 * PAGE)).toBe(gap);
  });

  test("all of them together are 3.75 GiB; a slot that does not fit changes nothing", () => {
    make(0, 0, 3 * GiB);
    expect(() => make(1, 3 * GiB, GiB)).toThrow(/^EINVAL: guest RAM exceeds 3840 MiB/);
    expect(entry(3 * GiB)).toBe(0);
    expect(slots.count).toBe(1);
    make(1, 3 * GiB, 0.75 * GiB);
  });
});

test("slots hold their memfd", () => {
  make(0, 0, PAGE);
  ram.release();
  ram = Descriptor.create("ram", MAX_GUEST_RAM);
  slots.copy(0n, Uint8Array.of(1), true);
  remove(0);
});
