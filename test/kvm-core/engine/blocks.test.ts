/**
 * The table of blocks: found by address and mode, invalidated by writes near their bytes, forgotten as a whole.
 * Document: kvm-core/engine/blocks.ts.
 * Left out: what runs in the blocks: code.test.ts.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { MEMORY_PAGES, vcpuZone, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { MICRO, RECORD } from "../../../kvm-core/emit/record.ts";
import { BlockTable } from "../../../kvm-core/engine/blocks.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Recorder } from "../../../kvm-core/engine/recorder.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";

const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
const u32 = new Uint32Array(memory.buffer);
const zone = vcpuZone(0);
const recorder = new Recorder(u32, new Decoder(opcodeMap()));
const MODE = 13;
let table: BlockTable;

beforeEach(() => {
  table = new BlockTable(u32, zone);
  table.clear();
});

/** A block of one fault record; returns its first record. */
function add(gpa: number, bytes: number, mode = MODE, secondPage = -1): number {
  const head = table.next;
  const first = recorder.head(head, gpa & 0xfff, gpa, 0);
  return table.add(head, recorder.fault(first, 6, 0), gpa, mode, bytes, secondPage);
}
const caseOf = (record: number): number => u32[record >>> 2]! & 0xffff;

describe("block table", () => {
  it("finds a block by address and mode", () => {
    const a = add(0x1000, 4);
    const b = add(0x1000, 4, 14);
    expect([table.find(0x1000, MODE), table.find(0x1000, 14), table.find(0x1001, MODE)]).toEqual([a, b, 0]);
    expect(a).toBe(zone + ZONE.records + RECORD.size);
  });

  it("makes blocks stale when their page is written near decoded bytes, and only then", () => {
    const a = add(0x1000, 4);
    const b = add(0x1800, 4);
    const other = add(0x2000, 4);
    table.invalidate(0x1400, 4);
    expect(table.find(0x1000, MODE)).toBe(a);
    table.invalidate(0x1002, 1);
    expect([table.find(0x1000, MODE), table.find(0x1800, MODE), table.find(0x2000, MODE)]).toEqual([0, 0, other]);
    expect([caseOf(a), caseOf(b), caseOf(other)]).toEqual([MICRO.stale, MICRO.stale, MICRO.fault]);
    expect([table.hasCode(0x1000), table.hasCode(0x2000)]).toEqual([false, true]);
  });

  it("knows a block across two pages in both, wherever the second one is", () => {
    const a = add(0x1ffe, 5, MODE, 0x7000);
    table.invalidate(0x7002, 1);
    expect(table.find(0x1ffe, MODE)).toBe(0);
    expect(caseOf(a)).toBe(MICRO.stale);
    const again = add(0x1ffe, 5, MODE, 0x7000);
    table.invalidate(0x1fff, 1);
    expect(caseOf(again)).toBe(MICRO.stale);
  });

  it("keeps 10,000 blocks apart, and goes on after they are all forgotten", () => {
    const records = Array.from({ length: 10_000 }, (_, i) => add(0x1000 + i * 8, 4));
    records.forEach((record, i) => {
      expect(table.find(0x1000 + i * 8, MODE)).toBe(record);
    });
    table.clear();
    expect(table.find(0x1000, MODE)).toBe(0);
    expect(table.hasCode(0x1000)).toBe(false);
    expect(add(0x1000, 4)).toBe(zone + ZONE.records + RECORD.size);
  });
});
