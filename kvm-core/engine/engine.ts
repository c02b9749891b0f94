/**
 * The CPU engine as the vCPU thread uses it.
 * Document: architecture.md sections 5 and 6; SDM volume 3.
 * Left out: what generated code, decoder and MMU do: machine.ts and the files beside it.
 */

import type { Engine, EngineHost, EngineOptions } from "./host.ts";
import { InterpEngine } from "./interp.ts";
import { PatchEngine } from "./patch.ts";

export type EngineName = "interp" | "patch";

export { resetVcpu } from "../cpu/reset.ts";
export { type Engine, EngineExit, type EngineHost, type EngineOptions } from "./host.ts";
export { compileInterpreter } from "./interpreter.ts";

/** The engine for one vCPU, whose zone begins at linear address `zone`. `module` is compileInterpreter()'s. */
export function createEngine(
  name: EngineName,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  zone: number,
  host: EngineHost,
  options: EngineOptions = {},
): Engine {
  return name === "interp"
    ? new InterpEngine(module, memory, zone, host)
    : new PatchEngine(module, memory, zone, host, options);
}
