/**
 * Random states of x87, MMX and SSE for a form, and values for its operand in memory.
 * Document: SDM volume 1, 8.1 (x87 state), 10.2.3 (MXCSR); volume 2, the instructions named here.
 * Left out: addresses and general registers: generate.ts.
 */

import type { Form } from "../../kvm-core/isa/form.ts";
import type { Insn } from "../../kvm-core/isa/insn.ts";
import { FCW_DEFAULT, type FpuState, FSW, freshFpu, MXCSR_DEFAULT, topOf } from "../kvm-core/support/fpu.ts";
import type { Mode } from "../kvm-core/support/machine.ts";
import { consistent, FXSAVE, toFxsave } from "./fpu-case.ts";
import type { Values } from "./values.ts";
import { type Lanes, VectorValues } from "./vector-values.ts";

/** What a form has to do with. */
export interface Uses {
  readonly xmm: boolean;
  readonly mm: boolean;
  readonly x87: boolean;
  /** What its vector operands hold, as far as their types say. */
  readonly lanes: readonly Lanes[];
}

const EVERYTHING: ReadonlySet<string> = new Set([
  ...["fxsave", "fxrstor", "fxsave64", "fxrstor64"],
  ...["xsave", "xsaveopt", "xsavec", "xrstor"],
]);
/** With the header, and no extended region. */
const XSAVE_SIZE = 576;
const X87_INTEGER = /^fi/;
/** Bytes of what untyped memory operands name, by operand size 16 and otherwise. */
const IMAGES: Readonly<Record<string, readonly [of16: number, of32: number]>> = {
  fldenv: [14, 28],
  fnstenv: [14, 28],
  frstor: [94, 108],
  fnsave: [94, 108],
  fxsave: [512, 512],
  fxsave64: [512, 512],
  fxrstor: [512, 512],
  fxrstor64: [512, 512],
  xsave: [XSAVE_SIZE, XSAVE_SIZE],
  xsaveopt: [XSAVE_SIZE, XSAVE_SIZE],
  xsavec: [XSAVE_SIZE, XSAVE_SIZE],
  xrstor: [XSAVE_SIZE, XSAVE_SIZE],
  fld: [10, 10],
  fstp: [10, 10],
  fbld: [10, 10],
  fbstp: [10, 10],
};
const MXCSR_BITS = 0xffff;
const INEXACT = 0x20;
/** Reserved, but for processors of AMD, where it allows misaligned operands. */
const MISALIGNED = 1 << 17;
/** Masks, precision, rounding, and infinity, which does nothing; bit 6 is always 1. */
const FCW_BITS = 0x1f7f;
const FCW_FIXED = 0x40;
/** Precision control 01 is reserved. */
const PRECISIONS = [0, 0x200, 0x300, 0x300] as const;

/** Instructions whose operands random lanes would seldom suit. */
const SPECIAL: readonly (readonly [names: RegExp, lanes: readonly Lanes[]])[] = [
  [/^pcmp[ei]str/, ["text", "text", "text", "text"]],
  [/^ps[lr][lra]/, ["count"]],
  // 64 bits that are two numbers.
  [/^cvtt?ps2p[di]$/, ["f32", "f32", "f32"]],
];
const BIAS = 16383;
const TRIGONOMETRIC = { below: 6, from: 63 } as const;
/**
 * Functions of ST(0) that are defined, or good to a few ulps on all processors, for magnitudes below 2^below, and again from
 * 2^from on, where they refuse. Between, what pi is reduced by differs (SDM volume 1, 8.3.8).
 */
const DOMAINS: Readonly<Record<string, { readonly below: number; readonly from: number }>> = {
  f2xm1: { below: 0, from: BIAS + 1 },
  fyl2xp1: { below: -2, from: BIAS + 1 },
  fsin: TRIGONOMETRIC,
  fcos: TRIGONOMETRIC,
  fsincos: TRIGONOMETRIC,
  fptan: TRIGONOMETRIC,
};

/** What of the state beyond integers an instruction of this form has to do with; undefined: nothing. */
export function usesOf({ mnemonic, unit }: Insn, form: Form): Uses | undefined {
  const has = (methods: string): boolean => form.operands.some(({ method }) => methods.includes(method));
  const all = EVERYTHING.has(mnemonic);
  const x87 = all || unit === "x87" || unit === "x87control" || unit === "wait";
  const mm = all || unit === "mmx" || has("PQN");
  const xmm = all || unit === "sse" || has("VWU");
  if (!x87 && !mm && !xmm) return undefined;
  const lanes = form.operands
    .filter(({ method }) => "VWUPQNM".includes(method))
    .map(({ type }): Lanes => (/^p?s?s$/.test(type) ? "f32" : type === "pd" || type === "sd" ? "f64" : "int"));
  if (x87 && !all) return { xmm, mm, x87, lanes: ["f80"] };
  for (const [names, more] of SPECIAL) if (names.test(mnemonic)) lanes.push(...more);
  return { xmm, mm, x87, lanes: lanes.length > 0 ? lanes : ["int"] };
}

/** Bytes of an untyped operand in memory. */
export function imageBytes(mnemonic: string, size: number): number | undefined {
  return IMAGES[mnemonic]?.[size === 16 ? 0 : 1];
}

/** The state's values of one case, and memory's, which go with them. */
export class FpuValues {
  readonly #values: Values;
  readonly #uses: Uses;
  readonly #vectors: VectorValues;
  readonly #mode: Mode;

  constructor(values: Values, uses: Uses, mode: Mode) {
    this.#values = values;
    this.#uses = uses;
    this.#vectors = new VectorValues(values);
    this.#mode = mode;
  }

  state(): FpuState {
    const { xmm, mm, x87, lanes } = this.#uses;
    const values = this.#values;
    const fresh = freshFpu(this.#mode);
    const vector = (): bigint => this.#vectors.vector(values.pick(lanes));
    const some: bigint[] = [];
    // Sometimes two registers are equal.
    const register = (): bigint => {
      const value = some.length > 0 && values.percent(8) ? values.pick(some) : vector();
      some.push(value);
      return value;
    };
    const number = (): bigint =>
      x87 ? this.#vectors.f80() : (values.u64() << 64n) | (register() & ((1n << 64n) - 1n));
    return {
      ...fresh,
      ...(xmm ? { xmm: fresh.xmm.map(() => register()), mxcsr: this.mxcsr() } : {}),
      ...(mm || x87 ? { st: fresh.st.map(() => BigInt.asUintN(80, number())), ...this.#stack() } : {}),
    };
  }

  /** The state with an ST(0) that the instruction is defined for. */
  inDomain(mnemonic: string, fpu: FpuState): FpuState {
    const domain = DOMAINS[mnemonic];
    if (domain === undefined) return fpu;
    const top = topOf(fpu.fsw);
    const value = fpu.st[top]!;
    const exponent = Number((value >> 64n) & 0x7fffn) - BIAS;
    if (exponent < domain.below || exponent >= domain.from) return fpu;
    const smaller = BigInt(domain.below - 1 - this.#values.below(this.#values.percent(70) ? 4 : 70) + BIAS);
    const st = fpu.st.with(top, (value & ~(0x7fffn << 64n)) | (smaller << 64n));
    return { ...fpu, st };
  }

  mxcsr(): number {
    const values = this.#values;
    if (values.percent(this.#uses.lanes.every((lanes) => !lanes.startsWith("f")) ? 85 : 45)) {
      // Most programs have met an inexact result before.
      return MXCSR_DEFAULT | values.pick([0, INEXACT, INEXACT, FSW.flags]);
    }
    const rounding = values.below(4) << 13;
    const zeros = (values.percent(25) ? 0x40 : 0) | (values.percent(25) ? 0x8000 : 0);
    const flags = values.percent(30) ? values.below(64) : 0;
    const masks = values.percent(75) ? MXCSR_DEFAULT : values.below(64) << 7;
    return rounding | zeros | flags | masks;
  }

  fcw(): number {
    const values = this.#values;
    if (values.percent(40)) return FCW_DEFAULT;
    const masks = values.percent(75) ? FSW.flags : values.below(64);
    const infinity = values.percent(5) ? 0x1000 : 0;
    return FCW_FIXED | masks | values.pick(PRECISIONS) | (values.below(4) << 10) | infinity;
  }

  #stack(): Pick<FpuState, "fcw" | "fsw" | "tags"> {
    const values = this.#values;
    const fcw = this.fcw();
    const full = values.percent(55) ? 0xff : values.pick([values.below(256), 0, 0xff ^ (1 << values.below(8))]);
    let flags = values.percent(30) ? values.below(64) : 0;
    // An exception that is pending comes at once, whatever the instruction would do.
    if (!values.percent(10)) flags &= fcw;
    const conditions = values.percent(50) ? values.below(2 ** 16) & 0x4700 : 0;
    const top = values.percent(30) ? 0 : values.below(8) << 11;
    const stackFault = flags & 1 && values.percent(50) ? 0x40 : 0;
    const { fsw } = consistent({ ...freshFpu(this.#mode), fcw, fsw: flags | conditions | top | stackFault });
    return { fcw, fsw, tags: full };
  }

  /** `bytes` bytes for the operand in memory of an instruction. */
  memory(mnemonic: string, type: string, bytes: number, size: number): bigint {
    const values = this.#values;
    if (mnemonic === "ldmxcsr") return BigInt(values.percent(85) ? this.mxcsr() : values.below(2 ** 20) & ~MISALIGNED);
    if (mnemonic === "fldcw") return BigInt(values.percent(80) ? this.fcw() : values.below(2 ** 16) & FCW_BITS);
    if (mnemonic.startsWith("fxrstor")) return this.#fxsaveImage();
    if (mnemonic === "xrstor") return this.#fxsaveImage() | (this.#header() << 4096n);
    if (mnemonic === "fldenv" || mnemonic === "frstor") return this.#environment(bytes, size);
    if (mnemonic === "fbld") return this.#vectors.bcd();
    if (bytes > 16) return this.#random(bytes);
    if (!this.#uses.x87) return this.#vectors.vector(values.pick(this.#uses.lanes));
    if (bytes === 10) return this.#vectors.f80();
    if (X87_INTEGER.test(mnemonic) || bytes === 2) return values.value();
    return this.#vectors.float(type === "d" ? "f32" : "f64");
  }

  #random(bytes: number): bigint {
    let all = 0n;
    for (let at = 0; at < bytes; at += 8) all |= this.#values.u64() << BigInt(at * 8);
    return all;
  }

  #fxsaveImage(): bigint {
    const { fcw } = this.#stack();
    const image = new DataView(new ArrayBuffer(FXSAVE.size));
    // Not bit 17, which processors of AMD have.
    const reserved = this.#values.percent(10) ? 1 << (18 + this.#values.below(14)) : 0;
    toFxsave({ ...this.state(), fcw, mxcsr: (this.mxcsr() & MXCSR_BITS) | reserved }, image, 0);
    let all = 0n;
    for (let at = 0; at < FXSAVE.size; at += 8) all |= image.getBigUint64(at, true) << BigInt(at * 8);
    return all;
  }

  /** Of an XSAVE area: in either format, or with something in it that may not be. */
  #header(): bigint {
    const values = this.#values;
    const bv = BigInt(values.below(4));
    const format = values.percent(40) ? (1n << 63n) | bv | BigInt(values.below(4)) : 0n;
    const wrong = values.percent(20) ? 1n << BigInt(values.below(512)) : 0n;
    // Bits of components that the host has and the guest has not would be right in the one alone.
    const components = (1n << 63n) - 4n;
    return (bv | (format << 64n) | wrong) & ~(components | (components << 64n));
  }

  /** Control, status and tag word, each in 16 or 32 bits; pointers and registers behind them. */
  #environment(bytes: number, size: number): bigint {
    const { fcw, fsw } = this.#stack();
    const field = size === 16 ? 16 : 32;
    let all = this.#random(bytes) & ~((1n << BigInt(field * 2)) - 1n);
    all |= BigInt(fcw) | (BigInt(fsw) << BigInt(field));
    if (bytes <= 28) return all;
    const registers = BigInt(field * 7);
    all &= (1n << registers) - 1n;
    for (let i = 0n; i < 8n; i++) all |= this.#vectors.f80() << (registers + i * 80n);
    return all;
  }
}
