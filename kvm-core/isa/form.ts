/**
 * Parser of one instruction form in the manual's notation: "81 /0 iz Ev,Iz", "F3 0F B8 /r Gv,Ev", "50+r Zv d64",
 * "VEX.LZ.0F38.W0 F2 /r Gy,By,Ey".
 * Document: SDM volume 2A, 3.1.1.1 (opcode column) and volume 2D, A.2.5 (superscripts i64, o64, d64, f64).
 * Deviation: a VEX form without W0, W1 or WIG has W as its operand size.
 * Left out: EVEX forms; VEX forms with a register in an immediate (/is4).
 */

import { isSized, MEMORY_METHODS, type Method, type OperandCode, parseOperand } from "./operand.ts";

export interface Form {
  readonly text: string;
  /** 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  /** Mandatory prefix 66, F3 or F2; 0 if the form has none. */
  readonly prefix: number;
  /** NP: none of these prefixes may be there; they make another instruction, or none (SDM volume 2A, 3.1.1.1). */
  readonly np: boolean;
  /** NFx: neither F2 nor F3 may be there; 66 is the operand size. */
  readonly nfx: boolean;
  /** Encoded by VEX: L and W that it has, -1 if any will do; undefined for a legacy form. */
  readonly vex: { readonly l: number; readonly w: number } | undefined;
  /** An operand is the register in VEX.vvvv; else that has to be 1111b. */
  readonly vvvv: boolean;
  readonly modrm: boolean;
  /** /digit: the value of ModRM.reg; -1 for /r. */
  readonly digit: number;
  /** The whole ModRM byte, for forms like "0F 01 F8"; -1 if it is free. */
  readonly exact: number;
  /** ModRM.rm is a register whatever ModRM.mod is (SDM volume 2, MOV CR and MOV DR). */
  readonly modIgnored: boolean;
  /** +r: the low three bits of the opcode are a register. */
  readonly plusR: boolean;
  readonly operands: readonly OperandCode[];
  /** Superscripts: invalid in 64-bit mode; only there; operand size defaults to 64 there; is forced to 64 there. */
  readonly i64: boolean;
  readonly o64: boolean;
  readonly d64: boolean;
  readonly f64: boolean;
  /** An operand may be in memory, and is accessed there or its address taken. */
  readonly memory: boolean;
  /** The operand size matters. */
  readonly sized: boolean;
}

const PREFIXES: ReadonlySet<number> = new Set([0x66, 0xf3, 0xf2]);
const IMMEDIATES: Readonly<Record<string, string>> = {
  ib: "Ib Ibs",
  iw: "Iw",
  iz: "Iz",
  iv: "Iv",
  cb: "Jb",
  cz: "Jz",
  cp: "Ap",
};
/** Methods of operands that the ModRM byte names. */
const IN_MODRM: ReadonlySet<Method> = new Set(["E", "M", "R", "G", "S", "C", "D", "V", "W", "U", "P", "Q", "N", "STi"]);
const SUPERSCRIPTS: ReadonlySet<string> = new Set(["i64", "o64", "d64", "f64", "sized"]);

const VEX = /^VEX\.(LZ|LIG|128|256|L0|L1)(?:\.(NP|66|F3|F2))?\.(0F|0F38|0F3A)(?:\.(W0|W1|WIG))?$/;
const VEX_L: Readonly<Record<string, number>> = { LZ: 0, L0: 0, 128: 0, L1: 1, 256: 1, LIG: -1 };
const VEX_W: Readonly<Record<string, number>> = { W0: 0, W1: 1, WIG: -1 };
const VEX_MAP = { "0F": 1, "0F38": 2, "0F3A": 3 } as const;

/** Throws on a form that is not well made: our bug, at start-up. */
export function parseForm(text: string): Form {
  const fail = (why: string): never => {
    throw new Error(`form "${text}": ${why}`);
  };
  const bytes: number[] = [];
  let digit = -1;
  let modrm = false;
  let plusR = false;
  const immediates: string[] = [];
  const marks = new Set<string>();
  let np = false;
  let nfx = false;
  let vex: RegExpExecArray | null = null;
  let operands: OperandCode[] = [];
  for (const token of text.trim().split(/\s+/)) {
    const plus = /^([0-9A-F]{2})(\+r)?$/.exec(token);
    if (token === "NP") np = true;
    else if (token === "NFx") nfx = true;
    else if (token.startsWith("VEX.")) vex = VEX.exec(token) ?? fail(`no such prefix: ${token}`);
    else if (plus) {
      bytes.push(Number.parseInt(plus[1]!, 16));
      plusR ||= plus[2] !== undefined;
    } else if (/^\/[0-7r]$/.test(token)) {
      modrm = true;
      digit = token === "/r" ? -1 : Number(token[1]);
    } else if (token in IMMEDIATES) immediates.push(token);
    else if (SUPERSCRIPTS.has(token)) marks.add(token);
    else operands = token.split(",").map(parseOperand);
  }
  let prefix = bytes.length > 1 && PREFIXES.has(bytes[0]!) ? bytes.shift()! : 0;
  let map: Form["map"] = 0;
  if (vex) {
    prefix = Number.parseInt(vex[2]?.replace("NP", "0") ?? "0", 16);
    np = prefix === 0;
    map = VEX_MAP[vex[3] as keyof typeof VEX_MAP];
  }
  if (bytes[0] === 0x0f && bytes.length > 1) {
    bytes.shift();
    map = 1;
    const second = bytes[0] as number;
    if ((second === 0x38 || second === 0x3a) && bytes.length > 1) {
      bytes.shift();
      map = second === 0x38 ? 2 : 3;
    }
  }
  if (bytes.length === 0 || bytes.length > 2) fail("one opcode byte, or one and a ModRM byte");
  const exact = bytes[1] ?? -1;
  if (exact >= 0) modrm = true;
  const encoded = operands.flatMap(({ method, text: code }) =>
    code === "Aw" ? ["Iw", "Ib"] : "IJA".includes(method) ? [code] : [],
  );
  if (encoded.length !== immediates.length) fail("immediates and operands differ in number");
  immediates.forEach((token, i) => {
    if (!IMMEDIATES[token]!.split(" ").includes(encoded[i]!)) fail(`${token} is not ${encoded[i]}`);
  });
  const needsModrm = operands.some(({ method }) => IN_MODRM.has(method));
  if (needsModrm && !modrm) fail("an operand is in ModRM, but there is no /r or /digit");
  if (plusR && !operands.some(({ method }) => method === "Z")) fail("+r without operand Z");
  return {
    text,
    map,
    opcode: bytes[0]!,
    prefix,
    np,
    nfx,
    vex: vex ? { l: VEX_L[vex[1]!]!, w: VEX_W[vex[4] ?? "WIG"]! } : undefined,
    vvvv: operands.some(({ method }) => method === "B"),
    modrm,
    digit,
    exact,
    modIgnored: operands.some(({ method }) => "CD".includes(method)),
    plusR,
    operands,
    i64: marks.has("i64"),
    o64: marks.has("o64"),
    d64: marks.has("d64"),
    f64: marks.has("f64"),
    memory: operands.some(({ method }) => MEMORY_METHODS.has(method)),
    sized: marks.has("sized") || marks.has("d64") || marks.has("f64") || operands.some(isSized),
  };
}
