/**
 * Operand codes of the Intel manual's opcode maps: addressing method, then operand type.
 * Document: SDM volume 2D, A.2.1 and A.2.2.
 * Deviations: Z is a register in the opcode's low three bits (the manual writes it out); Ibs is the byte that is
 * sign-extended to the operand size (the manual's sIb); Mt is a pseudo-descriptor (the manual's Ms); Aw is a word and a
 * byte, the two immediates of ENTER.
 * STi is an x87 register in ModRM.rm (the manual writes it out); x87 operands in memory are plain M codes.
 * Left out: codes of VEX operands: H, L; they come with their instructions.
 */

import type { Size } from "../emit/emitter.ts";

/** Where an operand is encoded. */
export type Method =
  | "E" // ModRM.rm: register or memory
  | "M" // ModRM.rm: memory only
  | "R" // ModRM.rm: general register only
  | "G" // ModRM.reg: general register
  | "S" // ModRM.reg: segment register
  | "C" // ModRM.reg: control register
  | "D" // ModRM.reg: debug register
  | "Z" // low three bits of the opcode: general register
  | "V" // ModRM.reg: XMM register
  | "W" // ModRM.rm: XMM register or memory
  | "U" // ModRM.rm: XMM register only
  | "P" // ModRM.reg: MMX register
  | "Q" // ModRM.rm: MMX register or memory
  | "N" // ModRM.rm: MMX register only
  | "STi" // ModRM.rm: x87 register only
  | "B" // VEX.vvvv: general register
  | "I" // immediate
  | "J" // relative to the next instruction
  | "O" // absolute offset, no ModRM
  | "A" // far pointer in the instruction, or the immediates of ENTER
  | "X" // string source, DS:rSI
  | "Y" // string destination, ES:rDI
  | "F" // RFLAGS
  | "register" // named: AL, DX, rAX
  | "implied" // CL as a count, XMM0 as a mask: never in the record
  | "segment" // named: ES ... GS
  | "one"; // the constant 1

/**
 * b 8, w 16, d 32, q 64; v by operand size; z 16 or 32; y 32 or 64; p far pointer; t pseudo-descriptor; a the two bounds of
 * BOUND; "": no size. Of vectors: dq, ps, pd and x have 128 bits; pi, sd and q 64; ss and si 32.
 */
export type TypeCode =
  | ("b" | "w" | "d" | "q" | "v" | "z" | "y" | "p" | "t" | "a" | "")
  | ("dq" | "ps" | "pd" | "x" | "pi" | "sd" | "ss" | "si");

export interface OperandCode {
  readonly text: string;
  readonly method: Method;
  readonly type: TypeCode;
  /** Ibs: a byte, sign-extended to the operand size. */
  readonly signExtended: boolean;
  /** Number of a named register. */
  readonly register: number;
  /** Bits when the operand size is 16, 32 and 64: see operandSize(). */
  readonly bits: readonly [Size, Size, Size];
  /** 128 bits; `bits` says 64 then. */
  readonly whole: boolean;
}

const WHOLE: ReadonlySet<string> = new Set(["dq", "ps", "pd", "x"]);
/** Methods whose register is a vector's. */
export const VECTOR_METHODS: ReadonlySet<Method> = new Set(["V", "W", "U", "P", "Q", "N"]);
/** Methods whose operand may be in memory. */
export const MEMORY_METHODS: ReadonlySet<Method> = new Set(["E", "M", "O", "W", "Q"]);

const NAMED: Readonly<Record<string, readonly [Method, TypeCode, number]>> = {
  AL: ["register", "b", 0],
  AX: ["register", "w", 0],
  rAX: ["register", "v", 0],
  eAX: ["register", "z", 0],
  CL: ["implied", "b", 1],
  DX: ["register", "w", 2],
  ES: ["segment", "w", 0],
  CS: ["segment", "w", 1],
  SS: ["segment", "w", 2],
  DS: ["segment", "w", 3],
  FS: ["segment", "w", 4],
  GS: ["segment", "w", 5],
  "1": ["one", "b", 1],
  ST: ["implied", "", 0],
  XMM0: ["implied", "dq", 0],
  STi: ["STi", "", 0],
};

export function parseOperand(text: string): OperandCode {
  const named = NAMED[text];
  if (named) {
    const [method, type, register] = named;
    return { text, method, type, register, signExtended: false, bits: bitsOf(type, false), whole: false };
  }
  const match =
    /^([VWUPQNME])(dq|ps|pd|x|pi|sd|ss|si|q|d|w|b)()$/.exec(text) ??
    /^([EMRGSCDZBIJOAXYF])([bwdqvzypta]?)(s?)$/.exec(text);
  if (!match) throw new Error(`no such operand code: ${text}`);
  const method = match[1] as Method;
  const type = match[2] as TypeCode;
  const signExtended = match[3] === "s";
  if (signExtended && text !== "Ibs") throw new Error(`no such operand code: ${text}`);
  const whole = WHOLE.has(type);
  return { text, method, type, register: 0, signExtended, bits: bitsOf(type, signExtended), whole };
}

function bitsOf(type: TypeCode, signExtended: boolean): readonly [Size, Size, Size] {
  if (signExtended) return [16, 32, 64];
  switch (type) {
    case "b":
      return [8, 8, 8];
    case "w":
      return [16, 16, 16];
    case "d":
    case "ss":
    case "si":
      return [32, 32, 32];
    case "q":
    case "pi":
    case "sd":
    case "dq":
    case "ps":
    case "pd":
    case "x":
      return [64, 64, 64];
    case "z":
      return [16, 32, 32];
    case "y":
      return [32, 32, 64];
    default:
      return [16, 32, 64];
  }
}

/** Bits of an operand when the operand size is `size`, which is not 8. */
export function operandSize(code: OperandCode, size: Size): Size {
  return code.bits[size >> 5]!;
}

/** Bytes of an operand when the operand size is `size`. */
export function operandBytes(code: OperandCode, size: Size): number {
  return code.whole ? 16 : operandSize(code, size) / 8;
}

/** Does the operand's meaning depend on the operand size? */
export function isSized(code: OperandCode): boolean {
  return code.signExtended || (code.type.length === 1 && "vzypta".includes(code.type));
}
