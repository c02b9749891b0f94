/**
 * String instructions, one iteration at a time: a repeated one goes to itself, so that it can be interrupted and restarted.
 * Document: SDM volume 2, MOVS STOS LODS CMPS SCAS INS OUTS REP.
 * Left out: the fast path over whole pages.
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
}

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
    once();
    const left = e.let(unsigned(i64.sub(count, i64.const(1)), e.addressSize));
    e.setGpr(GPR.rcx, left, e.addressSize);
    const more = i64.ne(left, i64.const(0));
    e.again(kind.looksAtZero ? i32.and(more, condition(e, e.repeat === "rep" ? 4 : 5)) : more);
  });
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

export const STRING: readonly Insn[] = [
  ...string("movs", ["A4 Yb,Xb", "A5 Yv,Xv"], [GPR.rsi, GPR.rdi], (e, size) => {
    const value = e.load(source(e, size), size);
    e.store(destination(e, size, "write"), value, size);
  }),
  ...string("stos", ["AA Yb", "AB Yv"], [GPR.rdi], (e, size) => {
    e.store(destination(e, size, "write"), e.gpr(GPR.rax, size), size);
  }),
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
