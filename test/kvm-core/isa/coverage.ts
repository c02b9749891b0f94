/**
 * The coverage table: every opcode of the manual's maps that the model has, and which description it is.
 * Document: SDM volume 2D, appendix A. The list of opcodes is iced-x86's, so that none is missing here because nobody
 * thought of it.
 * Left out: what has no encoding of its own: instructions that begin with WAIT (FINIT is WAIT, FNINIT).
 *
 * Encodings are found by decoding all combinations of prefix, map, opcode and ModRM with iced-x86, and those of VEX; one
 * example of each instruction and mode is then given to our decoder.
 */

import { Code, CodeExt, DecoderOptions, EncodingKind, Decoder as IcedDecoder, Instruction } from "iced-x86";
import { MODE } from "../../../kvm-core/cpu/control.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";
import { Decoded } from "../../../kvm-core/isa/decoded.ts";
import { disassemble } from "../../../kvm-core/isa/disasm.ts";
import { familyOf } from "./families.ts";
import { Iced, normalText } from "./iced.ts";
import { featureNames, ofModel } from "./model-features.ts";

export type Bits = 16 | 32 | 64;
const MODES: Readonly<Record<Bits, number>> = {
  16: MODE.code16,
  32: MODE.code32 | MODE.stack32 | MODE.flat,
  64: MODE.code64 | MODE.stack32 | MODE.flat,
};
const ALL_BITS = [16, 32, 64] as const;

export interface CoverageRow {
  /** As the manual's opcode column has it. */
  readonly opcode: string;
  readonly instruction: string;
  readonly features: readonly string[];
  /** "family/mnemonic"; "" if a mode that has it does not decode it so. */
  readonly described: string;
  /** Of a mode where it is not described: what ours makes of which bytes. */
  readonly otherwise: string;
}

const LEGACY_PREFIXES = [[], [0x66], [0xf3], [0xf2], [0x66, 0xf3], [0x66, 0xf2], [0x67], [0x66, 0x67]];
const REX_PREFIXES = [[0x48], [0x66, 0x48], [0xf3, 0x48], [0xf2, 0x48]];
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
/** Each ModRM.reg with memory, and every register. */
const MODRM = Array.from({ length: 256 }, (_, modrm) => modrm).filter((m) => m >= 0xc0 || ((m & 7) === 0 && m < 0x40));

/** Every encoding that is looked at. The opcode is the byte before the last, ModRM the last. */
function* encodings(bits: Bits): Generator<number[]> {
  const prefixes = bits === 64 ? [...LEGACY_PREFIXES, ...REX_PREFIXES] : LEGACY_PREFIXES;
  for (const start of prefixes.flatMap((prefix) => MAPS.map((map) => [...prefix, ...map])))
    for (let opcode = 0; opcode < 256; opcode++) for (const modrm of MODRM) yield [...start, opcode, modrm];
  for (const map of [1, 2, 3])
    for (const last of Array.from({ length: 16 }, (_, i) => ((i & 8) << 4) | 0x78 | (i & 7)))
      for (const vvvv of [0, 0x08])
        for (let opcode = 0; opcode < 256; opcode++)
          for (const modrm of MODRM.filter((m) => m < 0x40 || (m & 7) === 0))
            yield [0xc4, 0xe0 | map, last ^ vvvv, opcode, modrm];
}

const PADDING = 12;

/** Code -> the bytes of an example, in one mode. */
function examples(bits: Bits): Map<Code, Uint8Array> {
  const found = new Map<Code, Uint8Array>();
  const instruction = new Instruction();
  const bytes = new Uint8Array(8 + PADDING);
  // One decoder for all: the bytes are put into the place of those before.
  for (const encoding of encodings(bits)) {
    bytes.fill(0, encoding.length);
    bytes.set(encoding);
    const decoder = new IcedDecoder(bits, bytes, DecoderOptions.None);
    decoder.decodeOut(instruction);
    decoder.free();
    const { code } = instruction;
    if (code !== Code.INVALID && !found.has(code)) found.set(code, bytes.slice(0, instruction.length));
  }
  return found;
}

const decoder = new Decoder(opcodeMap());
const firstWord = (text: string): string => text.replace(/^(lock|rep|repe|repne) /, "").split(" ")[0]!;
const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** What our decoder makes of an example: "family/mnemonic", or what is wrong. */
function look(bits: Bits, bytes: Uint8Array, iced: Iced): { readonly described: string; readonly otherwise: string } {
  const result = decoder.decode(bytes, 0, bytes.length, MODES[bits]);
  const wrong = (what: string) => ({ described: "", otherwise: `${what} (${bits}-bit: ${hex(bytes)})` });
  if (result === Decoded.unbuilt) return wrong("not built");
  if (result !== Decoded.ok) return wrong("undefined");
  const ours = firstWord(normalText(disassemble(decoder, 0n), bits));
  const theirs = firstWord(iced.decode(bytes, 0n).text);
  if (ours !== theirs) return wrong(`decoded as ${ours}, not ${theirs}`);
  return { described: `${familyOf(decoder.row.insn)}/${decoder.row.insn.mnemonic}`, otherwise: "" };
}

/** A row for each instruction of the model, in the order of iced-x86's table; `absent`: those that no encoding gave. */
export function coverage(): { readonly rows: readonly CoverageRow[]; readonly absent: readonly string[] } {
  const found = ALL_BITS.map((bits) => [bits, examples(bits), new Iced(bits)] as const);
  const instruction = new Instruction();
  const rows: CoverageRow[] = [];
  const absent: string[] = [];
  const codes = Object.values(Code).filter((code): code is Code => typeof code === "number");
  for (const code of codes) {
    instruction.code = code;
    const features = featureNames(instruction);
    const info = CodeExt.opCode(code);
    const { opCodeString: opcode, instructionString: text, isInstruction, fwait } = info;
    const encoding = info.encoding;
    const modes = { 16: info.mode16, 32: info.mode32, 64: info.mode64 };
    info.free();
    const isVexOrLegacy = encoding === EncodingKind.Legacy || encoding === EncodingKind.VEX;
    if (!isInstruction || fwait || !isVexOrLegacy || !ofModel(features)) continue;
    const looks = found.flatMap(([bits, map, iced]) => {
      const example = map.get(code);
      return modes[bits] && example ? [look(bits, example, iced)] : [];
    });
    if (looks.length === 0) absent.push(`${opcode}  ${text}`);
    else {
      const bad = looks.find(({ described }) => described === "");
      rows.push({ opcode, instruction: text, features, ...(bad ?? looks[0]!) });
    }
  }
  return { rows, absent };
}
