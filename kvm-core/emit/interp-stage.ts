/**
 * The interpreter's stage of the Emitter: operands are fields of the record at $ip.
 * Document: architecture.md sections 5 and 6 (record, TLB lookup, pending word).
 * Left out: the `ordered` mode: no case loads one address twice, and none goes on into another without a
 * branch that V8's optimiser cannot see through.
 */

import { RFLAGS } from "../cpu/flags.ts";
import { CPU } from "../cpu/state.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { jumpCache, linkedRecord, TAKEN, wanted } from "./boundary.ts";
import { direction, setAlignmentCheck, setFlag } from "./eflags.ts";
import type { Access, Emitter, HelperName, Operand, Size } from "./emitter.ts";
import { signed, unsigned } from "./flags.ts";
import {
  type AccessImports,
  type AccessStage,
  compareExchange,
  LOADS,
  load,
  type Modified,
  modify,
  prepare,
  STORES,
  store,
  writeModified,
} from "./memory-access.ts";
import { RECORD } from "./record.ts";
import {
  type CheckStage,
  checkTarget,
  derivedAddress,
  derivedLong,
  recordAddress,
  segmentAddress,
  stackAccess,
  stackSegmentAddress,
} from "./segment.ts";
import { push, release, setStackPointer, top } from "./stack.ts";

/** What every case of the generated function shares. */
export interface Frame {
  readonly code: Code;
  readonly ip: Expr;
  readonly cpu: Expr;
  readonly budget: Expr;
  /** Dispatch the record at $ip. */
  readonly top: Label;
  /** The state says where to go on (a fault, a far transfer). */
  readonly resume: Label;
  /** Leave the function; $ip is the record to go on with. */
  readonly leave: Label;
  /** Function indices of the imports, and of what fill.ts defines. */
  readonly imports: AccessImports & {
    readonly raise: number;
    readonly lookup: number;
    readonly helpers: Readonly<Record<HelperName, number>>;
  };
}

/** What a form fixes beside its operands. */
export interface FormFacts {
  readonly size: Size;
  readonly addressSize: 16 | 32 | 64;
  readonly stackSize: 16 | 32 | 64;
  /** The stack segment, or those of a string instruction, may have a base, and are checked. */
  readonly segmented: boolean;
  readonly repeat: "none" | "rep" | "repne";
  /** LOCK, or XCHG with memory: the write after modify() is a compare-and-exchange. */
  readonly locked: boolean;
}

export class InterpStage implements Emitter {
  readonly #frame: Frame;
  readonly #code: Code;
  readonly #facts: FormFacts;
  /** Where write() finds a memory operand that modify() translated, and what was there. */
  readonly #translated = new Map<Operand, Modified>();
  readonly #target: boolean;
  readonly #access: AccessStage;
  readonly #check: CheckStage;
  /** Addresses that stackAddress() gave in 64-bit mode: those that are not canonical raise #SS, not #GP. */
  readonly #stack = new Set<Expr>();

  constructor(frame: Frame, facts: FormFacts, operands: readonly Operand[]) {
    this.#frame = frame;
    this.#code = frame.code;
    this.#facts = facts;
    this.#target = operands.some((operand) => operand.kind === "target");
    const { code, cpu, ip, imports, resume, top } = frame;
    this.#access = {
      code,
      cpu,
      ip,
      imports,
      ordered: false,
      call: (func, args, result) => code.call(func, args, result),
      resumeIf: (condition) => code.brIf(resume, condition),
      restartIf: (condition) => code.brIf(top, condition),
      storedSlowly() {},
    };
    this.#check = { code, cpu, ip, raise: (vector) => this.#raise(vector) };
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
    this.#code.if(condition, then, otherwise);
  }

  // --- operands

  read(operand: Operand): Expr {
    switch (operand.kind) {
      case "reg":
        return LOADS[operand.size](this.#slot(operand.field));
      case "imm":
        return operand.wide ? i64.load(this.#frame.ip, RECORD.wide) : i64.load32s(this.#frame.ip, RECORD.imm);
      case "const":
        return i64.const(operand.value);
      case "implied":
        return this.gpr(operand.register, operand.size);
      case "mem":
        return this.load(this.linear(operand), operand.size);
      case "at":
        return this.load(this.#derived(operand, "read"), operand.size);
      case "index":
        return i32.toI64u(this.#byte(operand.field));
      case "far":
        return i64.load32u(this.#frame.ip, RECORD.disp);
      case "target":
        throw new Error("a branch target is not read");
    }
  }

  readSigned(operand: Operand): Expr {
    return signed(this.read(operand), operand.size);
  }

  modify(operand: Operand): Expr {
    const linear = this.#modified(operand);
    if (linear === undefined) return this.read(operand);
    const modified = modify(this.#access, linear, operand.size);
    this.#translated.set(operand, modified);
    return modified.old;
  }

  at(linear: Expr, size: Size, of: Operand): Operand {
    return { kind: "at", size, linear: this.let(linear), of };
  }

  #derived({ linear, size, of }: Operand & { readonly kind: "at" }, access: Access): Expr {
    const isLong = of.kind === "mem" && of.address === 64;
    return isLong ? derivedLong(this.#check, linear) : derivedAddress(this.#check, linear, size / 8, access);
  }

  #modified(operand: Operand): Expr | undefined {
    if (operand.kind === "at") return this.#derived(operand, "modify");
    return operand.kind === "mem" ? this.linear(operand) : undefined;
  }

  write(operand: Operand, value: Expr): void {
    if (operand.kind === "reg") {
      this.#store(this.#slot(operand.field), value, operand.size);
      return;
    }
    const translated = this.#translated.get(operand);
    if (translated === undefined) {
      if (operand.kind === "mem") this.store(this.linear(operand), value, operand.size);
      else if (operand.kind === "at") this.store(this.#derived(operand, "write"), value, operand.size);
      else throw new Error(`write to an operand of kind ${operand.kind}`);
      return;
    }
    const finish = this.#facts.locked ? compareExchange : writeModified;
    finish(this.#access, translated, value, operand.size);
  }

  readSelector(_operand: Operand): Expr {
    return i64.load32u(this.#frame.ip, RECORD.imm);
  }

  offset(operand: Operand): Expr {
    if (operand.kind !== "mem") throw new Error("only a memory operand has an offset");
    const { ip } = this.#frame;
    const base = i64.load(this.#slot("base"));
    const index = i64.shl(i64.load(this.#slot("index")), i64.load8u(ip, RECORD.scale));
    const sum = i64.add(i64.add(base, index), i64.load32s(ip, RECORD.disp));
    return operand.address === 64 ? sum : unsigned(sum, 32);
  }

  /** Where a segment has a base or bounds, an address record went before, and the offset is CPU.ea. */
  linear(operand: Operand): Expr {
    return this.offset(operand);
  }

  gpr(register: number, size: Size = 64): Expr {
    return LOADS[size](this.#frame.cpu, CPU.gpr + register * 8);
  }

  setGpr(register: number, value: Expr, size: Size = 64): void {
    this.#store(this.#frame.cpu, value, size, CPU.gpr + register * 8);
  }

  // --- flags

  flagResult(): Expr {
    return i64.load(this.#frame.cpu, CPU.flagResult);
  }
  flagAux(): Expr {
    return i64.load(this.#frame.cpu, CPU.flagAux);
  }
  setFlagResult(value: Expr): void {
    this.#code.store("i64", this.#frame.cpu, value, CPU.flagResult);
  }
  setFlagAux(value: Expr): void {
    this.#code.store("i64", this.#frame.cpu, value, CPU.flagAux);
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
    return this.#stringAddress(offset, "base", bytes, "read");
  }

  destinationAddress(offset: Expr, bytes: number, access: Access): Expr {
    return this.#stringAddress(offset, "index", bytes, access);
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
    const { ip, cpu } = this.#frame;
    const at = this.#target ? i64.load16u(ip, RECORD.next) : i64.load32s(ip, RECORD.imm);
    return i64.add(i64.load(cpu, CPU.ripBase), at);
  }

  jump(target: Operand): void {
    this.#take(target);
  }

  jumpIf(condition: Expr, target: Operand): void {
    const { code, ip, top } = this.#frame;
    code.if(condition, () => this.#take(target));
    // Behind a branch that is not computed lies its link record.
    const records = target.kind === "target" && target.computed ? 1 : 2;
    code.set(ip, i32.add(ip, i32.const(records * RECORD.size)));
    code.br(top);
  }

  jumpTo(rip: Expr): void {
    const { code, cpu, ip, leave, top, imports } = this.#frame;
    const to = code.let(rip);
    jumpCache(
      code,
      cpu,
      to,
      (record) => {
        code.set(ip, record);
        checkPending(this.#frame);
        code.br(top);
      },
      () => {
        code.store("i64", cpu, to, CPU.rip);
        code.call(imports.lookup, [], ip);
        code.brIf(top, ip);
        code.br(leave);
      },
    );
  }

  checkTarget(target: Operand | Expr, when?: Expr): void {
    const rip = target.kind === "target" ? this.#targetRip(target) : (target as Expr);
    // No target: it can be gone to. Flat code with a stack variant of its own may go anywhere.
    if (rip === undefined || (this.stackSize === 32 && !this.#facts.segmented)) return;
    checkTarget(this.#check, this.size, rip, when);
  }

  /** RIP that a relative branch goes to, if it may be one that cannot be gone to. */
  #targetRip(target: Operand & { readonly kind: "target" }): Expr | undefined {
    const { ip, cpu } = this.#frame;
    if (target.computed) return unsigned(i64.add(this.nextRip(), i64.load32s(ip, RECORD.disp)), this.size);
    if (!target.cross || this.size !== 64) return undefined;
    // The page that it lies in tells.
    return i64.add(i64.load(cpu, CPU.ripBase), i64.load32s(ip, RECORD.imm));
  }

  fence(): void {
    this.#code.fence();
  }

  again(condition: Expr): void {
    const { code, top } = this.#frame;
    code.if(condition, () => {
      checkPending(this.#frame);
      code.br(top);
    });
  }

  raise(vector: number): void {
    this.#raise(i32.const(vector));
  }

  #raise(vector: Expr): void {
    const { code, ip, imports, resume } = this.#frame;
    code.call(imports.raise, [ip, vector]);
    code.br(resume);
  }

  helper(name: HelperName, a: Expr = i32.const(0), b: Expr = i32.const(0)): void {
    const { code, ip, imports, resume } = this.#frame;
    const status = code.local("i32");
    code.call(imports.helpers[name], [ip, a, b], status);
    code.brIf(resume, status);
  }

  data(): Expr {
    return i64.load(this.#frame.cpu, CPU.data);
  }
  setData(value: Expr): void {
    this.#code.store("i64", this.#frame.cpu, value, CPU.data);
  }

  /** Goes on with the record behind this one. */
  next(): void {
    const { code, ip, top } = this.#frame;
    code.set(ip, i32.add(ip, i32.const(RECORD.size)));
    code.br(top);
  }

  /** The address record's work: see MICRO.ea16. */
  addressRecord(size: 16 | 32 | 64, wide: boolean, long: boolean): void {
    const sum = wide ? i64.load(this.#frame.ip, RECORD.wide) : this.offset({ kind: "mem", size: 8, address: 64 });
    recordAddress(this.#check, sum, size, long);
    this.next();
  }

  // --- what only this stage knows

  #byte(field: "dst" | "src" | "base" | "index"): Expr {
    return i32.load8u(this.#frame.ip, RECORD[field]);
  }

  #slot(field: "dst" | "src" | "base" | "index"): Expr {
    return i32.add(this.#frame.cpu, this.#byte(field));
  }

  /** A 32-bit register write clears bits 63..32; 8- and 16-bit ones leave the rest (SDM volume 1, 3.4.1.1). */
  #store(address: Expr, value: Expr, size: Size, offset = 0): void {
    if (size === 32) this.#code.store("i64", address, unsigned(value, 32), offset);
    else this.#code.store(STORES[size], address, value, offset);
  }

  #stringAddress(offset: Expr, field: "base" | "index", bytes: number, access: Access): Expr {
    if (this.#facts.segmented) return segmentAddress(this.#check, offset, this.#byte(field), bytes, access);
    return i64.add(offset, i64.load(this.#slot(field)));
  }

  #accessAt(linear: Expr, size: Size): AccessStage {
    return this.#stack.has(linear) ? stackAccess(this.#access, this.#check, size) : this.#access;
  }

  #take(target: Operand): void {
    if (target.kind !== "target") throw new Error("a relative branch needs a target");
    if (target.computed) {
      this.checkTarget(target);
      this.jumpTo(this.#targetRip(target)!);
      return;
    }
    const { code, cpu, ip, top } = this.#frame;
    if (target.cross) {
      const base = code.let(i64.add(i64.load(cpu, CPU.ripBase), i64.load32s(ip, RECORD.imm)));
      code.store("i64", cpu, base, CPU.ripBase);
      code.set(ip, linkedRecord(ip, base));
    } else code.set(ip, i32.load(ip, RECORD.disp));
    checkPending(this.#frame);
    code.br(top);
  }
}

/** Leaves if somebody wants the vCPU out, or after so many taken branches. */
function checkPending({ code, cpu, budget, leave }: Frame): void {
  code.set(budget, i32.sub(budget, i32.const(1)));
  code.brIf(leave, i32.or(wanted(cpu), i32.eqz(budget)));
}

/** The case of MICRO.go. */
export function goRecord(frame: Frame): void {
  const { code, cpu, ip, top } = frame;
  const distance = code.let(i64.load32s(ip, RECORD.imm));
  code.if(
    i64.eqz(distance),
    () => code.set(ip, i32.load(ip, RECORD.disp)),
    () => {
      const base = code.let(i64.add(i64.load(cpu, CPU.ripBase), distance));
      code.store("i64", cpu, base, CPU.ripBase);
      code.set(ip, linkedRecord(ip, base));
    },
  );
  code.br(top);
}

/** The case of MICRO.entry; `hot` is the import that may translate the block. */
export function entryRecord({ code, ip, top, leave }: Frame, hot: number): void {
  const left = code.let(i32.sub(i32.load(ip, RECORD.disp), i32.const(1)));
  code.store("i32", ip, left, RECORD.disp);
  code.if(i32.eqz(left), () => {
    code.call(hot, [ip], ip);
    code.brIf(top, ip);
    code.br(leave);
  });
  code.set(ip, i32.add(ip, i32.const(RECORD.size)));
  code.br(top);
}

/** The case of MICRO.translated; `type` is the index of the type BLOCK_TYPE. */
export function translatedRecord(frame: Frame, type: number): void {
  const { code, cpu, ip, top, resume } = frame;
  const next = code.local("i32");
  code.callIndirect(type, i32.load(ip, RECORD.imm), [cpu], next);
  code.brIf(resume, i32.eqz(next));
  code.set(ip, i32.and(next, i32.const(~TAKEN)));
  code.if(i32.and(next, i32.const(TAKEN)), () => checkPending(frame));
  code.br(top);
}
