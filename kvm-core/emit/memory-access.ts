/**
 * Accesses to guest memory as both stages make them: the inlined TLB lookup, its slow path, and the locked store.
 * Document: architecture.md sections 5 (memory ordering) and 6 (TLB lookup).
 * Left out: how an address comes about, and segments: those are the stage's.
 */

import { PROBE, RMW } from "../cpu/access.ts";
import { CPU } from "../cpu/state.ts";
import { TLB } from "../cpu/zones.ts";
import type { Code } from "../wasm/code.ts";
import { type CompareExchange, type Expr, i32, i64, type Store, select } from "../wasm/expr.ts";
import { v128 } from "../wasm/simd.ts";
import { wanted } from "./boundary.ts";
import type { Size } from "./emitter.ts";

/** Function indices of the imports that accesses call. */
export interface AccessImports {
  readonly miss: number;
  readonly storeMiss: number;
  readonly lockedStore: number;
}

/** What an access needs of the stage that makes it. */
export interface AccessStage {
  readonly code: Code;
  readonly cpu: Expr;
  /** Address of the instruction's record. */
  readonly ip: Expr;
  readonly imports: AccessImports;
  /**
   * Load the addend of a TLB entry atomically: V8's optimiser then never folds two loads of one guest address, though
   * another processor may have written in between.
   */
  readonly ordered: boolean;
  /** A call that may look at the state of the vCPU. */
  call(func: number, args: readonly Expr[], result: Expr): void;
  /** Leaves if `condition`: the state says where to go on. */
  resumeIf(condition: Expr): void;
  /** Executes the instruction again if `condition`. */
  restartIf(condition: Expr): void;
  /** A store went the slow way: it may have hit a page that holds code. */
  storedSlowly(): void;
}

export const LOADS = { 8: i64.load8u, 16: i64.load16u, 32: i64.load32u, 64: i64.load } as const;
export const STORES: Readonly<Record<Size, Store>> = { 8: "i64as8", 16: "i64as16", 32: "i64as32", 64: "i64" };
const EXCHANGES: Readonly<Record<Size, CompareExchange>> = { 8: "i64as8", 16: "i64as16", 32: "i64as32", 64: "i64" };

/** An operand that is read and then written: where its bytes lie, and what was there. */
export interface Modified {
  readonly pointer: Expr;
  readonly address: Expr;
  readonly old: Expr;
}

export function load(stage: AccessStage, linear: Expr, size: Size): Expr {
  return stage.code.let(LOADS[size](translate(stage, linear, size, 0)));
}

/** 128 bits, aligned or not. */
export function loadV(stage: AccessStage, linear: Expr): Expr {
  return stage.code.let(v128.load(translate(stage, linear, 128, 0)));
}

export function storeV(stage: AccessStage, linear: Expr, value: Expr): void {
  const { code, cpu } = stage;
  const address = code.let(linear);
  const v = code.let(value);
  const entry = tlbEntry(stage, address);
  code.if(
    hit(entry, address, 128, TLB.write),
    () => code.store("v128", pointerOf(stage, entry, address, TLB.write), v),
    () => {
      code.store("i64", cpu, address, CPU.address);
      code.store("v128", cpu, v, CPU.bounce);
      storeMiss(stage, 128);
    },
  );
}

export function store(stage: AccessStage, linear: Expr, value: Expr, size: Size): void {
  const { code, cpu } = stage;
  const address = code.let(linear);
  const v = code.let(value);
  const entry = tlbEntry(stage, address);
  code.if(
    hit(entry, address, size, TLB.write),
    () => code.store(STORES[size], pointerOf(stage, entry, address, TLB.write), v),
    () => {
      code.store("i64", cpu, address, CPU.address);
      code.store("i64", cpu, v, CPU.bounce);
      storeMiss(stage, size);
    },
  );
}

/** Faults now where a store() would. */
export function prepare(stage: AccessStage, linear: Expr, size: Size): void {
  translate(stage, linear, size, PROBE);
}

/** See Emitter.direct(). */
export function direct(stage: AccessStage, linear: Expr, write: boolean): Expr {
  const { code, cpu } = stage;
  const table = write ? TLB.write : 0;
  const address = code.let(linear);
  const entry = tlbEntry(stage, address);
  const may = i32.and(hit(entry, address, 8, table), i32.eqz(wanted(cpu)));
  return code.let(select(may, pointerOf(stage, entry, address, table), i32.const(0)));
}

export function modify(stage: AccessStage, linear: Expr, size: Size): Modified {
  const address = stage.code.let(linear);
  const pointer = translate(stage, address, size, RMW);
  return { pointer, address, old: stage.code.let(LOADS[size](pointer)) };
}

/** The write that follows modify(). */
export function writeModified(stage: AccessStage, { pointer }: Modified, value: Expr, size: Size): void {
  const { code, cpu } = stage;
  code.store(STORES[size], pointer, value);
  // MMIO, a page crossing or a page with records: miss() gave the bounce buffer, and its content goes out now.
  code.if(i32.eq(pointer, i32.add(cpu, i32.const(CPU.bounce))), () => storeMiss(stage, size));
}

/**
 * LOCK: the new value goes in only where the old one still is; else the instruction is executed again. WebAssembly's
 * atomics want aligned addresses; misaligned operands, and those that modify() copied to the bounce buffer, go the slow way.
 */
export function compareExchange(stage: AccessStage, modified: Modified, value: Expr, size: Size): void {
  const { code, cpu, ip, imports } = stage;
  const { pointer, address, old } = modified;
  const v = code.let(value);
  const bounced = i32.eq(pointer, i32.add(cpu, i32.const(CPU.bounce)));
  const misaligned = size === 8 ? i32.const(0) : i32.and(pointer, i32.const(size / 8 - 1));
  code.if(
    i32.or(bounced, misaligned),
    () => {
      const status = code.local("i32");
      code.store("i64", cpu, address, CPU.address);
      code.store("i64", cpu, old, CPU.data);
      code.store("i64", cpu, v, CPU.bounce);
      stage.call(imports.lockedStore, [ip, i32.const(size / 8)], status);
      stage.resumeIf(i32.eq(status, i32.const(1)));
      stage.restartIf(status);
      stage.storedSlowly();
    },
    () => {
      const found = code.local("i64");
      code.compareExchange(EXCHANGES[size], pointer, old, v, found);
      stage.restartIf(i64.ne(found, old));
    },
  );
}

/** Address in CPU.address, bytes in CPU.bounce. */
function storeMiss(stage: AccessStage, size: Size | 128): void {
  const status = stage.code.local("i32");
  stage.call(stage.imports.storeMiss, [stage.ip, i32.const(size / 8)], status);
  stage.resumeIf(status);
  stage.storedSlowly();
}

function tlbEntry({ code, cpu }: AccessStage, address: Expr): Expr {
  const index = i32.and(i64.toI32(i64.shru(address, i64.const(8))), i32.const((TLB.entries - 1) * TLB.entrySize));
  return code.let(i32.add(i32.load(cpu, CPU.tlbBase), index));
}

/** The tag equals the page of the access's last byte: an access that crosses pages misses by itself. */
function hit(entry: Expr, address: Expr, size: Size | 128, table: number): Expr {
  const last = size === 8 ? address : i64.add(address, i64.const(size / 8 - 1));
  return i64.eq(i64.load(entry, table + TLB.tag), i64.and(last, i64.const(-4096)));
}

function pointerOf({ ordered }: AccessStage, entry: Expr, address: Expr, table: number): Expr {
  const addend = (ordered ? i32.atomicLoad : i32.load)(entry, table + TLB.addend);
  return i32.add(i64.toI32(address), addend);
}

/** Where in linear memory the bytes lie; for RMW they may be written there, writeModified() sees to the rest. */
function translate(stage: AccessStage, linear: Expr, size: Size | 128, access: number): Expr {
  const { code, cpu, ip, imports } = stage;
  const table = access & RMW ? TLB.write : 0;
  const address = code.let(linear);
  const entry = tlbEntry(stage, address);
  const pointer = code.local("i32");
  code.if(
    hit(entry, address, size, table),
    () => code.set(pointer, pointerOf(stage, entry, address, table)),
    () => {
      code.store("i64", cpu, address, CPU.address);
      stage.call(imports.miss, [ip, i32.const(access | (size / 8))], pointer);
      stage.resumeIf(i32.eqz(pointer));
    },
  );
  return pointer;
}
