/**
 * One instruction with the state before it, what came of it, and the memory that both sides have for it.
 * Document: SDM volume 1, chapter 3 (registers, memory); the rest of the state: fpu-case.ts.
 * Left out: how cases go to the host: encoding.ts; running them: native.ts (the host's processor), guest.ts (an engine).
 */

import { random } from "../fuzz/generator.ts";
import type { FpuState } from "../kvm-core/support/fpu.ts";
import type { Mode } from "../kvm-core/support/machine.ts";
import type { Looseness } from "./not-compared.ts";

export const PAGE = 4096;

/** The arena: the same linear addresses in the runner's process and in the guest. */
export const DATA = 0x0100_0000;
/** From DATA on, a page each. */
export const PAGES = ["hole", "rw", "rw", "hole", "rw", "ro", "hole"] as const;
export const PAGE_KINDS = { hole: 0, rw: 1, ro: 2 } as const;
/** As many pages as runner.c has room for. */
export const MAX_PAGES = 16;
/** Executable and writable. INT3 everywhere, but for the bytes of the case that runs; nothing else is mapped. */
export const CODE = 0x0120_0000;
export const CODE_SIZE = 0x0040_0000;
/** A page of INT3 that no case lies in: where far jumps may go. */
export const LANDING = CODE;
/** A page for the guest's own routines. */
export const ROUTINES = CODE + PAGE;
/** Cases lie in slots, so that an engine never finds an old case's bytes at an address. */
export const SLOTS = CODE + 2 * PAGE;
export const SLOT_SIZE = 64;
export const SLOT_COUNT = (CODE_SIZE - 2 * PAGE) / SLOT_SIZE;
/** Base of GS: 16-bit addresses reach the arena through it. */
export const GS_BASE: number = DATA - 0x1230;
/** Selectors of Linux for its processes; DS, ES, and GS in 32-bit code, are as the runner loads them. */
export const SELECTORS = { code32: 0x23, code64: 0x33, data: 0x2b, gs32: 0x07, gs64: 0 } as const;

/** An aligned u64 in memory. */
export type Word = readonly [address: number, value: bigint];

export interface Case {
  /** What is checked: mnemonic and form. */
  readonly name: string;
  readonly mode: Mode;
  /** As ModRM counts them; in 32-bit mode eight of 32 bits. */
  readonly gpr: readonly bigint[];
  readonly flags: number;
  readonly rip: number;
  readonly code: Uint8Array;
  /** Memory that differs from the arena's image before the instruction. */
  readonly plants: readonly Word[];
  /** x87, MMX and SSE, of a case whose instruction has to do with them; otherwise they are not looked at. */
  readonly fpu?: FpuState;
  /** RFLAGS bits that the manual leaves undefined after this instruction in this state. */
  readonly undefinedFlags: number;
  /** What else is not compared, or not exactly. */
  readonly loose?: Looseness;
}

export interface Outcome {
  readonly gpr: readonly bigint[];
  readonly flags: number;
  readonly rip: bigint;
  /** Of the exception that ended the case; BREAKPOINT behind the instruction if it had none itself. */
  readonly vector: number;
  readonly error: number;
  /** CR2 of a page fault, else 0. */
  readonly cr2: bigint;
  readonly changes: readonly Word[];
  /** If the case has it. */
  readonly fpu?: FpuState;
  /** An engine that did not execute the case says why. */
  readonly unbuilt?: string;
}

export const BREAKPOINT = 3;
export const PAGE_FAULT = 14;
/** runner.c's vector for a case that does not end. */
export const HUNG = 254;
/** What the data pages hold when no case has planted anything: noise, so that a wrong address gives a wrong value. */
export const IMAGE: Uint8Array = (() => {
  const next = random(1);
  return Uint8Array.from({ length: MAX_PAGES * PAGE }, () => next(256));
})();
const imageView = new DataView(IMAGE.buffer);

/** The kind of page at an address of the arena's data. */
export function pageKind(address: number): (typeof PAGES)[number] {
  return PAGES[Math.floor((address - DATA) / PAGE)] ?? "hole";
}

/** The aligned words that hold `bytes` bytes of `value` at `address`, as far as those pages can be written. */
export function plant(address: number, value: bigint, bytes: number): Word[] {
  const words: Word[] = [];
  for (let at = address & ~7; at < address + bytes; at += 8) {
    if (pageKind(at) !== "rw") continue;
    const old = imageView.getBigUint64(at - DATA, true);
    const shift = BigInt(address - at) * 8n;
    const mask = (1n << BigInt(bytes * 8)) - 1n;
    const move = (x: bigint): bigint => BigInt.asUintN(64, shift >= 0n ? x << shift : x >> -shift);
    words.push([at, (old & ~move(mask)) | move(value & mask)]);
  }
  return words;
}

/** An aligned word of the arena's data before the case's instruction. */
export function wordBefore(one: Case, at: number): bigint {
  return one.plants.find(([address]) => address === at)?.[1] ?? imageView.getBigUint64(at - DATA, true);
}
