/**
 * Locked compare and exchange of the native addon.
 * Implements: SDM vol. 2A "CMPXCHG", "CMPXCHG8B/CMPXCHG16B".
 * Leaves out: other architectures.
 */
import { describe, expect, it } from "vitest";
import * as native from "../../../shared/native.ts";
import { inWorker, PAGE, wasmBytes } from "./support.ts";

describe("lockedCompareExchange", () => {
  const ALL = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffffn;
  const VALUE = 0xf0e0_d0c0_b0a0_9080_7060_5040_3020_1001n;
  const put = (view: Uint8Array, at: number, size: number, value: bigint) => {
    for (let i = 0; i < size; i++) view[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  };
  const get = (view: Uint8Array, at: number, size: number) => {
    let value = 0n;
    for (let i = size; i-- > 0; ) value = (value << 8n) | BigInt(view[at + i]!);
    return value;
  };

  it.each([
    // size, at: aligned, misaligned, across a cache line, across a page
    [1, 0],
    [1, 3],
    [2, 2],
    [2, 1],
    [2, 63],
    [2, PAGE - 1],
    [4, 4],
    [4, 5],
    [4, 62],
    [4, PAGE - 2],
    [8, 8],
    [8, 9],
    [8, 60],
    [8, PAGE - 1],
    [16, 32],
  ])("%d bytes at %d", (size, at) => {
    const bytes = wasmBytes().fill(0xaa, 0, 2 * PAGE);
    const mask = ALL >> BigInt(128 - 8 * size);
    const operands = new Uint8Array(48);
    put(bytes, at, size, VALUE);
    put(operands, 0, 16, VALUE);
    put(operands, 16, 16, ~VALUE & ALL);

    expect(native.lockedCompareExchange(bytes, at, size, operands)).toBe(true);
    expect(get(bytes, at, size)).toBe(~VALUE & mask);
    expect(get(operands, 32, 16)).toBe(VALUE & mask); // old, and nothing above its size

    put(operands, 32, 16, 0n);
    expect(native.lockedCompareExchange(bytes, at, size, operands)).toBe(false); // it is no longer VALUE
    expect(get(bytes, at, size)).toBe(~VALUE & mask);
    expect(get(operands, 32, 16)).toBe(~VALUE & mask);

    const untouched = [...bytes.subarray(0, 2 * PAGE)].filter((byte, i) => (i < at || i >= at + size) && byte !== 0xaa);
    expect(untouched).toEqual([]);
  });

  it("sees a difference in the last byte of 16 only", () => {
    const bytes = wasmBytes();
    const operands = new Uint8Array(48);
    bytes[15] = 1;
    expect(native.lockedCompareExchange(bytes, 0, 16, operands)).toBe(false);
    expect(operands[47]).toBe(1);
  });

  it.each([
    [2, 63],
    [4, 62],
    [8, PAGE - 3],
    [16, 64],
  ])("two threads count exactly in %d bytes at %d", async (size, at) => {
    const bytes = wasmBytes();
    const rounds = 20_000;
    const body = `
      const { bytes, size, at, rounds } = data;
      const operands = new Uint8Array(48);
      const view = new DataView(operands.buffer);
      const gate = new Int32Array(bytes.buffer, 2 * 4096, 1);
      Atomics.add(gate, 0, 1);
      while (Atomics.load(gate, 0) < 2) {} // both run, or nothing is tried
      for (let i = 0; i < rounds; i++) {
        do {
          operands.copyWithin(0, 32);
          view.setUint16(16, view.getUint16(0, true) + 1, true);
        } while (!native.lockedCompareExchange(bytes, at, size, operands));
      }`;
    const data = { bytes, size, at, rounds };
    await Promise.all([inWorker(body, data), inWorker(body, data)]);
    expect(get(bytes, at, size)).toBe(BigInt(2 * rounds));
  });
});
