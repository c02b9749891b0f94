/**
 * Decoder: bytes -> row, variant and the fields of a record.
 * Document: SDM volume 2A, chapter 2 (instruction format, REX) and volume 2D, appendix A.
 * Left out: EVEX instructions, which CPUID denies: their prefix gives #UD.
 */

import { BOUNDS, boundsRow } from "../cpu/bounds.ts";
import { MODE } from "../cpu/control.ts";
import { FPU_SLOT } from "../cpu/fpu-state.ts";
import { CPU, SEG } from "../cpu/state.ts";
import type { Size } from "../emit/emitter.ts";
import { MICRO } from "../emit/record.ts";
import { ADDRESS16 } from "./address16.ts";
import { Decoded, DecodedInstruction } from "./decoded.ts";
import { Denied } from "./denied.ts";
import {
  BRANCH,
  cellIndex,
  EXACT,
  KIND,
  NO_ROW,
  type OpcodeMap,
  type Row,
  STRING_KIND,
  variantIndex,
  vexMap,
} from "./opcode-map.ts";
import { type OperandCode, operandSize } from "./operand.ts";

const MAX_LENGTH = 15;
const ZERO = CPU.zero;
const slotOfSegment = (segment: number): number => CPU.segBase + segment * 8;

/** Decodes one instruction at a time into the fields of DecodedInstruction; nothing is allocated. */
export class Decoder extends DecodedInstruction {
  readonly map: OpcodeMap;
  // --- input
  #long = false;
  #mode = 0;
  #modrm = 0;
  #opcode = 0;
  #defaultSegment = 0;
  #kind = 0;
  /** VEX.vvvv as a register number. */
  #vvvv = 0;
  readonly denied = new Denied();

  constructor(map: OpcodeMap) {
    super();
    this.map = map;
  }

  /** Decodes the bytes from `start` up to `end` in `mode` (MODE); returns a Decoded. */
  decode(bytes: Uint8Array, start: number, end: number, mode: number): number {
    this.bytes = bytes;
    this.at = start;
    this.end = Math.min(end, start + MAX_LENGTH);
    this.short = false;
    this.#mode = mode;
    this.#long = (mode & MODE.codeSize) === MODE.code64;
    const result = this.#decode();
    this.length = this.at - start;
    if (!this.short) return result;
    return end - start >= MAX_LENGTH ? Decoded.tooLong : Decoded.short;
  }

  #decode(): number {
    const long = this.#long;
    let operandPrefix = false;
    let addressPrefix = false;
    let repeatPrefix = 0;
    this.lock = false;
    this.segment = -1;
    this.rex = 0;
    let byte = 0;
    for (;;) {
      byte = this.u8();
      if (this.short) return Decoded.short;
      if (byte === 0x66) operandPrefix = true;
      else if (byte === 0x67) addressPrefix = true;
      else if (byte === 0xf0) this.lock = true;
      else if (byte === 0xf2 || byte === 0xf3) repeatPrefix = byte;
      else if ((byte & 0xe7) === 0x26) {
        // In 64-bit mode these four mean nothing, and take back neither FS nor GS.
        if (!long || this.segment < SEG.fs) this.segment = (byte >> 3) & 3;
      } else if (byte === 0x64 || byte === 0x65) this.segment = byte - 0x60;
      else if (long && (byte & 0xf0) === 0x40) {
        // Only a REX right before the opcode counts.
        this.rex = byte;
        continue;
      } else break;
      this.rex = 0;
    }
    let map = 0;
    if (byte === 0x0f) {
      map = 1;
      byte = this.u8();
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        byte = this.u8();
      }
    }
    this.#opcode = byte;
    const code32 = (this.#mode & MODE.codeSize) === MODE.code32;
    this.addressSize = long ? (addressPrefix ? 32 : 64) : addressPrefix === code32 ? 16 : 32;
    if (map === 0 && this.#isVex(byte)) return this.#vex(byte, operandPrefix || repeatPrefix !== 0);
    // XCHG r8,rAX is 90 with REX.B; without, 90 is NOP.
    if (byte === 0x90 && map === 0 && this.rex & 1) byte = 0x91;
    const prefix = repeatPrefix === 0xf3 ? 2 : repeatPrefix === 0xf2 ? 3 : operandPrefix ? 1 : 0;
    const found = this.#find(map, byte, prefix);
    if (found !== Decoded.ok) return found;
    const { form, insn } = this.row;
    const narrow = operandPrefix && form.prefix !== 0x66;
    if (!long) this.size = narrow === code32 ? 16 : 32;
    else if (form.f64 || this.rex & 8) this.size = 64;
    else if (form.d64) this.size = narrow ? 16 : 64;
    else this.size = narrow ? 16 : 32;
    return this.#fields(this.row, insn.repeat ? repeatPrefix : 0);
  }

  /** Behind C4, C5 or 62. `prefixed`: 66, F2 or F3 stood before. */
  #vex(byte: number, prefixed: boolean): number {
    // EVEX: this CPU has none.
    if (byte === 0x62) return this.short ? Decoded.short : Decoded.undefined;
    const refused = prefixed || this.lock || this.rex !== 0;
    const first = this.u8();
    const last = byte === 0xc4 ? this.u8() : first & 0x7f;
    const map = byte === 0xc4 ? first & 31 : 1;
    this.#opcode = this.u8();
    if (this.short) return Decoded.short;
    if (refused || map < 1 || map > 3) return Decoded.undefined;
    // W R X B, of which R X B and vvvv are stored inverted; outside 64-bit mode there are eight registers.
    const extended = byte === 0xc4 ? (~first >> 5) & 7 : (~first >> 5) & 4;
    this.rex = this.#long ? 0x40 | ((last >> 4) & 8) | extended : 0;
    const vvvv = (~last >> 3) & 15;
    this.#vvvv = this.#long ? vvvv : vvvv & 7;
    const found = this.#find(vexMap(map, (last >> 2) & 1, last >> 7), this.#opcode, last & 3);
    if (found !== Decoded.ok) return found;
    if (vvvv !== 0 && !this.row.form.vvvv) return Decoded.undefined;
    this.size = this.rex & 8 ? 64 : 32;
    return this.#fields(this.row, 0);
  }

  /** Reads ModRM if the opcode has one, and finds the row. */
  #find(map: number, byte: number, prefix: number): number {
    const long = this.#long;
    const hasModrm = this.map.modrm[(map << 8) | byte] === 1;
    this.#modrm = hasModrm ? this.u8() : 0;
    if (this.short) return Decoded.short;
    const reg = (this.#modrm >> 3) & 7;
    const cell = cellIndex(map, byte, long ? 1 : 0, prefix, reg, this.#modrm >= 0xc0 ? 1 : 0);
    let number = this.map.cells[cell]!;
    if (number === EXACT) number = this.map.exact.get((cell << 3) | (this.#modrm & 7)) ?? NO_ROW;
    if (number === NO_ROW) {
      return Decoded.undefined;
    }
    this.row = this.map.rows[number]!;
    const { denied } = this;
    const wide = long && (this.rex & 8) !== 0;
    if (!denied.any || !denied.has(this.row, wide)) return Decoded.ok;
    // What a processor without the feature makes of it: it ignores the prefix where that would mean nothing else.
    const without = this.map.rows[this.map.overridden.get(cell) ?? NO_ROW];
    if (without === undefined || denied.has(without, wide)) return Decoded.undefined;
    this.row = without;
    return Decoded.ok;
  }

  #fields(row: Row, repeatPrefix: number): number {
    const { form, insn } = row;
    this.dst = this.src = this.disp = this.imm = this.immHigh = this.scale = this.eaCase = 0;
    this.base = this.index = ZERO;
    this.eaRow = 0;
    this.eaBytes = 1;
    this.wide = this.isRelative = this.computed = this.ripRelative = this.hasMemory = this.hasImmediate = false;
    let fields = 0;
    let lockable = false;
    for (const operand of form.operands) {
      const value = this.#operand(operand);
      if (value === BAD) return Decoded.undefined;
      if (value === MEMORY) lockable ||= operand === form.operands[0];
      else if (value !== NOT_A_FIELD) {
        if (fields === 0) this.dst = value;
        else if (fields === 1) this.src = value;
        else this.base = value;
        fields++;
      }
    }
    // See isa/x87.ts: the last opcode and the operand pointer are registers of the x87 unit.
    if (insn.unit === "x87") {
      this.dst = this.#modrm;
      this.src = this.hasMemory ? this.#usedSegment : 0;
    }
    if (form.modrm && !this.hasMemory && this.#modrm < 0xc0 && form.exact < 0 && !form.modIgnored) this.#memory();
    if (this.short) return Decoded.short;
    if (this.lock && !(lockable && insn.lock)) return Decoded.undefined;
    return this.#variant(row, repeatPrefix);
  }

  /** Chooses the variant, and the address record where the plain forms do not do. */
  #variant(row: Row, repeatPrefix: number): number {
    const { insn, form } = row;
    const long = this.#long;
    const flat = (this.#mode & MODE.flat) !== 0;
    this.repeat = repeatPrefix === 0 ? 0 : repeatPrefix === 0xf3 || insn.repeat === "rep" ? 1 : 2;
    let kind: number = KIND.plain;
    if (insn.string) {
      const source = this.segment >= 0 ? this.segment : SEG.ds;
      this.base = long && source < SEG.fs ? ZERO : slotOfSegment(source);
      this.index = long ? ZERO : slotOfSegment(SEG.es);
      const plain = long || (flat && isPlain(source));
      kind = this.addressSize === 32 && !plain ? STRING_KIND.segmented32 : STRING_KIND[this.addressSize];
    } else if (insn.counts) kind = STRING_KIND[this.addressSize];
    else {
      const memory = this.hasMemory && form.memory;
      if (long || insn.unit !== undefined) kind = memory ? KIND.memory64 : KIND.plain;
      else if (form.vex) kind = memory ? KIND.memory32 : KIND.plain32;
      else if (!insn.stack) kind = memory ? KIND.memory32 : KIND.plain;
      else if (!(this.#mode & MODE.stack32)) kind = memory ? KIND.memory16 : KIND.plain16;
      else if (flat) kind = memory ? KIND.memory32 : KIND.plain32;
      else kind = memory ? KIND.memorySegmented : KIND.plainSegmented;
      if (memory) {
        if (!insn.address) this.#segmented();
        else if (this.addressSize !== (long ? 64 : 32)) this.#addressRecord(ZERO);
        // SDM volume 2B, POP: RSP as base is taken after the increment.
        if (insn.popsAddress && this.base === CPU.gpr + 4 * 8) this.disp += this.size / 8;
      }
    }
    this.#kind = kind;
    const linked = flat && (this.#mode & MODE.stack32) !== 0 && this.size !== 16;
    this.computed = this.isRelative && !long && !linked;
    const repeat = this.computed ? BRANCH.computed : this.lock ? 1 : this.repeat;
    this.caseNumber = row.cases[variantIndex(this.size, kind, repeat)]!;
    if (this.caseNumber === 0) return this.#notBuilt(`${insn.mnemonic} with operand size ${this.size}`);
    if (this.eaCase !== 0 && !long) this.#checked();
    return Decoded.ok;
  }

  /** What the address record checks. */
  #checked(): void {
    const { bytes, write } = this.map.access(this.caseNumber);
    this.eaBytes = bytes;
    const segment = (this.eaSegment - CPU.segBase) / 8;
    this.eaRow = bytes === 0 || this.eaSegment === ZERO ? BOUNDS.anyRow : boundsRow(segment, write);
  }

  /** C4, C5 and 62 are prefixes in 64-bit mode; in the others where a ModRM byte would name a register. */
  #isVex(byte: number): boolean {
    if (byte !== 0xc4 && byte !== 0xc5 && byte !== 0x62) return false;
    this.short ||= this.at >= this.end;
    return this.#long || this.short || this.bytes[this.at]! >= 0xc0;
  }

  /** The case of a relative branch whose target lies in another page. */
  get crossCase(): number {
    return this.row.cases[variantIndex(this.size, this.#kind, BRANCH.cross)]!;
  }

  /** Number of the segment of the memory operand. */
  get #usedSegment(): number {
    const { segment } = this;
    return segment >= (this.#long ? SEG.fs : 0) ? segment : this.#defaultSegment;
  }

  #segmented(): void {
    const { segment, addressSize } = this;
    if (this.#long) {
      const slot = segment >= SEG.fs ? slotOfSegment(segment) : ZERO;
      if (addressSize === 32 || this.wide) this.#addressRecord(slot);
      else if (slot !== ZERO) {
        // An address without an index has room for the segment's base.
        if (this.index !== ZERO) this.#addressRecord(slot);
        else {
          this.index = slot;
          this.scale = 0;
        }
      }
      return;
    }
    const used = this.#usedSegment;
    const needsNone = addressSize === 32 && (this.#mode & MODE.flat) !== 0 && isPlain(used);
    if (needsNone) {
      if (this.row.insn.unit === undefined) return;
      // Vectors have cases for an address record only (opcode-map.ts): one that checks nothing.
      this.eaSegment = ZERO;
      this.eaCase = MICRO.ea32long;
      return;
    }
    this.#addressRecord(slotOfSegment(used));
  }

  #addressRecord(segmentSlot: number): void {
    this.eaSegment = segmentSlot;
    if (this.wide) this.eaCase = MICRO.eaWide;
    else if (this.addressSize === 16) this.eaCase = MICRO.ea16;
    else if (this.addressSize === 64) this.eaCase = MICRO.ea64;
    else this.eaCase = this.#long ? MICRO.ea32long : MICRO.ea32;
  }

  /** The operand's register field, or one of the markers below. */
  #operand(operand: OperandCode): number {
    const bits = operandSize(operand, this.size);
    switch (operand.method) {
      case "E":
        if (this.#modrm < 0xc0) return this.#memory();
        return this.#register((this.#modrm & 7) | ((this.rex & 1) << 3), bits);
      case "M":
        return this.#memory();
      case "W":
        if (this.#modrm < 0xc0) return this.#memory();
        return ((this.#modrm & 7) | ((this.rex & 1) << 3)) * FPU_SLOT;
      case "U":
        return ((this.#modrm & 7) | ((this.rex & 1) << 3)) * FPU_SLOT;
      case "V":
        return (((this.#modrm >> 3) & 7) | ((this.rex & 4) << 1)) * FPU_SLOT;
      case "Q":
        return this.#modrm < 0xc0 ? this.#memory() : (this.#modrm & 7) * FPU_SLOT;
      case "N":
        return (this.#modrm & 7) * FPU_SLOT;
      case "P":
        return ((this.#modrm >> 3) & 7) * FPU_SLOT;
      case "STi":
        return this.#modrm;
      case "R":
        return this.#register((this.#modrm & 7) | ((this.rex & 1) << 3), bits);
      case "G":
        return this.#register(((this.#modrm >> 3) & 7) | ((this.rex & 4) << 1), bits);
      case "B":
        return this.#register(this.#vvvv, bits);
      case "Z":
        return this.#register((this.#opcode & 7) | ((this.rex & 1) << 3), bits);
      case "register":
        return operand.register * 8;
      case "segment":
        return operand.register;
      case "S": {
        const segment = (this.#modrm >> 3) & 7;
        return segment > SEG.gs ? BAD : segment;
      }
      case "C": {
        const register = ((this.#modrm >> 3) & 7) | ((this.rex & 4) << 1);
        return register === 0 || (register >= 2 && register <= 4) || register === 8 ? register : BAD;
      }
      case "D":
        return this.rex & 4 ? BAD : (this.#modrm >> 3) & 7;
      case "I":
        this.#immediate(operand, bits);
        return NOT_A_FIELD;
      case "J":
        this.isRelative = true;
        this.relative = operand.type === "b" ? this.s8() : bits === 16 ? this.s16() : this.s32();
        return NOT_A_FIELD;
      case "A":
        if (operand.type === "w") {
          this.disp = this.u16();
          this.imm = this.u8();
        } else {
          this.disp = this.size === 16 ? this.u16() : this.s32();
          this.imm = this.u16();
        }
        this.hasImmediate = true;
        return NOT_A_FIELD;
      case "O":
        this.hasMemory = true;
        this.#defaultSegment = SEG.ds;
        this.disp = this.addressSize === 16 ? this.u16() : this.s32();
        if (this.addressSize === 64) {
          this.immHigh = this.s32();
          this.wide = true;
        }
        return NOT_A_FIELD;
      default:
        return NOT_A_FIELD;
    }
  }

  #register(number: number, bits: Size): number {
    // Without REX, byte registers 4 to 7 are AH CH DH BH: the second byte of the first four.
    if (bits === 8 && this.rex === 0 && number >= 4) return CPU.gpr + (number - 4) * 8 + 1;
    return CPU.gpr + number * 8;
  }

  #immediate(operand: OperandCode, bits: Size): void {
    this.hasImmediate = true;
    if (operand.type === "b") this.imm = operand.signExtended ? this.s8() : this.u8();
    else if (bits === 16) this.imm = this.u16();
    else {
      this.imm = this.s32();
      if (bits !== 64 || operand.type !== "v") return;
      this.disp = this.imm;
      this.immHigh = this.s32();
      this.wide = true;
    }
  }

  /** ModRM.rm in memory: base, index, scale, disp. */
  #memory(): number {
    this.hasMemory = true;
    const mod = this.#modrm >> 6;
    const rm = this.#modrm & 7;
    if (this.addressSize === 16) {
      if (mod === 0 && rm === 6) {
        this.disp = this.u16();
        this.#defaultSegment = SEG.ds;
        return MEMORY;
      }
      const [base, index, segment] = ADDRESS16[rm]!;
      this.base = CPU.gpr + base * 8;
      this.index = index < 0 ? ZERO : CPU.gpr + index * 8;
      this.#defaultSegment = segment;
      this.disp = mod === 0 ? 0 : mod === 1 ? this.s8() : this.s16();
      return MEMORY;
    }
    let base = rm;
    if (rm === 4) {
      const sib = this.u8();
      const index = ((sib >> 3) & 7) | ((this.rex & 2) << 2);
      if (index !== 4) {
        this.index = CPU.gpr + index * 8;
        this.scale = sib >> 6;
      }
      base = sib & 7;
    }
    // R12 and R13 are no stack pointers.
    const isStack = (base === 4 || (base === 5 && mod !== 0)) && !(this.rex & 1);
    this.#defaultSegment = isStack ? SEG.ss : SEG.ds;
    if (base === 5 && mod === 0) {
      this.disp = this.s32();
      if (rm === 5 && this.#long) {
        this.ripRelative = true;
        this.base = CPU.ripBase;
      }
      return MEMORY;
    }
    this.base = CPU.gpr + (base | ((this.rex & 1) << 3)) * 8;
    if (mod === 1) this.disp = this.s8();
    else if (mod === 2) this.disp = this.s32();
    return MEMORY;
  }

  #notBuilt(what: string): number {
    this.unbuilt = what;
    return Decoded.unbuilt;
  }
}

/** A segment that needs no check, and has no base, in flat code: ES, SS and DS; CS may not be written. */
const isPlain = (segment: number): boolean => segment < SEG.fs && segment !== SEG.cs;

const NOT_A_FIELD = -1;
const MEMORY = -2;
const BAD = -3;
