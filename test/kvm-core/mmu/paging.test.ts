/**
 * Paging structures of every mode: which page a linear address is, reserved bits of each level, accessed and dirty flags.
 * Document: SDM volume 3, 4.3 to 4.5 (formats), 4.7 (error code), 4.8 (accessed and dirty flags).
 * Left out: who may do what: rights.test.ts.
 */

import { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, it } from "vitest";
import { ACCESS, PF } from "../../../kvm-core/cpu/access.ts";
import { CR0, CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { GPA_CODE, GPA_LOGGED, GPA_PRESENT, GPA_READONLY, GUEST_RAM, TLB_PAGE } from "../../../kvm-core/cpu/zones.ts";
import { loadPdptes } from "../../../kvm-core/mmu/pdpte.ts";
import { TestWalker } from "../support/walker.ts";

const walker = new TestWalker();
beforeEach(() => walker.reset());

const P = 1n;
const W = 2n;
const U = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const G = 0x100n;
const NX = 1n << 63n;
const PAGING = CR0.PE | CR0.PG | CR0.WP;
const RESERVED = PF.present | PF.reserved;

/** The outcome of a walk: guest-physical address, or the error code in words. */
function outcome(address: bigint, access: number = ACCESS.read): bigint | string {
  return walker.walk(address, access) ? walker.gpa : `fault ${walker.errorCode}`;
}

describe("no paging", () => {
  it("is the identity", () => {
    walker.control(CR0.PE, 0, 0);
    expect(outcome(0x1234_5678n, ACCESS.write | ACCESS.user)).toBe(0x1234_5678n);
    expect(walker.page).toBe(0);
  });
});

describe("4-level", () => {
  const HIGH = 0xffff_ff80_0000_0000n;
  beforeEach(() => {
    walker.control(PAGING, CR4.PAE | CR4.PGE, EFER.LME | EFER.LMA | EFER.NXE);
    walker.set64(0x1000, 511, 0x2000n | P | W | U);
    walker.set64(0x2000, 0, 0x3000n | P | W | U);
    walker.set64(0x3000, 0, 0x4000n | P | W | U);
    walker.set64(0x4000, 5, 0x7000n | P | W | U);
    walker.set64(0x3000, 1, 0x20_0000n | PS | P | W);
    walker.set64(0x2000, 1, 0xc000_0000n | PS | P | W);
  });
  const leaves = [
    ["4 KiB", 0x5123n, 0x4000, 5],
    ["2 MiB", 0x3f_ffffn, 0x3000, 1],
    ["1 GiB", 0x4567_89abn, 0x2000, 1],
  ] as const;

  it("maps pages of 4 KiB, 2 MiB and 1 GiB", () => {
    expect(outcome(HIGH | 0x5123n)).toBe(0x7123n);
    expect(walker.page).toBe(TLB_PAGE.user);
    expect(outcome(HIGH | 0x3f_ffffn)).toBe(0x3f_ffffn);
    expect(walker.page).toBe(TLB_PAGE.large);
    expect(outcome(HIGH | 0x4567_89abn)).toBe(0xc567_89abn);
    expect(walker.page).toBe(TLB_PAGE.large);
  });

  it.each(leaves)("tells global pages of %s, with CR4.PGE alone", (_size, offset, table, index) => {
    walker.set64(table, index, walker.get64(table, index) | G);
    walker.walk(HIGH | offset, ACCESS.read);
    expect(walker.page & TLB_PAGE.global).toBe(TLB_PAGE.global);
    walker.state.set(CPU.cr4, CR4.PAE);
    walker.walk(HIGH | offset, ACCESS.read);
    expect(walker.page & TLB_PAGE.global).toBe(0);
  });

  it("gives addresses above 4 GiB", () => {
    walker.set64(0x4000, 5, 0xff_1234_5000n | P);
    expect(outcome(HIGH | 0x5678n)).toBe(0xff_1234_5678n);
  });

  it("reads a table that is no RAM as ones, whose reserved bits are set", () => {
    walker.set64(0x3000, 0, 0x123_4567_8000n | P | W | U);
    expect(outcome(HIGH | 0x5000n)).toBe(`fault ${RESERVED}`);
    walker.set64(0x3000, 0, 0xf000_0000n | P | W | U);
    expect(outcome(HIGH | 0x5000n)).toBe(`fault ${RESERVED}`);
  });

  it("sets accessed flags on the way, and the dirty flag by a write alone, in the last entry alone", () => {
    walker.walk(HIGH | 0x5000n, ACCESS.read);
    for (const [table, index] of [
      [0x1000, 511],
      [0x2000, 0],
      [0x3000, 0],
      [0x4000, 5],
    ] as const) {
      expect(walker.get64(table, index) & (A | D)).toBe(A);
    }
    walker.walk(HIGH | 0x5000n, ACCESS.write);
    expect(walker.get64(0x4000, 5) & (A | D)).toBe(A | D);
    expect(walker.get64(0x3000, 0) & D).toBe(0n);
  });

  // Bits 62..52 are ignored; M is 40.
  const RESERVED_BITS: readonly (readonly [string, number, number, bigint, readonly number[]])[] = [
    ["PML4E", 0x1000, 511, 0x5000n, [7, 40, 45, 51]],
    ["PDPTE", 0x2000, 0, 0x5000n, [40, 51]],
    ["PDPTE of 1 GiB", 0x2000, 1, 0x4000_0000n, [13, 20, 29, 40, 51]],
    ["PDE", 0x3000, 0, 0x5000n, [40, 51]],
    ["PDE of 2 MiB", 0x3000, 1, 0x20_0000n, [13, 20, 40, 51]],
    ["PTE", 0x4000, 5, 0x5000n, [40, 51]],
  ];
  it.each(RESERVED_BITS)("finds reserved bits of a %s, and no others", (_name, table, index, offset, reserved) => {
    const entry = walker.get64(table, index);
    // The bits that tell where the next level is, or what the entry is, change the walk itself.
    const meaning = (bit: number): boolean => bit < 9 || (bit >= 12 && bit < 40) || bit === 63;
    for (let bit = 0; bit < 64; bit++) {
      if (meaning(bit) && !reserved.includes(bit)) continue;
      walker.set64(table, index, entry | (1n << BigInt(bit)));
      const inRange = bit >= 40 && bit <= 51;
      const expected = reserved.includes(bit) || inRange;
      expect(walker.walk(HIGH | offset, ACCESS.read), `bit ${bit}`).toBe(!expected);
      if (expected) expect(walker.errorCode).toBe(RESERVED);
    }
    // Not present: nothing else of the entry counts.
    walker.set64(table, index, -1n & ~P);
    expect(outcome(HIGH | offset, ACCESS.write)).toBe(`fault ${PF.write}`);
  });

  it.each(RESERVED_BITS)("finds NX of a %s reserved while EFER.NXE is clear", (_name, table, index, offset) => {
    walker.state.set(CPU.efer, EFER.LME | EFER.LMA);
    walker.set64(table, index, walker.get64(table, index) | NX);
    expect(outcome(HIGH | offset, ACCESS.fetch)).toBe(`fault ${RESERVED}`);
  });

  it("looks no further than the first entry that is wrong", () => {
    walker.set64(0x2000, 0, 0n);
    walker.set64(0x3000, 0, 1n << 45n);
    expect(outcome(HIGH | 0x5000n)).toBe("fault 0");
  });
});

describe("PAE", () => {
  beforeEach(() => {
    walker.control(PAGING, CR4.PAE, EFER.NXE);
    walker.set64(0x1020, 3, 0x2000n | P);
    walker.state.set(CPU.cr3, 0x1020);
    walker.set64(0x2000, 511, 0x3000n | P | W | U);
    walker.set64(0x3000, 1, 0x9000n | P | W | U);
    walker.set64(0x2000, 510, 0xf_ffe0_0000n | PS | P | W);
    expect(loadPdptes(walker.state, 0x1020)).toBe(true);
  });

  it("maps pages of 4 KiB and 2 MiB through four registers, whose bits are no rights", () => {
    expect(outcome(0xffe0_1234n, ACCESS.write | ACCESS.user)).toBe(0x9234n);
    expect(outcome(0xffdf_ffffn)).toBe(0xf_ffff_ffffn);
    expect(walker.page).toBe(TLB_PAGE.large);
    expect(outcome(0x1234n)).toBe("fault 0");
    expect(walker.get64(0x1020, 3)).toBe(0x2000n | P);
  });

  it("keeps to the registers when the table in memory changes", () => {
    walker.set64(0x1020, 3, 0n);
    expect(outcome(0xffe0_1234n)).toBe(0x9234n);
    expect(loadPdptes(walker.state, 0x1020)).toBe(true);
    expect(outcome(0xffe0_1234n)).toBe("fault 0");
  });

  it("refuses a table with reserved bits in a present entry, and keeps the registers", () => {
    for (const bit of [1, 2, 5, 6, 7, 8, 40, 51, 52, 62, 63]) {
      walker.set64(0x1020, 1, P | (1n << BigInt(bit)));
      expect(loadPdptes(walker.state, 0x1020), `bit ${bit}`).toBe(false);
    }
    expect(outcome(0xffe0_1234n)).toBe(0x9234n);
    walker.set64(0x1020, 1, -1n & ~P);
    expect(loadPdptes(walker.state, 0x1020)).toBe(true);
    expect(loadPdptes(walker.state, 0xf000_0000)).toBe(false);
  });

  it.each([
    ["PDE", 0x2000, 511, 0xffe0_1000n, []],
    ["PDE of 2 MiB", 0x2000, 510, 0xffc0_0000n, [13, 20]],
    ["PTE", 0x3000, 1, 0xffe0_1000n, []],
  ] as const)("finds reserved bits of a %s", (_name, table, index, address, more) => {
    const entry = walker.get64(table, index);
    for (const bit of [40, 51, 52, 62, ...more]) {
      walker.set64(table, index, entry | (1n << BigInt(bit)));
      expect(outcome(address), `bit ${bit}`).toBe(`fault ${RESERVED}`);
    }
    walker.set64(table, index, entry | NX);
    expect(outcome(address, ACCESS.fetch)).toBe(`fault ${PF.present | PF.fetch}`);
    walker.state.set(CPU.efer, 0);
    // Without NXE the error code does not tell a fetch.
    expect(outcome(address, ACCESS.fetch)).toBe(`fault ${RESERVED}`);
  });
});

describe("32-bit", () => {
  beforeEach(() => {
    walker.control(PAGING, CR4.PSE, EFER.NXE);
    walker.set32(0x1000, 0, 0x2003);
    walker.set32(0x2000, 3, 0x8003);
    walker.set32(0x1000, 1, 0x0080_0083);
  });

  it("maps pages of 4 KiB, and of 4 MiB with CR4.PSE", () => {
    expect(outcome(0x3456n, ACCESS.write)).toBe(0x8456n);
    expect(outcome(0x41_2345n)).toBe(0x81_2345n);
    expect(walker.page).toBe(TLB_PAGE.large);
    expect(outcome(0x100_0000n)).toBe("fault 0");
    walker.state.set(CPU.cr4, 0);
    // Without PSE the same entry is a table's: at 0x800000, where there is no RAM, which reads as ones.
    expect(outcome(0x41_2345n)).toBe(0xffff_f345n);
  });

  it("takes address bits 39..32 of a 4 MiB page from bits 20..13 (PSE-36); bit 21 is reserved", () => {
    walker.set32(0x1000, 1, 0x0080_0083 | (0xa5 << 13));
    expect(outcome(0x41_2345n)).toBe(0xa5_0081_2345n);
    walker.set32(0x1000, 1, 0x0080_0083 | (1 << 21));
    expect(outcome(0x41_2345n)).toBe(`fault ${RESERVED}`);
  });

  it("has no reserved bits elsewhere", () => {
    walker.set32(0x1000, 0, 0x2f9f);
    walker.set32(0x2000, 3, 0x8fff);
    walker.state.set(CPU.cr4, 0);
    expect(outcome(0x3456n)).toBe(0x8456n);
  });

  it("tells a fetch in the error code only under SMEP", () => {
    expect(outcome(0x100_0000n, ACCESS.fetch)).toBe("fault 0");
    walker.state.set(CPU.cr4, CR4.PSE | CR4.SMEP);
    expect(outcome(0x100_0000n, ACCESS.fetch)).toBe(`fault ${PF.fetch}`);
  });

  it("sets accessed and dirty flags in four bytes", () => {
    walker.set32(0x2000, 4, 0xffff_ffff);
    walker.walk(0x3000n, ACCESS.write);
    expect([walker.get32(0x1000, 0), walker.get32(0x2000, 3)]).toEqual([0x2023, 0x8063]);
    expect(walker.get32(0x2000, 4)).toBe(0xffff_ffff);
  });
});

describe("marks", () => {
  beforeEach(() => {
    walker.control(PAGING, CR4.PSE, 0);
    walker.set32(0x1000, 0, 0x2003);
    walker.set32(0x2000, 3, 0x8003);
  });

  it("are told for pages with decoded code or in the dirty log", () => {
    walker.setFlags(0x1000, GPA_PRESENT | GPA_LOGGED);
    walker.setFlags(0x2000, GPA_PRESENT | GPA_CODE);
    expect(outcome(0x3000n)).toBe(0x8000n);
    expect(walker.written).toEqual([
      [0x1000, 4],
      [0x200c, 4],
    ]);
    expect(outcome(0x3000n)).toBe(0x8000n);
    expect(walker.written).toHaveLength(2);
  });

  it("are not made in read-only memory", () => {
    walker.setFlags(0x2000, GPA_PRESENT | GPA_READONLY);
    expect(outcome(0x3000n, ACCESS.write)).toBe(0x8000n);
    expect([walker.get32(0x1000, 0), walker.get32(0x2000, 3)]).toEqual([0x2023, 0x8003]);
  });

  it("never land in an entry that another processor has just taken away", async () => {
    // The other one gives the entry and takes it away again; whatever it finds in the empty one was put there by a walk.
    const source = `
      const { workerData, parentPort } = require("node:worker_threads");
      const words = new Int32Array(workerData.memory.buffer);
      const [entry, go] = [workerData.entry >> 2, workerData.go >> 2];
      let wrong = 0, marked = 0;
      Atomics.store(words, go, 1);
      for (let i = 0; i < 200000; i++) {
        Atomics.store(words, entry, 0x8003);
        for (let spin = i & 15; spin > 0; spin--) Atomics.load(words, go);
        if (Atomics.exchange(words, entry, 0) & 0x60) marked++;
        for (let spin = i & 7; spin > 0; spin--) if (Atomics.load(words, entry) !== 0) wrong++;
      }
      Atomics.store(words, go, 2);
      parentPort.postMessage([wrong, marked]);
    `;
    const [entry, go] = [GUEST_RAM + 0x200c, GUEST_RAM + 0x9000];
    const worker = new Worker(source, { eval: true, workerData: { memory: walker.memory, entry, go } });
    const result = new Promise<readonly [number, number]>((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
    const { i32 } = walker.state;
    while (Atomics.load(i32, go >> 2) === 0) await new Promise((resolve) => setImmediate(resolve));
    let mapped = 0;
    while (Atomics.load(i32, go >> 2) === 1) if (walker.walk(0x3000n, ACCESS.write)) mapped++;
    const [wrong, marked] = await result;
    await worker.terminate();
    expect(wrong).toBe(0);
    expect(mapped).toBeGreaterThan(0);
    expect(marked).toBeGreaterThan(0);
  });
});
