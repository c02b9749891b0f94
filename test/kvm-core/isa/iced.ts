/**
 * An independent disassembler, its text made comparable with ours.
 * Document: the iced-x86 package; ours is kvm-core/isa/disasm.ts.
 * Left out: what ours leaves out: operands of string instructions, and sizes of far pointers.
 */

import { Decoder, DecoderOptions, Formatter, FormatterSyntax, Instruction, MemorySizeOptions } from "iced-x86";
import { featureNames } from "./model-features.ts";

/** What Intel's syntax says and objdump's does not, or says otherwise. In this order. */
const REWRITES: readonly (readonly [RegExp, string])[] = [
  // Hints, and prefixes whose effect the operands show.
  [/\b(xacquire|xrelease|bnd|notrack|hint-taken|hint-not-taken|data16|data32|data64|addr16|addr32) /g, ""],
  [/^rex(\.\w+)? /, ""],
  [/^ret far\b/, "lret"],
  [/^(jmp|call) (?:far |(?=0x\w+,))/, "l$1 "],
  [/^l(jmp|call) (0x\w+),(0x\w+)$/, "l$1 $3:$2"],
  [/\b(ptr|far|short) /g, ""],
  // Reserved NOPs: ModRM.reg means nothing.
  [/^nop (.*),\w+$/, "nop $1"],
  // Operands of string instructions; F3 is REP for us whatever the instruction makes of it.
  [/^((?:repn?e? )?(?:movs|stos|lods|cmps|scas|ins|outs)[bwdq])\b(?!.*xmm).*$/, "$1"],
  [/^(maskmov\w+ \w+,\w+),\w+$/, "$1"],
  [/^repe /, "rep "],
  [/^repne (?!cmps|scas)/, "rep "],
  [/^rep (?!movs|stos|lods|cmps|scas|ins|outs)/, ""],
  // Far pointers and descriptor tables.
  [/^l(jmp|call) (fword|dword|tbyte) /, "l$1 "],
  [/^([sl][gi]dt) [a-z]+ /, "$1 "],
  [/^((?:l[defgs]s|bound|invpcid) \w+,)[a-z]+ /, "$1"],
  // Of a register LAR and LSL take the selector.
  [/^(l(?:ar|sl) \w+),[er]([abcds][xpi])$/, "$1,$2"],
  [/^(l(?:ar|sl) \w+),(r\d+)d?$/, "$1,$2w"],
  [/^(invpcid \w+,)xmmword /, "$1"],
  [/^xlat .*$/, "xlat"],
  [/^j[er]cxz/, "jcxz"],
  [/^(push|pop)(f|a)[wdq]?\b/, "$1$2"],
  [/^iret$/, "iretw"],
  [/^sal /, "shl "],
  [/^int1 /, "int "],
  // x87: ST(0) beside an operand in memory, and the sizes of what has no type.
  [/^fwait$/, "wait"],
  [/^[c-gs]s monitor$/, "monitor"],
  [/^(pcmpestr[im])64 /, "$1 "],
  [/^(f\w+) st,(.*\])$/, "$1 $2"],
  [/^(f\w+ .*\]),st$/, "$1"],
  [/^(f\w+) (?:tbyte|fpu(?:env|state)\d+) /, "$1 "],
  [/^(f\w+ )(.*,)?st\b(?!\()/, "$1$2st(0)"],
  [/^(f(?:ld|stp?|stpnce|free|freep)) (st\(\d\)),st\(0\)$/, "$1 $2"],
  [/^fld st\(0\),/, "fld "],
  // The formatter leaves out the operands that an assembler supplies.
  [/^(fu?comp?|fxch)$/, "$1 st(0),st(1)"],
  [/^(f(?:add|mul|subr?|divr?)p)$/, "$1 st(1),st(0)"],
  [/^(imul (\w+)),(0x\w+)$/, "$1,$2,$3"],
  [/^(r[oc][lr]|sh[lr]|sar) (.*),0x1$/, "$1 $2,1"],
];

/** What our text says more, or otherwise. */
const OUR_REWRITES: readonly (readonly [RegExp, string])[] = [
  [/ {2}# .*$/, ""],
  [/^(push|pop)(f|a)d?$/, "$1$2"],
  [/^((?:lock )?cmpxchg16b) qword /, "$1 xmmword "],
  // The mask that no byte names.
  [/^(p?blendv\w+ .*),xmm0$/, "$1"],
  [/^(r[oc][lr]|sh[lr]|sar) (.*),0x1$/, "$1 $2,1"],
];

/** Outside 64-bit mode each memory operand has a segment: the default one if the text names none (SDM volume 1, 3.7.4). */
function withSegment(text: string): string {
  return text.replace(/(^|[ ,])\[(\w+)(\*?)/, (_, before: string, first: string, factor: string) => {
    const stack = factor === "" && /^e?[bs]p$/.test(first);
    return `${before}${stack ? "ss" : "ds"}:[${first}${factor}`;
  });
}

function rewrite(text: string, rules: typeof REWRITES, bits: 16 | 32 | 64): string {
  let normal = rules.reduce((all, [from, to]) => all.replace(from, to), text);
  // In 64-bit mode these segments mean nothing; LEA has none.
  normal = bits === 64 ? normal.replace(/\b[cdes]s:\[/, "[") : withSegment(normal);
  if (normal.startsWith("lea ")) normal = normal.replace(/\b[cdefgs]s:\[/, "[");
  // Operands that may stand in either order.
  const pair = /^((?:lock )?(?:xchg|test)) ([^,]+),([^,]+)$/.exec(normal);
  return pair ? `${pair[1]} ${[pair[2], pair[3]].sort().join()}` : normal;
}

/** Our disassembly, comparable with IcedResult.text. */
export const normalText = (text: string, bits: 16 | 32 | 64): string => rewrite(text, OUR_REWRITES, bits);

export interface IcedResult {
  readonly valid: boolean;
  readonly length: number;
  readonly text: string;
}

/** Decodes with iced-x86 in one mode; the instruction lies at `rip`. */
export class Iced {
  readonly #bits: 16 | 32 | 64;
  readonly #formatter = new Formatter(FormatterSyntax.Intel);
  readonly #instruction = new Instruction();

  constructor(bits: 16 | 32 | 64) {
    this.#bits = bits;
    const f = this.#formatter;
    f.hexPrefix = "0x";
    f.hexSuffix = "";
    f.uppercaseHex = false;
    f.leadingZeros = false;
    f.branchLeadingZeros = false;
    f.displacementLeadingZeros = false;
    f.smallHexNumbersInDecimal = false;
    f.addLeadingZeroToHexNumbers = false;
    f.memorySizeOptions = MemorySizeOptions.Always;
    f.ripRelativeAddresses = true;
    f.usePseudoOps = false;
    f.showBranchSize = false;
    f.usePseudoOps = false;
    f.alwaysShowSegmentRegister = bits !== 64;
  }

  /** Features that the instruction needs which was decoded last. */
  get features(): string[] {
    return featureNames(this.#instruction);
  }

  decode(bytes: Uint8Array, rip: bigint): IcedResult {
    const decoder = new Decoder(this.#bits, bytes, DecoderOptions.None);
    decoder.ip = rip;
    decoder.decodeOut(this.#instruction);
    decoder.free();
    const valid = !this.#instruction.isInvalid;
    return {
      valid,
      length: this.#instruction.length,
      text: valid ? rewrite(this.#formatter.format(this.#instruction), REWRITES, this.#bits) : "",
    };
  }
}
