/**
 * The check of every description against the host's processor, as a suite of tests for one mode.
 * Document: check.ts.
 * Left out: the modes, each a file of its own so that two workers share them: host.test.ts (64-bit), host-32.test.ts.
 */

import { describe, expect, it } from "vitest";
import { FAMILIES } from "../kvm-core/isa/families.ts";
import { ENGINES, type Mode } from "../kvm-core/support/machine.ts";
import type { Case } from "./case.ts";
import { batches, HostCheck } from "./check.ts";
import { lackedByHost } from "./host-features.ts";
import { refusal } from "./native.ts";
import { Values } from "./values.ts";
import { forms } from "./variants.ts";

/** States of each form. */
const STATES = 200;
/** One form's differences look alike: the first ones tell enough. */
const SHOWN = 3;

export function describeHost(mode: Mode): void {
  const refused = refusal(mode);
  describe.skipIf(refused !== "")(refused === "" ? `${mode}-bit as the host` : `not run: ${refused}`, () => {
    const check = new HostCheck(mode, ENGINES);
    const lacked = lackedByHost();
    const all = forms(mode).filter(([variant]) => !lacked.has(variant!.insn));
    const names = [...lacked].map(([{ mnemonic }, feature]) => `${mnemonic} (${feature})`);
    if (names.length > 0) console.warn(`${mode}-bit: not run, this host's processor lacks them: ${names.join(", ")}`);

    it(`runs ${STATES} states of each of ${all.length} forms`, { timeout: 900_000 }, () => {
      for (const batch of batches(new Values(mode), mode, STATES, all)) check.run(batch);
      expect(check.cases).toBe(STATES * all.length);
    });

    describe.each(ENGINES)("%s", (engine) => {
      it.each([...FAMILIES.keys()])("%s", (family) => {
        const starts = FAMILIES.get(family)!.flatMap(({ mnemonic, forms }) =>
          forms.map((form) => `${mnemonic} ${form} (`),
        );
        const inFamily = ({ name }: Case): boolean => starts.some((start) => name.startsWith(start));
        const wrong = check.findings.filter((finding) => finding.engine === engine && inFamily(finding.one));
        const shown = wrong.slice(0, SHOWN).map((finding) => check.describe(finding));
        expect(wrong.length, `\n${shown.join("\n")}\n`).toBe(0);
      });
    });
  });
}
