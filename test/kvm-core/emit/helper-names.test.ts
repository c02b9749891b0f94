/**
 * The escapes from generated code: which there are, and how many descriptions take one.
 * Document: kvm-core/emit/helper-names.ts; architecture.md section 5, law 3.
 * Left out: what helpers do.
 */

import { describe, expect, it } from "vitest";
import { HELPERS, type HelperName } from "../../../kvm-core/emit/helper-names.ts";
import { probe } from "../../../kvm-core/emit/probe-stage.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import type { Insn } from "../../../kvm-core/isa/insn.ts";

/** Helper -> descriptions whose cases call it. What shares an exec shares its cases. */
const callers = new Map<HelperName, Set<Insn["exec"]>>();
for (const built of opcodeMap().cases) {
  if (built === undefined) continue;
  for (const name of probe(built.insn.exec, built.facts, built.operands).helpers) {
    callers.set(name, (callers.get(name) ?? new Set()).add(built.insn.exec));
  }
}
const escaping = new Set<Insn["exec"]>();
for (const [name, execs] of callers) {
  // Every vector instruction may find its unit off, and every one with numbers may meet an exception: they are generated.
  if (name !== "fpuTrap" && name !== "simdException") for (const exec of execs) escaping.add(exec);
}

describe("helpers", () => {
  it("are called, all of them", () => {
    const names = Object.keys(HELPERS) as HelperName[];
    expect(names.filter((name) => !callers.has(name))).toEqual([]);
  });

  it("each say what they are for", () => {
    expect(Object.entries(HELPERS).filter(([, purpose]) => purpose.length < 12)).toEqual([]);
  });

  it("are few: a change of these numbers has to be meant", () => {
    expect({ helpers: Object.keys(HELPERS).length, escaping: escaping.size }).toEqual({ helpers: 74, escaping: 98 });
  });
});
