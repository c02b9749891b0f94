/**
 * String instructions, one iteration at a time: a repeated one goes to itself, so that it can be interrupted and restarted.
 * REP MOVS and REP STOS do many at once where nobody can tell: forward, within a page of RAM.
 * Document: SDM volume 2, MOVS STOS LODS CMPS SCAS INS OUTS REP; volume 1, 7.3.9.3 (fast-string operation).
 * Left out: runs backward, and in segments with bounds.
 */

import { GPR } from "../../cpu/state.ts";
import type { Access, Emitter, Size } from "../../emit/emitter.ts";
import { condition, subFlags, unsigned } from "../../emit/flags.ts";
import { type Expr, i32, i64, select } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

/** An iteration's memory and register work; `size` is the element's. What it returns runs after the pointers moved. */
type Iteration = (e: Emitter, size: Size) => void;

const advance = (e: Emitter, register: number, size: Size): void => {
  const bytes = size / 8;
  const step = select(e.direction(), i64.const(-bytes), i64.const(bytes));
  e.setGpr(register, i64.add(e.gpr(register), step), e.addressSize);
};

/** What sets a string instruction apart. */
interface Kind {
  /** REPE and REPNE look at ZF after each iteration (CMPS, SCAS). */
  readonly looksAtZero?: true;
  /** The port in DX has to be allowed, whatever the count is; there are no 64-bit accesses (INS, OUTS). */
  readonly port?: true;
  /** Does what many iterations would, at once (MOVS, STOS). */
  readonly run?: Run;
}

/** `at`: where the accesses lie in linear memory, by Emitter.direct(); `bytes`: i64, no more than a page's. */
interface Run {
  /** Linear addresses of what an iteration accesses, and how. */
  readonly accesses: readonly (readonly [address: (e: Emitter, size: Size) => Expr, access: "read" | "write"])[];
  /** i32: whether iterations would come to the same. */
  may(at: readonly Expr[], bytes: Expr): Expr;
  act(e: Emitter, size: Size, at: readonly Expr[], bytes: Expr): void;
}

const PAGE = i64.const(4096);
/** A run of fewer bytes costs more than its iterations. */
const SHORTEST_RUN = 64;

function iterate(e: Emitter, size: Size, pointers: readonly number[], body: Iteration, kind: Kind): void {
  if (kind.port) e.helper("ioPermission", port(e), i32.const(size / 8));
  const once = (): void => {
    body(e, size);
    for (const register of pointers) advance(e, register, size);
  };
  if (e.repeat === "none") {
    once();
    return;
  }
  const count = e.let(e.gpr(GPR.rcx, e.addressSize));
  e.if(i64.ne(count, i64.const(0)), () => {
    const done = e.variable(i64.const(1));
    if (kind.run && !e.segmented) {
      const bytes = runBytes(e, size, pointers, count, kind.run);
      e.if(
        i64.ne(bytes, i64.const(0)),
        () => {
          e.assign(done, i64.shru(bytes, i64.const(Math.log2(size / 8))));
          for (const register of pointers) e.setGpr(register, i64.add(e.gpr(register), bytes), e.addressSize);
        },
        once,
      );
    } else once();
    const left = e.let(unsigned(i64.sub(count, done), e.addressSize));
    e.setGpr(GPR.rcx, left, e.addressSize);
    const more = i64.ne(left, i64.const(0));
    e.again(kind.looksAtZero ? i32.and(more, condition(e, e.repeat === "rep" ? 4 : 5)) : more);
  });
}

/** Does a run if it may: how many bytes, 0 if none. */
function runBytes(e: Emitter, size: Size, pointers: readonly number[], count: Expr, run: Run): Expr {
  const done = e.variable(i64.const(0));
  const few = i64.ltu(count, i64.const(SHORTEST_RUN / (size / 8)));
  e.if(i32.eqz(i32.or(few, e.direction())), () => {
    const addresses = run.accesses.map(([address]) => e.let(address(e, size)));
    // To the end of the nearest page, and of the offsets where they have 32 bits; no element in part.
    const most = select(i64.ltu(count, PAGE), i64.shl(count, i64.const(Math.log2(size / 8))), PAGE);
    const rooms = addresses.map((address) => i64.sub(PAGE, i64.and(address, i64.const(4095))));
    if (e.addressSize === 32)
      rooms.push(...pointers.map((register) => i64.sub(i64.const(2n ** 32n), e.gpr(register, 32))));
    const bytes = e.variable(most);
    for (const room of rooms) {
      const r = e.let(room);
      e.assign(bytes, select(i64.ltu(r, bytes), r, bytes));
    }
    e.assign(bytes, i64.and(bytes, i64.const(-(size / 8))));
    const at = run.accesses.map(([, access], i) => e.direct(addresses[i]!, access));
    const enough = i64.geu(bytes, i64.const(SHORTEST_RUN));
    const direct = at.reduce((all, one) => i32.and(all, i32.ne(one, i32.const(0))), enough);
    e.if(i32.and(direct, run.may(at, bytes)), () => {
      run.act(e, size, at, bytes);
      e.assign(done, bytes);
    });
  });
  return done;
}

/** The byte form and the operand-size form. */
function string(
  mnemonic: string,
  forms: readonly [string, string],
  pointers: readonly number[],
  body: Iteration,
  kind: Kind = {},
): Insn[] {
  const repeat = kind.looksAtZero ? "repe-repne" : "rep";
  const one = (form: string, suffix: string, width: (e: Emitter) => Size): Insn =>
    insn(mnemonic + suffix, {
      forms: [form],
      string: true,
      repeat,
      exec: (e) => iterate(e, width(e), pointers, body, kind),
    });
  const element = (e: Emitter): Size => (kind.port && e.size === 64 ? 32 : e.size);
  const names = [`${mnemonic}w`, `${mnemonic}d`, mnemonic + (kind.port ? "d" : "q")] as const;
  return [one(forms[0], "b", () => 8), { ...one(forms[1], "", element), names }];
}

const source = (e: Emitter, size: Size): Expr => e.let(e.sourceAddress(e.gpr(GPR.rsi, e.addressSize), size / 8));
const destination = (e: Emitter, size: Size, access: Access): Expr =>
  e.let(e.destinationAddress(e.gpr(GPR.rdi, e.addressSize), size / 8, access));
const port = (e: Emitter): Expr => i64.toI32(e.gpr(GPR.rdx, 16));

const ALWAYS = i32.const(1);
/** What repeats a value of 8, 16, 32 and 64 bits up to 64. */
const REPEATED = { 8: 0x0101_0101_0101_0101n, 16: 0x0001_0001_0001_0001n, 32: 0x1_0000_0001n, 64: 1n } as const;

const COPY: Run = {
  accesses: [
    [source, "read"],
    [(e, size) => destination(e, size, "write"), "write"],
  ],
  // A destination that begins in the source gets what was copied before.
  may: ([from, to], bytes) => i32.or(i32.eq(from!, to!), i32.geu(i32.sub(to!, from!), i64.toI32(bytes))),
  act: (e, _size, [from, to], bytes) => {
    e.call("copyRun", "none", to!, from!, i64.toI32(bytes));
  },
};
const FILL: Run = {
  accesses: [[(e, size) => destination(e, size, "write"), "write"]],
  may: () => ALWAYS,
  act: (e, size, [to], bytes) => {
    const pattern = i64.mul(e.gpr(GPR.rax, size), i64.const(REPEATED[size]));
    e.call("fillRun", "none", to!, pattern, i64.toI32(bytes));
  },
};

export const STRING: readonly Insn[] = [
  ...string(
    "movs",
    ["A4 Yb,Xb", "A5 Yv,Xv"],
    [GPR.rsi, GPR.rdi],
    (e, size) => {
      const value = e.load(source(e, size), size);
      e.store(destination(e, size, "write"), value, size);
    },
    { run: COPY },
  ),
  ...string(
    "stos",
    ["AA Yb", "AB Yv"],
    [GPR.rdi],
    (e, size) => e.store(destination(e, size, "write"), e.gpr(GPR.rax, size), size),
    { run: FILL },
  ),
  ...string("lods", ["AC Xb", "AD Xv"], [GPR.rsi], (e, size) => {
    e.setGpr(GPR.rax, e.load(source(e, size), size), size);
  }),
  ...string(
    "cmps",
    ["A6 Xb,Yb", "A7 Xv,Yv"],
    [GPR.rsi, GPR.rdi],
    (e, size) => {
      const a = e.load(source(e, size), size);
      const b = e.load(destination(e, size, "read"), size);
      subFlags(e, e.let(i64.sub(a, b)), a, b, size);
    },
    { looksAtZero: true },
  ),
  ...string(
    "scas",
    ["AE Yb", "AF Yv"],
    [GPR.rdi],
    (e, size) => {
      const b = e.load(destination(e, size, "read"), size);
      const a = e.let(e.gpr(GPR.rax, size));
      subFlags(e, e.let(i64.sub(a, b)), a, b, size);
    },
    { looksAtZero: true },
  ),
  ...string(
    "ins",
    ["6C Yb", "6D Yz"],
    [GPR.rdi],
    (e, size) => {
      const address = destination(e, size, "write");
      // Law 1: a port is read only once the memory is known to take the value.
      e.prepare(address, size);
      e.helper("in", port(e), i32.const(size / 8));
      e.store(address, e.data(), size);
    },
    { port: true },
  ),
  ...string(
    "outs",
    ["6E Xb", "6F Xz"],
    [GPR.rsi],
    (e, size) => {
      e.setData(e.load(source(e, size), size));
      e.helper("out", port(e), i32.const(size / 8));
    },
    { port: true },
  ),
];
