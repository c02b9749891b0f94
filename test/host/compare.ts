/**
 * Compares what the host's processor and an engine made of a case, and makes a case that differs smaller.
 * Document: SDM volume 1, 3.4 (registers, RFLAGS); fpu-compare.ts for x87, MMX and SSE.
 * Left out: RFLAGS bits that a process cannot see, and RF, which the kernel's frame has set after a fault.
 */

import { MODE } from "../../kvm-core/cpu/control.ts";
import { RFLAGS } from "../../kvm-core/cpu/flags.ts";
import { GPR } from "../../kvm-core/cpu/state.ts";
import { opcodeMap } from "../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../kvm-core/isa/decode.ts";
import { Decoded } from "../../kvm-core/isa/decoded.ts";
import { disassemble } from "../../kvm-core/isa/disasm.ts";
import { type Case, type Outcome, wordBefore } from "./case.ts";
import { fpuDifferences, fpuText, SIMPLER, sameFpu } from "./fpu-compare.ts";

const { CF, PF, AF, ZF, SF, DF, OF, IF, IOPL, NT, AC, ID } = RFLAGS;
const COMPARED = CF | PF | AF | ZF | SF | DF | OF | IF | IOPL | NT | AC | ID;
const NAMES = Object.keys(GPR);
/** Of addresses from here on Linux tells a process that they are present, whether they are or not. */
const KERNEL = 0x7fff_ffff_f000n;
const PRESENT = 1;
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** What differs, one line each; none if nothing does. */
export function differences(one: Case, host: Outcome, guest: Outcome): string[] {
  if (guest.unbuilt !== undefined) return [guest.unbuilt];
  const lines: string[] = [];
  const check = (what: string, a: bigint | number, b: bigint | number): void => {
    if (a !== b) lines.push(`${what}: host ${hex(a)}, guest ${hex(b)}`);
  };
  const bits = one.mode;
  one.gpr.forEach((_, r) => {
    check(NAMES[r]!, BigInt.asUintN(bits, host.gpr[r]!), BigInt.asUintN(bits, guest.gpr[r]!));
  });
  // A fault leaves flags as they were, the undefined ones too.
  const looksAt = COMPARED & ~(host.vector === 3 ? one.undefinedFlags : 0);
  check("flags", (host.flags & looksAt) >>> 0, (guest.flags & looksAt) >>> 0);
  check("rip", host.rip, guest.rip);
  check("vector", host.vector, guest.vector);
  const hidden = host.cr2 >= KERNEL ? PRESENT : 0;
  check("error code", host.error | hidden, guest.error | hidden);
  const apart = host.cr2 < guest.cr2 ? guest.cr2 - host.cr2 : host.cr2 - guest.cr2;
  if (apart >= BigInt(one.loose?.cr2 ?? 1)) check("cr2", host.cr2, guest.cr2);
  const words = new Map<number, [bigint | undefined, bigint | undefined]>();
  for (const [at, value] of host.changes) words.set(at, [value, undefined]);
  for (const [at, value] of guest.changes) words.set(at, [words.get(at)?.[0], value]);
  for (const [at, [a, b]] of words) {
    if (a !== b && !isLoose(one, at, a, b))
      lines.push(
        `[${hex(at)}]: host ${a === undefined ? "as before" : hex(a)}, guest ${b === undefined ? "as before" : hex(b)}`,
      );
  }
  if (host.fpu && guest.fpu) lines.push(...fpuDifferences(host.fpu, guest.fpu, one.loose));
  return lines;
}

/** Do two words differ in bytes alone that are not looked at? */
function isLoose(one: Case, at: number, a: bigint | undefined, b: bigint | undefined): boolean {
  const memory = one.loose?.memory;
  if (memory === undefined) return false;
  const before = wordBefore(one, at);
  const differ = (a ?? before) ^ (b ?? before);
  for (let byte = 0; byte < 8; byte++) {
    if (((differ >> BigInt(byte * 8)) & 0xffn) === 0n) continue;
    if (!memory.some(([from, bytes]) => at + byte >= from && at + byte < from + bytes)) return false;
  }
  return true;
}

/** The same case with less in it, as long as `differs`: registers, flags and memory that do not matter go to zero. */
export function shrink(one: Case, differs: (smaller: Case) => boolean): Case {
  let best = one;
  const attempt = (smaller: Case): void => {
    if (differs(smaller)) best = smaller;
  };
  one.gpr.forEach((value, r) => {
    for (const simple of [0n, 1n]) {
      if (best.gpr[r] === value && value > simple) attempt({ ...best, gpr: best.gpr.with(r, simple) });
    }
  });
  for (let bit = 1; bit <= RFLAGS.OF; bit <<= 1) {
    if (best.flags & bit && bit !== RFLAGS.FIXED) attempt({ ...best, flags: best.flags & ~bit });
  }
  for (const word of one.plants) attempt({ ...best, plants: best.plants.filter((other) => other !== word) });
  for (const simpler of SIMPLER) {
    const { fpu } = best;
    if (fpu === undefined) break;
    const less = simpler(fpu);
    if (!sameFpu(fpu, less)) attempt({ ...best, fpu: less });
  }
  return best;
}

/** A case as one word that fuzz-cpu.ts takes back. */
export function serialize(one: Case): string {
  const { gpr, plants, code, fpu } = one;
  const plain = {
    ...one,
    gpr: gpr.map(String),
    plants: plants.map(([a, v]) => [a, String(v)]),
    code: [...code],
    ...(fpu ? { fpu: { ...fpu, xmm: fpu.xmm.map(String), st: fpu.st.map(String) } } : {}),
  };
  return Buffer.from(JSON.stringify(plain)).toString("base64url");
}

export function deserialize(text: string): Case {
  const plain = JSON.parse(Buffer.from(text, "base64url").toString()) as Case;
  return {
    ...plain,
    gpr: plain.gpr.map(BigInt),
    plants: plain.plants.map(([a, v]) => [a, BigInt(v)]),
    code: Uint8Array.from(plain.code),
    ...(plain.fpu ? { fpu: { ...plain.fpu, xmm: plain.fpu.xmm.map(BigInt), st: plain.fpu.st.map(BigInt) } } : {}),
  };
}

const decoder = new Decoder(opcodeMap());
const bytesText = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(" ");

function instructionText({ code, mode, rip }: Case): string {
  const decoded = decoder.decode(
    code,
    0,
    code.length,
    (mode === 64 ? MODE.code64 : MODE.code32) | MODE.stack32 | MODE.flat,
  );
  return decoded === Decoded.ok ? disassemble(decoder, BigInt(rip)) : decoded === Decoded.undefined ? "(bad)" : "?";
}

function stateText(gpr: readonly bigint[], flags: number): string {
  const registers = gpr.flatMap((value, r) => (value === 0n ? [] : [`${NAMES[r]}=${hex(value)}`]));
  return [...registers, `rflags=${hex(flags)}`].join(" ");
}

const outcomeText = (o: Outcome): string =>
  o.unbuilt ??
  `${stateText(o.gpr, o.flags)} rip=${hex(o.rip)}, vector ${o.vector}, error code ${hex(o.error)}, cr2 ${hex(o.cr2)}` +
    o.changes.map(([at, value]) => `, [${hex(at)}]=${hex(value)}`).join("") +
    (o.fpu ? ` | ${fpuText(o.fpu)}` : "");

/** Everything that is needed to look at a difference. */
export function report(one: Case, host: Outcome, guest: Outcome): string {
  const plants = one.plants.map(([at, value]) => ` [${hex(at)}]=${hex(value)}`).join("");
  return [
    `${one.name}: ${bytesText(one.code)}   ${instructionText(one)}`,
    `  before: ${stateText(one.gpr, one.flags)} rip=${hex(one.rip)}${plants}${one.fpu ? ` | ${fpuText(one.fpu)}` : ""}`,
    `  host:   ${outcomeText(host)}`,
    `  guest:  ${outcomeText(guest)}`,
    ...differences(one, host, guest).map((line) => `  differs: ${line}`),
    `  again:  make fuzz-cpu CASE=${serialize(one)}`,
  ].join("\n");
}
