/**
 * Encodes one instruction from a description's form and chosen operands.
 * Document: SDM volume 2A, 2.1 and 2.2 (prefixes, ModRM, SIB, REX).
 * Left out: choosing: generate.ts. VEX.
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
  if (form.prefix !== 0) parts.push(form.prefix);
  const index = e.memory && e.memory.size !== 16 ? e.memory.index : -1;
  const low = e.memory ? (e.memory.size === 16 ? 0 : e.memory.base) : e.rm;
  const rex = (e.rexW ? 8 : 0) | (e.reg & 8 ? 4 : 0) | (index & 8 && index > 0 ? 2 : 0) | (low & 8 && low > 0 ? 1 : 0);
  if (e.long && (rex !== 0 || e.rexAnyway)) parts.push(0x40 | rex);
  if (form.map > 0) parts.push(0x0f);
  if (form.map > 1) parts.push(form.map === 2 ? 0x38 : 0x3a);
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
