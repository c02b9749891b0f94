/**
 * The opcode map: made from all descriptions, flat, for the decoder; and the table of cases.
 * Document: SDM volume 2D, appendix A.
 * Left out: nothing.
 *
 * A cell is found by (map, opcode, 64-bit mode, prefix, ModRM.reg, ModRM.mod == 3) and holds the number of a row. What VEX
 * encodes has maps of its own, by VEX.mmmmm, VEX.L and VEX.W: see vexMap().
 */

import { type Gate, gateOf } from "../cpu/features.ts";
import type { Field, Operand, Size } from "../emit/emitter.ts";
import { type OperandAccess, probe } from "../emit/probe-stage.ts";
import { MICRO_COUNT } from "../emit/record.ts";
import type { FormFacts } from "../emit/stage.ts";
import type { Form } from "./form.ts";
import type { Insn } from "./insn.ts";
import { MEMORY_METHODS, type OperandCode, operandSize } from "./operand.ts";

/** What the decoder finds in a cell. */
export interface Row {
  readonly insn: Insn;
  readonly form: Form;
  /** variantIndex() -> case of the generated function; 0: there is no such variant. */
  readonly cases: Uint16Array;
  /** The CPUID feature that it needs with an operand size below 64, and of 64. */
  readonly gates: readonly [Gate | undefined, Gate | undefined];
}

/** One case of the generated function: a form with its sizes and operand kinds bound. */
export interface Case {
  readonly name: string;
  readonly insn: Insn;
  readonly facts: FormFacts;
  readonly operands: readonly Operand[];
}

/**
 * The second dimension of a variant: stack size and where the memory operand is addressed. Forms with no memory operand, no
 * stack and no string have `plain` only. 64-bit mode has `plain` and `memory64`; flat code `plain32` and `memory32`; other
 * code the segmented kinds where it uses the stack.
 */
export const KIND = {
  plain: 0,
  plain32: 1,
  memory64: 2,
  memory32: 3,
  plain16: 4,
  memory16: 5,
  plainSegmented: 6,
  memorySegmented: 7,
} as const;
/** String forms, and those that count in rCX, use it for the address size; string forms for the check of segments, too. */
export const STRING_KIND = { 64: 0, 32: 1, 16: 2, segmented32: 3 } as const;

/** The third dimension of relative branches: the target is in this page, in another one, or computed (Emitter, Operand). */
export const BRANCH = { near: 0, cross: 1, computed: 2 } as const;

/**
 * The third dimension: repeat prefix (0 none, 1 F3, 2 F2); for relative branches a BRANCH; for a lockable form with a memory
 * destination 1 if it is locked.
 */
export function variantIndex(size: Size, kind: number, repeat: number): number {
  return ((size === 16 ? 0 : size === 32 ? 1 : 2) * 8 + kind) * 3 + repeat;
}
const VARIANTS = 72;

const FIELDS: readonly Field[] = ["dst", "src", "base"];
const SIZES: readonly Size[] = [16, 32, 64];
const PREFIX_INDEX: Readonly<Record<number, number>> = { 0: 0, 102: 1, 243: 2, 242: 3 };

/** Cell markers. */
export const NO_ROW = 0;
/** The cell is decided by the whole ModRM byte: look into `exact`. */
export const EXACT = 0xffff;

/** The legacy maps 0 to 3, then those of VEX. */
const MAPS = 16;
export function vexMap(map: number, l: number, w: number): number {
  return map * 4 + l * 2 + w;
}

export interface OpcodeMap {
  readonly rows: readonly (Row | undefined)[];
  readonly cells: Uint16Array;
  readonly exact: ReadonlyMap<number, number>;
  /** Cell -> the row that one with a mandatory prefix stands in the place of: it comes back where CPUID denies that one. */
  readonly overridden: ReadonlyMap<number, number>;
  /** Does the opcode have a ModRM byte: by map << 8 | opcode. */
  readonly modrm: Uint8Array;
  /** By micro and instruction case number. */
  readonly cases: readonly (Case | undefined)[];
  /** What a case does with its memory operand. */
  access(caseNumber: number): OperandAccess;
}

export function cellIndex(
  map: number,
  opcode: number,
  long: number,
  prefix: number,
  reg: number,
  isRegister: number,
): number {
  return ((((map << 8) | opcode) * 2 + long) * 4 + prefix) * 16 + reg * 2 + isRegister;
}

/** Builds the map. Two forms that claim one encoding throw: our bug, at start-up. */
export function buildOpcodeMap(insns: readonly Insn[]): OpcodeMap {
  const rows: (Row | undefined)[] = [undefined];
  const cells = new Uint16Array(MAPS * 256 * 2 * 4 * 16);
  const exact = new Map<number, number>();
  const overridden = new Map<number, number>();
  const modrm = new Uint8Array(MAPS * 256);
  const cases: (Case | undefined)[] = new Array(MICRO_COUNT).fill(undefined);
  // By exec: descriptions that share it, such as FADD and FSUB of memory, share their cases.
  const caseNumbers = new Map<Insn["exec"], Map<string, number>>();
  const all = insns.flatMap((insn) => insn.parsed.map((form) => ({ insn, form })));
  // A mandatory prefix is the more specific claim and overrides; a whole ModRM byte the most specific.
  const specific = ({ form }: { form: Form }): number => (form.exact >= 0 ? 2 : hasPrefix(form) ? 1 : 0);
  all.sort((a, b) => specific(a) - specific(b));
  for (const { insn, form } of all) {
    const row: Row = { insn, form, cases: new Uint16Array(VARIANTS), gates: gatesOf(insn) };
    const number = rows.push(row) - 1;
    claim(row, number, rows, { cells, exact, overridden, modrm });
    const numbers = caseNumbers.get(insn.exec) ?? new Map<string, number>();
    caseNumbers.set(insn.exec, numbers);
    addCases(row, cases, numbers);
  }
  // Asked for where a segment has to be checked, so most of a guest's cases never are.
  const accesses: OperandAccess[] = [];
  const access = (number: number): OperandAccess => {
    const { insn, facts, operands } = cases[number]!;
    accesses[number] ??= probe(insn.exec, facts, operands);
    return accesses[number];
  };
  return { rows, cells, exact, overridden, modrm, cases, access };
}

function gatesOf({ cpuid }: Insn): Row["gates"] {
  if (cpuid === undefined) return [undefined, undefined];
  const [narrow, wide] = typeof cpuid === "string" ? [cpuid, cpuid] : cpuid;
  return [gateOf(narrow), gateOf(wide)];
}

/** What claim() fills. */
interface Claims {
  readonly cells: Uint16Array;
  readonly exact: Map<number, number>;
  readonly overridden: Map<number, number>;
  readonly modrm: Uint8Array;
}

/** Does the form say which of the prefixes 66, F3 and F2 it has? */
const hasPrefix = (form: Form): boolean => form.prefix !== 0 || form.np || form.nfx;

/** Indices of the prefixes that it may have. */
function prefixesOf(form: Form): readonly number[] {
  if (form.nfx) return [0, PREFIX_INDEX[0x66]!];
  return hasPrefix(form) ? [PREFIX_INDEX[form.prefix]!] : [0, 1, 2, 3];
}

function claim(
  row: Row,
  number: number,
  rows: readonly (Row | undefined)[],
  { cells, exact, overridden, modrm }: Claims,
): void {
  const { form } = row;
  const put = (index: number): void => {
    const other = rows[cells[index]!];
    if (other && (hasPrefix(other.form) || !hasPrefix(form))) {
      throw new Error(`${row.insn.mnemonic} "${form.text}" and ${other.insn.mnemonic} "${other.form.text}" collide`);
    }
    if (other) overridden.set(index, cells[index]!);
    cells[index] = number;
  };
  const memoryOnly = form.operands.some(({ method }) => method === "M");
  const registerOnly = !form.modIgnored && form.operands.some(({ method }) => ["R", "U", "N", "STi"].includes(method));
  const opcodes = Array.from({ length: form.plusR ? 8 : 1 }, (_, i) => form.opcode + i);
  for (const [map, opcode] of mapsOf(form).flatMap((m) => opcodes.map((code) => [m, code] as const))) {
    if (form.modrm) modrm[(map << 8) | opcode] = 1;
    for (const long of [0, 1]) {
      if (long ? form.i64 : form.o64) continue;
      for (const prefix of prefixesOf(form)) {
        if (form.exact >= 0) {
          const cell = cellIndex(map, opcode, long, prefix, (form.exact >> 3) & 7, 1);
          const key = (cell << 3) | (form.exact & 7);
          if (exact.has(key)) throw new Error(`${row.insn.mnemonic} "${form.text}" collides`);
          exact.set(key, number);
          cells[cell] = EXACT;
          continue;
        }
        // Without a ModRM byte the decoder looks at the first cell only.
        for (let reg = 0; reg < (form.modrm ? 8 : 1); reg++) {
          if (form.digit >= 0 && reg !== form.digit) continue;
          if (!registerOnly) put(cellIndex(map, opcode, long, prefix, reg, 0));
          if (!memoryOnly && form.modrm) put(cellIndex(map, opcode, long, prefix, reg, 1));
        }
      }
    }
  }
}

/** The maps that a form is in: one, or those of the VEX.L and VEX.W that it may have. */
function mapsOf({ map, vex }: Form): number[] {
  if (vex === undefined) return [map];
  const values = (bit: number): number[] => (bit < 0 ? [0, 1] : [bit]);
  return values(vex.l).flatMap((l) => values(vex.w).map((w) => vexMap(map, l, w)));
}

const isMemory = ({ method }: OperandCode): boolean => MEMORY_METHODS.has(method);

/** What a kind means for a form. */
interface KindFacts {
  readonly kind: number;
  readonly memory: boolean;
  /** Address size of the memory operand. */
  readonly address: 32 | 64;
  readonly addressSize: 16 | 32 | 64;
  readonly stackSize: 16 | 32 | 64;
  readonly segmented: boolean;
  /** Of 64-bit mode, of other modes, or of any. */
  readonly mode: "long" | "legacy" | "any";
  /** It has to look whether the processor is in protected mode. */
  readonly protectedOnly?: true;
}

const PLAIN: KindFacts = {
  kind: KIND.plain,
  memory: false,
  address: 64,
  addressSize: 64,
  stackSize: 64,
  segmented: false,
  mode: "any",
};

/** The kinds that a form comes in. */
function kindsOf({ insn, form }: Row): KindFacts[] {
  const memory = form.operands.some(isMemory);
  const memoryOnly = form.operands.some(({ method }) => method === "M" || method === "O");
  if (insn.string || insn.counts) {
    const size = (kind: number, addressSize: 16 | 32 | 64, mode: KindFacts["mode"], segmented: boolean): KindFacts => {
      return { ...PLAIN, kind, addressSize, mode, segmented: segmented && insn.string === true };
    };
    const kinds = [
      size(STRING_KIND[64], 64, "long", false),
      size(STRING_KIND[32], 32, "any", false),
      size(STRING_KIND[16], 16, "legacy", true),
    ];
    return insn.string ? [...kinds, size(STRING_KIND.segmented32, 32, "legacy", true)] : kinds;
  }
  const kinds: KindFacts[] = [];
  const add = (kind: number, memoryKind: number, rest: Partial<KindFacts>): void => {
    if (!memoryOnly) kinds.push({ ...PLAIN, ...rest, kind });
    if (memory) kinds.push({ ...PLAIN, ...rest, kind: memoryKind, memory: true });
  };
  if (insn.stack) {
    const legacy = { address: 32, mode: "legacy" } as const;
    add(KIND.plain, KIND.memory64, { mode: "long" });
    add(KIND.plain32, KIND.memory32, { ...legacy, stackSize: 32 });
    add(KIND.plain16, KIND.memory16, { ...legacy, stackSize: 16, segmented: true });
    add(KIND.plainSegmented, KIND.memorySegmented, { ...legacy, stackSize: 32, segmented: true });
    return kinds;
  }
  if (form.vex) {
    add(KIND.plain, KIND.memory64, { mode: "long" });
    add(KIND.plain32, KIND.memory32, { address: 32, mode: "legacy", protectedOnly: true });
    return kinds;
  }
  if (!memoryOnly) kinds.push(PLAIN);
  if (memory && insn.unit !== undefined) {
    // Half the cases: outside 64-bit mode an address record goes before (decode.ts).
    kinds.push({ ...PLAIN, kind: KIND.memory64, memory: true });
  } else if (memory) {
    kinds.push({ ...PLAIN, kind: KIND.memory64, memory: true, mode: "long" });
    kinds.push({ ...PLAIN, kind: KIND.memory32, memory: true, mode: "legacy", address: 32 });
  }
  return kinds;
}

/** Is there such a variant of the form? */
function exists({ form }: Row, size: Size, { mode, stackSize, segmented }: KindFacts, branch: number): boolean {
  if (form.sized) {
    if (size === 64 ? mode === "legacy" || form.i64 : mode === "long" && form.f64) return false;
    if (size === 32 && mode === "long" && form.d64) return false;
    if (size === 16 && form.vex) return false;
    // Where 66 is a part of the form, or none of it, it does not make the operands smaller.
    if (size === 16 && mode === "long" && (form.np || form.prefix === 0x66)) return false;
  }
  if (mode === "long" ? form.i64 : mode === "legacy" && form.o64) return false;
  // Branches: 64-bit ones and flat 32-bit ones are linked, the others are computed.
  if (branch < 0) return true;
  if (size === 64) return branch !== BRANCH.computed;
  if (size === 16 || segmented) return branch === BRANCH.computed;
  return branch !== BRANCH.computed || stackSize === 64;
}

/** Variants with the same instruction, facts and operand forms share a case: "01 /r Ev,Gv" and "03 /r Gv,Ev" between registers. */
function addCases(row: Row, cases: (Case | undefined)[], numbers: Map<string, number>): void {
  const { insn, form } = row;
  const relative = form.operands.some(({ method }) => method === "J");
  const repeats = relative ? [0, 1, 2] : insn.repeat === undefined ? [0] : insn.repeat === "rep" ? [0, 1] : [0, 1, 2];
  const lockable = insn.lock !== undefined && isMemory(form.operands[0]!);
  const kinds = kindsOf(row);
  for (const size of form.sized ? SIZES : [32 as const]) {
    for (const kind of kinds) {
      for (const repeat of lockable && kind.memory ? [0, 1] : repeats) {
        if (!exists(row, size, kind, relative ? repeat : -1)) continue;
        const facts: FormFacts = {
          size,
          addressSize: kind.addressSize,
          stackSize: kind.stackSize,
          segmented: kind.segmented,
          repeat: relative || lockable || repeat === 0 ? "none" : repeat === 1 ? "rep" : "repne",
          locked: lockable && kind.memory && (repeat === 1 || insn.lock === "always"),
          ...(kind.protectedOnly ? { protectedOnly: true } : {}),
        };
        const operands = bind(row, size, kind, relative ? repeat : 0);
        const key = caseName(facts, operands);
        let number = numbers.get(key);
        if (number === undefined) {
          const name = `${insn.mnemonic} ${key} of ${form.text}`;
          number = cases.push({ name, insn, facts, operands }) - 1;
          numbers.set(key, number);
        }
        // An unsized form means the same whatever the operand size is.
        for (const s of form.sized ? [size] : SIZES) row.cases[variantIndex(s, kind.kind, repeat)] = number;
      }
    }
  }
}

/** Says all that distinguishes a case from others with the same exec. */
function caseName(facts: FormFacts, operands: readonly Operand[]): string {
  const { size, addressSize, stackSize, segmented, repeat, locked, protectedOnly } = facts;
  const parts = operands.map((operand) => Object.values(operand).join(":"));
  const sizes = `o${size} a${addressSize} s${stackSize}${segmented ? " segmented" : ""}${protectedOnly ? " protected" : ""}`;
  return `${locked ? "lock " : ""}${sizes} ${repeat} ${parts.join(",")}`;
}

/** The form's operands: registers go to the record's `dst`, `src` and, if there is no memory operand, `base`. */
function bind({ form, insn }: Row, size: Size, { memory, address }: KindFacts, branch: number): Operand[] {
  let fields = 0;
  const field = (): Field => {
    if (fields === (memory ? 2 : 3)) throw new Error(`form "${form.text}" has more registers than a record`);
    return FIELDS[fields++]!;
  };
  return form.operands
    .filter(({ method }) => !"XYF".includes(method))
    .map((code): Operand => {
      const bits = operandSize(code, size);
      const inMemory = (): Operand =>
        code.whole
          ? { kind: "mem", size: bits, address, whole: true, aligned: insn.unaligned !== true }
          : { kind: "mem", size: bits, address };
      const vector = (kind: "xmm" | "mm"): Operand => ({ kind, size: bits, field: field() });
      switch (code.method) {
        case "E":
          return memory ? inMemory() : { kind: "reg", size: bits, field: field() };
        case "W":
          return memory ? inMemory() : vector("xmm");
        case "Q":
          return memory ? inMemory() : vector("mm");
        case "V":
        case "U":
          return vector("xmm");
        case "P":
        case "N":
          return vector("mm");
        case "M":
        case "O":
          return inMemory();
        case "STi":
        case "S":
        case "C":
        case "D":
        case "segment":
          return { kind: "index", size: bits, field: field() };
        case "I":
          return code.type === "v" && size === 64
            ? { kind: "imm", size: bits, wide: true }
            : { kind: "imm", size: bits };
        case "J":
          return { kind: "target", size, cross: branch === BRANCH.cross, computed: branch === BRANCH.computed };
        case "A":
          return { kind: "far", size: bits };
        case "implied":
          return { kind: "implied", size: bits, register: code.register };
        case "one":
          return { kind: "const", size: bits, value: 1 };
        default:
          return { kind: "reg", size: bits, field: field() };
      }
    });
}
