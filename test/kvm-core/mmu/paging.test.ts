/**
 * Paging: which page a linear address is, and the exact page fault where it is none.
 * Document: SDM volume 3, 4.3 to 4.8; error code in 4.7.
 * Left out: SMEP, SMAP, PCID, protection keys: not built.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { CR0, CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { resetVcpu } from "../../../kvm-core/cpu/reset.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { VcpuState } from "../../../kvm-core/cpu/vcpu-state.ts";
import { GPA_PRESENT, GPA_TABLE, GUEST_RAM, MEMORY_PAGES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import { ACCESS, PF, Walker } from "../../../kvm-core/mmu/walk.ts";

const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
const zone = vcpuZone(0);
const state = new VcpuState(memory, zone);
const walker = new Walker(state, () => {});
for (let page = 0; page < 64; page++)
  state.view.setUint32(GPA_TABLE + page * 4, (GUEST_RAM + page * 4096) | GPA_PRESENT, true);

const P = 1n;
const W = 2n;
const U = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const NX = 1n << 63n;
const entry64 = (table: number, index: number): number => GUEST_RAM + table + index * 8;
const set64 = (table: number, index: number, value: bigint): void =>
  state.view.setBigUint64(entry64(table, index), value, true);
const get64 = (table: number, index: number): bigint => state.view.getBigUint64(entry64(table, index), true);

function control(cr0: number, cr4: number, efer: number): void {
  state.set(CPU.cr0, cr0);
  state.set(CPU.cr4, cr4);
  state.set(CPU.efer, efer);
  state.set64(CPU.cr3, 0x1000, 0);
}

beforeEach(() => {
  resetVcpu(memory, zone, 0);
  new Uint8Array(memory.buffer, GUEST_RAM, 64 * 4096).fill(0);
});

describe("no paging", () => {
  it("is the identity", () => {
    control(CR0.PE, 0, 0);
    expect(walker.walk(0x1234_5678, 0, ACCESS.write)).toBe(true);
    expect(walker.gpa).toBe(0x1234_5678);
  });
});

describe("4-level", () => {
  beforeEach(() => {
    control(CR0.PE | CR0.PG | CR0.WP, CR4.PAE, EFER.LME | EFER.LMA | EFER.NXE);
    set64(0x1000, 511, 0x2000n | P | W | U);
    set64(0x2000, 0, 0x3000n | P | W | U);
    set64(0x3000, 0, 0x4000n | P | W | U);
    set64(0x4000, 5, 0x7000n | P | W | U);
    set64(0x3000, 1, 0x20_0000n | PS | P | W);
    set64(0x2000, 1, 0xc000_0000n | PS | P | W);
  });
  const high = 0xffff_ff80;

  it("maps pages of 4 KiB, 2 MiB and 1 GiB", () => {
    expect(walker.walk(0x5123, high, 0)).toBe(true);
    expect([walker.gpa, walker.large]).toEqual([0x7123, false]);
    expect(walker.walk(0x3f_ffff, high, 0)).toBe(true);
    expect([walker.gpa, walker.large]).toEqual([0x3f_ffff, true]);
    expect(walker.walk(0x4567_89ab, high, 0)).toBe(true);
    expect(walker.gpa).toBe(0xc567_89ab);
  });

  it("sets accessed bits on the way, and dirty only by a write", () => {
    walker.walk(0x5000, high, ACCESS.read);
    expect(get64(0x1000, 511) & (A | D)).toBe(A);
    expect(get64(0x4000, 5) & (A | D)).toBe(A);
    walker.walk(0x5000, high, ACCESS.write);
    expect(get64(0x4000, 5) & (A | D)).toBe(A | D);
    expect(get64(0x3000, 0) & D).toBe(0n);
  });

  /** leaf entry, access, error code; undefined: allowed. */
  it.each([
    [0n, ACCESS.read, 0],
    [0n, ACCESS.write | ACCESS.user, PF.write | PF.user],
    [P | U, ACCESS.read, undefined],
    [P | U, ACCESS.write, PF.present | PF.write],
    [P | W, ACCESS.write, undefined],
    [P | W, ACCESS.user, PF.present | PF.user],
    [P | U, ACCESS.user | ACCESS.write, PF.present | PF.user | PF.write],
    [P | W | U, ACCESS.user | ACCESS.write, undefined],
    [P | W | U | NX, ACCESS.read, undefined],
    [P | W | U | NX, ACCESS.fetch, PF.present | PF.fetch],
    [P | W | U | (1n << 45n), ACCESS.read, PF.present | PF.reserved],
    [0n, ACCESS.fetch, PF.fetch],
  ])("leaf %s, access %i: error code %s", (flags, access, code) => {
    set64(0x4000, 5, 0x7000n | flags);
    expect(walker.walk(0x5000, high, access)).toBe(code === undefined);
    if (code !== undefined) expect(walker.errorCode).toBe(code);
  });

  it("lets a supervisor write read-only pages while CR0.WP is clear", () => {
    set64(0x4000, 5, 0x7000n | P);
    state.set(CPU.cr0, CR0.PE | CR0.PG);
    expect(walker.walk(0x5000, high, ACCESS.write)).toBe(true);
    expect(walker.walk(0x5000, high, ACCESS.write | ACCESS.user)).toBe(false);
  });

  it("takes rights from all levels", () => {
    set64(0x2000, 0, 0x3000n | P | U);
    expect(walker.walk(0x5000, high, ACCESS.write)).toBe(false);
  });

  it("finds NX reserved while EFER.NXE is clear", () => {
    state.set(CPU.efer, EFER.LME | EFER.LMA);
    set64(0x4000, 5, 0x7000n | P | NX);
    expect(walker.walk(0x5000, high, ACCESS.read)).toBe(false);
    expect(walker.errorCode).toBe(PF.present | PF.reserved);
  });
});

describe("PAE", () => {
  it("maps through four pointers, whose bits are no rights", () => {
    control(CR0.PE | CR0.PG, CR4.PAE, 0);
    set64(0x1000, 3, 0x2000n | P);
    set64(0x2000, 511, 0x3000n | P | W | U);
    set64(0x3000, 1, 0x9000n | P | W | U);
    expect(walker.walk(0xffe0_1234, 0, ACCESS.write | ACCESS.user)).toBe(true);
    expect(walker.gpa).toBe(0x9234);
    expect(get64(0x1000, 3)).toBe(0x2000n | P);
  });
});

describe("32-bit", () => {
  it("maps pages of 4 KiB, and of 4 MiB with CR4.PSE", () => {
    control(CR0.PE | CR0.PG, CR4.PSE, 0);
    state.view.setUint32(GUEST_RAM + 0x1000, 0x2003, true);
    state.view.setUint32(GUEST_RAM + 0x2000 + 3 * 4, 0x8003, true);
    state.view.setUint32(GUEST_RAM + 0x1000 + 4, 0x0080_0083, true);
    expect(walker.walk(0x3456, 0, ACCESS.write)).toBe(true);
    expect(walker.gpa).toBe(0x8456);
    expect(walker.walk(0x0041_2345, 0, ACCESS.read)).toBe(true);
    expect(walker.gpa).toBe(0x0081_2345);
    expect(walker.walk(0x0100_0000, 0, ACCESS.read)).toBe(false);
    expect(walker.errorCode).toBe(0);
  });
});
