/**
 * The interpreter's stage of the Emitter: operands are fields of the record at $ip.
 * Document: architecture.md sections 5 and 6 (record, TLB lookup, pending word).
 * Left out: the `ordered` mode: no case loads one address twice, and none goes on into another without a
 * branch that V8's optimiser cannot see through.
 */

import { CPU } from "../cpu/state.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { jumpCache, linkedRecord, TAKEN, wanted } from "./boundary.ts";
import type { Field, Operand, Size } from "./emitter.ts";
import { unsigned } from "./flags.ts";
import type { HelperName } from "./helper-names.ts";
import { type AccessImports, type AccessStage, LOADS, STORES } from "./memory-access.ts";
import { RECORD } from "./record.ts";
import { type CheckStage, recordAddress } from "./segment.ts";
import { type FormFacts, type GeneratedFunction, Stage } from "./stage.ts";

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
    generated(name: string): GeneratedFunction;
  };
}

export class InterpStage extends Stage {
  readonly #frame: Frame;
  readonly #target: boolean;
  protected readonly access: AccessStage;
  protected readonly check: CheckStage;

  constructor(frame: Frame, facts: FormFacts, operands: readonly Operand[]) {
    const { code, cpu, ip, imports, resume, top } = frame;
    super(code, cpu, facts);
    this.#frame = frame;
    this.#target = operands.some((operand) => operand.kind === "target");
    this.access = {
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
    this.check = { code, cpu, ip, raise: (vector) => this.#raise(vector) };
  }

  if(condition: Expr, then: () => void, otherwise?: () => void): void {
    this.code.if(condition, then, otherwise);
  }

  // --- where values are

  protected fpuField(field: Field): Expr {
    return this.#slot(field);
  }
  protected generated(name: string): GeneratedFunction {
    return this.#frame.imports.generated(name);
  }
  protected readField(field: Field, size: Size): Expr {
    return LOADS[size](this.#slot(field));
  }
  protected writeField(field: Field, value: Expr, size: Size): void {
    this.#store(this.#slot(field), value, size);
  }
  protected number(field: Field): Expr {
    return i32.toI64u(this.segmentSlot(field));
  }
  protected immediate(wide: boolean): Expr {
    return wide ? i64.load(this.#frame.ip, RECORD.wide) : i64.load32s(this.#frame.ip, RECORD.imm);
  }
  protected displacement(): Expr {
    return i64.load32s(this.#frame.ip, RECORD.disp);
  }
  protected farOffset(): Expr {
    return i64.load32u(this.#frame.ip, RECORD.disp);
  }
  readSelector(_operand: Operand): Expr {
    return i64.load32u(this.#frame.ip, RECORD.imm);
  }
  protected sum(): Expr {
    const base = i64.load(this.#slot("base"));
    const index = i64.shl(i64.load(this.#slot("index")), i64.load8u(this.#frame.ip, RECORD.scale));
    return i64.add(i64.add(base, index), this.displacement());
  }
  protected ripBase(): Expr {
    return i64.load(this.cpu, CPU.ripBase);
  }
  protected segmentSlot(field: Field | "index"): Expr {
    return i32.load8u(this.#frame.ip, RECORD[field]);
  }
  protected segmentBase(field: "base" | "index"): Expr {
    return i64.load(this.#slot(field));
  }

  gpr(register: number, size: Size = 64): Expr {
    return LOADS[size](this.cpu, CPU.gpr + register * 8);
  }
  setGpr(register: number, value: Expr, size: Size = 64): void {
    this.#store(this.cpu, value, size, CPU.gpr + register * 8);
  }

  flagResult(): Expr {
    return i64.load(this.cpu, CPU.flagResult);
  }
  flagAux(): Expr {
    return i64.load(this.cpu, CPU.flagAux);
  }
  setFlagResult(value: Expr): void {
    this.code.store("i64", this.cpu, value, CPU.flagResult);
  }
  setFlagAux(value: Expr): void {
    this.code.store("i64", this.cpu, value, CPU.flagAux);
  }

  #slot(field: Field | "index"): Expr {
    return i32.add(this.cpu, this.segmentSlot(field));
  }

  /** A 32-bit register write clears bits 63..32; 8- and 16-bit ones leave the rest (SDM volume 1, 3.4.1.1). */
  #store(address: Expr, value: Expr, size: Size, offset = 0): void {
    if (size === 32) this.code.store("i64", address, unsigned(value, 32), offset);
    else this.code.store(STORES[size], address, value, offset);
  }

  // --- control

  nextRip(): Expr {
    const { ip, cpu } = this.#frame;
    const at = this.#target ? i64.load16u(ip, RECORD.next) : i64.load32s(ip, RECORD.imm);
    return i64.add(i64.load(cpu, CPU.ripBase), at);
  }

  thisRip(): Expr {
    return i64.sub(this.nextRip(), i64.load8u(this.#frame.ip, RECORD.length));
  }

  jumpIf(condition: Expr, target: Operand): void {
    const { code, ip, top } = this.#frame;
    code.if(condition, () => this.jump(target));
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

  protected follow(target: Operand & { readonly kind: "target" }): void {
    const { code, cpu, ip, top } = this.#frame;
    if (target.cross) {
      const base = code.let(i64.add(i64.load(cpu, CPU.ripBase), i64.load32s(ip, RECORD.imm)));
      code.store("i64", cpu, base, CPU.ripBase);
      code.set(ip, linkedRecord(ip, base));
    } else code.set(ip, i32.load(ip, RECORD.disp));
    checkPending(this.#frame);
    code.br(top);
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

  trap(name: HelperName, a: Expr = i32.const(0)): void {
    const { code, ip, imports, resume } = this.#frame;
    code.call(imports.helpers[name], [ip, a, i32.const(0)], code.local("i32"));
    code.br(resume);
  }

  helper(name: HelperName, a: Expr = i32.const(0), b: Expr = i32.const(0)): void {
    const { code, ip, imports, resume } = this.#frame;
    const status = code.local("i32");
    code.call(imports.helpers[name], [ip, a, b], status);
    code.brIf(resume, status);
  }

  /** Goes on with the record behind this one. */
  next(): void {
    const { code, ip, top } = this.#frame;
    code.set(ip, i32.add(ip, i32.const(RECORD.size)));
    code.br(top);
  }

  /** The address record's work: see MICRO.ea16. */
  addressRecord(size: 16 | 32 | 64, wide: boolean, long: boolean): void {
    const sum = wide ? this.immediate(true) : this.sum();
    this.code.store("i64", this.cpu, recordAddress(this.check, sum, size, long), CPU.ea);
    this.next();
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
