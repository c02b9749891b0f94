/**
 * `-cpu MODEL[,+feature][,-feature][,feature=on|off]`: parsing against the tables of models and features, and its help.
 * Follows: QEMU's -cpu; a later change of a feature wins over an earlier one, whichever its spelling.
 * Left out: properties of QEMU's models that are no features (`vendor=`, `family=`, `check`, `enforce` ...).
 */
import { CPU_FEATURE_NAMES, type CpuFeature, featureNamed } from "../../shared/cpu-features.ts";
import { ABSENT_MODELS, CPU_MODELS, type CpuOption, modelFeatures } from "../machine/cpu-models.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

const SWITCHES: Readonly<Record<string, boolean>> = {
  on: true,
  off: false,
  yes: true,
  no: false,
  true: true,
  false: false,
};
const WIDTH = 100;

/** Throws a UsageError. */
export function parseCpu(text: string): CpuOption {
  const [model = "", ...settings] = text.split(",");
  if (!Object.hasOwn(CPU_MODELS, model)) {
    if (ABSENT_MODELS.includes(model)) {
      throw new UsageError(`-cpu ${model}: this model of QEMU is not built yet; max has everything that kvm-core has`);
    }
    throw unknownWord("-cpu", model, Object.keys(CPU_MODELS));
  }
  const changes = new Map<CpuFeature, boolean>();
  for (const setting of settings) {
    const sign = /^([+-])(.*)$/.exec(setting);
    const [word = "", value] = sign ? [sign[2], sign[1] === "+" ? "on" : "off"] : setting.split("=", 2);
    const feature = featureNamed(word);
    if (feature === undefined) throw unknownWord("-cpu: feature", word, CPU_FEATURE_NAMES, "-cpu help lists all");
    const on = SWITCHES[value ?? "on"];
    if (on === undefined) throw new UsageError(`-cpu: ${word}=${value}: a feature is on or off`);
    changes.set(feature, on);
  }
  return { model, changes };
}

/** Models and features, for a kvm-core that supports these. */
export function describeCpus(supported: ReadonlySet<CpuFeature>): string {
  const models = Object.entries(CPU_MODELS).flatMap(([name, model]) => {
    const missing = [...modelFeatures(model, supported)].filter((feature) => !supported.has(feature));
    const line = `  ${name.padEnd(12)}${model.description}`;
    return missing.length === 0 ? [line] : [line, ...wrapped(missing, `${" ".repeat(14)}without `)];
  });
  return [
    "CPU models (-cpu MODEL,+feature,-feature,feature=on|off):",
    ...models,
    "\nFeatures that kvm-core has:",
    ...wrapped(CPU_FEATURE_NAMES.filter((name) => supported.has(name))),
    "\nFeatures that it has not, so that +feature is an error, and models come without them:",
    ...wrapped(CPU_FEATURE_NAMES.filter((name) => !supported.has(name))),
    "",
  ].join("\n");
}

function wrapped(words: readonly string[], start = "  "): string[] {
  const lines: string[] = [];
  let line = start;
  for (const word of words) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = " ".repeat(start.length);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
