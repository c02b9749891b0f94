/**
 * What both stages of the Emitter do alike: operands by their kind, memory, segments, the stack, branch targets.
 * Document: architecture.md section 5 (staging).
 * Left out: where an operand's value is (a record's field or a constant), how registers and flags are kept, and how control goes on.
 */

import { CR0 } from "../cpu/control.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { FPU, FPU_SLOT, UNITS, type UnitName } from "../cpu/fpu-state.ts";
import { CPU } from "../cpu/state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, type ValType } from "../wasm/expr.ts";
import type { FuncType } from "../wasm/module.ts";
import { i64x2, v128 } from "../wasm/simd.ts";
import { direction, setAlignmentCheck, setFlag } from "./eflags.ts";
import type { Access, Emitter, Field, HelperName, Operand, Size } from "./emitter.ts";
import { signed, unsigned } from "./flags.ts";
import {
  type AccessStage,
  compareExchange,
  direct,
  LOADS,
  load,
  loadV,
  type Modified,
  modify,
  prepare,
  STORES,
  store,
  storeV,
  writeModified,
} from "./memory-access.ts";
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

/** A function of the interpreter's module that an exec may call by its name: its index, and its type with $cpu in front. */
export interface GeneratedFunction {
  readonly index: number;
  readonly type: FuncType;
}

const FPU_FILE = { xmm: FPU.xmm, mm: FPU.st } as const;
const VECTOR_UD = 6;
const VECTOR_GP = 13;

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
  /** Real-address and virtual-8086 mode have no such instruction, and this form may meet them. */
  readonly protectedOnly?: true;
}

type Target = Operand & { readonly kind: "target" };
type At = Operand & { readonly kind: "at" };

export abstract class Stage implements Emitter {
  protected readonly code: Code;
  protected readonly cpu: Expr;
  protected readonly facts: FormFacts;
  protected abstract readonly access: AccessStage;
  protected abstract readonly check: CheckStage;
  /** Where write() finds a memory operand that modify() translated, and what was there. */
  readonly #translated = new Map<Operand, Modified>();
  /** Addresses that stackAddress() gave in 64-bit mode: those that are not canonical raise #SS, not #GP. */
  readonly #stack = new Set<Expr>();

  constructor(code: Code, cpu: Expr, facts: FormFacts) {
    this.code = code;
    this.cpu = cpu;
    this.facts = facts;
  }

  // --- where values are

  /** i32: where in linear memory the field's register lies, less `FPU.xmm` or `FPU.st`. */
  protected abstract fpuField(field: Field): Expr;
  protected abstract readField(field: Field, size: Size): Expr;
  protected abstract writeField(field: Field, value: Expr, size: Size): void;
  /** The number of a segment, control or debug register: i64. */
  protected abstract number(field: Field): Expr;
  /** Sign-extended from 32 bits, or all 64; of a branch to another page, that page's distance. */
  protected abstract immediate(wide: boolean): Expr;
  /** Sign-extended from 32 bits. */
  protected abstract displacement(): Expr;
  /** The same, zero-extended: the offset of a far pointer. */
  protected abstract farOffset(): Expr;
  /** base + index << scale + disp. */
  protected abstract sum(): Expr;
  protected abstract ripBase(): Expr;
  /** Of a string instruction, `base` for the source, `index` for the destination: the segment's slot (i32) and base (i64). */
  protected abstract segmentSlot(field: "base" | "index"): Expr;
  protected abstract segmentBase(field: "base" | "index"): Expr;
  /** Goes where a branch record leads that is not computed. */
  protected abstract follow(target: Target): void;

  abstract if(condition: Expr, then: () => void, otherwise?: () => void): void;
  abstract readSelector(operand: Operand): Expr;
  abstract gpr(register: number, size?: Size): Expr;
  abstract setGpr(register: number, value: Expr, size?: Size): void;
  abstract flagResult(): Expr;
  abstract flagAux(): Expr;
  abstract setFlagResult(value: Expr): void;
  abstract setFlagAux(value: Expr): void;
  abstract nextRip(): Expr;
  abstract thisRip(): Expr;
  abstract jumpIf(condition: Expr, target: Operand): void;
  abstract jumpTo(rip: Expr): void;
  abstract again(condition: Expr): void;
  abstract raise(vector: number): void;
  abstract trap(name: HelperName, a?: Expr): void;
  abstract helper(name: HelperName, a?: Expr, b?: Expr): void;
  protected abstract generated(name: string): GeneratedFunction;

  // --- what follows from that

  get size(): Size {
    return this.facts.size;
  }
  get addressSize(): 16 | 32 | 64 {
    return this.facts.addressSize;
  }
  get stackSize(): 16 | 32 | 64 {
    return this.facts.stackSize;
  }
  get repeat(): "none" | "rep" | "repne" {
    return this.facts.repeat;
  }

  get segmented(): boolean {
    return this.facts.segmented;
  }

  let(value: Expr): Expr {
    return this.code.let(value);
  }
  variable(value: Expr): Expr {
    const variable = this.code.local(value.type);
    this.code.set(variable, value);
    return variable;
  }
  assign(variable: Expr, value: Expr): void {
    this.code.set(variable, value);
  }

  read(operand: Operand): Expr {
    switch (operand.kind) {
      case "reg":
        return this.readField(operand.field, operand.size);
      case "imm":
        return this.immediate(operand.wide === true);
      case "const":
        return i64.const(operand.value);
      case "implied":
        return this.gpr(operand.register, operand.size);
      case "mem":
        return this.load(this.linear(operand), operand.size);
      case "at":
        return this.load(this.#derived(operand, "read"), operand.size);
      case "xmm":
      case "mm":
        return LOADS[operand.size](this.fpuField(operand.field), FPU_FILE[operand.kind]);
      case "index":
        return this.number(operand.field);
      case "far":
        return this.farOffset();
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
    const modified = modify(this.access, linear, operand.size);
    this.#translated.set(operand, modified);
    return modified.old;
  }

  write(operand: Operand, value: Expr): void {
    const { size } = operand;
    const translated = this.#translated.get(operand);
    if (translated) {
      const finish = this.facts.locked ? compareExchange : writeModified;
      finish(this.access, translated, value, size);
    } else if (operand.kind === "reg") this.writeField(operand.field, value, size);
    else if (operand.kind === "xmm") this.code.store(STORES[size], this.fpuField(operand.field), value, FPU_FILE.xmm);
    else if (operand.kind === "mm") this.#writeMmx(operand.field, value);
    else if (operand.kind === "mem") this.store(this.linear(operand), value, size);
    else if (operand.kind === "at") this.store(this.#derived(operand, "write"), value, size);
    else throw new Error(`write to an operand of kind ${operand.kind}`);
  }

  protectedOnly(): void {
    if (!this.facts.protectedOnly) return;
    const real = i32.eqz(i32.and(i32.load(this.cpu, CPU.cr0), i32.const(CR0.PE)));
    const virtual = i32.and(i32.load(this.cpu, CPU.eflags), i32.const(RFLAGS.VM));
    this.if(i32.or(real, virtual), () => this.raise(VECTOR_UD));
  }

  // --- x87, MMX and SSE

  unit(name: UnitName): void {
    const { traps, number } = UNITS[name];
    const trapped = i32.and(i32.load(this.cpu, FPU.traps), i32.const(traps));
    this.if(trapped, () => this.trap("fpuTrap", i32.const(number)));
  }

  enterMmx(): void {
    this.code.store("i32", this.cpu, i32.const(0), FPU.top);
    this.code.store("i32", this.cpu, i32.const(0xff), FPU.tags);
  }

  readV(operand: Operand): Expr {
    switch (operand.kind) {
      case "xmm":
        return this.let(v128.load(this.fpuField(operand.field), FPU_FILE.xmm));
      case "mm":
        return this.let(v128.load64Zero(this.fpuField(operand.field), FPU_FILE.mm));
      case "mem":
        if (!operand.whole) return v128.from64(this.read(operand));
        return loadV(this.access, this.#aligned(operand));
      case "implied":
        return this.let(v128.load(this.cpu, FPU.xmm + operand.register * FPU_SLOT));
      default:
        throw new Error(`readV of an operand of kind ${operand.kind}`);
    }
  }

  writeV(operand: Operand, value: Expr): void {
    switch (operand.kind) {
      case "xmm":
        this.code.store("v128", this.fpuField(operand.field), value, FPU_FILE.xmm);
        return;
      case "mm":
        this.#writeMmx(operand.field, i64x2.extract(value, 0));
        return;
      case "mem":
        if (operand.whole) storeV(this.access, this.#aligned(operand), value);
        else this.store(this.linear(operand), i64x2.extract(value, 0), operand.size);
        return;
      default:
        throw new Error(`writeV to an operand of kind ${operand.kind}`);
    }
  }

  /** A write to an MMX register sets sign and exponent of the x87 register that it is a part of (SDM volume 1, 9.2.1). */
  #writeMmx(field: Field, value: Expr): void {
    const slot = this.fpuField(field);
    this.code.store("i64", slot, value, FPU_FILE.mm);
    this.code.store("i64", slot, i64.const(0xffff), FPU_FILE.mm + 8);
  }

  /** The linear address of 128 bits of memory: #GP(0) in every segment where it has to be aligned and is not. */
  #aligned(operand: Operand & { readonly kind: "mem" }): Expr {
    const linear = this.let(this.linear(operand));
    if (operand.aligned) this.if(i64.toI32(i64.and(linear, i64.const(15))), () => this.raise(VECTOR_GP));
    return linear;
  }

  slot(operand: Operand): Expr {
    if (operand.kind !== "xmm" && operand.kind !== "mm") throw new Error(`no slot of kind ${operand.kind}`);
    return i32.add(this.fpuField(operand.field), i32.const(FPU_FILE[operand.kind]));
  }
  scratch(n: number): Expr {
    return i32.add(this.cpu, i32.const(FPU.scratch + n * FPU_SLOT));
  }
  fpu(offset: number, type: "i32" | "i64"): Expr {
    return (type === "i32" ? i32 : i64).load(this.cpu, offset);
  }
  setFpu(offset: number, value: Expr): void {
    this.code.store(value.type === "i32" ? "i32" : "i64", this.cpu, value, offset);
  }

  call(name: string, result: ValType | "none", ...args: readonly Expr[]): Expr {
    const { index, type } = this.generated(name);
    if ((type.results[0] ?? "none") !== result) throw new Error(`generated function ${name} gives no ${result}`);
    const all = [this.cpu, ...args];
    if (all.length !== type.params.length || all.some((arg, i) => arg.type !== type.params[i])) {
      throw new Error(`generated function ${name} takes (${type.params.join()})`);
    }
    if (result === "none") {
      this.code.call(index, all);
      return i32.const(0);
    }
    const value = this.code.local(result);
    this.code.call(index, all, value);
    return value;
  }

  at(linear: Expr, size: Size, of: Operand): Operand {
    return { kind: "at", size, linear: this.let(linear), of };
  }

  #derived({ linear, size, of }: At, access: Access): Expr {
    const isLong = of.kind === "mem" && of.address === 64;
    return isLong ? derivedLong(this.check, linear) : derivedAddress(this.check, linear, size / 8, access);
  }

  offset(operand: Operand): Expr {
    if (operand.kind !== "mem") throw new Error("only a memory operand has an offset");
    return operand.address === 64 ? this.sum() : unsigned(this.sum(), 32);
  }

  /** Where a segment has a base or bounds, an address record went before, and the offset is CPU.ea. */
  linear(operand: Operand): Expr {
    return this.offset(operand);
  }

  direction(): Expr {
    return direction(this.cpu);
  }
  setDirection(on: boolean): void {
    setFlag(this.code, this.cpu, RFLAGS.DF, on);
  }
  setAlignmentCheck(on: boolean): void {
    setAlignmentCheck(this.code, this.cpu, on);
  }
  privilege(): Expr {
    return i32.load(this.cpu, CPU.cpl);
  }

  load(linear: Expr, size: Size): Expr {
    return load(this.#accessAt(linear, size), linear, size);
  }
  store(linear: Expr, value: Expr, size: Size): void {
    store(this.#accessAt(linear, size), linear, value, size);
  }
  direct(linear: Expr, access: "read" | "write"): Expr {
    return direct(this.access, linear, access === "write");
  }
  prepare(linear: Expr, size: Size): void {
    prepare(this.access, linear, size);
  }

  /** The access to `linear`; one to the stack looks whether the address is canonical before it is found not to be. */
  #accessAt(linear: Expr, size: Size): AccessStage {
    return this.#stack.has(linear) ? stackAccess(this.access, this.check, size) : this.access;
  }

  sourceAddress(offset: Expr, bytes: number, access: Access = "read"): Expr {
    return this.#stringAddress(offset, "base", bytes, access);
  }
  destinationAddress(offset: Expr, bytes: number, access: Access): Expr {
    return this.#stringAddress(offset, "index", bytes, access);
  }

  #stringAddress(offset: Expr, field: "base" | "index", bytes: number, access: Access): Expr {
    if (this.facts.segmented) return segmentAddress(this.check, offset, this.segmentSlot(field), bytes, access);
    return i64.add(offset, this.segmentBase(field));
  }

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
    if (this.facts.segmented) return stackSegmentAddress(this.check, offset, bytes, access);
    if (this.stackSize === 64) this.#stack.add(offset);
    return offset;
  }

  jump(target: Operand): void {
    if (target.kind !== "target") throw new Error("a relative branch needs a target");
    if (!target.computed) {
      this.follow(target);
      return;
    }
    this.checkTarget(target);
    this.jumpTo(this.#targetRip(target)!);
  }

  checkTarget(target: Operand | Expr, when?: Expr): void {
    const rip = target.kind === "target" ? this.#targetRip(target) : (target as Expr);
    // No target: it can be gone to. Flat code with a stack variant of its own may go anywhere.
    if (rip === undefined || (this.stackSize === 32 && !this.facts.segmented)) return;
    checkTarget(this.check, this.size, rip, when);
  }

  /** RIP that a relative branch goes to, if it may be one that cannot be gone to. */
  #targetRip(target: Target): Expr | undefined {
    if (target.computed) return unsigned(i64.add(this.nextRip(), this.displacement()), this.size);
    if (!target.cross || this.size !== 64) return undefined;
    // The page that it lies in tells.
    return i64.add(this.ripBase(), this.immediate(false));
  }

  fence(): void {
    this.code.fence();
  }

  data(): Expr {
    return i64.load(this.cpu, CPU.data);
  }
  setData(value: Expr): void {
    this.code.store("i64", this.cpu, value, CPU.data);
  }
}
