/**
 * The generated interpreter: all cases in one function, a `loop` around a `br_table`.
 * Document: architecture.md sections 5 and 11 (why one function, why it returns now and then).
 * Left out: nothing; more instructions are more cases here.
 *
 * Run V8 with --no-wasm-lazy-compilation: compiled lazily, this function stays in baseline code (330 instead of 530 million
 * guest instructions a second). --wasm-tiering-budget=200000 brings the optimised code a quarter of a second earlier.
 */

import { MEMORY_PAGES } from "../cpu/zones.ts";
import { BLOCK_TYPE } from "../emit/boundary.ts";
import { HELPERS, type HelperName } from "../emit/helper-names.ts";
import { entryRecord, type Frame, goRecord, InterpStage, translatedRecord } from "../emit/interp-stage.ts";
import { MICRO } from "../emit/record.ts";
import type { GeneratedFunction } from "../emit/stage.ts";
import { INSNS } from "../isa/insn/all.ts";
import { buildOpcodeMap, type OpcodeMap } from "../isa/opcode-map.ts";
import { defineMmu } from "../mmu/fill.ts";
import { TABLE_WRITTEN_TYPE } from "../mmu/walker.ts";
import { i32 } from "../wasm/expr.ts";
import { type FuncType, ModuleBuilder } from "../wasm/module.ts";
import { defineGenerated, GENERATED_TYPES } from "./generated.ts";

/** Taken branches until run() comes back by itself: V8 never replaces a running frame by its optimised code. */
const BUDGET = 1 << 15;

/** What the interpreter's module calls in TypeScript, beside the helpers. */
const IMPORTS = {
  /** (ip, size | RMW) -> linear address of the bytes, 0 on a fault. Address in CPU.address. What miss() leaves. */
  slowMiss: { params: ["i32", "i32"], results: ["i32"] },
  /** (ip, size) -> 0, or 1 on a fault. Address in CPU.address, data in CPU.bounce. What storeMiss() leaves. */
  slowStore: { params: ["i32", "i32"], results: ["i32"] },
  /** (ip, size) -> 0, 1 on a fault, 2 if another value was there. Address in CPU.address, old value in CPU.data, new one in CPU.bounce. */
  lockedStore: { params: ["i32", "i32"], results: ["i32"] },
  tableWritten: TABLE_WRITTEN_TYPE,
  /** (ip, vector) */
  raise: { params: ["i32", "i32"], results: [] },
  /** () -> record at CPU.rip, 0 to leave. */
  lookup: { params: [], results: ["i32"] },
  resume: { params: [], results: ["i32"] },
  /** (ip) -> record to go on with, 0 to leave. */
  link: { params: ["i32"], results: ["i32"] },
  stale: { params: ["i32"], results: ["i32"] },
  fault: { params: ["i32"], results: [] },
  unbuilt: { params: ["i32"], results: [] },
  /** (ip) -> record to go on with, 0 to leave: the entry record at ip has counted down. */
  hot: { params: ["i32"], results: ["i32"] },
} as const satisfies Record<string, FuncType>;

/** What a translated block may call: the same, and what the interpreter's module defines (mmu/fill.ts). */
export const BLOCK_IMPORTS = {
  ...IMPORTS,
  miss: { params: ["i32", "i32"], results: ["i32"] },
  storeMiss: { params: ["i32", "i32"], results: ["i32"] },
} as const satisfies Record<string, FuncType>;

export const HELPER_TYPE: FuncType = { params: ["i32", "i32", "i32"], results: ["i32"] };

/** What createEngine() links the module with: (ip, ...) as above; helpers take (ip, a, b), and 0 means go on. */
export type InterpreterImports = Record<keyof typeof IMPORTS | HelperName, (...args: number[]) => number | undefined>;

let sharedMap: OpcodeMap | undefined;

/** The opcode map and the cases: made once per thread. */
export function opcodeMap(): OpcodeMap {
  sharedMap ??= buildOpcodeMap(INSNS);
  return sharedMap;
}

/**
 * Bytes of the module that exports run(ip, cpu) -> ip, 0 when CPU.exit says why, and the functions of mmu/fill.ts. An
 * instance serves the vCPU whose zone its imported global `cpu` is.
 */
export function interpreterBytes(): Uint8Array {
  const map = opcodeMap();
  const module = new ModuleBuilder();
  module.importMemory("e", "memory", MEMORY_PAGES);
  module.importTable("e", "functions", 0);
  const imported = {} as Record<keyof typeof IMPORTS, number>;
  for (const [name, type] of Object.entries(IMPORTS)) {
    imported[name as keyof typeof IMPORTS] = module.import("e", name, type);
  }
  const helpers = {} as Record<HelperName, number>;
  for (const name of Object.keys(HELPERS) as HelperName[]) {
    helpers[name] = module.import("e", name, HELPER_TYPE);
  }
  const mmu = defineMmu(module, { cpu: module.importGlobal("e", "cpu", "i32"), ...imported });
  const functions = defineGenerated(module);
  const generated = (name: string): GeneratedFunction => {
    const [index, type] = [functions[name], GENERATED_TYPES[name]];
    if (index === undefined || type === undefined) throw new Error(`no generated function ${name}`);
    return { index, type };
  };
  const code = module.define("run", { params: ["i32", "i32"], results: ["i32"] });
  const [ip, cpu] = [code.param(0), code.param(1)];
  const budget = code.local("i32");
  code.set(budget, i32.const(BUDGET));
  code.block((leave) => {
    code.loop((top) => {
      code.block((resume) => {
        const frame: Frame = {
          code,
          ip,
          cpu,
          budget,
          top,
          resume,
          leave,
          imports: { ...imported, ...mmu, helpers, generated },
        };
        const micro = microCases(frame, imported, module.type(BLOCK_TYPE));
        code.switch(i32.load16u(ip), [...micro, ...instructionCases(frame, map)]);
      });
      code.call(imported.resume, [], ip);
      code.brIf(top, ip);
    });
  });
  code.return(ip);
  code.unreachable();
  return module.encode();
}

function instructionCases(frame: Frame, map: OpcodeMap): (() => void)[] {
  return map.cases.slice(Object.keys(MICRO).length).map((instruction) => () => {
    const { insn, facts, operands } = instruction!;
    const stage = new InterpStage(frame, facts, operands);
    insn.exec(stage, ...operands);
    stage.next();
  });
}

function microCases(frame: Frame, imported: Record<keyof typeof IMPORTS, number>, blockType: number): (() => void)[] {
  const { code, ip, top, leave, resume } = frame;
  const goOn = (func: number) => (): void => {
    code.call(func, [ip], ip);
    code.brIf(top, ip);
    code.br(leave);
  };
  const stop = (func: number) => (): void => {
    code.call(func, [ip]);
    code.br(resume);
  };
  const address = (size: 16 | 32 | 64, wide: boolean, long: boolean) => (): void => {
    new InterpStage(
      frame,
      { size: 32, addressSize: 64, stackSize: 64, segmented: false, repeat: "none", locked: false },
      [],
    ).addressRecord(size, wide, long);
  };
  const cases: Record<keyof typeof MICRO, () => void> = {
    head: () => code.unreachable(),
    link: goOn(imported.link),
    stale: goOn(imported.stale),
    fault: stop(imported.fault),
    unbuilt: stop(imported.unbuilt),
    ea16: address(16, false, false),
    ea32: address(32, false, false),
    ea32long: address(32, false, true),
    ea64: address(64, false, true),
    eaWide: address(64, true, true),
    go: () => goRecord(frame),
    entry: () => entryRecord(frame, imported.hot),
    translated: () => translatedRecord(frame, blockType),
  };
  return Object.values(cases);
}

/** Made once per process, sent to the vCPU threads. */
export function compileInterpreter(): WebAssembly.Module {
  return new WebAssembly.Module(interpreterBytes());
}
