import type { Engine, EngineHost } from "./engine.ts";
export class PatchEngine implements Engine {
  constructor(_m: WebAssembly.Module, _mem: WebAssembly.Memory, _z: number, _h: EngineHost) {}
  run(): number { throw new Error("not built yet"); }
  interruptible(): boolean { return false; }
  interruptWindow(_w: boolean): void {}
  interrupt(_v: number): void {}
  flushTlb(): void {}
  readonly errorDetail = "";
}
