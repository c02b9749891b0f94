/**
 * Who answers an address: the table, the vCPU threads' view of it, and the sequence lock between them
 * (kvm-core/vm/regions.ts). Bad requests are test/kvm-core/server/ioctls.test.ts's.
 */
import { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, test } from "vitest";
import { RegionTable, Router } from "../../../kvm-core/vm/regions.ts";
import { MAX_REGIONS, REGION_COALESCED, REGION_IOEVENTFD, VM_STATE } from "../../../kvm-core/vm/vm-state.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../../shared/ioctls.ts";

const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
const words = new Int32Array(memory.buffer);
let table: RegionTable;
let router: Router;

beforeEach(() => {
  words.fill(0);
  table = new RegionTable(memory);
  router = new Router(memory);
});

/** [server, region] that an address belongs to. */
function owner(space: number, address: number): readonly [number, number] {
  router.find(space, address);
  return [router.server, router.region];
}

/** The event of the rule that posts a write, or undefined. */
function posted(space: number, address: number, width: number, low = 0, high = 0): number | undefined {
  router.find(space, address);
  return router.posted(space, address, width, low, high)?.event;
}

describe("owned regions", () => {
  test("what nobody registered is server 0's, without a region", () => {
    expect(owner(SPACE_PIO, 0)).toEqual([0, -1]);
    expect(owner(SPACE_MMIO, 2 ** 52 - 1)).toEqual([0, -1]);
  });

  test("first and last byte are inside, their neighbours are not, in whatever order they are looked up", () => {
    const bases = [0xf000_0000, 0x1000, 0xe000_0000, 0x9000_0000, 0xe000_1000];
    for (const [i, base] of bases.entries()) expect(table.register(i + 1, SPACE_MMIO, BigInt(base), 0x1000n)).toBe(i);
    for (const [i, base] of [...bases.entries(), ...[...bases.entries()].reverse()]) {
      expect(owner(SPACE_MMIO, base)).toEqual([i + 1, i]);
      expect(owner(SPACE_MMIO, base + 0xfff)).toEqual([i + 1, i]);
    }
    for (const outside of [0xfff, 0x2000, 0xe000_2000, 0xefff_ffff, 0xf000_1000])
      expect(owner(SPACE_MMIO, outside)).toEqual([0, -1]);
    expect(owner(SPACE_PIO, 0x1000)).toEqual([0, -1]); // another space, though the last hit has this address
  });

  test("a region up to the end of its space, and one over 2^32", () => {
    table.register(2, SPACE_PIO, 0xffffn, 1n);
    table.register(3, SPACE_MMIO, 2n ** 40n, 2n ** 52n - 2n ** 40n);
    expect(owner(SPACE_PIO, 0xffff)).toEqual([2, 0]);
    expect(owner(SPACE_MMIO, 2 ** 52 - 1)).toEqual([3, 1]);
  });

  test("a region that ended is the owner's again, and its id is used again", () => {
    table.register(1, SPACE_PIO, 0n, 8n);
    table.register(1, SPACE_PIO, 8n, 8n);
    expect(owner(SPACE_PIO, 8)).toEqual([1, 1]);
    table.unregister(1, 0);
    expect(owner(SPACE_PIO, 0)).toEqual([0, -1]);
    expect(owner(SPACE_PIO, 8)).toEqual([1, 1]);
    expect(table.register(1, SPACE_PIO, 16n, 8n)).toBe(0);
  });
});

describe("page mode", () => {
  test("`paged` follows the area of the server that answers", () => {
    table.register(3, SPACE_PIO, 0n, 8n);
    owner(SPACE_PIO, 0);
    expect(router.paged).toBe(false);
    words[(VM_STATE.serverArea >> 2) + 3] = 1;
    words[VM_STATE.regionVersion >> 2]! += 2;
    owner(SPACE_PIO, 0);
    expect(router.paged).toBe(true);
    owner(SPACE_PIO, 8);
    expect(router.paged).toBe(false);
  });
});

describe("ioeventfd", () => {
  test("the address exactly, and the width, unless its width is 0", () => {
    table.assignIoeventfd(1, SPACE_MMIO, 0x1000n, 4, 7, undefined);
    table.assignIoeventfd(1, SPACE_MMIO, 0x2000n, 0, 8, undefined);
    expect(posted(SPACE_MMIO, 0x1000, 4, 0xffff_ffff)).toBe(7);
    for (const [address, width] of [
      [0x1000, 2],
      [0x1000, 8],
      [0x1001, 4],
      [0xffc, 8],
    ] as const)
      expect(posted(SPACE_MMIO, address, width)).toBeUndefined();
    for (const width of [1, 2, 4, 8]) expect(posted(SPACE_MMIO, 0x2000, width)).toBe(8);
    expect(posted(SPACE_PIO, 0x1000, 4)).toBeUndefined();
  });

  test("datamatch compares the bytes that the write has", () => {
    table.assignIoeventfd(1, SPACE_PIO, 0n, 1, 1, 0xff01n);
    table.assignIoeventfd(1, SPACE_PIO, 0n, 4, 2, 0x8000_0001n);
    table.assignIoeventfd(1, SPACE_MMIO, 0n, 8, 3, 0xffff_ffff_0000_0000n);
    expect(posted(SPACE_PIO, 0, 1, 1)).toBe(1);
    expect(posted(SPACE_PIO, 0, 1, 2)).toBeUndefined();
    expect(posted(SPACE_PIO, 0, 4, 0x8000_0001 | 0)).toBe(2); // the engine's words are signed
    expect(posted(SPACE_MMIO, 0, 8, 0, -1)).toBe(3);
    expect(posted(SPACE_MMIO, 0, 8, 0, 0)).toBeUndefined();
  });

  test("several values at one address are told apart; each ends by itself", () => {
    for (const value of [0n, 1n, 2n]) table.assignIoeventfd(1, SPACE_PIO, 0n, 2, 10 + Number(value), value);
    expect([0, 1, 2, 3].map((value) => posted(SPACE_PIO, 0, 2, value))).toEqual([10, 11, 12, undefined]);
    table.deassignIoeventfd(1, SPACE_PIO, 0n, 2, 11, 1n);
    expect([0, 1, 2].map((value) => posted(SPACE_PIO, 0, 2, value))).toEqual([10, undefined, 12]);
  });
});

describe("coalesced ranges", () => {
  test("writes that lie inside as a whole", () => {
    table.addCoalesced(1, SPACE_MMIO, 0x1000n, 8n);
    expect(posted(SPACE_MMIO, 0x1000, 8)).toBe(0);
    expect(posted(SPACE_MMIO, 0x1007, 1)).toBe(0);
    expect(posted(SPACE_MMIO, 0x1006, 4)).toBeUndefined();
    expect(posted(SPACE_MMIO, 0xfff, 2)).toBeUndefined();
  });

  test("an ioeventfd inside one is tried in the order of registration", () => {
    table.assignIoeventfd(1, SPACE_MMIO, 0x1004n, 4, 9, undefined);
    table.addCoalesced(2, SPACE_MMIO, 0x1000n, 8n);
    router.find(SPACE_MMIO, 0x1004);
    expect(router.posted(SPACE_MMIO, 0x1004, 4, 0, 0)).toMatchObject({ kind: REGION_IOEVENTFD, server: 1, event: 9 });
    expect(router.posted(SPACE_MMIO, 0x1004, 1, 0, 0)).toMatchObject({ kind: REGION_COALESCED, server: 2 });
  });
});

test("what no rule posts: the part of the region around an address, up to the next rules", () => {
  table.register(1, SPACE_PIO, 0x100n, 0x100n);
  table.assignIoeventfd(1, SPACE_PIO, 0x110n, 4, 7, undefined);
  table.addCoalesced(1, SPACE_PIO, 0x140n, 0x10n);
  table.assignIoeventfd(1, SPACE_MMIO, 0x120n, 4, 8, undefined); // of the other space
  const around = (address: number) => {
    router.find(SPACE_PIO, address);
    return router.unposted(SPACE_PIO, address);
  };
  expect(around(0x100)).toEqual({ from: 0x100, to: 0x110 });
  expect(around(0x10f)).toEqual({ from: 0x100, to: 0x110 });
  expect(around(0x114)).toEqual({ from: 0x114, to: 0x140 });
  expect(around(0x1ff)).toEqual({ from: 0x150, to: 0x200 });
  for (const inside of [0x110, 0x113, 0x140, 0x14f]) expect(around(inside).from).toBeGreaterThan(inside);
});

test("a full table: ENOSPC, and the router still finds them all", () => {
  for (let i = 0; i < MAX_REGIONS; i++) table.register(1 + (i % 15), SPACE_MMIO, BigInt(i * 0x1000), 0x1000n);
  expect(() => table.register(1, SPACE_PIO, 0n, 1n)).toThrow(/^ENOSPC/);
  for (let i = 0; i < MAX_REGIONS; i++) expect(owner(SPACE_MMIO, i * 0x1000 + 5)).toEqual([1 + (i % 15), i]);
});

test("a router never sees half of a change", async () => {
  // The table is either four regions of server 1 or four of server 2, somewhere else: any mixture is a torn read.
  const worker = new Worker(
    `const { workerData: { router, memory } } = require("node:worker_threads");
     import(router).then(({ Router }) => {
       const mine = new Router(memory);
       const stop = new Int32Array(memory.buffer);
       let looks = 0, torn = 0;
       const seen = new Set();
       while (Atomics.load(stop, 0) === 0 || looks < 1000) {
         mine.find(1, 0x1000); const a = mine.server;
         mine.find(1, 0x2000); const b = mine.server;
         looks++;
         // The version may change between the two, so only impossible owners count.
         if (![0, 1].includes(a) || ![0, 2].includes(b)) torn++;
         seen.add(a * 10 + b);
       }
       require("node:worker_threads").parentPort.postMessage({ torn, seen: [...seen] });
     });`,
    {
      eval: true,
      workerData: { router: new URL("../../../kvm-core/vm/regions.ts", import.meta.url).href, memory },
    },
  );
  const result = new Promise<{ torn: number; seen: number[] }>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  await new Promise((resolve) => worker.once("online", resolve));
  for (let round = 0; round < 20_000; round++) {
    const [server, base] = round % 2 ? [1, 0x1000n] : [2, 0x2000n];
    for (const row of table.rows) table.unregister(row.server, row.region);
    table.register(server, SPACE_MMIO, base, 0x1000n);
    expect(words[VM_STATE.regionVersion >> 2]! & 1).toBe(0);
  }
  Atomics.store(words, 0, 1);
  expect((await result).torn).toBe(0);
});
