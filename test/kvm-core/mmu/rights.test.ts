/**
 * Every cell of user/supervisor x read/write/fetch x U/S x R/W x NX x WP x SMEP x SMAP x NXE x AC x A/D, in each paging
 * mode and page size: the walker against the manual's rules.
 * Document: SDM volume 3, 4.6 to 4.8.
 * Left out: the same through instructions: test/kvm-core/engine/paging.test.ts.
 */

import { describe, expect, it } from "vitest";
import { ACCESS } from "../../../kvm-core/cpu/access.ts";
import { CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { GUEST_RAM } from "../../../kvm-core/cpu/zones.ts";
import { loadPdptes } from "../../../kvm-core/mmu/pdpte.ts";
import { BOOLEANS, combinations, expectedFault, type Kind, type TestAccess } from "../support/rights.ts";
import { LAYOUTS, pagingCr0, writeTables } from "../support/tables.ts";
import { TestWalker } from "../support/walker.ts";

const ACCESSED = 0x20n;
const DIRTY = 0x40n;
const ALL = { user: true, writable: true, noExecute: false };
const ENTRY = { user: BOOLEANS, writable: BOOLEANS, noExecute: BOOLEANS };
const walker = new TestWalker();

const accesses: readonly TestAccess[] = [
  ...combinations({ kind: ["read", "write", "fetch"] as readonly Kind[], user: BOOLEANS, ac: BOOLEANS }),
];
const bitsOf = ({ kind, user, ac }: TestAccess): number =>
  (kind === "write" ? ACCESS.write : kind === "fetch" ? ACCESS.fetch : 0) | (user ? ACCESS.user : ac ? ACCESS.ac : 0);

describe.each(LAYOUTS)("$name", (layout) => {
  const set = (at: number, size: 4 | 8, value: bigint): void => {
    if (size === 8) walker.view.setBigUint64(GUEST_RAM + at, value, true);
    else walker.view.setUint32(GUEST_RAM + at, Number(value), true);
  };
  const leafMarks = (): bigint => walker.get64(layout.leaf, 0) & (ACCESSED | DIRTY);

  it("gives every access what the manual says", () => {
    walker.reset();
    const wrong: unknown[] = [];
    let cells = 0;
    const controls = [...combinations({ wp: BOOLEANS, smep: BOOLEANS, smap: BOOLEANS, nxe: BOOLEANS })];
    for (const on of controls) {
      const cr4 = layout.cr4 | (on.smep ? CR4.SMEP : 0) | (on.smap ? CR4.SMAP : 0);
      walker.control(pagingCr0(on.wp), cr4, layout.efer | (on.nxe ? EFER.NXE : 0));
      for (const leaf of combinations(ENTRY)) {
        for (const upper of layout.upper.length === 0 ? [ALL] : combinations(ENTRY)) {
          const noExecute = layout.xd && (leaf.noExecute || upper.noExecute);
          // NX is a reserved bit then.
          if (noExecute && !on.nxe) continue;
          const page = { user: leaf.user && upper.user, writable: leaf.writable && upper.writable, noExecute };
          for (const access of accesses) {
            for (const before of [0n, ACCESSED, ACCESSED | DIRTY]) {
              writeTables(layout, set, leaf, upper, true, before);
              if (layout.xd && layout.mode === 32) loadPdptes(walker.state, 0x1000);
              const expected = expectedFault(page, access, on, layout.xd);
              const done = walker.walk(BigInt(layout.data) + 0x123n, bitsOf(access));
              const marks = access.kind === "write" ? ACCESSED | DIRTY : ACCESSED;
              const after = expected === undefined ? before | marks : before;
              const right =
                done === (expected === undefined) &&
                (done ? walker.gpa === BigInt(layout.dataGpa) + 0x123n : walker.errorCode === expected) &&
                leafMarks() === after;
              if (!right && wrong.length < 10) wrong.push({ on, leaf, upper, access, before, expected, done });
              cells++;
            }
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(cells).toBeGreaterThan(3000);
  });
});
