/**
 * A guest that goes from real mode to 64-bit code and back: test/guest/modes.S.
 * Document: SDM volume 3, 9.9 (mode switching).
 * Left out: firmware: the program lies at 7C00h already.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES } from "../support/machine.ts";
import { real, realMachine } from "../support/segments.ts";

const PROGRAM = fileURLToPath(new URL("../../../build/guest/modes.bin", import.meta.url));
const OUTPUT = [
  "real mode",
  "interrupt",
  "decimal 42",
  "segment overrun",
  "protected mode, 16 and 32 bits",
  "segments",
  "compatibility mode",
  "64-bit mode",
  "protected mode again",
  "interrupt",
  "unreal mode",
  "",
];

it.each(ENGINES)("%s goes through all modes and back", (engine) => {
  const machine = realMachine(engine, { cs: { ...real(0), type: 11 } });
  let output = "";
  machine.portOut = (port, _size, value) => {
    if (port === 0xe9) output += String.fromCharCode(value);
  };
  machine.write(0x7c00, readFileSync(PROGRAM));
  machine.set({ rip: 0x7c00n });
  expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
  expect(output.split("\n")).toEqual(OUTPUT);
});
