/**
 * Emitter: what an instruction's `exec` is written against; both stages implement it.
 * Document: architecture.md section 5 (staging, the three laws for exec).
 * Left out: how a stage orders accesses (the `ordered` mode is the translator's).
 *
 * Values are i64, exact in their low `size` bits; what lies above is undefined unless a method says otherwise.
 * Conditions are i32. An operand's form (kind and size) is known when exec runs, its value never is.
 */

import type { UnitName } from "../cpu/fpu-state.ts";
import type { Expr, ValType } from "../wasm/expr.ts";

export type Size = 8 | 16 | 32 | 64;

/** Where a record names a register; `base` if the instruction has no memory operand. */
export type Field = "dst" | "src" | "base";

/** What an instruction does with memory at an address: decides the segment's check and the page's. */
export type Access = "read" | "write" | "modify";

/** An operand as a form gives it. Which register, which displacement: that is the stage's to know. */
export type Operand =
  | { readonly kind: "reg"; readonly size: Size; readonly field: Field }
  /** `wide`: all 64 bits are in the instruction; else the value is sign-extended from 32. */
  | { readonly kind: "imm"; readonly size: Size; readonly wide?: true }
  | { readonly kind: "const"; readonly size: Size; readonly value: number }
  /** A register that the form itself names; for readV() an XMM register. */
  | { readonly kind: "implied"; readonly size: Size; readonly register: number }
  /** `whole`: 128 bits, for readV() and writeV(), which check the alignment if it is `aligned`; `size` is 64 then. */
  | {
      readonly kind: "mem";
      readonly size: Size;
      readonly address: 32 | 64;
      readonly whole?: true;
      readonly aligned?: boolean;
    }
  /** An XMM or MMX register; `size` of it is the operand, 64 also stands for 128. */
  | { readonly kind: "xmm" | "mm"; readonly size: Size; readonly field: Field }
  /** Memory at a linear address that exec computed, in the segment of the memory operand `of`: see at(). */
  | { readonly kind: "at"; readonly size: Size; readonly linear: Expr; readonly of: Operand }
  /** A number, not a register: of a segment, control, debug or x87 register. */
  | { readonly kind: "index"; readonly size: Size; readonly field: Field }
  /**
   * A relative branch target. `cross`: it lies in another page. `computed`: RIP has to be truncated or checked, so the
   * branch goes by RIP, as an indirect one does.
   */
  | { readonly kind: "target"; readonly size: Size; readonly cross: boolean; readonly computed: boolean }
  /** ptr16:16 or ptr16:32: offset and selector. Also the two immediates of ENTER. */
  | { readonly kind: "far"; readonly size: Size };

/** What an instruction may ask of TypeScript: rare, long or stateful work. One method each in engine/helpers.ts. */
export const HELPERS = [
  "cpuid",
  "rdtsc",
  "rdtscp",
  "rdpid",
  "rdpmc",
  "random",
  "monitor",
  "mwait",
  "flushLine",
  "syscall",
  "sysret",
  "sysenter",
  "sysexit",
  "readBase",
  "writeBase",
  "rdmsr",
  "wrmsr",
  "hlt",
  "cli",
  "sti",
  "pushf",
  "popf",
  "int",
  "iret",
  "in",
  "out",
  "ioPermission",
  "readCr",
  "writeCr",
  "readDr",
  "writeDr",
  "readSreg",
  "writeSreg",
  "loadPointer",
  "enter",
  "table",
  "loadTable",
  "protectedMode",
  "lldt",
  "ltr",
  "lar",
  "lsl",
  "verify",
  "smsw",
  "lmsw",
  "farJump",
  "farCall",
  "farRet",
  "int1",
  "invlpg",
  "invpcid",
  "swapgs",
  "clts",
  "cmpxchg16b",
  "divide",
  "privileged",
  "fpuTrap",
  "simdException",
  "maskMove",
  "x87Function",
  "fldenv",
  "frstor",
  "fnstenv",
  "fnsave",
  "fxsave",
  "fxrstor",
  "xsave",
  "xsaveopt",
  "xsavec",
  "xsaves",
  "xrstor",
  "xrstors",
  "xgetbv",
  "xsetbv",
] as const;
export type HelperName = (typeof HELPERS)[number];

export interface Emitter {
  /** Operand size of this form. */
  readonly size: Size;
  /** String instructions: the address size, and which repeat prefix the form has. */
  readonly addressSize: 16 | 32 | 64;
  readonly repeat: "none" | "rep" | "repne";
  /** Segments of this form may have a base and bounds, which each access has to look at. */
  readonly segmented: boolean;

  /** Evaluates now. */
  let(value: Expr): Expr;
  /** Evaluates now into a local that assign() may change. */
  variable(value: Expr): Expr;
  assign(variable: Expr, value: Expr): void;
  if(condition: Expr, then: () => void, otherwise?: () => void): void;

  /** The operand's value, zero-extended from its size; an immediate is sign-extended. */
  read(operand: Operand): Expr;
  /** As read(), sign-extended. */
  readSigned(operand: Operand): Expr;
  /** As read(), for an operand that write() follows on: memory is checked for writing, and translated once. */
  modify(operand: Operand): Expr;
  /**
   * Law 1: the first write() of an exec may fault if it is to memory; register and flag writes come after it.
   * In a locked form the write after modify() is a compare-and-exchange: if another processor wrote in between, the whole
   * instruction is executed again. Law 1 makes that right for every exec.
   */
  write(operand: Operand, value: Expr): void;
  /** An operand at a linear address, for those that compute their own from the memory operand `of` (BTS Ev,Gv). */
  at(linear: Expr, size: Size, of: Operand): Operand;
  /** The selector of a far pointer in the instruction; the second immediate of ENTER. */
  readSelector(operand: Operand): Expr;
  /** The offset that a memory operand computes, without its segment (LEA). */
  offset(operand: Operand): Expr;
  /**
   * The linear address of a memory operand, for helpers and for execs that compute addresses of their own. The segment is
   * checked for `bytes` bytes of this access; without it, for none (INVLPG).
   */
  linear(operand: Operand, access?: Access, bytes?: number): Expr;

  // --- x87, MMX and SSE

  /** Raises what is due before an instruction of the unit: descriptions with a `unit` need not ask. */
  unit(name: UnitName): void;
  /** All MMX registers are valid and TOP is 0. */
  enterMmx(): void;
  /**
   * v128: a whole XMM register; of an MMX register or memory what there is, zero-extended. read() takes the low `size` bits
   * of an XMM or MMX register.
   */
  readV(operand: Operand): Expr;
  /** All of an XMM register; all of an MMX register; `size` bits of memory. write() leaves the rest of an XMM register. */
  writeV(operand: Operand, value: Expr): void;
  /** i32: address in linear memory of an XMM or MMX register's slot; of slot `n` of FPU.scratch. */
  slot(operand: Operand): Expr;
  scratch(n: number): Expr;
  /** The field of the FPU state at `offset` (FPU), a u32 as i32 or a u64 as i64. */
  fpu(offset: number, type: "i32" | "i64"): Expr;
  setFpu(offset: number, value: Expr): void;
  /**
   * Calls a generated function (engine/generated.ts) with the address of the vCPU's state in front of the arguments. It sees
   * x87, MMX and SSE state; general registers and flags may not have been stored. `result` is the function's; of "none" a 0.
   */
  call(name: string, result: ValType | "none", ...args: readonly Expr[]): Expr;

  /** An implied register, zero-extended from `size` (64 unless given). */
  gpr(register: number, size?: Size): Expr;
  setGpr(register: number, value: Expr, size?: Size): void;

  /** The two lazy flag words, as cpu/flags.ts describes them; use emit/flags.ts. */
  flagResult(): Expr;
  flagAux(): Expr;
  setFlagResult(value: Expr): void;
  setFlagAux(value: Expr): void;
  /** i32, 1 or 0: the direction flag. */
  direction(): Expr;
  setDirection(on: boolean): void;
  /** Sets or clears RFLAGS.AC at supervisor level; under SMAP other TLBs serve then. */
  setAlignmentCheck(on: boolean): void;
  /** i32: the current privilege level. */
  privilege(): Expr;

  /** Memory at a linear address. */
  load(linear: Expr, size: Size): Expr;
  store(linear: Expr, value: Expr, size: Size): void;
  /**
   * i32: where the byte at `linear` lies in linear memory, and behind it the rest of its page, if that is RAM which may be
   * accessed there; 0 if it is not, if that is not known before an access, or if the vCPU is wanted out, as in a single step.
   */
  direct(linear: Expr, access: "read" | "write"): Expr;
  /** Faults now where a store() would, and does nothing else. */
  prepare(linear: Expr, size: Size): void;
  /**
   * String instructions: linear address of an offset in the source segment, or in ES, which is checked for an access of
   * `bytes` bytes. The source is read, but for instructions that store there (MASKMOVQ).
   */
  sourceAddress(offset: Expr, bytes: number, access?: Access): Expr;
  destinationAddress(offset: Expr, bytes: number, access: Access): Expr;

  /** The stack of the form's stack size. push() writes memory, then RSP. */
  push(value: Expr, size: Size): void;
  /** The value on top of the stack; release() then moves RSP past it and `extra` more bytes. */
  top(size: Size): Expr;
  release(size: Size, extra?: Expr): void;
  readonly stackSize: 16 | 32 | 64;
  /** Linear address of a stack offset, which is checked for an access of `bytes` bytes. */
  stackAddress(offset: Expr, bytes: number, access: Access): Expr;
  /** Sets SP, ESP or RSP, whichever the stack size says; of a 16-bit stack the upper half of ESP stays. */
  setStackPointer(value: Expr): void;

  /** RIP of the instruction that follows, and of this one, which must have no relative target and no immediate. */
  nextRip(): Expr;
  thisRip(): Expr;
  /** Ends the instruction by going to a relative target, or on a condition. */
  jump(target: Operand): void;
  jumpIf(condition: Expr, target: Operand): void;
  /** Ends the instruction by going to an RIP. */
  jumpTo(rip: Expr): void;
  /**
   * Faults now if a near branch there cannot be made: beyond the limit of CS, or in 64-bit mode to an RIP that is not
   * canonical. `when`: only if the branch is taken. jump() and jumpIf() see to it themselves; who writes before them asks first.
   */
  checkTarget(target: Operand | Expr, when?: Expr): void;
  /** Orders all accesses before it against all after it, as MFENCE does. */
  fence(): void;
  /** Executes the instruction again if `condition`: one iteration of a string instruction has been done. */
  again(condition: Expr): void;

  /** In front of what VEX encodes: #UD in real-address and virtual-8086 mode (SDM volume 2A, 2.3). */
  protectedOnly(): void;
  /** Raises an exception: nothing of the instruction has happened. */
  raise(vector: number): void;
  /** Calls a helper that raises an exception and never goes on. */
  trap(name: HelperName, a?: Expr): void;
  /** A call into TypeScript with up to two i32 arguments; 64-bit values travel in data(). Law 3. */
  helper(name: HelperName, a?: Expr, b?: Expr): void;
  /** The word that carries a helper's 64-bit argument or result. */
  data(): Expr;
  setData(value: Expr): void;
}
