/**
 * Linear memories used again: nothing of a VM is left in them (kvm-core/vm/memory-pool.ts).
 */
import { expect, test } from "vitest";
import { GUEST_RAM, MEMORY_PAGES } from "../../../kvm-core/cpu/zones.ts";
import { MemoryPool } from "../../../kvm-core/vm/memory-pool.ts";
import { mapAnonymous } from "../../../shared/native.ts";

test("a memory is 4 GiB of shared WebAssembly memory", () => {
  const memory = new MemoryPool().take();
  expect(memory.buffer.byteLength).toBe(MEMORY_PAGES * 65536);
  expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
});

test("one that came back is given out again, its low part zeroed, its RAM empty when it is mapped", () => {
  const pool = new MemoryPool();
  const memory = pool.take();
  const bytes = new Uint8Array(memory.buffer);
  for (const at of [0, 0x1_0000, 0x40_0000, GUEST_RAM - 1, GUEST_RAM, 2 ** 32 - 1]) bytes[at] = 0xaa;
  pool.give(memory);
  expect(pool.take()).toBe(memory);
  for (const at of [0, 0x1_0000, 0x40_0000, GUEST_RAM - 1]) expect(bytes[at]).toBe(0);
  mapAnonymous(bytes, GUEST_RAM, 4096);
  expect(bytes[GUEST_RAM]).toBe(0);
});

test("two VMs never have the same one", () => {
  const pool = new MemoryPool();
  const [a, b] = [pool.take(), pool.take()];
  expect(a).not.toBe(b);
  pool.give(a);
  pool.give(b);
  expect(new Set([pool.take(), pool.take()])).toEqual(new Set([a, b]));
});
