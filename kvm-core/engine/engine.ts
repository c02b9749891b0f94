/**
 * The CPU engine as the vCPU thread uses it.
 * Document: architecture.md sections 5 and 6; SDM volume 3.
 * Left out: what generated code, decoder and MMU do: machine.ts and the files beside it.
 */

import type { Engine, EngineHost, EngineOptions } from "./host.ts";
import { InterpEngine } from "./interp.ts";
import { PatchEngine } from "./patch.ts";
import { WasmEngine } from "./wasm.ts";

export type EngineName = "interp" | "patch" | "wasm";

export { resetVcpu } from "../cpu/reset.ts";
export {
  type DebugExit,
  type Engine,
  EngineExit,
  type EngineHost,
  type EngineOptions,
  type PortHelpers,
} from "./host.ts";
export { compileInterpreter } from "./interpreter.ts";
export { DEFAULT_TRANSLATION, type TranslationOptions } from "./translator.ts";

/** The engine for one vCPU, whose zone begins at linear address `zone`. `module` is compileInterpreter()'s. */
export function createEngine(
  name: EngineName,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  zone: number,
  host: EngineHost,
  options: EngineOptions = {},
): Engine {
  switch (name) {
    case "interp":
      return new InterpEngine(module, memory, zone, host);
    case "patch":
      return new PatchEngine(module, memory, zone, host, options);
    case "wasm":
      return new WasmEngine(module, memory, zone, host, options);
  }
}
