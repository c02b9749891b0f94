/**
 * Every opcode, in every decode mode, with every prefix: what decodes has a case, and what has a case can be executed.
 * Document: SDM volume 2D, appendix A.
 * Left out: what the instructions do.
 */

import { describe, expect, it } from "vitest";
import { BOUNDS } from "../../../kvm-core/cpu/bounds.ts";
import { MODE } from "../../../kvm-core/cpu/control.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";
import { Decoded } from "../../../kvm-core/isa/decoded.ts";

const { stack32, flat } = MODE;
const MODES = {
  "16-bit, 16-bit stack": MODE.code16,
  "16-bit, 32-bit stack": MODE.code16 | stack32,
  "16-bit, flat": MODE.code16 | flat,
  "16-bit, flat, 32-bit stack": MODE.code16 | flat | stack32,
  "32-bit, 16-bit stack": MODE.code32,
  "32-bit, 32-bit stack": MODE.code32 | stack32,
  "32-bit, flat, 16-bit stack": MODE.code32 | flat,
  "32-bit, flat": MODE.code32 | flat | stack32,
  "64-bit": MODE.code64 | stack32 | flat,
} as const;
const SIZES = [[], [0x66], [0x67], [0x66, 0x67]];
const REPEATS = [[], [0xf0], [0xf2], [0xf3]];
const PREFIXES = [
  ...SIZES.flatMap((size) => REPEATS.map((repeat) => [...size, ...repeat])),
  [0x2e],
  [0x64],
  [0x67, 0x36],
];
/** Each ModRM.reg with memory, without a base and with one, and with a register. */
const MODRM = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((reg) => [0x00, 0x44, 0xc0].map((rm) => rm | (reg << 3)));
const ALL_REGISTERS = Array.from({ length: 64 }, (_, i) => 0xc0 + i);
/** VEX with each pp, L and W, in all of its maps; register 0 in vvvv, and the one that says there is none. */
const VEX = [1, 2, 3].flatMap((map) =>
  [0x00, 0x78].flatMap((vvvv) =>
    Array.from({ length: 16 }, (_, i) => [0xc4, 0xe0 | map, ((i & 8) << 4) | vvvv | (i & 7)]),
  ),
);
const REX = [[], [0x41], [0x48]];

const map = opcodeMap();
/** Cases that something decoded to. */
const seen = new Set<number>();

describe.each(Object.entries(MODES))("%s", (_name, mode) => {
  const decoder = new Decoder(map);
  const long = (mode & MODE.codeSize) === MODE.code64;
  const bytes = new Uint8Array(32);

  /** The instruction in `bytes`; a sentence if something is wrong with what it decodes to. */
  const look = (): string => {
    const result = decoder.decode(bytes, 0, bytes.length, mode);
    if (result === Decoded.unbuilt && decoder.unbuilt.includes("operand size")) return decoder.unbuilt;
    if (result !== Decoded.ok) return "";
    const numbers = [decoder.caseNumber];
    if (decoder.isRelative && !decoder.computed) numbers.push(decoder.crossCase);
    for (const number of numbers) {
      if (map.cases[number] === undefined) return `no case ${number}`;
      seen.add(number);
    }
    return decoder.eaRow > BOUNDS.anyRow ? "no such row" : "";
  };

  it("decodes to cases that are there", () => {
    for (const prefix of PREFIXES) {
      for (const rex of long ? REX : [[]]) {
        for (const map0f of [
          [],
          [0x0f],
          [0x0f, 0x38],
          [0x0f, 0x3a],
          ...(rex.length === 0 && !prefix.includes(0x66) ? VEX : []),
        ]) {
          const at = prefix.length + rex.length + map0f.length;
          bytes.fill(0x11);
          bytes.set([...prefix, ...rex, ...map0f]);
          for (let opcode = 0; opcode < 256; opcode++) {
            for (const modrm of prefix.length === 0 ? [...MODRM, ...ALL_REGISTERS] : MODRM) {
              bytes[at] = opcode;
              bytes[at + 1] = modrm;
              const wrong = look();
              if (wrong === "") continue;
              const text = [...bytes.subarray(0, at + 2)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
              expect.fail(`${text}: ${wrong}`);
            }
          }
        }
      }
    }
  });
});

it("there is no case that nothing decodes to", () => {
  expect(map.cases.flatMap((c, i) => (c && !seen.has(i) ? [c.name] : []))).toEqual([]);
});
