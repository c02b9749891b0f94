/**
 * One instruction with the state before it, what came of it, and the memory that both sides have for it.
 * Document: runner.c, whose struct setup, request and result stand here as offsets.
 * Left out: running them: native.ts (the host's processor), guest.ts (an engine).
 */

import { random } from "../fuzz/generator.ts";
import type { Mode } from "../kvm-core/support/machine.ts";

export const PAGE = 4096;

/** The arena: the same linear addresses in the runner's process and in the guest. */
export const DATA = 0x0100_0000;
/** From DATA on, a page each. */
export const PAGES = ["hole", "rw", "rw", "hole", "rw", "ro", "hole"] as const;
export const PAGE_KINDS = { hole: 0, rw: 1, ro: 2 } as const;
const MAX_PAGES = 16;
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
  /** Memory that differs from the arena's image before the instruction; at most PLANTS. */
  readonly plants: readonly Word[];
  /** RFLAGS bits that the manual leaves undefined after this instruction in this state. */
  readonly undefinedFlags: number;
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
  /** An engine that did not execute the case says why. */
  readonly unbuilt?: string;
}

export const BREAKPOINT = 3;
export const PAGE_FAULT = 14;
/** runner.c's vector for a case that does not end. */
export const HUNG = 254;
export const PLANTS = 4;
const CODE_BYTES = 32;
const CHANGES = 16;

const SETUP = { cases: 0, wants32: 4, data: 8, code: 16, codeSize: 24, gsBase: 32, pages: 40, size: 56 } as const;
const REQUEST = { gpr: 0, flags: 128, rip: 136, code: 144, length: 176, mode: 180, plants: 184, size: 248 } as const;
const RESULT = {
  gpr: 0,
  flags: 128,
  rip: 136,
  vector: 144,
  error: 148,
  cr2: 152,
  changed: 160,
  changes: 168,
  size: 424,
} as const;
export const RESULT_SIZE: number = RESULT.size;

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

/** What the runner reads. */
export function encodeRequests(cases: readonly Case[]): Uint8Array {
  const head = SETUP.size + IMAGE.length;
  const bytes = new Uint8Array(head + cases.length * REQUEST.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(SETUP.cases, cases.length, true);
  view.setUint32(SETUP.wants32, cases.some(({ mode }) => mode === 32) ? 1 : 0, true);
  view.setBigUint64(SETUP.data, BigInt(DATA), true);
  view.setBigUint64(SETUP.code, BigInt(CODE), true);
  view.setBigUint64(SETUP.codeSize, BigInt(CODE_SIZE), true);
  view.setBigUint64(SETUP.gsBase, BigInt(GS_BASE), true);
  PAGES.forEach((kind, i) => {
    view.setUint8(SETUP.pages + i, PAGE_KINDS[kind]);
  });
  bytes.set(IMAGE, SETUP.size);
  cases.forEach((one, i) => {
    const at = head + i * REQUEST.size;
    if (one.code.length > CODE_BYTES || one.plants.length > PLANTS) throw new Error(`case too large: ${one.name}`);
    one.gpr.forEach((value, r) => {
      view.setBigUint64(at + REQUEST.gpr + r * 8, value, true);
    });
    view.setBigUint64(at + REQUEST.flags, BigInt(one.flags), true);
    view.setBigUint64(at + REQUEST.rip, BigInt(one.rip), true);
    bytes.set(one.code, at + REQUEST.code);
    view.setUint32(at + REQUEST.length, one.code.length, true);
    view.setUint32(at + REQUEST.mode, one.mode, true);
    one.plants.forEach(([address, value], p) => {
      view.setBigUint64(at + REQUEST.plants + p * 16, BigInt(address), true);
      view.setBigUint64(at + REQUEST.plants + p * 16 + 8, value, true);
    });
  });
  return bytes;
}

/** The runner's answer to `cases`. */
export function decodeResults(bytes: Uint8Array, cases: readonly Case[]): Outcome[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return cases.map((one, i): Outcome => {
    const at = i * RESULT.size;
    const changed = view.getUint32(at + RESULT.changed, true);
    if (changed > CHANGES) throw new Error(`${one.name} changes ${changed} words of memory: generate a smaller one`);
    return {
      gpr: one.gpr.map((_, r) => view.getBigUint64(at + RESULT.gpr + r * 8, true)),
      flags: Number(view.getBigUint64(at + RESULT.flags, true)),
      rip: view.getBigUint64(at + RESULT.rip, true),
      vector: view.getUint32(at + RESULT.vector, true),
      error: view.getUint32(at + RESULT.error, true),
      cr2: view.getBigUint64(at + RESULT.cr2, true),
      changes: Array.from({ length: changed }, (_, c): Word => {
        const word = at + RESULT.changes + c * 16;
        return [Number(view.getBigUint64(word, true)), view.getBigUint64(word + 8, true)];
      }),
    };
  });
}
