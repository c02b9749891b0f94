/**
 * The interpreter's stage of the Emitter: operands are fields of the record at $ip.
 * Document: architecture.md sections 5 and 6 (record, TLB lookup, pending word).
 * Left out: LOCK as wasm atomics, the `ordered` mode, segment limits.
 */

import { PROBE, RMW } from "../cpu/access.ts";
import { CPU, GPR, SEG } from "../cpu/state.ts";
import { TLB, ZONE } from "../cpu/zones.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, i32, i64, type Store } from "../wasm/expr.ts";
import { alignmentCheck } from "./alignment-check.ts";
import type { Emitter, HelperName, Operand, Size } from "./emitter.ts";
import { signed, unsigned } from "./flags.ts";
import { RECORD } from "./record.ts";

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
  readonly imports: {
    readonly miss: number;
    readonly storeMiss: number;
    readonly raise: number;
    readonly lookup: number;
    readonly helpers: Readonly<Record<HelperName, number>>;
  };
}

/** What a form fixes beside its operands. */
export interface FormFacts {
  readonly size: Size;
  readonly addressSize: 16 | 32 | 64;
  readonly stackSize: 32 | 64;
  readonly repeat: "none" | "rep" | "repne";
}

const STORES: Readonly<Record<Size, Store>> = { 8: "i64as8", 16: "i64as16", 32: "i64as32", 64: "i64" };
const LOADS = { 8: i64.load8u, 16: i64.load16u, 32: i64.load32u, 64: i64.load } as const;

export class InterpStage implements Emitter {
  readonly #frame: Frame;
  readonly #code: Code;
  readonly #facts: FormFacts;
  /** Where write() finds a memory operand that modify() translated. */
  readonly #translated = new Map<Operand, Expr>();
  readonly #target: boolean;

  constructor(frame: Frame, facts: FormFacts, operands: readonly Operand[]) {
    this.#frame = frame;
    this.#code = frame.code;
    this.#facts = facts;
    this.#target = operands.some((operand) => operand.kind === "target");
  }

  get size(): Size {
    return this.#facts.size;
  }
  get addressSize(): 16 | 32 | 64 {
    return this.#facts.addressSize;
  }
  get stackSize(): 32 | 64 {
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
    if (operand.kind !== "mem") return this.read(operand);
    const pointer = this.#translate(this.linear(operand), operand.size, RMW);
    this.#translated.set(operand, pointer);
    return this.let(LOADS[operand.size](pointer));
  }

  write(operand: Operand, value: Expr): void {
    if (operand.kind === "reg") {
      this.#store(this.#slot(operand.field), value, operand.size);
      return;
    }
    if (operand.kind !== "mem") throw new Error(`write to an operand of kind ${operand.kind}`);
    const pointer = this.#translated.get(operand);
    if (pointer === undefined) {
      this.store(this.linear(operand), value, operand.size);
      return;
    }
    const { code, cpu, ip, imports, resume } = this.#frame;
    code.store(STORES[operand.size], pointer, value);
    // MMIO, a page crossing or a page with records: miss() gave the bounce buffer, and its content goes out now.
    const status = code.local("i32");
    code.if(i32.eq(pointer, i32.add(cpu, i32.const(CPU.bounce))), () => {
      code.call(imports.storeMiss, [ip, i32.const(operand.size / 8)], status);
      code.brIf(resume, status);
    });
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
    return i32.and(i32.shru(i32.load(this.#frame.cpu, CPU.eflags), i32.const(10)), i32.const(1));
  }
  setDirection(on: boolean): void {
    const flags = i32.load(this.#frame.cpu, CPU.eflags);
    const value = on ? i32.or(flags, i32.const(0x400)) : i32.and(flags, i32.const(~0x400));
    this.#code.store("i32", this.#frame.cpu, value, CPU.eflags);
  }

  setAlignmentCheck(on: boolean): void {
    alignmentCheck(this.#code, this.#frame.cpu, on);
  }
  privilege(): Expr {
    return i32.load(this.#frame.cpu, CPU.cpl);
  }

  // --- memory

  load(linear: Expr, size: Size): Expr {
    return this.let(LOADS[size](this.#translate(linear, size, 0)));
  }

  store(linear: Expr, value: Expr, size: Size): void {
    const { code, cpu, ip, imports, resume } = this.#frame;
    const address = code.let(linear);
    const v = code.let(value);
    const entry = this.#entry(address);
    code.if(
      this.#hit(entry, address, size, TLB.write),
      () => code.store(STORES[size], this.#pointer(entry, address, TLB.write), v),
      () => {
        const status = code.local("i32");
        code.store("i64", cpu, address, CPU.address);
        code.store("i64", cpu, v, CPU.bounce);
        code.call(imports.storeMiss, [ip, i32.const(size / 8)], status);
        code.brIf(resume, status);
      },
    );
  }

  prepare(linear: Expr, size: Size): void {
    this.#translate(linear, size, PROBE);
  }

  sourceAddress(offset: Expr): Expr {
    return this.#segmented(offset, i64.load(this.#slot("base")));
  }

  destinationAddress(offset: Expr): Expr {
    return this.#segmented(offset, i64.load(this.#slot("index")));
  }

  // --- stack

  push(value: Expr, size: Size): void {
    const v = this.let(value);
    const sp = this.let(this.#stackPointer(i64.sub(this.gpr(GPR.rsp), i64.const(size / 8))));
    this.store(this.stackAddress(sp), v, size);
    this.setGpr(GPR.rsp, sp);
  }

  top(size: Size): Expr {
    return this.load(this.stackAddress(this.#stackPointer(this.gpr(GPR.rsp))), size);
  }

  release(size: Size, extra?: Expr): void {
    const moved = i64.add(this.gpr(GPR.rsp), i64.const(size / 8));
    this.setGpr(GPR.rsp, this.#stackPointer(extra ? i64.add(moved, extra) : moved));
  }

  stackAddress(offset: Expr): Expr {
    if (this.stackSize === 64) return offset;
    return unsigned(i64.add(offset, i64.load(this.#frame.cpu, CPU.segBase + SEG.ss * 8)), 32);
  }

  #stackPointer(value: Expr): Expr {
    return unsigned(value, this.stackSize);
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
    // Behind a branch lies its link record.
    code.set(ip, i32.add(ip, i32.const(2 * RECORD.size)));
    code.br(top);
  }

  jumpTo(rip: Expr): void {
    const { code, cpu, ip, leave, top, imports } = this.#frame;
    const to = code.let(rip);
    // Jump cache: tag RIP, u32 record, u32 page offset. Index: the low bits, mixed with the page number.
    const mixed = i64.toI32(i64.xor(to, i64.shru(to, i64.const(12))));
    const jumpBase = i32.load(cpu, CPU.jumpBase);
    const entry = code.let(i32.add(jumpBase, i32.shl(i32.and(mixed, i32.const(0xfff)), i32.const(4))));
    code.if(
      i64.eq(i64.load(entry, ZONE.jumpCache), to),
      () => {
        code.set(ip, i32.load(entry, ZONE.jumpCache + 8));
        code.store("i64", cpu, i64.sub(to, i64.load32u(entry, ZONE.jumpCache + 12)), CPU.ripBase);
        this.#checkPending();
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

  again(condition: Expr): void {
    const { code, top } = this.#frame;
    code.if(condition, () => {
      this.#checkPending();
      code.br(top);
    });
  }

  raise(vector: number): void {
    const { code, ip, imports, resume } = this.#frame;
    code.call(imports.raise, [ip, i32.const(vector)]);
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
    const { code, cpu, ip } = this.#frame;
    const sum = wide ? i64.load(ip, RECORD.wide) : this.offset({ kind: "mem", size: 8, address: 64 });
    const linear = i64.add(unsigned(sum, size), i64.load(this.#slot("dst")));
    code.store("i64", cpu, long ? linear : unsigned(linear, 32), CPU.ea);
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

  #segmented(offset: Expr, base: Expr): Expr {
    const sum = i64.add(offset, base);
    return this.addressSize === 64 ? sum : unsigned(sum, 32);
  }

  #entry(address: Expr): Expr {
    const index = i32.and(i64.toI32(i64.shru(address, i64.const(8))), i32.const((TLB.entries - 1) * TLB.entrySize));
    return this.#code.let(i32.add(i32.load(this.#frame.cpu, CPU.tlbBase), index));
  }

  /** The tag equals the page of the access's last byte: an access that crosses pages misses by itself. */
  #hit(entry: Expr, address: Expr, size: Size, table: number): Expr {
    const last = size === 8 ? address : i64.add(address, i64.const(size / 8 - 1));
    return i64.eq(i64.load(entry, table + TLB.tag), i64.and(last, i64.const(-4096)));
  }

  #pointer(entry: Expr, address: Expr, table: number): Expr {
    return i32.add(i64.toI32(address), i32.load(entry, table + TLB.addend));
  }

  /** Where in linear memory the bytes lie; for RMW they may be written there, write() sees to the rest. */
  #translate(linear: Expr, size: Size, access: number): Expr {
    const { code, cpu, ip, imports, resume } = this.#frame;
    const table = access & RMW ? TLB.write : 0;
    const address = code.let(linear);
    const entry = this.#entry(address);
    const pointer = code.local("i32");
    code.if(
      this.#hit(entry, address, size, table),
      () => code.set(pointer, this.#pointer(entry, address, table)),
      () => {
        code.store("i64", cpu, address, CPU.address);
        code.call(imports.miss, [ip, i32.const(access | (size / 8))], pointer);
        code.brIf(resume, i32.eqz(pointer));
      },
    );
    return pointer;
  }

  #take(target: Operand): void {
    if (target.kind !== "target") throw new Error("a relative branch needs a target");
    const { code, cpu, ip, top } = this.#frame;
    if (target.cross) {
      const base = i64.add(i64.load(cpu, CPU.ripBase), i64.load32s(ip, RECORD.imm));
      code.store("i64", cpu, base, CPU.ripBase);
    }
    code.set(ip, i32.load(ip, RECORD.disp));
    this.#checkPending();
    code.br(top);
  }

  /** Atomic loads, so that the optimiser never folds two looks at a word that other threads write. */
  #checkPending(): void {
    const { code, cpu, budget, leave } = this.#frame;
    code.set(budget, i32.sub(budget, i32.const(1)));
    const wanted = i32.or(i32.atomicLoad(cpu, CPU.pending), i32.atomicLoad(cpu, ZONE.kick - ZONE.cpu));
    code.brIf(leave, i32.or(wanted, i32.eqz(budget)));
  }
}

/** The case of MICRO.go. */
export function goRecord(frame: Frame): void {
  const { code, cpu, ip, top } = frame;
  code.store("i64", cpu, i64.add(i64.load(cpu, CPU.ripBase), i64.load32s(ip, RECORD.imm)), CPU.ripBase);
  code.set(ip, i32.load(ip, RECORD.disp));
  code.br(top);
}
