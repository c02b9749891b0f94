/**
 * What a TLB miss does in generated code: walks, enters the page in the TLB and goes on, if the page is plain RAM.
 * Document: architecture.md section 6 (TLB, what takes the slow path); SDM volume 1, 3.3.7.1 (canonical addresses).
 * Left out: everything else: faults, MMIO, page crossings, writes that somebody must hear of. memory.ts has it.
 *
 * fill(cpu, access) -> linear address of the bytes, or 0 with nothing changed but marks in the guest's tables.
 * miss(ip, size | RMW or PROBE) -> linear address of the bytes, or 0 after a fault was delivered.
 * storeMiss(ip, size) -> 0, or 1 after a fault was delivered; the data lies in CPU.bounce.
 * The three take the address from CPU.address. miss() and storeMiss() are what a TLB lookup calls, in any module of a vCPU.
 */

import { ACCESS, RMW } from "../cpu/access.ts";
import { MODE } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import { GPA_PRESENT, GPA_SLOW_WRITE, GPA_TABLE, TLB, TLB_PAGE, ZONE } from "../cpu/zones.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, type Store } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { v128 } from "../wasm/simd.ts";
import { defineWalk } from "./walker.ts";

const TWO_TO_ONE: FuncType = { params: ["i32", "i32"], results: ["i32"] };

/** What the functions need of the module that they are defined in. */
export interface MmuImports {
  /** The vCPU's zone: an imported global. */
  readonly cpu: Expr;
  /** Function indices of imports: one of TABLE_WRITTEN_TYPE, and what miss() and storeMiss() leave to TypeScript. */
  readonly tableWritten: number;
  readonly slowMiss: number;
  readonly slowStore: number;
}

/** The sizes that are read and written in one piece, as the processor does, and how. */
const PIECES = [
  [16, v128.load, "v128"],
  [8, i64.load, "i64"],
  [4, i64.load32u, "i64as32"],
  [2, i64.load16u, "i64as16"],
  [1, i64.load8u, "i64as8"],
] as const satisfies readonly (readonly [number, (address: Expr) => Expr, Store])[];

/** Defines and exports walk, fill, miss, storeMiss and move; returns the function indices of the last two. */
export function defineMmu(
  module: ModuleBuilder,
  imports: MmuImports,
): { readonly miss: number; readonly storeMiss: number } {
  const walk = defineWalk(module, imports.tableWritten);
  const fill = module.define("fill", TWO_TO_ONE);
  emitFill(fill, walk);
  const miss = module.define("miss", TWO_TO_ONE);
  emitMiss(miss, module.indexOf(fill), imports);
  const storeMiss = module.define("storeMiss", TWO_TO_ONE);
  emitStoreMiss(storeMiss, module.indexOf(fill), imports);
  emitMove(module.define("move", { params: ["i32", "i32", "i32"], results: [] }));
  return { miss: module.indexOf(miss), storeMiss: module.indexOf(storeMiss) };
}

function emitFill(code: Code, walk: number): void {
  const [cpu, access] = [code.param(0), code.param(1)];
  const address = code.let(i64.load(cpu, CPU.address));
  const giveUpIf = (condition: Expr): void => code.if(condition, () => code.return(i32.const(0)));
  // Misaligned accesses are found on the slow path.
  giveUpIf(i32.eq(i32.load(cpu, CPU.tlbBase), i32.add(cpu, i32.const(ZONE.tlbNever))));
  // Bit 47 repeated: #GP otherwise.
  const canonical = i64.shrs(i64.shl(address, i64.const(16)), i64.const(16));
  const size = i32.and(i32.load(cpu, CPU.mode), i32.const(MODE.codeSize));
  code.if(i32.eq(size, i32.const(MODE.code64)), () => giveUpIf(i64.ne(canonical, address)));
  code.if(i32.load(cpu, CPU.watched), () => {
    const page = code.let(i64.and(address, i64.const(-4096)));
    for (let i = 0; i < 4; i++) giveUpIf(i64.eq(page, i64.load(cpu, CPU.watchPages + i * 8)));
  });
  const mapped = code.local("i32");
  const high = i64.toI32(i64.shru(address, i64.const(32)));
  code.call(walk, [cpu, i64.toI32(address), high, access], mapped);
  giveUpIf(i32.eqz(mapped));
  const gpa = code.let(i64.load(cpu, CPU.walkGpa));
  giveUpIf(i64.ne(i64.shru(gpa, i64.const(32)), i64.const(0)));
  const low = i64.toI32(gpa);
  const page = code.let(i32.load(i32.shl(i32.shru(low, i32.const(12)), i32.const(2)), GPA_TABLE));
  giveUpIf(i32.eqz(i32.and(page, i32.const(GPA_PRESENT))));
  const writes = i32.and(access, i32.const(ACCESS.write));
  code.if(writes, () => giveUpIf(i32.and(page, i32.const(GPA_SLOW_WRITE))));
  const pointer = code.let(i32.or(i32.and(page, i32.const(-4096)), i32.and(low, i32.const(0xfff))));
  emitEntry(code, cpu, address, pointer, low, writes);
  code.return(pointer);
  code.unreachable();
}

/** The entry in the class in force: in the read table, and for a write in the write table too. */
function emitEntry(code: Code, cpu: Expr, address: Expr, pointer: Expr, gpa: Expr, writes: Expr): void {
  const base = code.let(i32.load(cpu, CPU.tlbBase));
  const index = i32.and(i64.toI32(i64.shru(address, i64.const(8))), i32.const((TLB.entries - 1) * TLB.entrySize));
  const entry = code.let(i32.add(base, index));
  const flags = code.let(i32.load(cpu, CPU.walkPage));
  const tag = code.let(i64.and(address, i64.const(-4096)));
  const kept = i32.and(flags, i32.const(TLB_PAGE.global | TLB_PAGE.large));
  const addend = i32.sub(pointer, i64.toI32(address));
  const rest = i64.shl(i32.toI64u(i32.or(i32.and(gpa, i32.const(-4096)), kept)), i64.const(32));
  const second = code.let(i64.or(rest, i32.toI64u(addend)));
  code.store("i64", entry, tag, TLB.tag);
  code.store("i64", entry, second, TLB.addend);
  code.if(writes, () => {
    code.store("i64", entry, tag, TLB.write + TLB.tag);
    code.store("i64", entry, second, TLB.write + TLB.addend);
  });
  // What a flush has to look at: tlb.ts.
  const number = i32.shru(i32.sub(base, i32.add(cpu, i32.const(ZONE.tlb))), i32.const(Math.log2(TLB.classSize)));
  const classBit = code.let(i32.shl(i32.const(1), number));
  code.store("i32", cpu, i32.or(i32.load(cpu, CPU.tlbUsed), classBit), CPU.tlbUsed);
  code.if(i32.and(flags, i32.const(TLB_PAGE.global)), () => {
    code.store("i32", cpu, i32.or(i32.load(cpu, CPU.tlbGlobal), classBit), CPU.tlbGlobal);
  });
  code.if(i32.and(flags, i32.const(TLB_PAGE.large)), () => {
    // A shift counts modulo 64.
    const gib = i64.shl(i64.const(1), i64.shru(address, i64.const(30)));
    code.store("i64", cpu, i64.or(i64.load(cpu, CPU.tlbLarge), gib), CPU.tlbLarge);
  });
}

/** fill() for a data access of `size` bytes that stays in its page; 0 if it does not. */
function tryFill(code: Code, fill: number, cpu: Expr, size: Expr, write: Expr): Expr {
  const pointer = code.local("i32");
  code.set(pointer, i32.const(0));
  const inPage = i32.and(i32.load(cpu, CPU.address), i32.const(0xfff));
  code.if(i32.leu(i32.add(inPage, size), i32.const(4096)), () => {
    code.call(fill, [cpu, i32.or(i32.load(cpu, CPU.dataAccess), write)], pointer);
  });
  return pointer;
}

function emitMiss(code: Code, fill: number, { cpu, slowMiss }: MmuImports): void {
  const [ip, access] = [code.param(0), code.param(1)];
  const write = i32.and(i32.shru(access, i32.const(Math.log2(RMW / ACCESS.write))), i32.const(ACCESS.write));
  const pointer = tryFill(code, fill, cpu, i32.and(access, i32.const(0xff)), write);
  code.if(i32.eqz(pointer), () => code.call(slowMiss, [ip, access], pointer));
  code.return(pointer);
  code.unreachable();
}

function emitStoreMiss(code: Code, fill: number, { cpu, slowStore }: MmuImports): void {
  const [ip, size] = [code.param(0), code.param(1)];
  const pointer = tryFill(code, fill, cpu, size, i32.const(ACCESS.write));
  for (const [bytes, , kind] of PIECES) {
    code.if(i32.and(i32.ne(pointer, i32.const(0)), i32.eq(size, i32.const(bytes))), () => {
      const data = kind === "v128" ? v128.load : i64.load;
      code.store(kind, pointer, data(cpu, CPU.bounce));
      code.return(i32.const(0));
    });
  }
  // A size that has no store of its own takes the slow path as well.
  const status = code.local("i32");
  code.call(slowStore, [ip, size], status);
  code.return(status);
  code.unreachable();
}

/** move(to, from, size), linear addresses: in one piece where there is such a store, so that nobody sees half of it. */
function emitMove(code: Code): void {
  const [to, from, size] = [code.param(0), code.param(1), code.param(2)];
  for (const [bytes, load, kind] of PIECES) {
    code.if(i32.eq(size, i32.const(bytes)), () => {
      code.store(kind, to, load(from));
      code.return();
    });
  }
  code.block((end) => {
    code.loop((next) => {
      code.brIf(end, i32.eqz(size));
      code.set(size, i32.sub(size, i32.const(1)));
      code.store("i64as8", i32.add(to, size), i64.load8u(i32.add(from, size)));
      code.br(next);
    });
  });
}
