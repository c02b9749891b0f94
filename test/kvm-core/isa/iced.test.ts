/**
 * The decoder against an independent one, over random bytes: length, mnemonic and operands, and what is undefined.
 * Document: SDM volume 2, chapters 2 and A; the other decoder is the package iced-x86.
 * Left out: what the instructions do.
 */

import { describe, expect, it } from "vitest";
import { MODE } from "../../../kvm-core/cpu/control.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoded, Decoder } from "../../../kvm-core/isa/decode.ts";
import { disassemble } from "../../../kvm-core/isa/disasm.ts";
import { type Random, random } from "../../fuzz/generator.ts";
import { Iced, normalText } from "./iced.ts";

type Bits = 16 | 32 | 64;

const STRINGS = 100_000;
const SEED = 20_26;
const LENGTH = 24;
const RIP = 0x1000n;
const MODES: Readonly<Record<Bits, number>> = { 16: MODE.code16, 32: MODE.code32, 64: MODE.code64 };
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const REX = [0x40, 0x41, 0x42, 0x44, 0x48, 0x4c, 0x4f];
/** Complaints about one mode; more of them say no more. */
const SHOWN = 10;

/** What is known to differ: `line` is "iced-x86's text | ours (bytes)", with "-" for what is undefined. */
const DIFFERENCES: readonly { readonly line: RegExp; readonly reason: string }[] = [
  { line: /^- \| mov cs,/, reason: "decoded like other segment registers; its helper raises #UD" },
  { line: /^[tl]zcnt .*\| bs[fr] /, reason: "without BMI1 and LZCNT their encodings run as BSF and BSR" },
  { line: /^wbnoinvd \| wbinvd /, reason: "without WBNOINVD its encoding runs as WBINVD" },
  { line: /^(prefetch\w+|endbr\d\d|cldemote|cl\w*|bnd\w+|rdssp[dq]|nop) .*\| nop /, reason: "hints, which run as NOP" },
  {
    line: /^movsxd (\w\wx?|r\w+),.*\| movsxd .*\b66 /,
    reason: "with 66 the source is 16 bits on Intel's processors, 32 on AMD's",
  },
  { line: /^xchg ([er]?ax),\1 \| nop /, reason: "90 is NOP whatever its operand size" },
  {
    line: /^(salc|femms|getsecq?|pf\w+|pi2f\w|pavgusb|pmulhrw|pswapd|lkgs|undoc) ?.*\| - /,
    reason: "not of this CPU model",
  },
  { line: /^(movnts[sd]|extrq|insertq|vmread|vmwrite) .*\| - /, reason: "not of this CPU model" },
  { line: /^(xsha\w+|xstore\w*|xcrypt\w+|montmul\w*|ccs_\w+) ?.*\| - /, reason: "not of this CPU model" },
  { line: /^(xsave[cs]\w*|xrstors\w*|xabort|xbegin) .*\| - /, reason: "not of this CPU model" },
  {
    line: /^\w+.* \| - \(\d\d-bit: (?:(?:26|2e|36|3e|4[\da-f]|6[4-7]|f[023]) )*(?:c4|c5|62) /,
    reason: "VEX and EVEX: this CPU model has neither AVX nor BMI",
  },
  {
    line: /^- \| (stac|clac|rdrand|rdseed) .*\b(66|f2|f3) /,
    reason: "a prefix that means nothing there is ignored, as elsewhere",
  },
  { line: /^(syscall|sysret) \| - \((16|32)-bit/, reason: "outside 64-bit mode they are AMD's" },
  {
    line: /^\w+.*\| - .*\b0f (01|78|79|c7) /,
    reason: "virtual machines, protection keys, enclaves and the like: not of this CPU model",
  },
  { line: /^(clrssbsy|incssp[dq]|umonitor|umwait|tpause|ptwrite) .*\| - /, reason: "not of this CPU model" },
];

function bytesOf(bits: Bits, next: Random): Uint8Array {
  const prefixes = bits === 64 ? [...PREFIXES, ...REX] : PREFIXES;
  const bytes: number[] = [];
  for (let n = [0, 0, 0, 1, 1, 2, 3][next(7)]!; n > 0; n--) bytes.push(prefixes[next(prefixes.length)]!);
  if (next(100) < 45) bytes.push(0x0f);
  while (bytes.length < LENGTH) bytes.push(next(256));
  return Uint8Array.from(bytes);
}

const decoder = new Decoder(opcodeMap());
const used = new Set<RegExp>();

/** What differs, "" if nothing does; undefined if ours does not have the opcode. */
function compare(iced: Iced, bits: Bits, bytes: Uint8Array): string | undefined {
  const result = decoder.decode(bytes, 0, bytes.length, MODES[bits] | MODE.stack32 | MODE.flat);
  if (result === Decoded.unbuilt) return undefined;
  const theirs = iced.decode(bytes, RIP);
  const ok = result === Decoded.ok;
  const ours = ok ? normalText(disassemble(decoder, RIP), bits) : "-";
  if (!ok && !theirs.valid) return "";
  if (ok && theirs.valid && theirs.text === ours && theirs.length === decoder.length) return "";
  const length = Math.max(theirs.length, decoder.length);
  const hex = [...bytes.subarray(0, length)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const lengths =
    theirs.valid && ok && theirs.length !== decoder.length ? `, ${theirs.length} and ${decoder.length} bytes` : "";
  const line = `${theirs.valid ? theirs.text : "-"} | ${ours} (${bits}-bit${lengths}: ${hex} )`;
  const row = lengths === "" ? DIFFERENCES.find((difference) => difference.line.test(line)) : undefined;
  if (row === undefined) return line;
  used.add(row.line);
  return "";
}

describe("the decoder and iced-x86 agree", () => {
  it.each([64, 32, 16] as const)("over random bytes in %i-bit mode", { timeout: 240_000 }, (bits) => {
    const iced = new Iced(bits);
    const next = random(SEED + bits);
    const wrong: string[] = [];
    let compared = 0;
    for (let i = 0; i < STRINGS; i++) {
      const line = compare(iced, bits, bytesOf(bits, next));
      if (line !== undefined) compared++;
      if (line) wrong.push(line);
    }
    expect(wrong.slice(0, SHOWN), `${wrong.length} differ`).toEqual([]);
    // The rest has opcodes that are not built.
    expect(compared).toBeGreaterThan(STRINGS / 2);
  });

  it("with no difference in the table that does not occur", () => {
    const unused = DIFFERENCES.filter(({ line }) => !used.has(line));
    expect(unused.map(({ line }) => `test/kvm-core/isa/iced.test.ts: take ${line} out`)).toEqual([]);
  });
});
