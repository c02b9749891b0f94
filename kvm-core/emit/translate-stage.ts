/**
 * The translator's stage of the Emitter: operands are constants of one record, registers and flags are locals.
 * Document: architecture.md section 5 (staging; memory ordering).
 * Left out: 16-bit stacks. Flags are recorded whether or not somebody reads them.
 *
 * A block's function is one of boundary.ts's BLOCK_TYPE. RIP is no
 * constant, since a block is found by its guest-physical address: it is CPU.ripBase plus a page offset. Records are at
 * constant addresses; where a branch leads stands in its record and is read there, so links are made and undone as ever.
 */

import { RFLAGS } from "../cpu/flags.ts";
import { CPU } from "../cpu/state.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { jumpCache, linkedRecord, TAKEN, wanted } from "./boundary.ts";
import { direction, setAlignmentCheck, setFlag } from "./eflags.ts";
import type { Access, Emitter, HelperName, Operand, Size } from "./emitter.ts";
import { signed, unsigned } from "./flags.ts";
import type { FormFacts } from "./interp-stage.ts";
import {
  type AccessImports,
  type AccessStage,
  compareExchange,
  load,
  type Modified,
  modify,
  prepare,
  store,
  writeModified,
} from "./memory-access.ts";
import { MICRO, RECORD } from "./record.ts";
import {
  type CheckStage,
  checkTarget,
  derivedAddress,
  derivedLong,
  segmentAddress,
  stackAccess,
  stackSegmentAddress,
} from "./segment.ts";
import { push, release, setStackPointer, top } from "./stack.ts";
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
  readonly ordered: boolean;
  readonly imports: AccessImports & {
    readonly raise: number;
    readonly lookup: number;
    helper(name: HelperName): number;
  };
}

/** One record, read. */
export interface Instruction {
  /** Address of the record. */
  readonly record: number;
  /** The record to go on with. */
  readonly following: number;
  /** Page offset of the instruction that follows. */
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

export class TranslateStage implements Emitter {
  readonly #frame: BlockFrame;
  readonly #code: Code;
  readonly #words: StateWords;
  readonly #facts: FormFacts;
  readonly #insn: Instruction;
  readonly #ip: Expr;
  readonly #access: AccessStage;
  readonly #check: CheckStage;
  /** Addresses that stackAddress() gave in 64-bit mode: those that are not canonical raise #SS, not #GP. */
  readonly #stack = new Set<Expr>();
  /** Where write() finds a memory operand that modify() translated. */
  readonly #translated = new Map<Operand, Modified>();
  /** Head of the loop around an instruction that may be executed again. */
  #head: Label | undefined;
  /** Memory may have been written by what the block cannot see through. */
  #mayChange = false;

  constructor(frame: BlockFrame, facts: FormFacts, insn: Instruction) {
    const { code, cpu, words, imports, ordered } = frame;
    this.#frame = frame;
    this.#code = code;
    this.#words = words;
    this.#facts = facts;
    this.#insn = insn;
    this.#ip = i32.const(insn.record);
    this.#access = {
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
    this.#check = {
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

  get size(): Size {
    return this.#facts.size;
  }
  get addressSize(): 16 | 32 | 64 {
    return this.#facts.addressSize;
  }
  get stackSize(): 16 | 32 | 64 {
    return this.#facts.stackSize;
  }
  get repeat(): "none" | "rep" | "repne" {
    return this.#facts.repeat;
  }

  /** The instruction, whose meaning `exec` makes; `ends`: it never goes on to the next one. */
  translate(exec: (e: Emitter) => void, ends: boolean): void {
    const { code } = this.#frame;
    this.#words.begin();
    code.scope(() => {
      if (this.#facts.locked || this.#facts.repeat !== "none") {
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

  let(value: Expr): Expr {
    return this.#code.let(value);
  }
  variable(value: Expr): Expr {
    const variable = this.#code.local(value.type);
    this.#code.set(variable, value);
    return variable;
  }
  assign(variable: Expr, value: Expr): void {
    this.#code.set(variable, value);
  }
  if(condition: Expr, then: () => void, otherwise?: () => void): void {
    this.#nested(() => this.#code.if(condition, then, otherwise));
  }

  // --- operands

  read(operand: Operand): Expr {
    const { dst, src, imm, disp, wide } = this.#insn;
    switch (operand.kind) {
      case "reg":
        return this.#readSlot(operand.field === "dst" ? dst : src, operand.size);
      case "imm":
        return i64.const(operand.wide ? wide : imm);
      case "const":
        return i64.const(operand.value);
      case "implied":
        return this.gpr(operand.register, operand.size);
      case "mem":
        return this.load(this.linear(operand), operand.size);
      case "at":
        return this.load(this.#derived(operand, "read"), operand.size);
      case "index":
        return i64.const(operand.field === "dst" ? dst : src);
      case "far":
        return i64.const(BigInt(disp >>> 0));
      case "target":
        throw new Error("a branch target is not read");
    }
  }

  readSigned(operand: Operand): Expr {
    return signed(this.read(operand), operand.size);
  }

  modify(operand: Operand): Expr {
    if (operand.kind !== "mem" && operand.kind !== "at") return this.read(operand);
    const linear = operand.kind === "at" ? this.#derived(operand, "modify") : this.linear(operand);
    const modified = modify(this.#access, linear, operand.size);
    this.#translated.set(operand, modified);
    return modified.old;
  }

  at(linear: Expr, size: Size, of: Operand): Operand {
    return { kind: "at", size, linear: this.let(linear), of };
  }

  write(operand: Operand, value: Expr): void {
    const translated = this.#translated.get(operand);
    if (translated) {
      const finish = this.#facts.locked ? compareExchange : writeModified;
      finish(this.#access, translated, value, operand.size);
    } else if (operand.kind === "reg") {
      this.#writeSlot(operand.field === "dst" ? this.#insn.dst : this.#insn.src, value, operand.size);
    } else if (operand.kind === "mem") {
      this.store(this.linear(operand), value, operand.size);
    } else if (operand.kind === "at") this.store(this.#derived(operand, "write"), value, operand.size);
    else throw new Error(`write to an operand of kind ${operand.kind}`);
  }

  readSelector(_operand: Operand): Expr {
    return i64.const(BigInt(this.#insn.imm >>> 0));
  }

  offset(operand: Operand): Expr {
    if (operand.kind !== "mem") throw new Error("only a memory operand has an offset");
    const sum = offsetOf(this.#words, this.#insn);
    return operand.address === 64 ? sum : unsigned(sum, 32);
  }

  linear(operand: Operand): Expr {
    return this.offset(operand);
  }

  gpr(register: number, size: Size = 64): Expr {
    return this.#readSlot(CPU.gpr + register * 8, size);
  }

  setGpr(register: number, value: Expr, size: Size = 64): void {
    this.#writeSlot(CPU.gpr + register * 8, value, size);
  }

  // --- flags

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
  direction(): Expr {
    return direction(this.#frame.cpu);
  }
  setDirection(on: boolean): void {
    setFlag(this.#code, this.#frame.cpu, RFLAGS.DF, on);
  }
  setAlignmentCheck(on: boolean): void {
    setAlignmentCheck(this.#code, this.#frame.cpu, on);
  }
  privilege(): Expr {
    return i32.load(this.#frame.cpu, CPU.cpl);
  }

  // --- memory

  load(linear: Expr, size: Size): Expr {
    return load(this.#accessAt(linear, size), linear, size);
  }
  store(linear: Expr, value: Expr, size: Size): void {
    store(this.#accessAt(linear, size), linear, value, size);
  }
  prepare(linear: Expr, size: Size): void {
    prepare(this.#access, linear, size);
  }

  sourceAddress(offset: Expr, bytes: number): Expr {
    return this.#stringAddress(offset, this.#insn.base, bytes, "read");
  }
  destinationAddress(offset: Expr, bytes: number, access: Access): Expr {
    return this.#stringAddress(offset, this.#insn.index, bytes, access);
  }

  // --- stack

  push(value: Expr, size: Size): void {
    push(this, value, size);
  }
  top(size: Size): Expr {
    return top(this, size);
  }
  release(size: Size, extra?: Expr): void {
    release(this, size, extra);
  }
  setStackPointer(value: Expr): void {
    setStackPointer(this, value);
  }

  stackAddress(offset: Expr, bytes: number, access: Access): Expr {
    if (this.#facts.segmented) return stackSegmentAddress(this.#check, offset, bytes, access);
    if (this.stackSize === 64) this.#stack.add(offset);
    return offset;
  }

  // --- control

  nextRip(): Expr {
    return i64.add(this.#words.read(CPU.ripBase), i64.const(this.#insn.next));
  }

  jump(target: Operand): void {
    if (target.kind !== "target") throw new Error("a relative branch needs a target");
    if (target.computed) {
      this.checkTarget(target);
      this.jumpTo(this.#targetRip(target)!);
      return;
    }
    let record = i32.load(this.#ip, RECORD.disp);
    if (target.cross) {
      const base = this.let(i64.add(this.#words.read(CPU.ripBase), i64.const(this.#insn.imm)));
      this.#code.store("i64", this.#frame.cpu, base, CPU.ripBase);
      record = linkedRecord(this.#ip, base);
    }
    this.#leave(i32.or(record, i32.const(TAKEN)));
  }

  jumpIf(condition: Expr, target: Operand): void {
    this.if(condition, () => this.jump(target));
  }

  checkTarget(target: Operand | Expr, when?: Expr): void {
    const rip = target.kind === "target" ? this.#targetRip(target) : (target as Expr);
    // As in the interpreter: flat code with a stack variant of its own may go anywhere.
    if (rip === undefined || (this.stackSize === 32 && !this.#facts.segmented)) return;
    checkTarget(this.#check, this.size, rip, when);
  }

  /** RIP that a relative branch goes to, if it may be one that cannot be gone to. */
  #targetRip(target: Operand & { readonly kind: "target" }): Expr | undefined {
    if (target.computed) return unsigned(i64.add(this.nextRip(), i64.const(this.#insn.disp)), this.size);
    if (!target.cross || this.size !== 64) return undefined;
    // The page that it lies in tells.
    return i64.add(this.#words.read(CPU.ripBase), i64.const(this.#insn.imm));
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

  fence(): void {
    this.#code.fence();
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

  helper(name: HelperName, a: Expr = i32.const(0), b: Expr = i32.const(0)): void {
    const { code, imports } = this.#frame;
    const status = code.local("i32");
    this.#words.spill();
    code.call(imports.helper(name), [this.#ip, a, b], status);
    code.if(status, () => code.return(i32.const(0)));
    this.#words.clobbered();
    this.#lookForChange();
  }

  data(): Expr {
    return i64.load(this.#frame.cpu, CPU.data);
  }
  setData(value: Expr): void {
    this.#code.store("i64", this.#frame.cpu, value, CPU.data);
  }

  // --- what only this stage knows

  #nested(inside: () => void): void {
    this.#words.nested(inside);
  }

  #leave(result: Expr): void {
    this.#words.spill();
    this.#code.return(result);
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

  #stringAddress(offset: Expr, slot: number, bytes: number, access: Access): Expr {
    if (this.#facts.segmented) return segmentAddress(this.#check, offset, i32.const(slot), bytes, access);
    return slot === CPU.zero ? offset : i64.add(offset, slotOf(this.#words, slot));
  }

  /** The access to `linear`; one to the stack looks whether the address is canonical before it is found not to be. */
  #accessAt(linear: Expr, size: Size): AccessStage {
    return this.#stack.has(linear) ? stackAccess(this.#access, this.#check, size) : this.#access;
  }

  #derived({ linear, size, of }: Operand & { readonly kind: "at" }, access: Access): Expr {
    const isLong = of.kind === "mem" && of.address === 64;
    return isLong ? derivedLong(this.#check, linear) : derivedAddress(this.#check, linear, size / 8, access);
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

/** An address record of 64-bit mode: CPU.ea gets the linear address for the record that follows. */
export function translateAddress({ words }: BlockFrame, micro: number, insn: Instruction): void {
  words.begin();
  const sum = micro === MICRO.eaWide ? i64.const(insn.wide) : offsetOf(words, insn);
  const offset = micro === MICRO.ea32long ? unsigned(sum, 32) : sum;
  words.write(CPU.ea, i64.add(offset, slotOf(words, insn.dst)));
}
