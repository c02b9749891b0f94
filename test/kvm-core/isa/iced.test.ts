/**
 * The decoder and iced-x86 agree: over random bytes in each mode, and over the code of programs of this machine.
 * Document: decoder-check.ts.
 * Left out: more of it: `make fuzz-decoder`.
 */

import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ALL_BITS, DecoderCheck, DIFFERENCES } from "./decoder-check.ts";
import { codeOf } from "./elf-code.ts";

const STRINGS = 1_000_000;
const SEED = 20_26;
/** Complaints about one mode; more of them say no more. */
const SHOWN = 10;
/** Programs and libraries that a machine may have: 64-bit code of compilers. */
const PROGRAMS = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/bin/busybox", "/bin/bash"].filter(
  existsSync,
);

const used = new Set<RegExp>();

function expectNone(check: DecoderCheck): void {
  for (const line of check.used) used.add(line);
  expect(check.wrong.slice(0, SHOWN), `${check.wrong.length} differ`).toEqual([]);
}

describe("the decoder and iced-x86 agree", () => {
  it.each(ALL_BITS)("over random bytes in %i-bit mode", { timeout: 300_000 }, (bits) => {
    const check = new DecoderCheck(bits);
    check.random(STRINGS, SEED);
    expectNone(check);
    expect(check.compared).toBeGreaterThan(STRINGS / 2);
  });

  it.each(PROGRAMS)("over the code of %s", { timeout: 300_000 }, (path) => {
    const check = new DecoderCheck(64);
    for (const code of codeOf(path)) check.code(code);
    expectNone(check);
    expect(check.compared).toBeGreaterThan(10_000);
  });

  it("with no difference in the table that does not occur", () => {
    const unused = DIFFERENCES.filter(({ line }) => !used.has(line));
    expect(unused.map(({ line }) => `test/kvm-core/isa/decoder-check.ts: take ${line} out`)).toEqual([]);
  });
});
