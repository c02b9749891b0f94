/**
 * The decoder against an independent one: length, mnemonic and operands, and what is undefined.
 * Document: SDM volume 2, chapters 2 and A; the other decoder is the package iced-x86.
 * Left out: opcodes that unbuilt.ts names: its rows are ranges, whose undefined opcodes are undefined once they are built.
 */

import { MODE } from "../../../kvm-core/cpu/control.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";
import { Decoded } from "../../../kvm-core/isa/decoded.ts";
import { disassemble } from "../../../kvm-core/isa/disasm.ts";
import { type Random, random } from "../../fuzz/generator.ts";
import { Iced, normalText } from "./iced.ts";
import { ofModel } from "./model-features.ts";

export type Bits = 16 | 32 | 64;
export const ALL_BITS = [64, 32, 16] as const;

const LENGTH = 24;
const RIP = 0x1000n;
const MODES: Readonly<Record<Bits, number>> = { 16: MODE.code16, 32: MODE.code32, 64: MODE.code64 };
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const REX = [0x40, 0x41, 0x42, 0x44, 0x48, 0x4c, 0x4f];

/**
 * What is known to differ: `line` is "iced-x86's text | ours (bytes)", with "-" for what is undefined. What needs a feature
 * that the model has not (model-features.ts) is undefined without a row.
 */
export const DIFFERENCES: readonly { readonly line: RegExp; readonly reason: string }[] = [
  { line: /^- \| mov cs,/, reason: "decoded like other segment registers; its helper raises #UD" },
  { line: /^wbnoinvd \| wbinvd /, reason: "without WBNOINVD its encoding runs as WBINVD" },
  { line: /^(prefetch\w*|endbr\d\d|cldemote|bnd\w+|rdssp[dq]) .*\| nop /, reason: "hints, which run as NOP" },
  {
    line: /^movsxd (\w\wx?|r\w+),.*\| movsxd .*\b66 /,
    reason: "with 66 the source is 16 bits on Intel's processors, 32 on AMD's",
  },
  { line: /^xchg ([er]?ax),\1 \| nop /, reason: "90 is NOP whatever its operand size" },
  {
    line: /^pause \| xchg /,
    reason: "F3 90 with REX.B exchanges, as processors do: there is no PAUSE with a register",
  },
];

/** A random instruction, as likely as not of the map 0F, and sometimes behind VEX. */
function bytesOf(bits: Bits, next: Random): Uint8Array {
  const prefixes = bits === 64 ? [...PREFIXES, ...REX] : PREFIXES;
  const bytes: number[] = [];
  for (let n = [0, 0, 0, 1, 1, 2, 3][next(7)]!; n > 0; n--) bytes.push(prefixes[next(prefixes.length)]!);
  const kind = next(100);
  if (kind < 45) bytes.push(0x0f);
  else if (kind < 60) bytes.push(0xc4, (next(8) << 5) | next(5), next(2) * 0x80 + next(3) * 0x3c + next(4));
  while (bytes.length < LENGTH) bytes.push(next(256));
  return Uint8Array.from(bytes);
}

export class DecoderCheck {
  readonly bits: Bits;
  readonly #decoder = new Decoder(opcodeMap());
  readonly #iced: Iced;
  readonly wrong: string[] = [];
  readonly used = new Set<RegExp>();
  /** Instructions that both decoders looked at; the rest has opcodes that are not built. */
  compared = 0;

  constructor(bits: Bits) {
    this.bits = bits;
    this.#iced = new Iced(bits);
  }

  /** `count` random strings. */
  random(count: number, seed: number): void {
    const next = random(seed + this.bits);
    for (let i = 0; i < count; i++) this.compare(bytesOf(this.bits, next));
  }

  /** Code from its first byte to its last, by iced-x86's lengths. */
  code(code: Uint8Array): void {
    for (let at = 0; at < code.length; ) at += this.compare(code.subarray(at, at + 15));
  }

  /** Compares the instruction that `bytes` begin with; returns its length. */
  compare(bytes: Uint8Array): number {
    const { bits } = this;
    const decoder = this.#decoder;
    const result = decoder.decode(bytes, 0, bytes.length, MODES[bits] | MODE.stack32 | MODE.flat);
    const theirs = this.#iced.decode(bytes, RIP);
    const length = Math.max(theirs.length, 1);
    if (result === Decoded.unbuilt || (result === Decoded.short && !theirs.valid)) return length;
    this.compared++;
    const ok = result === Decoded.ok;
    if (!ok && !theirs.valid) return length;
    const ours = ok ? normalText(disassemble(decoder, RIP), bits) : "-";
    if (ok && theirs.valid && theirs.text === ours && theirs.length === decoder.length) return length;
    if (!ok && !ofModel(this.#iced.features)) return length;
    const hex = [...bytes.subarray(0, Math.max(theirs.length, decoder.length))]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join(" ");
    const differ = theirs.valid && ok && theirs.length !== decoder.length;
    const lengths = differ ? `, ${theirs.length} and ${decoder.length} bytes` : "";
    const line = `${theirs.valid ? theirs.text : "-"} | ${ours} (${bits}-bit${lengths}: ${hex} )`;
    const row = differ ? undefined : DIFFERENCES.find((difference) => difference.line.test(line));
    if (row === undefined) this.wrong.push(line);
    else this.used.add(row.line);
    return length;
  }
}
