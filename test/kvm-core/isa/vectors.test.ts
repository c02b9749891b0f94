/**
 * Runs the vectors of all families on every engine, and says which description has none.
 * Document: SDM volume 2; FAMILY.vectors.ts beside this file.
 * Left out: random states: the check against the host's processor, test/host.
 */

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CR4, MODE } from "../../../kvm-core/cpu/control.ts";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";
import { Decoded } from "../../../kvm-core/isa/decoded.ts";
import type { Form } from "../../../kvm-core/isa/form.ts";
import type { Insn } from "../../../kvm-core/isa/insn.ts";
import { assembleAll } from "../support/asm.ts";
import { getFpu, setFpu } from "../support/fpu.ts";
import { ENGINES, type Mode, TestMachine } from "../support/machine.ts";
import { FAMILIES } from "./families.ts";
import { fpuAfter, fpuBefore, isFpuName } from "./vector-state.ts";
import { ARITHMETIC, DATA, type Row, type Value, type Vectors } from "./vectors.ts";

const MODES = [32, 64] as const;
const CODE = 0x10_0000;
/** Bytes between the codes of two rows. */
const ROOM = 128;
const PORT_VALUE = 0x1234_5678;
const ROOT = new URL("../../../", import.meta.url);

const fileOf = (family: string): string => `test/kvm-core/isa/${family}.vectors.ts`;
const TABLES: ReadonlyMap<string, Vectors> = new Map(
  await Promise.all(
    [...FAMILIES.keys()]
      .filter((family) => existsSync(new URL(fileOf(family), ROOT)))
      .map(async (family) => {
        const { VECTORS } = (await import(new URL(fileOf(family), ROOT).href)) as { VECTORS: Vectors };
        return [family, VECTORS] as const;
      }),
  ),
);

/** The rows of a family in a mode, with their bytes. */
type Assembled = { readonly row: Row; readonly code: Uint8Array };
function assembled(family: string, mode: Mode): Assembled[] {
  const vectors = TABLES.get(family);
  if (vectors === undefined) return [];
  const rows = [...vectors.both, ...((mode === 32 ? vectors.only32 : vectors.only64) ?? [])];
  const codes = assembleAll(
    rows.map(([, code]) => code),
    mode,
  );
  return rows.map((row, i) => ({ row, code: codes[i]! }));
}

/** The u64 at DATA is `m`, the one behind it `m1`. */
const MEMORY_WORD = /^m\d*$/;
const wordAddress = (name: string): number => DATA + 8 * Number(name.slice(1));

const number = (value: Value): bigint => BigInt.asUintN(64, BigInt(value));
const flagBits = (names: string): bigint =>
  names.split(" ").reduce((all, name) => all | BigInt(name === "" ? 0 : RFLAGS[name as keyof typeof RFLAGS]), 0n);

/** Kinds of operands; of those that may be in memory, when they are not. */
const NAMES: Readonly<Record<string, string>> = {
  E: "r",
  W: "x",
  Q: "mm",
  G: "r",
  R: "r",
  Z: "r",
  register: "r",
  M: "m",
  O: "m",
  I: "imm",
  J: "rel",
  A: "ptr",
  S: "sreg",
  segment: "sreg",
  C: "cr",
  D: "dr",
  implied: "cl",
  V: "x",
  U: "x",
  P: "mm",
  N: "mm",
  STi: "st",
  one: "1",
};

/** Registers that a form itself names, by their operand codes; any other is CL. */
const IMPLIED: Readonly<Record<string, string>> = { ST: "st0", XMM0: "xmm0" };
const MEMORY_NAMES: Readonly<Record<string, string>> = { E: "m", W: "m", Q: "m" };

/** Mnemonic and kinds of operands, as the manual's instruction column has them. */
function signature({ mnemonic }: Insn, form: Form, memory: boolean): string {
  const kinds = form.operands
    .filter(({ method }) => !"XYF".includes(method))
    .map(({ method, text }) => IMPLIED[text] ?? ((memory && MEMORY_NAMES[method]) || NAMES[method]));
  return `${mnemonic} ${kinds.join(",")}`.trim();
}

const decoder = new Decoder(opcodeMap());

/** Signatures of a row's instructions that are of the family. */
function covered(family: string, mode: Mode, code: Uint8Array): string[] {
  const insns = FAMILIES.get(family)!;
  const signatures: string[] = [];
  const decodeMode = (mode === 64 ? MODE.code64 : MODE.code32) | MODE.stack32 | MODE.flat;
  for (let at = 0; at < code.length; at += decoder.length) {
    if (decoder.decode(code, at, code.length, decodeMode) !== Decoded.ok) break;
    const { insn, form } = decoder.row;
    if (insns.includes(insn)) signatures.push(signature(insn, form, decoder.hasMemory));
  }
  return signatures;
}

const ALL = new Map(
  [...FAMILIES.keys()].map(
    (family) => [family, MODES.map((mode) => [mode, assembled(family, mode)] as const)] as const,
  ),
);

describe("every description has a vector", () => {
  it.each([...FAMILIES.keys()])("%s", (family) => {
    const elsewhere = TABLES.get(family)?.elsewhere ?? [];
    const found = new Set(
      ALL.get(family)!.flatMap(([mode, rows]) => rows.flatMap(({ code }) => covered(family, mode, code))),
    );
    const wanted = FAMILIES.get(family)!.flatMap((insn) =>
      insn.parsed.flatMap((form) => {
        const kinds = form.operands.some(({ method }) => method in MEMORY_NAMES) ? [false, true] : [false];
        return kinds.map((memory) => signature(insn, form, memory));
      }),
    );
    const isElsewhere = (name: string): boolean =>
      elsewhere.some(({ mnemonic, operands }) =>
        operands === undefined ? name.split(" ")[0] === mnemonic : name === `${mnemonic} ${operands}`,
      );
    const missing = [...new Set(wanted)].filter((name) => !found.has(name) && !isElsewhere(name));
    expect(missing.map((name) => `${fileOf(family)}: add a row for "${name}"`)).toEqual([]);
    for (const { mnemonic, file } of elsewhere) {
      expect(
        wanted.some((name) => name.split(" ")[0] === mnemonic),
        `${fileOf(family)}: no ${mnemonic} here`,
      ).toBe(true);
      expect(existsSync(fileURLToPath(new URL(file, ROOT))), `${fileOf(family)}: there is no ${file}`).toBe(true);
    }
  });

  it("and each test elsewhere names it", () => {
    const rows = [...TABLES.values()].flatMap(({ elsewhere }) => elsewhere ?? []);
    const silent = rows.filter(
      ({ mnemonic, file }) =>
        file !== "test/host/host.test.ts" &&
        !new RegExp(`\\b${mnemonic}\\b`, "i").test(readFileSync(new URL(file, ROOT), "utf8")),
    );
    expect(silent).toEqual([]);
  });
});

describe.each(ENGINES)("%s", (engine) => {
  describe.each(MODES)("%i-bit", (mode) => {
    const machine = new TestMachine(engine, mode);
    const { sregs } = machine;
    sregs.cr4 |= BigInt(CR4.OSFXSR | CR4.OSXMMEXCPT);
    const names = Object.keys(machine.regs).filter((name) => name !== "rip" && name !== "rflags");
    const out: string[] = [];
    machine.portIn = () => PORT_VALUE;
    machine.portOut = (port, size, value) => out.push([port, size, value].map((n) => n.toString(16)).join(" "));
    let at = CODE;

    const rowsOf = (family: string): Assembled[] => ALL.get(family)!.find(([its]) => its === mode)![1];
    describe.each([...FAMILIES.keys()].filter((family) => rowsOf(family).length > 0))("%s", (family) => {
      const rows = rowsOf(family);
      it.each(rows.map((all) => [all.row[1], all] as const))("%s", (_name, { row, code }) => {
        const [before, , after, looksAt = ARITHMETIC] = row;
        const start = (name: string): bigint => number(before[name] ?? (name === "rsp" ? 0x20_0000 : 0));
        const cut = (value: bigint): bigint => BigInt.asUintN(mode, value);
        machine.setSregs(sregs);
        machine.set(Object.fromEntries(names.map((name) => [name, cut(start(name))])));
        machine.set({ rflags: flagBits(String(before["flags"] ?? "")) | 2n });
        setFpu(machine, fpuBefore(mode, before));
        for (const name of ["m", ...Object.keys(before)].filter((name) => MEMORY_WORD.test(name))) {
          machine.setU64(wordAddress(name), start(name));
        }
        out.length = 0;
        at += ROOM;
        expect(machine.run(code, at), machine.engine.errorDetail).toBe(EngineExit.HLT);
        const regs = machine.regs;
        for (const [name, got, wanted] of fpuAfter(getFpu(machine), after)) expect(got, name).toBe(wanted);
        for (const [name, value] of Object.entries(after)) {
          if (MEMORY_WORD.test(name)) expect(machine.u64(wordAddress(name)), name).toBe(number(value));
          else if (isFpuName(name)) continue;
          else if (name === "out") expect(out.join(", ")).toBe(value);
          else if (name === "flags") expect(regs.rflags & flagBits(looksAt)).toBe(flagBits(String(value)));
          else expect(cut(regs[name as "rax"]), name).toBe(cut(number(value)));
        }
      });
    });
  });
});
