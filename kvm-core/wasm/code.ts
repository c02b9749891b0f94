/**
 * The body of one WebAssembly function: statements, structured control, locals that are reused.
 * Document: WebAssembly core specification, 5.4 and 5.5.13 (code section).
 * Left out: block results; a block hands values on in locals.
 */

import { Bytes } from "./bytes.ts";
import {
  COMPARE_EXCHANGE,
  type CompareExchange,
  type Expr,
  local,
  SIMD_OP,
  STORE,
  type Store,
  type ValType,
} from "./expr.ts";

export const VALTYPE_BYTE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
const EMPTY_BLOCK = 0x40;

/** Where a branch goes: the end of a block, or the head of a loop. */
export interface Label {
  readonly depth: number;
}

/** The function's locals beyond its parameters, and which of them are in use. */
interface Pool {
  readonly indices: number[];
  used: number;
}

export class Code {
  #body = new Bytes();
  readonly #types: ValType[];
  readonly #params: number;
  readonly #pools: Record<ValType, Pool> = {
    i32: { indices: [], used: 0 },
    i64: { indices: [], used: 0 },
    f32: { indices: [], used: 0 },
    f64: { indices: [], used: 0 },
    v128: { indices: [], used: 0 },
  };
  #depth = 0;

  constructor(params: readonly ValType[]) {
    this.#types = [...params];
    this.#params = params.length;
  }

  param(index: number): Expr {
    return local(this.#types[index]!, index);
  }

  /** A local of its own, until the scope() around it ends. */
  local(type: ValType): Expr {
    const pool = this.#pools[type];
    if (pool.used === pool.indices.length) {
      pool.indices.push(this.#types.length);
      this.#types.push(type);
    }
    return local(type, pool.indices[pool.used++]!);
  }

  /** A local that no scope() ends. */
  fixed(type: ValType): Expr {
    return local(type, this.#types.push(type) - 1);
  }

  /** Locals made inside are free for reuse afterwards. */
  scope(inside: () => void): void {
    const used = Object.values(this.#pools).map((pool) => pool.used);
    inside();
    Object.values(this.#pools).forEach((pool, i) => {
      pool.used = used[i]!;
    });
  }

  set(target: Expr, value: Expr): void {
    if (target.kind !== "local" || target.type !== value.type) throw new Error("set: no local of the value's type");
    this.#expr(value);
    this.#body.byte(0x21);
    this.#body.unsigned(Number(target.value));
  }

  /** Evaluates now; the result is a local. Constants and locals of their own stay as they are. */
  let(value: Expr): Expr {
    if (value.kind === "const") return value;
    const target = this.local(value.type);
    this.set(target, value);
    return target;
  }

  store(kind: Store, address: Expr, value: Expr, offset = 0): void {
    this.#expr(address);
    this.#expr(value);
    this.#opcode(STORE[kind]);
    this.#body.byte(0);
    this.#body.unsigned(offset);
  }

  /**
   * Atomically puts `desired` in the place of `expected`; `found` gets what was there, zero-extended. The upper bits of
   * `expected` must be zero for a narrow width. The address must be aligned, or the instruction traps.
   */
  compareExchange(kind: CompareExchange, address: Expr, expected: Expr, desired: Expr, found: Expr): void {
    const [op, align] = COMPARE_EXCHANGE[kind];
    for (const arg of [address, expected, desired]) this.#expr(arg);
    this.#body.bytes(0xfe, op, align, 0, 0x21);
    this.#body.unsigned(Number(found.value));
  }

  /** Copies `length` bytes, which may overlap, as if by way of a copy of them. */
  memoryCopy(to: Expr, from: Expr, length: Expr): void {
    for (const arg of [to, from, length]) this.#expr(arg);
    this.#body.bytes(0xfc, 0x0a, 0x00, 0x00);
  }

  /** Sets `length` bytes to the low byte of `value` (i32). */
  memoryFill(to: Expr, value: Expr, length: Expr): void {
    for (const arg of [to, value, length]) this.#expr(arg);
    this.#body.bytes(0xfc, 0x0b, 0x00);
  }

  /** Orders all memory accesses before it against all after it. */
  fence(): void {
    this.#body.bytes(0xfe, 0x03, 0x00);
  }

  /** An atomic i32 store; like all atomics it wants an address that 4 divides. */
  atomicStore(address: Expr, value: Expr, offset = 0): void {
    this.#expr(address);
    this.#expr(value);
    this.#body.bytes(0xfe, 0x17, 2);
    this.#body.unsigned(offset);
  }

  /** Adds to an i32 atomically; `before` takes the value that was there. */
  atomicAdd(address: Expr, value: Expr, before: Expr, offset = 0): void {
    this.#expr(address);
    this.#expr(value);
    this.#body.bytes(0xfe, 0x1e, 2);
    this.#body.unsigned(offset);
    this.#body.byte(0x21);
    this.#body.unsigned(Number(before.value));
  }

  /** A call statement; `result` takes its value. */
  call(func: number, args: readonly Expr[], result?: Expr): void {
    for (const arg of args) this.#expr(arg);
    this.#body.byte(0x10);
    this.#body.unsigned(func);
    if (result === undefined) return;
    this.#body.byte(0x21);
    this.#body.unsigned(Number(result.value));
  }

  /** Calls the function of type `type` (ModuleBuilder.type) at `slot` of the table. */
  callIndirect(type: number, slot: Expr, args: readonly Expr[], result: Expr): void {
    for (const arg of args) this.#expr(arg);
    this.#expr(slot);
    this.#body.byte(0x11);
    this.#body.unsigned(type);
    this.#body.bytes(0x00, 0x21);
    this.#body.unsigned(Number(result.value));
  }

  /** Where the next statement goes: for insert(). */
  get position(): number {
    return this.#body.length;
  }

  /** Puts statements before those from `position` on: for what turns out only later, such as which registers are needed. */
  insert(position: number, inside: () => void): void {
    const whole = this.#body;
    this.#body = new Bytes();
    inside();
    whole.insert(position, this.#body);
    this.#body = whole;
  }

  block(inside: (end: Label) => void): void {
    this.#structure(0x02, inside);
  }

  loop(inside: (head: Label) => void): void {
    this.#structure(0x03, inside);
  }

  if(condition: Expr, then: () => void, otherwise?: () => void): void {
    this.#expr(condition);
    this.#body.bytes(0x04, EMPTY_BLOCK);
    this.#depth++;
    then();
    if (otherwise) {
      this.#body.byte(0x05);
      otherwise();
    }
    this.#depth--;
    this.#body.byte(0x0b);
  }

  br(label: Label): void {
    this.#body.byte(0x0c);
    this.#body.unsigned(this.#depth - label.depth);
  }

  brIf(label: Label, condition: Expr): void {
    this.#expr(condition);
    this.#body.byte(0x0d);
    this.#body.unsigned(this.#depth - label.depth);
  }

  return(value?: Expr): void {
    if (value) this.#expr(value);
    this.#body.byte(0x0f);
  }

  unreachable(): void {
    this.#body.byte(0x00);
  }

  /** `switch (index)` with one arm per function; an arm that falls off its end runs into the next one. */
  switch(index: Expr, arms: readonly (() => void)[]): void {
    for (const _ of arms) this.#body.bytes(0x02, EMPTY_BLOCK);
    this.#expr(index);
    this.#body.byte(0x0e);
    this.#body.unsigned(arms.length - 1);
    for (let i = 0; i < arms.length; i++) this.#body.unsigned(i);
    this.#depth += arms.length;
    for (const arm of arms) {
      this.#depth--;
      this.#body.byte(0x0b);
      this.scope(arm);
    }
  }

  /** Local declarations and body, as the code section wants them. */
  encode(): Bytes {
    const out = new Bytes();
    const types = this.#types.slice(this.#params);
    const runs: [ValType, number][] = [];
    for (const type of types) {
      const last = runs.at(-1);
      if (last?.[0] === type) last[1]++;
      else runs.push([type, 1]);
    }
    out.unsigned(runs.length);
    for (const [type, count] of runs) {
      out.unsigned(count);
      out.byte(VALTYPE_BYTE[type]);
    }
    out.append(this.#body);
    out.byte(0x0b);
    return out;
  }

  #structure(op: number, inside: (label: Label) => void): void {
    this.#body.bytes(op, EMPTY_BLOCK);
    this.#depth++;
    inside({ depth: this.#depth });
    this.#depth--;
    this.#body.byte(0x0b);
  }

  #expr(e: Expr): void {
    for (const arg of e.args) this.#expr(arg);
    const body = this.#body;
    switch (e.kind) {
      case "local":
      case "global":
        body.byte(e.op);
        body.unsigned(Number(e.value));
        break;
      case "const":
        this.#opcode(e.op);
        if (e.type === "v128") body.bytes(...e.bytes);
        else if (e.type === "f32" || e.type === "f64") this.#float(e);
        else body.signed(e.value);
        break;
      case "load":
        this.#opcode(e.op);
        body.unsigned(e.align);
        body.unsigned(Number(e.value));
        break;
      default:
        this.#opcode(e.op);
        body.bytes(...e.bytes);
    }
  }

  /** The two older prefixes are followed by a byte, that of v128 by a LEB128 number; see Expr.op. */
  #opcode(op: number): void {
    if (op >= SIMD_OP) {
      this.#body.byte(0xfd);
      this.#body.unsigned(op - SIMD_OP);
      return;
    }
    if (op > 0xff) this.#body.byte(op >>> 8);
    this.#body.byte(op & 0xff);
  }

  #float(e: Expr): void {
    const view = new DataView(new ArrayBuffer(8));
    const size = e.type === "f32" ? 4 : 8;
    if (size === 4) view.setFloat32(0, Number(e.value), true);
    else view.setFloat64(0, Number(e.value), true);
    for (let i = 0; i < size; i++) this.#body.byte(view.getUint8(i));
  }
}
