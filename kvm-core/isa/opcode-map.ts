/**
 * The opcode map: made from all descriptions, flat, for the decoder; and the table of cases.
 * Document: SDM volume 2D, appendix A.
 * Left out: opcodes that the manual defines and nobody described yet are rows of unbuilt.ts.
 *
 * A cell is found by (map, opcode, 64-bit mode, prefix, ModRM.reg, ModRM.mod == 3) and holds the number of a row.
 */

import type { Operand, Size } from "../emit/emitter.ts";
import type { FormFacts } from "../emit/interp-stage.ts";
import { MICRO_COUNT } from "../emit/record.ts";
import type { Form } from "./form.ts";
import type { Insn } from "./insn.ts";
import { type OperandCode, operandSize } from "./operand.ts";

/** What the decoder finds in a cell. */
export interface Row {
  readonly insn: Insn;
  readonly form: Form;
  /** variantIndex() -> case of the generated function; 0: there is no such variant. */
  readonly cases: Uint16Array;
}

/** One case of the generated function: a form with its sizes and operand kinds bound. */
export interface Case {
  readonly name: string;
  readonly insn: Insn;
  readonly facts: FormFacts;
  readonly operands: readonly Operand[];
}

/** The second dimension of a variant. Forms with no memory operand, no stack and no string have `plain` only. */
export const KIND = { plain: 0, plain32: 1, memory64: 2, memory32: 3 } as const;
/** String forms use it for the address size. */
export const STRING_KIND = { 64: 0, 32: 1, 16: 2 } as const;

/**
 * The third dimension: repeat prefix (0 none, 1 F3, 2 F2); for relative branches 1 if the target is in another page; for a
 * lockable form with a memory destination 1 if it is locked.
 */
export function variantIndex(size: Size, kind: number, repeat: number): number {
  return ((size === 16 ? 0 : size === 32 ? 1 : 2) * 4 + kind) * 3 + repeat;
}
const VARIANTS = 36;

const SIZES: readonly Size[] = [16, 32, 64];
const PREFIX_INDEX: Readonly<Record<number, number>> = { 0: 0, 102: 1, 243: 2, 242: 3 };

/** Cell markers. */
export const NO_ROW = 0;
/** The cell is decided by the whole ModRM byte: look into `exact`. */
export const EXACT = 0xffff;

export interface OpcodeMap {
  readonly rows: readonly (Row | undefined)[];
  readonly cells: Uint16Array;
  readonly exact: ReadonlyMap<number, number>;
  /** Does the opcode have a ModRM byte: by map << 8 | opcode. */
  readonly modrm: Uint8Array;
  /** By micro and instruction case number. */
  readonly cases: readonly (Case | undefined)[];
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
  const cells = new Uint16Array(4 * 256 * 2 * 4 * 16);
  const exact = new Map<number, number>();
  const modrm = new Uint8Array(1024);
  const cases: (Case | undefined)[] = new Array(MICRO_COUNT).fill(undefined);
  const caseNumbers = new Map<string, number>();
  const all = insns.flatMap((insn) => insn.parsed.map((form) => ({ insn, form })));
  // A mandatory prefix is the more specific claim and overrides; a whole ModRM byte the most specific.
  const specific = ({ form }: { form: Form }): number => (form.exact >= 0 ? 2 : form.prefix !== 0 ? 1 : 0);
  all.sort((a, b) => specific(a) - specific(b));
  for (const { insn, form } of all) {
    const row: Row = { insn, form, cases: new Uint16Array(VARIANTS) };
    const number = rows.push(row) - 1;
    claim(row, number, rows, cells, exact, modrm);
    addCases(row, cases, caseNumbers);
  }
  return { rows, cells, exact, modrm, cases };
}

function claim(
  row: Row,
  number: number,
  rows: readonly (Row | undefined)[],
  cells: Uint16Array,
  exact: Map<number, number>,
  modrm: Uint8Array,
): void {
  const { form } = row;
  const put = (index: number): void => {
    const other = rows[cells[index]!];
    if (other && (other.form.prefix !== 0 || form.prefix === 0)) {
      throw new Error(`${row.insn.mnemonic} "${form.text}" and ${other.insn.mnemonic} "${other.form.text}" collide`);
    }
    cells[index] = number;
  };
  const memoryOnly = form.operands.some(({ method }) => method === "M");
  const registerOnly = form.operands.some(({ method }) => "RCD".includes(method));
  for (let opcode = form.opcode; opcode < form.opcode + (form.plusR ? 8 : 1); opcode++) {
    if (form.modrm) modrm[(form.map << 8) | opcode] = 1;
    for (const long of [0, 1]) {
      if (long ? form.i64 : form.o64) continue;
      for (const prefix of form.prefix ? [PREFIX_INDEX[form.prefix]!] : [0, 1, 2, 3]) {
        if (form.exact >= 0) {
          const cell = cellIndex(form.map, opcode, long, prefix, (form.exact >> 3) & 7, 1);
          const key = (cell << 3) | (form.exact & 7);
          if (exact.has(key)) throw new Error(`${row.insn.mnemonic} "${form.text}" collides`);
          exact.set(key, number);
          cells[cell] = EXACT;
          continue;
        }
        // Without a ModRM byte the decoder looks at the first cell only.
        for (let reg = 0; reg < (form.modrm ? 8 : 1); reg++) {
          if (form.digit >= 0 && reg !== form.digit) continue;
          if (!registerOnly) put(cellIndex(form.map, opcode, long, prefix, reg, 0));
          if (!memoryOnly && form.modrm) put(cellIndex(form.map, opcode, long, prefix, reg, 1));
        }
      }
    }
  }
}

const isMemory = ({ method }: OperandCode): boolean => method === "E" || method === "M" || method === "O";

/** Variants with the same instruction, facts and operand forms share a case: "01 /r Ev,Gv" and "03 /r Gv,Ev" between registers. */
function addCases(row: Row, cases: (Case | undefined)[], numbers: Map<string, number>): void {
  const { insn, form } = row;
  const memory = form.operands.some(isMemory);
  const memoryOnly = form.operands.some(({ method }) => method === "M" || method === "O");
  const relative = form.operands.some(({ method }) => method === "J");
  const repeats = relative ? [0, 1] : insn.repeat === undefined ? [0] : insn.repeat === "rep" ? [0, 1] : [0, 1, 2];
  const lockable = insn.lock !== undefined && isMemory(form.operands[0]!);
  const kinds: number[] = [];
  if (insn.string) kinds.push(0, 1, 2);
  else {
    if (!memoryOnly) kinds.push(KIND.plain);
    if (!memoryOnly && insn.stack) kinds.push(KIND.plain32);
    if (memory) kinds.push(KIND.memory64, KIND.memory32);
  }
  for (const size of form.sized ? SIZES : [32 as const]) {
    for (const kind of kinds) {
      const isMemoryKind = !insn.string && kind >= KIND.memory64;
      // Outside 64-bit mode there is no 64-bit operand size; in it, 32-bit addresses go through an address record.
      if (size === 64 && kind === KIND.memory32) continue;
      const narrow = kind === KIND.plain32 || kind === KIND.memory32;
      for (const repeat of lockable && isMemoryKind ? [0, 1] : repeats) {
        const locked = lockable && isMemoryKind && (repeat === 1 || insn.lock === "always");
        const facts: FormFacts = {
          size,
          addressSize: insn.string ? (kind === 0 ? 64 : kind === 1 ? 32 : 16) : 64,
          stackSize: insn.stack && narrow ? 32 : 64,
          repeat: relative || lockable || repeat === 0 ? "none" : repeat === 1 ? "rep" : "repne",
          locked,
        };
        const operands = bind(form, size, isMemoryKind, narrow ? 32 : 64, relative && repeat === 1);
        const key = caseName(insn, facts, operands);
        let number = numbers.get(key);
        if (number === undefined) {
          number = cases.push({ name: key, insn, facts, operands }) - 1;
          numbers.set(key, number);
        }
        // An unsized form means the same whatever the operand size is.
        for (const s of form.sized ? [size] : SIZES) row.cases[variantIndex(s, kind, repeat)] = number;
      }
    }
  }
}

/** Says all that distinguishes a case from others. */
function caseName(insn: Insn, facts: FormFacts, operands: readonly Operand[]): string {
  const { size, addressSize, stackSize, repeat, locked } = facts;
  const parts = operands.map((operand) => Object.values(operand).join(":"));
  return `${locked ? "lock " : ""}${insn.mnemonic} o${size} a${addressSize} s${stackSize} ${repeat} ${parts.join(",")}`;
}

/** The form's operands: the first register goes to the record's `dst`, the second to `src`. */
function bind(form: Form, size: Size, memory: boolean, address: 32 | 64, cross: boolean): Operand[] {
  let fields = 0;
  const field = (): "dst" | "src" => {
    if (fields === 2) throw new Error(`form "${form.text}" has more than two registers`);
    return fields++ === 0 ? "dst" : "src";
  };
  return form.operands
    .filter(({ method }) => !"XYF".includes(method))
    .map((code): Operand => {
      const bits = operandSize(code, size);
      switch (code.method) {
        case "E":
          return memory ? { kind: "mem", size: bits, address } : { kind: "reg", size: bits, field: field() };
        case "M":
        case "O":
          return { kind: "mem", size: bits, address };
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
          return { kind: "target", size: bits, cross };
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
