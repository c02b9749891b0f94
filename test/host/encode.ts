/**
 * Encodes one instruction from a description's form and chosen operands.
 * Document: SDM volume 2A, 2.1 to 2.3 (prefixes, ModRM, SIB, REX, VEX).
 * Left out: choosing: generate.ts.
 */

import type { Form } from "../../kvm-core/isa/form.ts";

/** Bytes whose value may depend on where the next instruction begins. */
export interface Piece {
  readonly bytes: 1 | 2 | 4 | 8;
  readonly value: (next: bigint) => bigint;
}

export interface Encoding {
  readonly form: Form;
  /** Legacy prefixes in their order, the mandatory one apart. */
  readonly prefixes: readonly number[];
  readonly rexW: boolean;
  /** A REX prefix that no field asks for: it makes SPL of AH. */
  readonly rexAnyway: boolean;
  readonly long: boolean;
  /** 0 to 15. */
  readonly reg: number;
  /** Number of a register in ModRM.rm or in the opcode. */
  readonly rm: number;
  /** Number of the register in VEX.vvvv, if the form has one. */
  readonly vvvv: number;
  readonly memory?: Address;
  readonly immediates: readonly Piece[];
}

/** ModRM's memory forms. */
export interface Address {
  readonly size: 16 | 32 | 64;
  /** -1: none. With 16-bit addressing, `base` is ModRM.rm. */
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly mod: 0 | 1 | 2;
  readonly ripRelative: boolean;
  readonly displacement?: Piece;
}

export function encode(e: Encoding, rip: number): Uint8Array {
  const { form } = e;
  const parts: number[] = [...e.prefixes];
  if (form.prefix !== 0 && !form.vex) parts.push(form.prefix);
  const index = e.memory && e.memory.size !== 16 ? e.memory.index : -1;
  const low = e.memory ? (e.memory.size === 16 ? 0 : e.memory.base) : e.rm;
  const rex = (e.rexW ? 8 : 0) | (e.reg & 8 ? 4 : 0) | (index & 8 && index > 0 ? 2 : 0) | (low & 8 && low > 0 ? 1 : 0);
  if (form.vex) parts.push(...vexBytes(e, rex));
  else {
    if (e.long && (rex !== 0 || e.rexAnyway)) parts.push(0x40 | rex);
    if (form.map > 0) parts.push(0x0f);
    if (form.map > 1) parts.push(form.map === 2 ? 0x38 : 0x3a);
  }
  parts.push(form.plusR ? form.opcode | (e.rm & 7) : form.opcode);
  const pieces: Piece[] = [];
  if (form.exact >= 0) parts.push(form.exact);
  else if (form.modrm) {
    const reg = (form.digit >= 0 ? form.digit : e.reg & 7) << 3;
    if (e.memory) {
      parts.push(...addressBytes(e.memory, reg));
      if (e.memory.displacement) pieces.push(e.memory.displacement);
    } else parts.push(0xc0 | reg | (e.rm & 7));
  }
  pieces.push(...e.immediates);
  const length = pieces.reduce((sum, piece) => sum + piece.bytes, parts.length);
  const next = BigInt(rip + length);
  for (const piece of pieces) {
    const value = BigInt.asUintN(64, piece.value(next));
    for (let i = 0; i < piece.bytes; i++) parts.push(Number((value >> BigInt(i * 8)) & 0xffn));
  }
  return Uint8Array.from(parts);
}

const PP: Readonly<Record<number, number>> = { 0: 0, 102: 1, 243: 2, 242: 3 };

/** The prefix of two bytes where it does, unless a longer one is asked for. R, X, B and vvvv are stored inverted. */
function vexBytes({ form, rexAnyway, vvvv }: Encoding, rex: number): number[] {
  const last = ((~(form.vvvv ? vvvv : 0) & 15) << 3) | (form.vex!.l === 1 ? 4 : 0) | PP[form.prefix]!;
  const w = form.vex!.w === 1 || rex & 8 ? 0x80 : 0;
  const inverted = ~rex & 7;
  if (w === 0 && form.map === 1 && (inverted & 3) === 3 && !rexAnyway) return [0xc5, ((inverted & 4) << 5) | last];
  return [0xc4, (inverted << 5) | form.map, w | last];
}

function addressBytes(address: Address, reg: number): number[] {
  const { base, index, scale, mod } = address;
  const modrm = (mod << 6) | reg;
  if (address.size === 16) return [modrm | (base & 7)];
  if (address.ripRelative) return [modrm | 5];
  // A base of RSP or R12, an index, or in 64-bit mode no base at all, take a SIB byte.
  if (index < 0 && base >= 0 && (base & 7) !== 4) return [modrm | (base & 7)];
  if (index < 0 && base < 0 && address.size === 32) return [modrm | 4, 0x25];
  return [modrm | 4, (scale << 6) | ((index < 0 ? 4 : index & 7) << 3) | (base < 0 ? 5 : base & 7)];
}
