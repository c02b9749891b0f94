/**
 * What the engine says for people: a line of in_asm, and where it ended.
 * Document: QEMU's -d in_asm, after which the lines are made.
 * Left out: the text of an instruction: isa/disasm.ts.
 */

import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import type { Decoder } from "../isa/decode.ts";
import { Decoded } from "../isa/decoded.ts";
import { disassemble } from "../isa/disasm.ts";

const rip = (state: VcpuState): bigint => (BigInt(state.high(CPU.rip)) << 32n) | BigInt(state.get(CPU.rip));

/** What the decoder has just found, in the page of CPU.rip at this offset. */
export function traceLine(state: VcpuState, decoder: Decoder, result: number, pageOffset: number): string {
  const at = (rip(state) & ~0xfffn) + BigInt(pageOffset);
  const other = result === Decoded.undefined ? "(bad)" : decoder.unbuilt;
  const text = result === Decoded.ok ? disassemble(decoder, at) : other;
  return `0x${at.toString(16).padStart(8, "0")}:  ${text}`;
}

export function hexRip(state: VcpuState): string {
  return `0x${rip(state).toString(16)}`;
}
