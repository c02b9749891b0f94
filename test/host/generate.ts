/**
 * A case from a variant of a description: encoded with random operands, in a random state that suits it.
 * Document: SDM volume 2 (what a form's operands are); case.ts (the arena that addresses lead to).
 * Left out: FS, which is the runner's C library's; segment limits. A 66 prefix on near branches in 64-bit mode, on
 * which processors of Intel and AMD differ; targets that are not canonical, for the same reason.
 */

import { ARITHMETIC, RFLAGS } from "../../kvm-core/cpu/flags.ts";
import { GPR } from "../../kvm-core/cpu/state.ts";
import type { Size } from "../../kvm-core/emit/emitter.ts";
import type { Form } from "../../kvm-core/isa/form.ts";
import { type OperandCode, operandBytes, operandSize } from "../../kvm-core/isa/operand.ts";
import type { FpuState } from "../kvm-core/support/fpu.ts";
import { type Case, DATA, GS_BASE, PAGE, pageKind, plant, SLOT_SIZE, SLOTS, type Word } from "./case.ts";
import { type Address, encode, type Piece } from "./encode.ts";
import { FpuValues, imageBytes, usesOf } from "./fpu-values.ts";
import { looseness } from "./not-compared.ts";
import { notRun } from "./not-run.ts";
import { Registers } from "./registers.ts";
import { undefinedFlags, undefinedResult } from "./undefined-flags.ts";
import type { Values } from "./values.ts";
import type { Variant } from "./variants.ts";

/** Operations that jump to an operand's value or to the word on top of the stack. */
const JUMPS: ReadonlySet<string> = new Set(["jmp", "call", "ret"]);
/** Bytes of CMPXCHG16B's operand, which has to be aligned. */
const WIDE = 16;
/** Comes behind x87 instructions: an exception that they leave pending shows there. */
const FWAIT = 0x9b;
const mask = (value: bigint, bits: number): bigint => BigInt.asUintN(bits, value);

/** One case in the making. */
class Draft {
  readonly #values: Values;
  readonly #variant: Variant;
  readonly #long: boolean;
  readonly registers: Registers;
  readonly plants: Word[] = [];
  readonly prefixes: number[] = [];
  readonly immediates: Piece[] = [];
  /** If the form has to do with x87, MMX or SSE. */
  readonly #fpu: FpuValues | undefined;
  #fpuState: FpuState | undefined;
  readonly #addressSize: 16 | 32 | 64;
  #segmentBase = 0n;
  #rexW = false;
  #reg = 0;
  #rm = 0;
  #vvvv = 0;
  #memory: Address | undefined;
  #at = 0;
  /** A count in the instruction: of a shift. */
  #count = -1n;
  readonly rip: number;

  constructor(values: Values, variant: Variant, slot: number) {
    this.#values = values;
    this.#variant = variant;
    const { mode, form, size, insn } = variant;
    this.#long = mode === 64;
    this.registers = new Registers(values, this.#long);
    const uses = usesOf(insn, form);
    this.#fpu = uses && new FpuValues(values, uses, mode);
    this.#fpuState = this.#fpu?.inDomain(insn.mnemonic, this.#fpu.state());
    const start = SLOTS + slot * SLOT_SIZE;
    // In the first slot of a page the instruction may begin in the page before.
    const crosses = slot > 0 && start % PAGE === 0;
    this.rip = crosses ? start - 1 - values.below(8) : start + 16;
    const usesAddress = variant.memory || insn.string === true || this.#isMaskedMove();
    const other = usesAddress && !notRun(insn, form, "address-size prefix") && values.percent(12);
    this.#addressSize = this.#long ? (other ? 32 : 64) : other ? 16 : 32;
    if (other) this.prefixes.push(0x67);
    this.#operandSize(form, size);
    if (usesAddress) this.#segment();
    if (insn.repeat && values.percent(60)) this.prefixes.push(values.percent(70) ? 0xf3 : 0xf2);
    const lockable = insn.lock && variant.memory && form.operands[0]!.method === "E" ? 25 : 2;
    const isMove = form.operands.some(({ method }) => "CD".includes(method));
    if (!isMove && form.prefix === 0 && values.percent(lockable)) this.prefixes.push(0xf0);
  }

  get locked(): boolean {
    return this.prefixes.includes(0xf0) || this.#variant.insn.mnemonic === "xchg";
  }

  #operandSize(form: Form, size: Size): void {
    if (!form.sized) {
      if (this.#fpu !== undefined) this.#idlePrefixes(form);
      return;
    }
    const usual = !this.#long ? 32 : form.d64 || form.f64 ? 64 : 32;
    if (size === 16) this.prefixes.push(0x66);
    if (this.#long && size === 64) {
      this.#rexW = usual === 32 || this.#values.percent(10);
      // REX.W wins over 66.
      if (this.#rexW && !form.f64 && !form.np && this.#values.percent(5)) this.prefixes.push(0x66);
    }
  }

  /** Prefixes that do nothing where they are not part of the form. */
  #idlePrefixes(form: Form): void {
    const values = this.#values;
    this.#rexW = this.#long && !this.#variant.insn.mnemonic.startsWith("fx") && values.percent(6);
    if (form.prefix > 0x66 && values.percent(4)) this.prefixes.push(0x66);
    if (this.#variant.insn.unit === "x87" && values.percent(4)) this.prefixes.push(values.pick([0x66, 0xf2, 0xf3]));
  }

  #segment(): void {
    const values = this.#values;
    // Without GS, 16-bit addresses lead nowhere.
    if (!values.percent(this.#addressSize === 16 ? 80 : 25)) return;
    if (values.percent(this.#addressSize === 16 ? 10 : 50)) {
      this.prefixes.push(values.pick(this.#long ? [0x26, 0x2e, 0x36, 0x3e] : [0x26, 0x36, 0x3e]));
    } else {
      this.prefixes.push(0x65);
      if (!this.#variant.insn.address) this.#segmentBase = BigInt(GS_BASE);
    }
  }

  operands(): void {
    const { insn, form, size } = this.#variant;
    if (insn.mnemonic === "xlat") this.#tableOperand();
    else if (insn.string && !this.#isMaskedMove()) this.#stringOperands();
    if (insn.stack) this.#stackOperands();
    if (insn.mnemonic === "enter") this.#frameOperands();
    if (/^x(save|rstor)/.test(insn.mnemonic)) this.#components();
    this.#rm = this.registers.any();
    this.#vvvv = this.registers.any();
    if (this.#isMaskedMove()) this.#maskedMove();
    this.#reg = form.operands.some(({ method }) => "SCD".includes(method))
      ? this.#values.below(8)
      : this.registers.any();
    const bitString = /^bt/.test(insn.mnemonic) && form.operands[1]!.method === "G" && this.#variant.memory;
    if (bitString) this.registers.fix(this.#reg, BigInt(this.#values.below(600) - 300), size);
    if (!form.plusR && form.operands.some(({ method }) => method === "Z"))
      this.#rm = (form.opcode & 7) | (this.#rm & 8);
    if (form.operands.some(({ method }) => method === "O")) this.#offset(form.operands);
    else if (this.#variant.memory) this.#addressOperand();
    this.#usefulValues();
    for (const operand of form.operands) this.#immediate(operand);
  }

  /** Bytes that the memory operand has. */
  #width(): number {
    const code = this.#memoryOperand();
    if (code === undefined) return 1;
    const { insn, size } = this.#variant;
    if (code.type === "") return imageBytes(insn.mnemonic, size) ?? operandSize(code, size) / 8;
    // BOUND has two bounds, CMPXCHG8B two registers' worth.
    if (code.type === "a" || (insn.mnemonic === "cmpxchg8b" && size === 64)) return size / 4;
    return code.type === "t" ? 10 : operandBytes(code, size);
  }

  #memoryOperand(): OperandCode | undefined {
    return this.#variant.form.operands.find(({ method }) => "EMOWQ".includes(method));
  }

  #chooseAddress(width: number): number {
    const { mnemonic } = this.#variant.insn;
    const { insn, form } = this.#variant;
    const alignment = width > 512 ? 64 : width === WIDE || width === 512 ? WIDE : 1;
    const always = notRun(insn, form, "misaligned operand") !== undefined;
    for (;;) {
      const at = this.#values.address(width, this.locked) & (always || this.#values.percent(92) ? -alignment : -1);
      // What has been stored of an image when a part of it faults is the processor's own matter.
      if (width > WIDE && pageKind(at) !== pageKind(at + width - 1)) continue;
      if (!(JUMPS.has(mnemonic) || mnemonic === "popf")) return at;
      // What is read has to be what was planted, or a fault.
      const kinds = [pageKind(at), pageKind(at + width - 1)];
      if (kinds.includes("hole") || !kinds.includes("ro")) return at;
    }
  }

  #stringOperands(): void {
    const values = this.#values;
    const bits = this.#addressSize;
    const width = this.#variant.size / 8;
    const [source, destination] = [values.address(width, false), values.address(width, false)];
    if (this.#variant.form.operands.length > 0 && !this.#isBranch()) {
      this.registers.fix(GPR.rsi, BigInt(source) - this.#segmentBase, bits);
      this.registers.fix(GPR.rdi, BigInt(destination), bits);
      const word = values.percent(50) ? values.value() : values.pick([0n, 0x0101_0101_0101_0101n]);
      this.plants.push(...plant(source, word, 8));
      this.plants.push(...plant(destination, values.percent(60) ? word : values.value(), 8));
      if (values.percent(50)) this.registers.gpr[GPR.rax] = this.registers.cut(word);
    }
    this.registers.fix(GPR.rcx, values.percent(90) ? BigInt(values.below(7)) : values.pick([0n, 1n]), bits);
  }

  /** XLAT: the table and the byte of it. */
  #tableOperand(): void {
    const values = this.#values;
    const byte = BigInt(values.below(256));
    const at = values.address(1, false);
    this.registers.gpr[GPR.rax] = (this.registers.gpr[GPR.rax]! & ~0xffn) | byte;
    this.registers.fix(GPR.rbx, BigInt(at) - this.#segmentBase - byte, this.#addressSize);
  }

  /** XSAVE and XRSTOR: components that both sides have. */
  #components(): void {
    this.registers.fix(GPR.rax, BigInt(this.#values.below(4)), 32);
    this.registers.fix(GPR.rdx, 0n, 32);
  }

  /** ENTER: two stack pointers in pages that may be written, so that nothing is half done when it faults. */
  #frameOperands(): void {
    const values = this.#values;
    const bits = this.#long ? 64 : 32;
    const middle = (): bigint => BigInt(DATA + PAGE + PAGE / 2 + values.below(PAGE / 4));
    const level = values.percent(60) ? 0 : values.below(8);
    this.registers.fix(GPR.rsp, level === 0 ? BigInt(this.#chooseAddress(8) + 8) : middle(), bits);
    this.registers.fix(GPR.rbp, middle(), bits);
    const room = BigInt(values.percent(80) ? values.below(256) : values.below(0x1_0000));
    const high = BigInt(values.percent(80) ? 0 : values.below(8) << 5);
    this.immediates.push({ bytes: 2, value: () => room }, { bytes: 1, value: () => high | BigInt(level) });
  }

  #isBranch(): boolean {
    return this.#variant.form.operands.some(({ method }) => method === "J");
  }

  #stackOperands(): void {
    const { insn, size } = this.#variant;
    const width = (size / 8) * (/^(pusha|popa)/.test(insn.mnemonic) ? 8 : 1);
    let at = this.#chooseAddress(width);
    // What PUSHA and POPA have done when they fault half-way is the processor's own matter.
    while (/^(pusha|popa)/.test(insn.mnemonic) && pageKind(at) !== pageKind(at + width - 1))
      at = this.#chooseAddress(width);
    const register = insn.mnemonic === "leave" ? GPR.rbp : GPR.rsp;
    // Above the address what is pushed lies, from it on what is popped.
    const pops = /^(pop|ret|leave)/.test(insn.mnemonic);
    this.registers.fix(register, BigInt(pops ? at : at + width), this.#long ? 64 : 32);
    if (insn.mnemonic === "ret") this.plants.push(...plant(at, this.#values.target(), width));
    else if (insn.mnemonic === "popf") this.plants.push(...plant(at, this.#flagImage(), width));
    else if (pops) this.plants.push(...plant(at, this.#values.value(), Math.min(width, 8)));
  }

  /** Not TF, which would trap, and not AC, which acts at CPL 3 alone. */
  #flagImage(): bigint {
    return this.#values.u64() & ~BigInt(RFLAGS.TF | RFLAGS.AC);
  }

  /** Chooses a ModRM form and makes its registers lead to an address of the arena. */
  #addressOperand(): void {
    const { insn } = this.#variant;
    const width = this.#width();
    this.#at = insn.address ? Number(this.#values.u64() & 0x7fff_ffffn) : this.#chooseAddress(width);
    this.#memory = this.registers.addressTo(BigInt(this.#at) - this.#segmentBase, this.#addressSize);
    if (!insn.address) this.#plantOperand(width);
  }

  #plantOperand(width: number): void {
    const values = this.#values;
    if (this.plants.length > 2) return;
    const { insn, size } = this.#variant;
    if (this.#fpu && this.#isVectorOrX87()) {
      const { type } = this.#memoryOperand()!;
      if (values.percent(90)) {
        this.plants.push(...plant(this.#at, this.#fpu.memory(insn.mnemonic, type, width, size), width));
      }
    } else if (JUMPS.has(insn.mnemonic)) this.plants.push(...plant(this.#at, values.target(), width));
    else if (values.percent(85)) this.plants.push(...plant(this.#at, this.#operandValue(), Math.min(width, WIDE)));
  }

  /** Is the operand in memory not one of general registers' (CVTSI2SD)? */
  #isVectorOrX87(): boolean {
    return this.#memoryOperand()!.method !== "E";
  }

  /** MASKMOVQ, MASKMOVDQU: memory at rDI that no operand names. */
  #isMaskedMove(): boolean {
    return this.#variant.insn.mnemonic.startsWith("maskmov");
  }

  /** All of it in one page, and a byte of it stored: whether others fault is the processor's own matter. */
  #maskedMove(): void {
    const isXmm = this.#variant.insn.mnemonic === "maskmovdqu";
    const width = isXmm ? WIDE : 8;
    let at = this.#values.address(width, false);
    while (pageKind(at) !== pageKind(at + width - 1)) at = this.#values.address(width, false);
    this.registers.fix(GPR.rdi, BigInt(at) - this.#segmentBase, this.#addressSize);
    const fpu = this.#fpuState!;
    const mark = 0x80n << BigInt(8 * this.#values.below(width));
    if (isXmm) this.#fpuState = { ...fpu, xmm: fpu.xmm.map((value, i) => (i === this.#rm ? value | mark : value)) };
    else this.#fpuState = { ...fpu, st: fpu.st.map((value, i) => (i === (this.#rm & 7) ? value | mark : value)) };
  }

  /** Sometimes what a comparison with rAX finds equal, or a product's small factor. */
  #operandValue(): bigint {
    const { insn } = this.#variant;
    if (insn.mnemonic === "imul" && this.#values.percent(50)) return this.#values.small();
    const { size } = this.#variant;
    if (insn.mnemonic === "bound") return this.#bounds(size);
    if (!insn.mnemonic.startsWith("cmpxchg") || this.#values.percent(50)) return this.#values.value();
    const [low, high] = [this.registers.gpr[GPR.rax]!, this.registers.gpr[GPR.rdx]!];
    if (insn.mnemonic !== "cmpxchg8b") return low;
    const half = size === 64 ? 64 : 32;
    return (mask(high, half) << BigInt(half)) | mask(low, half);
  }

  /** BOUND's: about the index. */
  #bounds(size: Size): bigint {
    const index = this.registers.gpr[this.#reg]!;
    const near = (sign: bigint): bigint => mask(index + sign * BigInt(this.#values.below(9) - 1), size);
    return (near(1n) << BigInt(size)) | near(-1n);
  }

  /** moffs: an address in the instruction. */
  #offset(operands: readonly OperandCode[]): void {
    const width = operandSize(operands.find(({ method }) => method === "O")!, this.#variant.size) / 8;
    this.#at = this.#chooseAddress(width);
    const value = BigInt(this.#at) - this.#segmentBase;
    this.immediates.push({ bytes: (this.#addressSize / 8) as 2 | 4 | 8, value: () => value });
    this.#plantOperand(width);
  }

  /** Values that make more of an instruction than an error or nothing. */
  #usefulValues(): void {
    const values = this.#values;
    const { insn, memory, size, form } = this.#variant;
    const change = (register: number, value: bigint): void => {
      if (!this.registers.isFixed(register)) this.registers.gpr[register] = this.registers.cut(value);
    };
    const { mnemonic } = insn;
    // Lengths of strings.
    if (mnemonic.startsWith("pcmpestr")) {
      for (const register of [GPR.rax, GPR.rdx])
        if (values.percent(80)) change(register, BigInt(values.below(40) - 20));
    }
    if (!memory && mnemonic === "cmpxchg" && values.percent(50)) change(this.#rm, this.registers.gpr[GPR.rax]!);
    if (!memory && JUMPS.has(mnemonic)) change(this.#rm, values.target());
    if (form.operands.some(({ text }) => text === "CL") && values.percent(60)) {
      change(GPR.rcx, (values.u64() & ~0xffn) | BigInt(values.below(70)));
    }
    // Products that just fit, of both signs.
    if (mnemonic === "imul" && values.percent(50)) {
      for (const register of [GPR.rax, this.#rm, this.#reg]) change(register, values.small());
    }
    if (/^i?div$/.test(mnemonic)) {
      const narrow = operandSize(form.operands[0]!, size) === 8;
      // A high half that is small, or the sign of the low one, or smaller than most divisors.
      const low = this.registers.gpr[GPR.rax]!;
      const sign = BigInt.asIntN(size, low) < 0n ? -1n : 0n;
      const high = values.pick([0n, sign, 1n, BigInt(values.below(200)), values.u64() >> BigInt(values.below(64))]);
      if (narrow) change(GPR.rax, (low & ~0xff00n) | ((high & 0xffn) << 8n));
      else change(GPR.rdx, high);
    }
  }

  #immediate(code: OperandCode): void {
    const values = this.#values;
    const { size } = this.#variant;
    if (code.method === "J") {
      // Within the slot, or far; never into the instruction itself, which could go round in a circle.
      const near = BigInt(this.rip % SLOT_SIZE === 16 && values.percent(40) ? this.rip - 1 - values.below(16) : -1);
      const skip = BigInt(values.below(20));
      const far = values.target();
      const bytes = code.type === "b" ? 1 : size === 16 ? 2 : 4;
      const isNear = bytes === 1 || values.percent(30);
      const to = (next: bigint): bigint => (isNear ? (near >= 0n ? near : next + skip) : far);
      this.immediates.push({ bytes, value: (next) => to(next) - next });
    } else if (code.method === "I") {
      const wide = code.type === "v" ? size : code.type === "z" ? Math.min(size, 32) : code.type === "w" ? 16 : 8;
      const any = (): bigint => (this.#fpu && values.percent(60) ? values.u64() : values.value());
      const value = values.percent(30) && code.type === "b" ? BigInt(values.below(70)) : any();
      this.#count = value;
      this.immediates.push({ bytes: (wide / 8) as 1 | 2 | 4 | 8, value: () => value });
    }
  }

  finish(): Case | undefined {
    const { insn, form, size, mode, memory } = this.#variant;
    const values = this.#values;
    const code = encode(
      {
        form,
        prefixes: this.#shuffled(),
        rexW: this.#rexW,
        rexAnyway: values.percent(40),
        long: this.#long,
        reg: this.#reg,
        rm: this.#rm,
        vvvv: this.#vvvv,
        ...(this.#memory ? { memory: this.#memory } : {}),
        immediates: this.immediates,
      },
      this.rip,
    );
    const bits = form.operands[0] ? operandSize(form.operands[0], size) : size;
    const by = form.operands.some(({ text }) => text === "CL")
      ? this.registers.gpr[GPR.rcx]!
      : form.operands.some(({ text }) => text === "1")
        ? 1n
        : this.#count;
    const count = Number(mask(by, bits === 64 ? 6 : 5));
    if (undefinedResult(insn.mnemonic, { size: bits, count }) !== "") return undefined;
    const direction = values.percent(insn.string ? 50 : 10) ? RFLAGS.DF : 0;
    const loose = looseness(insn, form, size, this.#at);
    return {
      name: `${insn.mnemonic} ${form.text} (${mode}-bit, o${size}${memory ? ", memory" : ""})`,
      mode,
      gpr: this.registers.gpr,
      flags: (values.below(2 ** 32) & ARITHMETIC) | direction | RFLAGS.FIXED,
      rip: this.rip,
      code: insn.unit === "x87" ? Uint8Array.of(...code, FWAIT) : code,
      plants: this.plants,
      undefinedFlags: undefinedFlags(insn.mnemonic, { size: bits, count }),
      ...(this.#fpuState ? { fpu: this.#fpuState } : {}),
      ...(loose ? { loose } : {}),
    };
  }

  #shuffled(): number[] {
    const prefixes = [...this.prefixes];
    for (let i = prefixes.length - 1; i > 0; i--) {
      const j = this.#values.below(i + 1);
      [prefixes[i], prefixes[j]] = [prefixes[j]!, prefixes[i]!];
    }
    return prefixes;
  }
}

/** A case of `variant` for a slot. */
export function generate(values: Values, variant: Variant, slot: number): Case {
  for (;;) {
    const draft = new Draft(values, variant, slot);
    draft.operands();
    const made = draft.finish();
    if (made) return made;
  }
}
