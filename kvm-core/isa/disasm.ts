/**
 * Disassembly of what the decoder has just decoded, from the same rows.
 * Document: Intel syntax, as `objdump -M intel` prints it, without its `PTR`.
 * Left out: segment names of string operands.
 */

import { FPU_SLOT } from "../cpu/fpu-state.ts";
import { CPU, GPR } from "../cpu/state.ts";
import type { Size } from "../emit/emitter.ts";
import type { Decoder } from "./decode.ts";
import { type OperandCode, operandSize } from "./operand.ts";

const LEGACY = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const LOW = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"];
const HIGH = ["ah", "ch", "dh", "bh"];
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"];
const POINTERS: Readonly<Record<Size, string>> = { 8: "byte", 16: "word", 32: "dword", 64: "qword" };

/** Name of the register at a slot offset. */
function registerName(slot: number, size: Size): string {
  const number = slot >> 3;
  if (slot & 7) return HIGH[number]!;
  if (number >= 8) return `r${number}${{ 8: "b", 16: "w", 32: "d", 64: "" }[size]}`;
  if (size === 8) return LOW[number]!;
  return { 16: "", 32: "e", 64: "r" }[size] + LEGACY[number]!;
}

const vectorName = (file: "xmm" | "mm", slot: number): string => `${file}${slot / FPU_SLOT}`;

const hex = (value: bigint | number): string => (value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

function memoryText(d: Decoder, code: OperandCode, size: Size): string {
  const width = d.addressSize;
  const parts: string[] = [];
  const isRegister = (slot: number): boolean => slot < CPU.zero;
  if (d.ripRelative) parts.push(width === 32 ? "eip" : "rip");
  else if (isRegister(d.base)) parts.push(registerName(d.base, width));
  // An index without a base is told from a base by its factor.
  if (isRegister(d.index))
    parts.push(registerName(d.index, width) + (d.scale || parts.length === 0 ? `*${1 << d.scale}` : ""));
  // POP's address is computed with RSP after the increment, which the displacement has in it.
  const disp = d.disp - (d.row.insn.popsAddress && d.base === CPU.gpr + GPR.rsp * 8 ? d.size / 8 : 0);
  let text = parts.join("+");
  if (text === "") {
    const address = d.wide ? (BigInt(d.immHigh >>> 0) << 32n) | BigInt(d.disp >>> 0) : BigInt(d.disp);
    text = hex(BigInt.asUintN(width, address));
  } else if (disp !== 0) text += disp < 0 ? hex(disp) : `+${hex(disp)}`;
  const segment = d.segment >= 0 ? `${SEGMENTS[d.segment]}:` : "";
  // An operand without a type is an address, not an access (LEA).
  const pointer = ["", "p", "t", "a"].includes(code.type) ? "" : `${code.whole ? "xmmword" : POINTERS[size]} `;
  return `${pointer}${segment}[${text}]`;
}

function operandText(d: Decoder, code: OperandCode, slots: number[], rip: bigint): string {
  const size = operandSize(code, d.size);
  switch (code.method) {
    case "E":
      return d.hasMemory ? memoryText(d, code, size) : registerName(slots.shift()!, size);
    case "M":
    case "O":
      return memoryText(d, code, size);
    case "W":
      return d.hasMemory ? memoryText(d, code, size) : vectorName("xmm", slots.shift()!);
    case "Q":
      return d.hasMemory ? memoryText(d, code, size) : vectorName("mm", slots.shift()!);
    case "V":
    case "U":
      return vectorName("xmm", slots.shift()!);
    case "P":
    case "N":
      return vectorName("mm", slots.shift()!);
    case "STi":
      return `st(${slots.shift()! & 7})`;
    case "S":
    case "segment":
      return SEGMENTS[slots.shift()!]!;
    case "C":
      return `cr${slots.shift()}`;
    case "D":
      return `dr${slots.shift()}`;
    case "I":
      if (d.wide) return hex((BigInt(d.immHigh >>> 0) << 32n) | BigInt(d.imm >>> 0));
      // Iz is sign-extended to an operand size of 64.
      return hex(BigInt.asUintN(code.type === "z" ? d.size : size, BigInt(d.imm)));
    case "J":
      return hex(BigInt.asUintN(d.size, rip + BigInt(d.length + d.relative)));
    case "A":
      if (code.type === "w") return `${hex(d.disp)},${hex(d.imm)}`;
      return `${hex(d.imm)}:${hex(d.disp >>> 0)}`;
    case "implied":
      if (code.text === "ST") return "st(0)";
      if (code.text === "XMM0") return "xmm0";
      return registerName(code.register * 8, size);
    case "one":
      return "1";
    default:
      return registerName(slots.shift()!, size);
  }
}

/** Text of the instruction in `d`, which lies at `rip`. */
export function disassemble(d: Decoder, rip: bigint): string {
  const { insn, form } = d.row;
  const prefix = (d.lock ? "lock " : "") + (insn.repeat === undefined ? "" : (["", "rep ", "repne "][d.repeat] ?? ""));
  const mnemonic = insn.names?.[d.size === 16 ? 0 : d.size === 32 ? 1 : 2] ?? insn.mnemonic;
  const slots = [d.dst, d.src, d.base];
  const operands = form.operands
    .filter(({ method }) => !"XYF".includes(method))
    .map((code) => operandText(d, code, slots, rip));
  const target = d.ripRelative ? `  # ${hex(BigInt.asUintN(64, rip + BigInt(d.length + d.disp)))}` : "";
  return `${prefix}${mnemonic}${operands.length > 0 ? ` ${operands.join(",")}` : ""}${target}`;
}
