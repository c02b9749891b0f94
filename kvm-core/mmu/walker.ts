/**
 * The page walker, generated: linear address -> guest-physical address and rights, for every paging mode.
 * Document: SDM volume 3, 4.3 to 4.5 (structures), 4.6 (access rights), 4.7 (error code), 4.8 (accessed and dirty flags).
 * Left out: paging-structure caches: a walk reads every level, as a processor may.
 *
 * walk(cpu, lo, hi, access) -> 1, and CPU.walkGpa and CPU.walkPage say where; or 0, a page fault with CPU.walkError.
 * An entry is marked accessed or dirty by a compare-and-swap with what was read of it: if another processor changed it in
 * between, the walk begins anew, so a mark never lands in an entry that means something else by now.
 */

import { ACCESS, PF } from "../cpu/access.ts";
import { CR0, CR4, EFER } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import { GPA_CODE, GPA_LOGGED, GPA_PRESENT, GPA_READONLY, GPA_TABLE, TLB_PAGE } from "../cpu/zones.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { ENTRY, FOUR_LEVEL, type Level, PAE, type PagingMode, PDPTE_INDEX, TWO_LEVEL } from "./paging.ts";

const WALK_TYPE: FuncType = { params: ["i32", "i32", "i32", "i32"], results: ["i32"] };

/** (guest-physical address, size): an entry in a page with decoded code, or in a logged one, was marked. */
export const TABLE_WRITTEN_TYPE: FuncType = { params: ["i32", "i32"], results: [] };

const ADDRESS_BITS = i64.const(0x000f_ffff_ffff_f000n);

/** Defines walk() in the module; returns its function index. `tableWritten` is an import of TABLE_WRITTEN_TYPE. */
export function defineWalk(module: ModuleBuilder, tableWritten: number): number {
  const code = module.define("walk", WALK_TYPE);
  new WalkGenerator(code, tableWritten).generate();
  return module.indexOf(code);
}

class WalkGenerator {
  readonly #code: Code;
  readonly #tableWritten: number;
  readonly #cpu: Expr;
  readonly #access: Expr;
  readonly #address: Expr;
  readonly #cr0: Expr;
  readonly #cr4: Expr;
  readonly #efer: Expr;
  // What the walk keeps from level to level.
  readonly #table: Expr;
  readonly #entry: Expr;
  /** AND of the entries: a right holds if all levels give it. */
  readonly #rights: Expr;
  /** OR of them, for XD. */
  readonly #any: Expr;
  /** Bit 63 while EFER.NXE is clear. */
  readonly #noExecuteReserved: Expr;
  /** Entry of the guest-physical page table for the structure's page, and linear address of the entry; 0 outside RAM. */
  readonly #page: Expr;
  readonly #host: Expr;
  /** PF.present and PF.reserved of the fault. */
  readonly #cause: Expr;

  constructor(code: Code, tableWritten: number) {
    this.#code = code;
    this.#tableWritten = tableWritten;
    this.#cpu = code.param(0);
    this.#access = code.param(3);
    const lo = i32.toI64u(code.param(1));
    const hi = i64.shl(i32.toI64u(code.param(2)), i64.const(32));
    this.#address = code.let(i64.or(lo, hi));
    this.#cr0 = code.let(i32.load(this.#cpu, CPU.cr0));
    this.#cr4 = code.let(i32.load(this.#cpu, CPU.cr4));
    this.#efer = code.let(i32.load(this.#cpu, CPU.efer));
    [this.#table, this.#entry, this.#rights, this.#any, this.#noExecuteReserved] = (
      ["i64", "i64", "i64", "i64", "i64"] as const
    ).map((type) => code.local(type)) as [Expr, Expr, Expr, Expr, Expr];
    [this.#page, this.#host, this.#cause] = (["i32", "i32", "i32"] as const).map((type) => code.local(type)) as [
      Expr,
      Expr,
      Expr,
    ];
  }

  generate(): void {
    const code = this.#code;
    code.if(i32.eqz(i32.and(this.#cr0, i32.const(CR0.PG))), () => {
      code.store("i64", this.#cpu, i64.and(this.#address, i64.const(0xffff_ffffn)), CPU.walkGpa);
      code.store("i32", this.#cpu, i32.const(0), CPU.walkPage);
      code.return(i32.const(1));
    });
    const nxe = i32.and(this.#efer, i32.const(EFER.NXE));
    code.set(this.#noExecuteReserved, select(nxe, i64.const(0), i64.const(BigInt.asIntN(64, ENTRY.executeDisable))));
    code.block((fault) => {
      code.loop((again) => {
        code.set(this.#rights, i64.const(-1));
        code.set(this.#any, i64.const(0));
        const cr3 = i64.load(this.#cpu, CPU.cr3);
        code.if(i32.and(this.#efer, i32.const(EFER.LMA)), () => {
          code.set(this.#table, i64.and(cr3, ADDRESS_BITS));
          this.#walk(FOUR_LEVEL, fault, again);
        });
        code.if(i32.and(this.#cr4, i32.const(CR4.PAE)), () => {
          const index = i64.toI32(field(this.#address, PDPTE_INDEX));
          code.set(this.#entry, i64.load(i32.add(this.#cpu, i32.shl(index, i32.const(3))), CPU.pdpte));
          this.#requirePresent(fault);
          code.set(this.#table, i64.and(this.#entry, ADDRESS_BITS));
          this.#walk(PAE, fault, again);
        });
        code.set(this.#table, i64.and(cr3, i64.const(0xffff_f000n)));
        this.#walk(TWO_LEVEL, fault, again);
      });
    });
    code.store("i32", this.#cpu, this.#errorCode(), CPU.walkError);
    code.return(i32.const(0));
    code.unreachable();
  }

  /** Leaves the function, or goes to a label. */
  #walk(mode: PagingMode, fault: Label, again: Label): void {
    const code = this.#code;
    mode.levels.forEach((level, depth) => {
      this.#read(mode, level);
      this.#requirePresent(fault);
      const reserved = i64.or(i64.const(BigInt.asIntN(64, level.reserved)), this.#noExecuteReserved);
      this.#forbid(mode.entrySize === 8 ? reserved : i64.const(level.reserved), fault);
      code.set(this.#rights, i64.and(this.#rights, this.#entry));
      code.set(this.#any, i64.or(this.#any, this.#entry));
      if (level.large !== undefined) {
        const large = i64.ne(i64.and(this.#entry, i64.const(ENTRY.large)), i64.const(0));
        const pse = i32.and(i32.shru(this.#cr4, i32.const(Math.log2(CR4.PSE))), i32.const(1));
        code.if(mode.pse ? i32.and(large, pse) : large, () => {
          this.#forbid(i64.const(level.large!), fault);
          this.#map(mode, level, true, fault, again);
        });
      }
      if (depth === mode.levels.length - 1) {
        this.#map(mode, level, false, fault, again);
        return;
      }
      this.#mark(mode, i64.const(ENTRY.accessed), again);
      code.set(this.#table, i64.and(this.#entry, ADDRESS_BITS));
    });
  }

  /** The entry of #table for the address. One that lies outside RAM reads as all ones. */
  #read(mode: PagingMode, level: Level): void {
    const code = this.#code;
    const scaled = i64.shl(field(this.#address, level), i64.const(mode.entrySize === 8 ? 3 : 2));
    code.set(this.#table, i64.or(this.#table, scaled));
    code.set(this.#page, i32.const(0));
    code.if(i64.eqz(i64.shru(this.#table, i64.const(32))), () => {
      const number = i64.toI32(i64.shru(this.#table, i64.const(12)));
      code.set(this.#page, i32.load(i32.shl(number, i32.const(2)), GPA_TABLE));
    });
    code.if(
      i32.and(this.#page, i32.const(GPA_PRESENT)),
      () => {
        const offset = i32.and(i64.toI32(this.#table), i32.const(0xfff));
        code.set(this.#host, i32.or(i32.and(this.#page, i32.const(-4096)), offset));
        code.set(
          this.#entry,
          mode.entrySize === 8 ? i64.atomicLoad(this.#host) : i32.toI64u(i32.atomicLoad(this.#host)),
        );
      },
      () => {
        code.set(this.#host, i32.const(0));
        code.set(this.#entry, i64.const(mode.entrySize === 8 ? -1n : 0xffff_ffffn));
      },
    );
  }

  #requirePresent(fault: Label): void {
    this.#code.set(this.#cause, i32.const(0));
    this.#code.brIf(fault, i64.eqz(i64.and(this.#entry, i64.const(ENTRY.present))));
  }

  #forbid(reserved: Expr, fault: Label): void {
    if (reserved.kind === "const" && Number(reserved.value) === 0) return;
    this.#code.set(this.#cause, i32.const(PF.present | PF.reserved));
    this.#code.brIf(fault, i64.ne(i64.and(this.#entry, reserved), i64.const(0)));
  }

  /** The entry maps the page: rights, marks, result. */
  #map(mode: PagingMode, level: Level, large: boolean, fault: Label, again: Label): void {
    const code = this.#code;
    const cpu = this.#cpu;
    code.set(this.#cause, i32.const(PF.present));
    this.#checkRights(fault);
    // A write sets the dirty flag with the accessed flag: access bit 0 becomes bit 6.
    const dirty = i32.toI64u(i32.shl(i32.and(this.#access, i32.const(ACCESS.write)), i32.const(6)));
    this.#mark(mode, code.let(i64.or(dirty, i64.const(ENTRY.accessed))), again);
    const offset = (1n << BigInt(level.shift)) - 1n;
    let frame = i64.and(this.#entry, i64.and(ADDRESS_BITS, i64.const(~offset)));
    if (mode.pse && large) {
      const upper = i64.and(i64.shru(this.#entry, i64.const(13)), i64.const(0xff));
      frame = i64.or(frame, i64.shl(upper, i64.const(32)));
    }
    code.store("i64", cpu, i64.or(frame, i64.and(this.#address, i64.const(offset))), CPU.walkGpa);
    const pge = i32.shru(this.#cr4, i32.const(Math.log2(CR4.PGE)));
    const global = i32.and(i32.and(i64.toI32(i64.shru(this.#entry, i64.const(8))), pge), i32.const(TLB_PAGE.global));
    const user = i32.and(i64.toI32(this.#rights), i32.const(TLB_PAGE.user));
    code.store("i32", cpu, i32.or(i32.or(global, user), i32.const(large ? TLB_PAGE.large : 0)), CPU.walkPage);
    code.return(i32.const(1));
  }

  /** SDM volume 3, 4.6.1, line by line. */
  #checkRights(fault: Label): void {
    const code = this.#code;
    const has = (bit: number): Expr => i32.and(this.#access, i32.const(bit));
    const control = (register: Expr, bit: number): Expr => i32.and(register, i32.const(bit));
    const noUser = i64.eqz(i64.and(this.#rights, i64.const(ENTRY.user)));
    const readOnly = i64.eqz(i64.and(this.#rights, i64.const(ENTRY.writable)));
    code.if(has(ACCESS.fetch), () => code.brIf(fault, i64.lts(this.#any, i64.const(0))));
    code.if(
      has(ACCESS.user),
      () => {
        code.brIf(fault, noUser);
        code.if(has(ACCESS.write), () => code.brIf(fault, readOnly));
      },
      () => {
        code.if(i32.eqz(noUser), () => {
          code.if(
            has(ACCESS.fetch),
            () => code.brIf(fault, control(this.#cr4, CR4.SMEP)),
            () => code.if(i32.eqz(has(ACCESS.ac)), () => code.brIf(fault, control(this.#cr4, CR4.SMAP))),
          );
        });
        code.if(has(ACCESS.write), () => {
          code.if(control(this.#cr0, CR0.WP), () => code.brIf(fault, readOnly));
        });
      },
    );
  }

  /** Sets bits of the entry. Structures in read-only memory stay as they are. */
  #mark(mode: PagingMode, wanted: Expr, again: Label): void {
    const code = this.#code;
    const has = (bits: number): Expr => i32.and(this.#page, i32.const(bits));
    code.if(i64.ne(i64.and(this.#entry, wanted), wanted), () => {
      code.if(i32.eq(has(GPA_PRESENT | GPA_READONLY), i32.const(GPA_PRESENT)), () => {
        code.scope(() => {
          const found = code.local("i64");
          const marked = i64.or(this.#entry, wanted);
          code.compareExchange(mode.entrySize === 8 ? "i64" : "i64as32", this.#host, this.#entry, marked, found);
          code.brIf(again, i64.ne(found, this.#entry));
        });
        code.if(has(GPA_CODE | GPA_LOGGED), () => {
          code.call(this.#tableWritten, [i64.toI32(this.#table), i32.const(mode.entrySize)]);
        });
      });
    });
  }

  #errorCode(): Expr {
    // Access bits write and user become error code bits 1 and 2, fetch bit 4.
    const kind = i32.shl(i32.and(this.#access, i32.const(ACCESS.write | ACCESS.user)), i32.const(1));
    const fetch = i32.shl(i32.and(this.#access, i32.const(ACCESS.fetch)), i32.const(2));
    // The I/D flag is in use with SMEP, or with PAE or 4-level paging and EFER.NXE.
    const on = (register: Expr, bit: number): Expr =>
      i32.and(i32.shru(register, i32.const(Math.log2(bit))), i32.const(1));
    const inUse = i32.or(on(this.#cr4, CR4.SMEP), i32.and(on(this.#cr4, CR4.PAE), on(this.#efer, EFER.NXE)));
    return i32.or(i32.or(this.#cause, kind), select(inUse, fetch, i32.const(0)));
  }
}

/** The index bits of a level. */
function field(address: Expr, level: { readonly shift: number; readonly bits: number }): Expr {
  return i64.and(i64.shru(address, i64.const(level.shift)), i64.const((1 << level.bits) - 1));
}
