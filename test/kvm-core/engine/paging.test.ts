/**
 * Loads, stores, read-modify-writes and fetches through instructions: U/S x R/W x NX x WP x SMEP x SMAP x AC x CPL in each
 * paging mode and page size, from an empty TLB and from a full one.
 * Document: SDM volume 3, 4.6 and 4.7.
 * Left out: delivery: there is no IDT here, so a fault shuts the machine down, and CR2 and the error code stay behind.
 */

import { describe, expect, it } from "vitest";
import { CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";
import { BOOLEANS, combinations, expectedFault, type Kind } from "../support/rights.ts";
import { LAYOUTS, type Layout, pagingCr0, writeTables } from "../support/tables.ts";

const CODE = 0x10_0000;
const HLT = 0xf4;
const HLTS = 0xf4f4_f4f4;
const ALL = { user: true, writable: true, noExecute: false };

/** What an instruction does to [rSI] or [ESI], its bytes, and where it is put. */
const PROGRAMS = [
  { kind: "read", bytes: [0x8b, 0x06], at: CODE },
  { kind: "write", bytes: [0x89, 0x06], at: CODE + 0x100 },
  // ADD: a read-modify-write is a write from the beginning.
  { kind: "write", bytes: [0x83, 0x06, 0x01], at: CODE + 0x200 },
  { kind: "fetch", bytes: [0xff, 0xe6], at: CODE + 0x300 },
  // Twice: the second access finds what the first one left in the TLB.
  { kind: "read", bytes: [0x8b, 0x06, 0x8b, 0x06], at: CODE + 0x400 },
  { kind: "write", bytes: [0x8b, 0x0e, 0x89, 0x06], at: CODE + 0x500 },
] as const satisfies readonly { kind: Kind; bytes: readonly number[]; at: number }[];

const CONTEXTS = [
  { user: false, ac: false },
  { user: false, ac: true },
  { user: true, ac: false },
  { user: true, ac: true },
] as const;

/** Error code of the page fault, or undefined if the program came to its end. */
function run(machine: TestMachine, layout: Layout, at: number, ac: boolean): number | undefined {
  machine.set({
    rip: BigInt(at),
    rsi: BigInt(layout.data),
    rax: 0x1122_3344n,
    rflags: ac ? 0x4_0002n : 2n,
  });
  expect([EngineExit.HLT, EngineExit.SHUTDOWN], machine.engine.errorDetail).toContain(machine.engine.run());
  const { cr2 } = machine.sregs;
  if (cr2 === 0n) return undefined;
  expect(cr2).toBe(BigInt(layout.data));
  return machine.view.getUint32(machine.zone + CPU.walkError, true);
}

describe.each(ENGINES)("%s", (engine) => {
  it.each(LAYOUTS)("$name", (layout) => {
    const machine = new TestMachine(engine, layout.mode, 8 << 20);
    const set = (at: number, size: 4 | 8, value: bigint): void => {
      if (size === 8) machine.setU64(at, value);
      else machine.setU32(at, Number(value));
    };
    for (const { bytes, at } of PROGRAMS) machine.write(at, [...bytes, HLT]);
    const { cs, ss } = machine.sregs;
    const wrong: unknown[] = [];
    for (const on of combinations({ wp: BOOLEANS, smep: BOOLEANS, smap: BOOLEANS, nxe: [true] })) {
      for (const leaf of combinations({ user: BOOLEANS, writable: BOOLEANS, noExecute: BOOLEANS })) {
        const page = { ...leaf, noExecute: layout.xd && leaf.noExecute };
        for (const context of CONTEXTS) {
          for (const program of PROGRAMS) {
            writeTables(layout, set, leaf, ALL, context.user);
            machine.setU32(layout.dataGpa, HLTS);
            const dpl = context.user ? 3 : 0;
            const accepted = machine.setSregs({
              cs: { ...cs, dpl },
              ss: { ...ss, dpl },
              cr0: BigInt(pagingCr0(on.wp) >>> 0),
              cr2: 0n,
              cr3: 0x1000n,
              cr4: BigInt(layout.cr4 | (on.smep ? CR4.SMEP : 0) | (on.smap ? CR4.SMAP : 0)),
              efer: BigInt(layout.efer | EFER.NXE),
            });
            expect(accepted).toBe(true);
            const got = run(machine, layout, program.at, context.ac);
            // The load before the store of the last program faults first.
            const first =
              program.at === CODE + 0x500
                ? expectedFault(page, { ...context, kind: "read" }, on, layout.xd)
                : undefined;
            const expected = first ?? expectedFault(page, { ...context, kind: program.kind }, on, layout.xd);
            const written = machine.u32(layout.dataGpa) !== HLTS;
            const right = got === expected && written === (got === undefined && program.kind === "write");
            if (!right && wrong.length < 5) wrong.push({ on, leaf, context, program, expected, got });
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});
