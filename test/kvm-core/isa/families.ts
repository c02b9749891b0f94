/**
 * The family files of kvm-core/isa/insn, with the descriptions in each.
 * Document: kvm-core/isa/insn/all.ts.
 * Left out: nothing; a new family file is found by itself.
 */

import { readdirSync } from "node:fs";
import type { Insn } from "../../../kvm-core/isa/insn.ts";

const FOLDER = new URL("../../../kvm-core/isa/insn/", import.meta.url);

/** Family name -> its descriptions. */
export const FAMILIES: ReadonlyMap<string, readonly Insn[]> = new Map(
  await Promise.all(
    readdirSync(FOLDER)
      .filter((file) => file.endsWith(".ts") && file !== "all.ts")
      .sort()
      .map(async (file) => {
        const exports = (await import(new URL(file, FOLDER).href)) as Record<string, unknown>;
        const insns = Object.values(exports).filter((value) => Array.isArray(value)) as (readonly Insn[])[];
        return [file.replace(/\.ts$/, ""), insns.flat()] as const;
      }),
  ),
);

export function familyOf(insn: Insn): string {
  const found = [...FAMILIES].find(([, insns]) => insns.includes(insn));
  if (found === undefined) throw new Error(`${insn.mnemonic} is in no family file`);
  return found[0];
}
