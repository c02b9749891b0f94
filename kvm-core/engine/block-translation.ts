/**
 * One block's records -> the body of its WebAssembly function: a straight line with an exit at each branch that is taken.
 * Document: architecture.md section 5 (translated region).
 * Left out: what ends the line goes back to the interpreter in its own record: links, faults, what is not built.
 */

import type { HelperName } from "../emit/helper-names.ts";
import { HEAD, MICRO, RECORD } from "../emit/record.ts";
import type { FormFacts, GeneratedFunction } from "../emit/stage.ts";
import { StateWords } from "../emit/state-words.ts";
import { type BlockFrame, type Instruction, TranslateStage } from "../emit/translate-stage.ts";
import type { Case } from "../isa/opcode-map.ts";
import type { Code } from "../wasm/code.ts";
import { i32 } from "../wasm/expr.ts";
import type { ModuleBuilder } from "../wasm/module.ts";
import { GENERATED_TYPES } from "./generated.ts";
import { BLOCK_IMPORTS, HELPER_TYPE } from "./interpreter.ts";

const ADDRESS_CASES: ReadonlySet<number> = new Set([MICRO.ea16, MICRO.ea32, MICRO.ea32long, MICRO.ea64, MICRO.eaWide]);
/** An address record is no form of an instruction. */
const ADDRESS_FACTS: FormFacts = {
  size: 32,
  addressSize: 64,
  stackSize: 64,
  segmented: false,
  repeat: "none",
  locked: false,
};

/** The imports of one module: those that its functions call. */
export class ModuleImports {
  readonly #module: ModuleBuilder;
  readonly #indices = new Map<string, number>();

  constructor(module: ModuleBuilder) {
    this.#module = module;
  }

  get miss(): number {
    return this.#import("miss");
  }
  get storeMiss(): number {
    return this.#import("storeMiss");
  }
  get lockedStore(): number {
    return this.#import("lockedStore");
  }
  get raise(): number {
    return this.#import("raise");
  }
  get lookup(): number {
    return this.#import("lookup");
  }
  generated(name: string): GeneratedFunction {
    const type = GENERATED_TYPES[name];
    if (type === undefined) throw new Error(`no generated function ${name}`);
    return { type, index: this.#index(name, () => this.#module.import("e", name, type)) };
  }
  helper(name: HelperName): number {
    return this.#index(name, () => this.#module.import("e", name, HELPER_TYPE));
  }

  #import(name: keyof typeof BLOCK_IMPORTS): number {
    return this.#index(name, () => this.#module.import("e", name, BLOCK_IMPORTS[name]));
  }

  #index(name: string, add: () => number): number {
    let index = this.#indices.get(name);
    if (index === undefined) {
      index = add();
      this.#indices.set(name, index);
    }
    return index;
  }
}

export class BlockReader {
  readonly #u32: Uint32Array;
  readonly #cases: readonly (Case | undefined)[];

  constructor(u32: Uint32Array, cases: readonly (Case | undefined)[]) {
    this.#u32 = u32;
    this.#cases = cases;
  }

  /** Is there anything to translate behind the entry record? */
  begins(entry: number): boolean {
    const number = this.caseOf(entry + RECORD.size);
    return ADDRESS_CASES.has(number) || this.#cases[number] !== undefined;
  }

  caseOf(record: number): number {
    return this.#u32[record >>> 2]! & 0xffff;
  }

  /** Fills `code` with the function of the block at `entry`; `ordered`: see AccessStage. */
  translate(entry: number, code: Code, imports: ModuleImports, ordered: boolean): void {
    const cpu = code.param(0);
    const words = new StateWords(code, cpu);
    const frame: BlockFrame = {
      code,
      cpu,
      words,
      changed: code.fixed("i32"),
      entry,
      units: new Set(),
      ordered,
      imports,
    };
    let at = entry + RECORD.size;
    let offset = this.#u32[(entry - RECORD.size) >>> 2]! >>> (8 * HEAD.pageOffset);
    for (;;) {
      const number = this.caseOf(at);
      const insn = this.#read(at, offset);
      if (ADDRESS_CASES.has(number)) {
        new TranslateStage(frame, ADDRESS_FACTS, insn).translateAddress(number);
        at = insn.following;
        continue;
      }
      const built = this.#cases[number];
      if (built === undefined) break;
      // Behind a relative branch that is not computed lies its link record.
      const branches = built.operands.some((operand) => operand.kind === "target" && !operand.computed);
      const following = branches ? at + 2 * RECORD.size : insn.following;
      const stage = new TranslateStage(frame, built.facts, { ...insn, following });
      stage.translate((e) => built.insn.exec(e, ...built.operands), built.insn.ends === true);
      if (built.insn.ends) {
        words.end();
        return;
      }
      at = following;
      offset = insn.next;
    }
    words.begin();
    words.spill();
    code.return(i32.const(at));
    words.end();
  }

  #read(record: number, offset: number): Instruction {
    const i = record >>> 2;
    const [word0, word1, disp, imm] = [this.#u32[i]!, this.#u32[i + 1]!, this.#u32[i + 2]!, this.#u32[i + 3]!];
    const byte = (word: number, at: number): number => (word >>> (8 * (at & 3))) & 0xff;
    return {
      record,
      following: record + RECORD.size,
      at: offset,
      next: offset + byte(word1, RECORD.length),
      dst: byte(word0, RECORD.dst),
      src: byte(word0, RECORD.src),
      base: byte(word1, RECORD.base),
      index: byte(word1, RECORD.index),
      scale: byte(word1, RECORD.scale),
      disp: disp | 0,
      imm: imm | 0,
      wide: BigInt.asIntN(64, (BigInt(imm) << 32n) | BigInt(disp)),
    };
  }
}
