/**
 * The check against the host's processor, itself checked: its tables, what it gets from the host, what it notices.
 * Document: not-run.ts, not-compared.ts, undefined-flags.ts (the tables); SDM volume 2, the instructions that are tried here.
 * Left out: the check of all descriptions: host.test.ts.
 */

import { describe, expect, it } from "vitest";
import { INSNS } from "../../kvm-core/isa/insn/all.ts";
import { type Case, CODE, HUNG, type Outcome, SLOT_SIZE, SLOTS } from "./case.ts";
import { deserialize, differences, serialize, shrink } from "./compare.ts";
import { runNative } from "./native.ts";
import { NOT_RUN, notRun } from "./not-run.ts";
import { UNDEFINED_FLAGS } from "./undefined-flags.ts";
import { variants } from "./variants.ts";

const MODES = [64, 32] as const;

const ADD: Case = {
  name: "add al, bl",
  mode: 64,
  gpr: [0xffn, 0n, 0n, 1n, ...new Array<bigint>(12).fill(0n)],
  flags: 2,
  rip: SLOTS,
  code: Uint8Array.from([0x00, 0xd8]),
  plants: [],
  undefinedFlags: 0,
};

describe("the tables", () => {
  it("leave no description out that is not named", () => {
    const missing = INSNS.flatMap((insn) =>
      insn.parsed
        .filter((form) => !notRun(insn, form, "all") && MODES.every((mode) => variants(insn, form, mode).length === 0))
        .map((form) => `test/host/not-run.ts: name "${insn.mnemonic} ${form.text}" with the reason, or let it run`),
    );
    expect(missing).toEqual([]);
  });

  it("have no row that nothing needs", () => {
    const unused = NOT_RUN.filter(
      (row) =>
        !INSNS.some(({ mnemonic, parsed }) =>
          parsed.some(({ text }) => mnemonic === row.mnemonic && text.startsWith(row.form ?? "")),
        ),
    );
    expect(unused.map(({ mnemonic, form }) => `test/host/not-run.ts: take out "${mnemonic} ${form ?? ""}"`)).toEqual(
      [],
    );
    const mnemonics = new Set(INSNS.map(({ mnemonic }) => mnemonic));
    expect(Object.keys(UNDEFINED_FLAGS).filter((mnemonic) => !mnemonics.has(mnemonic))).toEqual([]);
  });
});

describe("the check itself", () => {
  const [host] = runNative([ADD]) as [Outcome];

  it("gets from the host what the manual says", () => {
    expect(host).toMatchObject({ vector: 3, rip: BigInt(SLOTS + 3), changes: [] });
    // CF PF AF ZF, and IF, which a process always has.
    expect(host.flags & 0xed5).toBe(0x255);
    expect(host.gpr[0]).toBe(0n);
  });

  it("ends a case that does not end", () => {
    const forever: Case = { ...ADD, code: Uint8Array.from([0xeb, 0xfe]) };
    const [hung, after] = runNative([forever, { ...ADD, rip: SLOTS + SLOT_SIZE }]) as [Outcome, Outcome];
    expect(hung).toMatchObject({ vector: HUNG, rip: BigInt(SLOTS) });
    expect(after).toMatchObject({ vector: 3, gpr: host.gpr });
  });

  it.each([
    { gpr: host.gpr.with(7, 5n) },
    { flags: host.flags ^ 0x10 },
    { rip: host.rip + 1n },
    { vector: 14 },
    { error: 2 },
    { cr2: 1n },
    { changes: [[CODE, 0n] as const] },
  ])("sees a difference in %o", (wrong) => {
    expect(differences(ADD, host, host)).toEqual([]);
    expect(differences(ADD, host, { ...host, ...wrong })).toHaveLength(1);
  });

  it("does not look at flags that are undefined, but after a fault it does", () => {
    const one = { ...ADD, undefinedFlags: 0x10 };
    const other = { ...host, flags: host.flags ^ 0x10 };
    expect(differences(one, host, other)).toEqual([]);
    expect(differences(one, { ...host, vector: 14 }, { ...other, vector: 14 })).toHaveLength(1);
  });

  it("makes a case smaller, and takes it back as text", () => {
    const full = { ...ADD, gpr: ADD.gpr.map((value, r) => value + BigInt(r) * 7n), flags: 0x8d7 };
    const small = shrink(full, ({ gpr }) => gpr[0] === 0xffn);
    expect(small).toEqual({ ...full, gpr: full.gpr.map((_, r) => (r === 0 ? 0xffn : 0n)), flags: 2 });
    expect(deserialize(serialize(small))).toEqual(small);
  });
});
