/**
 * The registers of a case in the making, and ModRM forms that lead where a case wants to go.
 * Document: SDM volume 2A, tables 2-1 to 2-3 (addressing forms).
 * Left out: where that is: values.ts.
 */

import type { Address } from "./encode.ts";
import type { Values } from "./values.ts";

/** BX+SI, BX+DI, BP+SI, BP+DI, SI, DI, BP, BX. */
const ADDRESS16: readonly (readonly number[])[] = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]];
const NOT_CANONICAL = 1n << 60n;

export class Registers {
  readonly #values: Values;
  readonly #long: boolean;
  readonly gpr: bigint[];
  /** Those whose values are decided. */
  readonly #fixed = new Set<number>();

  constructor(values: Values, long: boolean) {
    this.#values = values;
    this.#long = long;
    this.gpr = Array.from({ length: long ? 16 : 8 }, () => this.cut(values.value()));
  }

  cut(value: bigint): bigint {
    return BigInt.asUintN(this.#long ? 64 : 32, value);
  }

  /** Number of any register. */
  any(): number {
    return this.#values.below(this.gpr.length);
  }

  isFixed(register: number): boolean {
    return this.#fixed.has(register);
  }

  /** Decides a register that holds an address or a count of `bits` bits, unless it is decided. */
  fix(register: number, value: bigint, bits: number): void {
    if (this.#fixed.has(register)) return;
    // Bits above the address size do not count.
    const above = bits < 64 && this.#long ? (this.#values.u64() >> BigInt(bits)) << BigInt(bits) : 0n;
    const keep = !this.#long && bits === 16 ? this.gpr[register]! & ~0xffffn : above;
    this.gpr[register] = this.cut(keep | BigInt.asUintN(bits, value));
    this.#fixed.add(register);
  }

  /** A memory operand at offset `wanted` of its segment, which fixes the registers that it uses. */
  addressTo(wanted: bigint, size: 16 | 32 | 64): Address {
    if (size === 16) return this.#address16(wanted);
    const offset = size === 64 && this.#values.percent(2) ? wanted + NOT_CANONICAL : wanted;
    for (;;) {
      const address = this.#tryAddress(offset, size);
      if (address) return address;
    }
  }

  /** ModRM.rm 0 to 7 of 16-bit addressing (SDM volume 2A, table 2-1). */
  #address16(wanted: bigint): Address {
    const values = this.#values;
    const rm = values.below(8);
    const registers = ADDRESS16[rm]!;
    const free = registers.find((register) => !this.#fixed.has(register));
    const mod = free === undefined ? (2 as const) : values.pick([0, 1, 2] as const);
    const common = { size: 16, base: rm, index: -1, scale: 0, ripRelative: false } as const;
    if (mod === 0 && rm === 6) return { ...common, mod, displacement: { bytes: 2, value: () => wanted } };
    let displacement = mod === 0 ? 0n : mod === 1 ? BigInt.asIntN(8, values.value()) : values.u64();
    const others = registers.filter((register) => register !== free).reduce((sum, r) => sum + this.gpr[r]!, 0n);
    if (free === undefined) displacement = wanted - others;
    else {
      for (const register of registers) if (register !== free) this.#fixed.add(register);
      this.fix(free, wanted - others - displacement, 16);
    }
    if (mod === 0) return { ...common, mod };
    return { ...common, mod, displacement: { bytes: mod, value: () => displacement } };
  }

  #tryAddress(wanted: bigint, bits: 32 | 64): Address | undefined {
    const values = this.#values;
    const shape = values.below(10);
    const ripRelative = shape === 0 && this.#long;
    const base = shape <= 1 ? -1 : this.any();
    const index = shape === 1 || shape >= 7 ? this.any() : -1;
    // With RSP or RBP as base it is #SS, which the engines leave out (kvm-core/mmu/memory.ts).
    if (index === 4 || (wanted >= NOT_CANONICAL && (base === 4 || base === 5))) return undefined;
    const scale = index < 0 ? 0 : values.below(4);
    if (base < 0 && index >= 0 && !this.#fixed.has(index)) this.fix(index, BigInt(values.below(256)), bits);
    const sum = (): bigint => (base < 0 ? 0n : this.gpr[base]!) + (index < 0 ? 0n : this.gpr[index]! << BigInt(scale));
    if (index >= 0 && base !== index) this.#fixed.add(index);
    if (base === index && base >= 0) this.fix(base, BigInt(values.below(256)), bits);
    const free = base >= 0 && !this.#fixed.has(base);
    let mod: 0 | 1 | 2 = base < 0 ? 0 : free ? values.pick([0, 1, 2] as const) : 2;
    if (mod === 0 && base >= 0 && (base & 7) === 5) mod = 1;
    let displacement =
      mod === 1 ? BigInt.asIntN(8, values.value()) : mod === 2 ? BigInt.asIntN(32, values.value()) : 0n;
    if (free) {
      const rest = wanted - displacement - (index < 0 ? 0n : this.gpr[index]! << BigInt(scale));
      this.fix(base, rest, bits);
    } else displacement = wanted - sum();
    if (bits === 32) displacement = BigInt.asIntN(32, displacement);
    else if (!ripRelative && BigInt.asIntN(32, BigInt.asIntN(64, displacement)) !== BigInt.asIntN(64, displacement)) {
      return undefined;
    }
    const common = { size: bits, base, index, scale, mod, ripRelative } as const;
    if (ripRelative) return { ...common, displacement: { bytes: 4, value: (next) => wanted - next } };
    if (base < 0 || mod === 2) return { ...common, displacement: { bytes: 4, value: () => displacement } };
    return mod === 1 ? { ...common, displacement: { bytes: 1, value: () => displacement } } : common;
  }
}
