/**
 * The translator's stage of the Emitter: operands are constants of one record, registers and flags are locals.
 * Document: architecture.md section 5 (staging; memory ordering).
 * Left out: nothing of what blocks need. Flags are recorded whether or not somebody reads them.
 *
 * A block's function is one of boundary.ts's BLOCK_TYPE. RIP is no constant, since a block is found by its guest-physical
 * address: it is CPU.ripBase plus a page offset. Records are at constant addresses; where a branch leads stands in its record and is read there, so links are made and undone as ever.
 */

import type { UnitName } from "../cpu/fpu-state.ts";
import { CPU } from "../cpu/state.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { jumpCache, linkedRecord, TAKEN, wanted } from "./boundary.ts";
import type { Emitter, Field, Operand, Size } from "./emitter.ts";
import { unsigned } from "./flags.ts";
import type { HelperName } from "./helper-names.ts";
import type { AccessImports, AccessStage } from "./memory-access.ts";
import { MICRO, RECORD } from "./record.ts";
import { type CheckStage, recordAddress } from "./segment.ts";
import { type FormFacts, type GeneratedFunction, Stage } from "./stage.ts";
import type { StateWords } from "./state-words.ts";

/** What the instructions of one block share. */
export interface BlockFrame {
  readonly code: Code;
  readonly cpu: Expr;
  readonly words: StateWords;
  /** i32: not 0 once the block's own bytes may have changed. */
  readonly changed: Expr;
  /** The block's first record, whose case is MICRO.translated while the translation is right. */
  readonly entry: number;
  /** Units that an earlier instruction of the block found to be on, with no helper since that may have changed it. */
  readonly units: Set<UnitName>;
  readonly ordered: boolean;
  readonly imports: AccessImports & {
    readonly raise: number;
    readonly lookup: number;
    helper(name: HelperName): number;
    generated(name: string): GeneratedFunction;
  };
}

/** One record, read. */
export interface Instruction {
  /** Address of the record. */
  readonly record: number;
  /** The record to go on with. */
  readonly following: number;
  /** Page offset of the instruction, and of the one that follows. */
  readonly at: number;
  readonly next: number;
  readonly dst: number;
  readonly src: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly disp: number;
  readonly imm: number;
  /** `disp` and `imm` together. */
  readonly wide: bigint;
}

export class TranslateStage extends Stage {
  readonly #frame: BlockFrame;
  readonly #words: StateWords;
  readonly #insn: Instruction;
  readonly #ip: Expr;
  protected readonly access: AccessStage;
  protected readonly check: CheckStage;
  /** Head of the loop around an instruction that may be executed again. */
  #head: Label | undefined;
  /** Memory may have been written by what the block cannot see through. */
  #mayChange = false;

  constructor(frame: BlockFrame, facts: FormFacts, insn: Instruction) {
    const { code, cpu, words, imports, ordered } = frame;
    super(code, cpu, facts);
    this.#frame = frame;
    this.#words = words;
    this.#insn = insn;
    this.#ip = i32.const(insn.record);
    this.access = {
      code,
      cpu,
      ip: this.#ip,
      imports,
      ordered,
      call: (func, args, result) => {
        words.nested(() => words.spill());
        code.call(func, args, result);
      },
      resumeIf: (condition) => code.if(condition, () => code.return(i32.const(0))),
      restartIf: (condition) => code.brIf(this.#loopHead(), condition),
      storedSlowly: () => this.#lookForChange(),
    };
    this.check = {
      code,
      cpu,
      ip: this.#ip,
      raise: (vector) => {
        words.nested(() => words.spill());
        code.call(imports.raise, [this.#ip, vector]);
        code.return(i32.const(0));
      },
    };
  }

  /** The instruction, whose meaning `exec` makes; `ends`: it never goes on to the next one. */
  translate(exec: (e: Emitter) => void, ends: boolean): void {
    const { code } = this;
    this.#words.begin();
    code.scope(() => {
      if (this.facts.locked || this.facts.repeat !== "none") {
        this.#nested(() =>
          code.loop((head) => {
            this.#head = head;
            exec(this);
          }),
        );
      } else exec(this);
      const following = i32.const(this.#insn.following);
      if (ends) this.#leave(following);
      else if (this.#mayChange) this.if(this.#frame.changed, () => this.#leave(following));
    });
  }

  /** An address record: CPU.ea gets the linear address for the record that follows. */
  translateAddress(micro: number): void {
    const words = this.#words;
    const insn = this.#insn;
    words.begin();
    this.code.scope(() => {
      const sum = micro === MICRO.eaWide ? i64.const(insn.wide) : offsetOf(words, insn);
      if (micro === MICRO.ea16 || micro === MICRO.ea32) {
        words.write(CPU.ea, recordAddress(this.check, sum, micro === MICRO.ea16 ? 16 : 32, false));
        return;
      }
      const offset = micro === MICRO.ea32long ? unsigned(sum, 32) : sum;
      words.write(CPU.ea, i64.add(offset, slotOf(words, insn.dst)));
    });
  }

  if(condition: Expr, then: () => void, otherwise?: () => void): void {
    this.#nested(() => this.code.if(condition, then, otherwise));
  }

  /** What x87 and MMX look at changes with each of their instructions: an exception may be pending. */
  override unit(name: UnitName): void {
    const { units } = this.#frame;
    if (units.has(name)) return;
    if (name === "sse") units.add(name);
    super.unit(name);
  }

  // --- where values are

  protected fpuField(field: Field): Expr {
    return i32.add(this.cpu, i32.const(this.#insn[field]));
  }
  protected generated(name: string): GeneratedFunction {
    return this.#frame.imports.generated(name);
  }
  protected readField(field: Field, size: Size): Expr {
    return this.#readSlot(this.#insn[field], size);
  }
  protected writeField(field: Field, value: Expr, size: Size): void {
    this.#writeSlot(this.#insn[field], value, size);
  }
  protected number(field: Field): Expr {
    return i64.const(this.#insn[field]);
  }
  protected immediate(wide: boolean): Expr {
    return i64.const(wide ? this.#insn.wide : this.#insn.imm);
  }
  protected displacement(): Expr {
    return i64.const(this.#insn.disp);
  }
  protected farOffset(): Expr {
    return i64.const(BigInt(this.#insn.disp >>> 0));
  }
  readSelector(_operand: Operand): Expr {
    return i64.const(BigInt(this.#insn.imm >>> 0));
  }
  protected sum(): Expr {
    return offsetOf(this.#words, this.#insn);
  }
  protected ripBase(): Expr {
    return this.#words.read(CPU.ripBase);
  }
  protected segmentSlot(field: "base" | "index"): Expr {
    return i32.const(this.#insn[field]);
  }
  protected segmentBase(field: "base" | "index"): Expr {
    return slotOf(this.#words, this.#insn[field]);
  }

  gpr(register: number, size: Size = 64): Expr {
    return this.#readSlot(CPU.gpr + register * 8, size);
  }

  setGpr(register: number, value: Expr, size: Size = 64): void {
    this.#writeSlot(CPU.gpr + register * 8, value, size);
  }

  flagResult(): Expr {
    return this.#words.read(CPU.flagResult);
  }
  flagAux(): Expr {
    return this.#words.read(CPU.flagAux);
  }
  setFlagResult(value: Expr): void {
    this.#words.write(CPU.flagResult, value);
  }
  setFlagAux(value: Expr): void {
    this.#words.write(CPU.flagAux, value);
  }

  // --- control

  nextRip(): Expr {
    return i64.add(this.ripBase(), i64.const(this.#insn.next));
  }

  thisRip(): Expr {
    return i64.add(this.ripBase(), i64.const(this.#insn.at));
  }

  protected follow(target: Operand & { readonly kind: "target" }): void {
    let record = i32.load(this.#ip, RECORD.disp);
    if (target.cross) {
      const base = this.let(i64.add(this.ripBase(), this.immediate(false)));
      this.code.store("i64", this.cpu, base, CPU.ripBase);
      record = linkedRecord(this.#ip, base);
    }
    this.#leave(i32.or(record, i32.const(TAKEN)));
  }

  jumpIf(condition: Expr, target: Operand): void {
    this.if(condition, () => this.jump(target));
  }

  jumpTo(rip: Expr): void {
    const { code, cpu, imports } = this.#frame;
    const to = code.let(rip);
    this.#words.spill();
    jumpCache(
      code,
      cpu,
      to,
      (record) => code.return(i32.or(record, i32.const(TAKEN))),
      () => {
        const record = code.local("i32");
        code.store("i64", cpu, to, CPU.rip);
        code.call(imports.lookup, [], record);
        code.return(record);
      },
    );
  }

  again(condition: Expr): void {
    const { code, cpu, changed } = this.#frame;
    this.if(condition, () => {
      this.#words.spill();
      const out = this.#mayChange ? i32.or(wanted(cpu), changed) : wanted(cpu);
      code.if(out, () => code.return(i32.or(this.#ip, i32.const(TAKEN))));
      code.br(this.#loopHead());
    });
  }

  raise(vector: number): void {
    const { code, imports } = this.#frame;
    this.#words.spill();
    code.call(imports.raise, [this.#ip, i32.const(vector)]);
    code.return(i32.const(0));
  }

  trap(name: HelperName, a: Expr = i32.const(0)): void {
    const { code, imports } = this.#frame;
    this.#words.spill();
    code.call(imports.helper(name), [this.#ip, a, i32.const(0)], code.local("i32"));
    code.return(i32.const(0));
  }

  helper(name: HelperName, a: Expr = i32.const(0), b: Expr = i32.const(0)): void {
    const { code, imports } = this.#frame;
    const status = code.local("i32");
    this.#words.spill();
    code.call(imports.helper(name), [this.#ip, a, b], status);
    code.if(status, () => code.return(i32.const(0)));
    this.#words.clobbered();
    this.#frame.units.clear();
    this.#lookForChange();
  }

  // --- what only this stage knows

  #nested(inside: () => void): void {
    this.#words.nested(inside);
  }

  #leave(result: Expr): void {
    this.#words.spill();
    this.code.return(result);
  }

  /** If the block's bytes were written, its records are stale, the first one too: go on in the next one, which knows. */
  #lookForChange(): void {
    const { code, changed, entry } = this.#frame;
    this.#mayChange = true;
    code.set(changed, i32.ne(i32.load16u(i32.const(entry), RECORD.case), i32.const(MICRO.translated)));
  }

  #loopHead(): Label {
    if (this.#head === undefined) throw new Error("only a locked or repeated instruction is executed again");
    return this.#head;
  }

  /** A register by its slot's offset, which for AH, CH, DH and BH is that of the word's second byte. */
  #readSlot(slot: number, size: Size): Expr {
    const word = this.#words.read(slot & ~7);
    return unsigned(slot & 7 ? i64.shru(word, i64.const(8)) : word, size);
  }

  /** A 32-bit register write clears bits 63..32; 8- and 16-bit ones leave the rest (SDM volume 1, 3.4.1.1). */
  #writeSlot(slot: number, value: Expr, size: Size): void {
    const offset = slot & ~7;
    if (size >= 32) {
      this.#words.write(offset, unsigned(value, size));
      return;
    }
    const shift = slot & 7 ? 8 : 0;
    const mask = ((1n << BigInt(size)) - 1n) << BigInt(shift);
    const rest = i64.and(this.#words.read(offset), i64.const(BigInt.asIntN(64, ~mask)));
    this.#words.write(offset, i64.or(rest, i64.shl(unsigned(value, size), i64.const(shift))));
  }
}

/** The word at a slot, which may be the one that is always 0. */
function slotOf(words: StateWords, slot: number): Expr {
  return slot === CPU.zero ? i64.const(0) : words.read(slot);
}

/** base + index << scale + disp. */
function offsetOf(words: StateWords, { base, index, scale, disp }: Instruction): Expr {
  const displacement = i64.const(disp);
  if (index === CPU.zero) return base === CPU.zero ? displacement : i64.add(words.read(base), displacement);
  const scaled = i64.shl(words.read(index), i64.const(scale));
  return i64.add(base === CPU.zero ? scaled : i64.add(words.read(base), scaled), displacement);
}
