/**
 * The two stages agree: each case of the opcode map, from random states, alone and among others, interpreted and translated.
 * Document: architecture.md section 5 (an instruction is described once; stages differ in when an operand is known).
 * Left out: whether what they agree on is right: vectors.test.ts. RDTSC, whose result is the time.
 *
 * A block is made of records, without the decoder, and entered through CPU.resumeRecord. `pending` is set for blocks that
 * branch, so that they leave at the first taken branch or between the iterations of a string instruction.
 */

import { describe, expect, it } from "vitest";
import { FCW, FPU, FPU_SLOT } from "../../../kvm-core/cpu/fpu-state.ts";
import { CPU, SEG } from "../../../kvm-core/cpu/state.ts";
import { GUEST_RAM, PAGE_SIZE, TLB_ALL_CLASSES, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { HEAD, MICRO, MICRO_COUNT, NO_SECOND_PAGE, RECORD } from "../../../kvm-core/emit/record.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import type { WasmEngine } from "../../../kvm-core/engine/wasm.ts";
import type { Case } from "../../../kvm-core/isa/opcode-map.ts";
import { type Mode, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const DATA = 0x30_0000;
const DATA_SIZE = 0x2000;
/** The first has the instruction alone. */
const ROUNDS = 3;
/** Behind all that the engines make themselves. */
const RECORDS = 0x40_0000;

/** Give another result each time; RDMSR does where ECX names the TSC. */
const CHANGING: ReadonlySet<string> = new Set(["rdtsc", "rdtscp", "rdmsr", "rdrand", "rdseed"]);

const { cases } = opcodeMap();
const HLT = cases.findIndex((found) => found?.insn.mnemonic === "hlt");

/** 32 random bits at a time (xorshift). */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e37_79b1) | 1;
  }
  u32(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
  below(n: number): number {
    return (this.u32() >>> 4) % n;
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
}

/** Runs only in this mode: addresses and stacks have its width. */
function modeOf({ facts, operands }: Case): Mode | undefined {
  const narrow = operands.some((operand) => operand.kind === "mem" && operand.address === 32);
  if (narrow || facts.stackSize !== 64) return 32;
  const wide = operands.some((operand) => operand.kind === "mem") || facts.size === 64 || facts.addressSize === 64;
  return wide ? 64 : undefined;
}

/**
 * Needs no segments, and goes nowhere by RIP: what does is run by real-mode.test.ts and the tests of bounds, on every engine.
 */
const isFlat = ({ facts, operands }: Case): boolean =>
  !facts.segmented &&
  facts.stackSize !== 16 &&
  !operands.some(({ kind, ...o }) => kind === "target" && "computed" in o && o.computed);

/** Goes on with the instruction behind it, if nothing is wrong. */
const isStraight = ({ insn, operands }: Case): boolean => !insn.ends && !operands.some(({ kind }) => kind === "target");

/** A state, a block, and what is in memory. */
interface Setup {
  readonly registers: readonly bigint[];
  readonly flags: readonly [result: bigint, aux: bigint];
  readonly fs: bigint;
  /** x87 registers, as 64 and 16 bits, and which of them are not empty. */
  readonly st: readonly (readonly [significand: bigint, exponent: number])[];
  readonly tags: number;
  readonly data: Uint8Array;
  readonly pageOffset: number;
  /** Words of the records of each instruction. */
  readonly records: readonly (readonly number[])[];
  readonly pending: boolean;
  readonly direction: number;
}

function setup(random: Random, mode: Mode, block: readonly number[]): Setup {
  const near = (): bigint => BigInt(DATA + random.below(DATA_SIZE - 256));
  const any = (): bigint => random.of([random.u64(), BigInt(random.u32()), BigInt(random.below(40)), ~0n]);
  // Half of the registers make good bases of addresses, RSP among them.
  const registers = Array.from({ length: 16 }, (_, i) => BigInt.asUintN(mode, i % 2 === 0 ? near() : any()));
  const repeats = block.some((number) => cases[number]!.facts.repeat !== "none");
  // A repeated instruction on its own runs to its end; where others may change the count it must be stopped.
  const few = repeats && block.length === 1;
  if (few) registers[1] = BigInt(random.below(6));
  if (mode === 32) registers.fill(0n, 8);
  const pageOffset = random.below(2048);
  const records: number[][] = [];
  let offset = pageOffset;
  for (const number of block) {
    const length = 1 + random.below(15);
    offset += length;
    records.push(...recordsOf(random, mode, number, length, offset));
  }
  return {
    registers,
    flags: [random.u64(), random.u64()],
    fs: near(),
    st: Array.from({ length: 8 }, () => [random.u64() | (1n << 63n), 0x3ff0 + random.below(0x20)]),
    tags: random.of([0, 0xff, random.below(256)]),
    data: Uint8Array.from({ length: DATA_SIZE }, () => random.u32()),
    pageOffset,
    records,
    pending: (repeats && !few) || block.some((number) => !isStraight(cases[number]!)) || random.below(2) === 0,
    direction: random.below(3) === 0 ? 0x400 : 0,
  };
}

/** The records of one instruction; `next` is the page offset behind it. */
function recordsOf(random: Random, mode: Mode, number: number, length: number, next: number): number[][] {
  const { insn, facts, operands } = cases[number]!;
  const register = (): number => CPU.gpr + random.below(mode === 64 ? 16 : 8) * 8;
  const near = (): number => CPU.gpr + random.below(mode === 64 ? 8 : 4) * 16;
  const target = operands.find(({ kind }) => kind === "target");
  const field = (name: "dst" | "src"): number => {
    const operand = operands.find((other) => (other.kind === "reg" || other.kind === "index") && other.field === name);
    if (operand?.kind === "index") return random.of([0, 2, 3, 4]);
    const high = operand?.size === 8 && random.below(3) === 0 ? CPU.gpr + random.below(4) * 8 + 1 : undefined;
    return high ?? register();
  };
  let fields = target ? next << 16 : (field("dst") << 16) | (field("src") << 24);
  if (insn.unit === "x87") fields = (x87Modrm(random, cases[number]!) << 16) | (random.below(6) << 24);
  const memory = operands.some(({ kind }) => kind === "mem");
  const hasImmediate = operands.some(({ kind }) => kind === "imm" || kind === "far");
  let base: number = random.of([near(), near(), register(), CPU.zero, CPU.ripBase]);
  let index: number = random.of([register(), CPU.zero, CPU.zero]);
  let scale = index === CPU.zero ? 0 : random.below(4);
  if (insn.string) [base, index, scale] = [CPU.zero, mode === 64 ? CPU.zero : CPU.segBase + SEG.es * 8, 0];
  else if (random.below(6) === 0) [index, scale] = [CPU.segBase + SEG.fs * 8, 0];
  const absolute = base === CPU.zero || base === CPU.ripBase;
  let disp = absolute ? DATA - (base === CPU.zero ? 0 : CODE) + random.below(DATA_SIZE) : random.below(256) - 128;
  if (random.below(8) === 0) disp = random.u32() | 0;
  const immediate = random.of([random.u32() | 0, random.below(70), -1, random.below(256)]);
  let imm = hasImmediate ? immediate : next;
  const records: number[][] = [];
  // 64-bit mode has address records for 32-bit addresses and for bases that find no room.
  if (memory && mode === 64 && random.below(4) === 0) {
    const segment = random.of([CPU.zero, CPU.segBase + SEG.fs * 8]);
    const micro = random.of([MICRO.ea64, MICRO.ea32long, MICRO.eaWide]);
    const high = micro === MICRO.eaWide ? 0 : random.u32();
    records.push([micro | (segment << 16), base | (index << 8) | (scale << 16), disp, high]);
    [base, index, scale, disp] = [CPU.ea, CPU.zero, 0, 0];
  }
  if (target?.kind === "target") imm = target.cross ? random.of([-4096, 4096]) : 0;
  if (facts.size === 64 && operands.some((operand) => operand.kind === "imm" && operand.wide)) {
    [disp, imm] = [random.u32(), random.u32()];
  }
  records.push([number | fields, base | (index << 8) | (scale << 16) | (length << 24), target ? LINKED : disp, imm]);
  if (target) records.push([MICRO.link, 0, next + 5, 0]);
  return records;
}
/** What records of x87 instructions have in `dst` (isa/x87.ts). */
function x87Modrm(random: Random, { insn, operands }: Case): number {
  const { exact, digit } = random.of(insn.parsed);
  const register = operands.some(({ kind }) => kind === "mem") ? 0 : 0xc0;
  return exact >= 0 ? exact : register | (digit << 3) | random.below(8);
}

/** In place of a record's address: the block that branches go to. */
const LINKED = -1;

/** Makes the state and the records; `counted`: with an entry record that asks for a translation at once. */
function prepare(machine: TestMachine, { records, ...start }: Setup, counted: boolean): void {
  const { view, zone } = machine;
  const put = (at: number, words: readonly number[]): number => {
    words.forEach((word, i) => {
      view.setUint32(at + i * 4, word >>> 0, true);
    });
    return at + RECORD.size;
  };
  const head = (offset: number): number[] => [MICRO.head | (offset << (8 * HEAD.pageOffset)), 0, CODE, NO_SECOND_PAGE];
  const hlt = [HLT, 1 << 24, 0, 0];
  const other = zone + ZONE.records + RECORDS;
  put(put(put(other, head(0x900)), hlt), [0, 0, 0, 0]);
  let at = put(other + 0x1000, head(start.pageOffset));
  const first = at;
  if (counted) at = put(at, [MICRO.entry, 0, 1, 0]);
  for (const words of records) at = put(at, words[2] === LINKED ? words.with(2, other + RECORD.size) : words);
  put(put(at, hlt), [0, 0, 0, 0]);
  const field = (offset: number, value: bigint): void => view.setBigUint64(zone + offset, value, true);
  start.registers.forEach((value, i) => {
    field(CPU.gpr + i * 8, value);
  });
  field(CPU.flagResult, start.flags[0]);
  field(CPU.flagAux, start.flags[1]);
  field(CPU.segBase + SEG.fs * 8, start.fs);
  field(CPU.ripBase, BigInt(CODE));
  field(CPU.rip, BigInt(CODE + start.pageOffset));
  field(CPU.resumeRip, BigInt(CODE + start.pageOffset));
  for (const scratch of [CPU.ea, CPU.address, CPU.data, CPU.data + 8, CPU.bounce, CPU.bounce + 8]) field(scratch, 0n);
  view.setUint32(zone + FPU.fcw, FCW.initial, true);
  view.setUint32(zone + FPU.tags, start.tags, true);
  start.st.forEach(([significand, exponent], i) => {
    field(FPU.st + i * FPU_SLOT, significand);
    field(FPU.st + i * FPU_SLOT + 8, BigInt(exponent));
  });
  view.setUint32(zone + CPU.resumeRecord, first, true);
  view.setUint32(zone + CPU.eflags, start.direction, true);
  new Uint8Array(machine.memory.buffer, GUEST_RAM + DATA, DATA_SIZE).set(start.data);
}

/** What can be seen afterwards: the state but for record addresses, memory, and what devices were asked. */
function outcome(machine: TestMachine, exit: number): Record<string, unknown> {
  const { view, zone, log } = machine;
  const fields: Record<string, unknown> = { exit, error: machine.engine.errorDetail, log: [...log] };
  const names = new Map(Object.entries(CPU).map(([name, at]) => [at as number, name]));
  let name = "";
  for (let at = 0; at + 4 <= CPU.cpuid; at += 4) {
    name = names.get(at) ?? `${name.replace(/\+$/, "")}+`;
    if (name !== "resumeRecord") fields[`${name}@${at}`] = view.getUint32(zone + at, true);
  }
  for (const [name, at] of Object.entries(FPU)) fields[name] = view.getBigUint64(zone + at, true);
  for (let i = 0; i < 16; i++) fields[`st${i}`] = view.getBigUint64(zone + FPU.st + i * 8, true);
  fields["data"] = Buffer.from(machine.read(DATA, DATA_SIZE)).toString("latin1");
  return fields;
}

/** A machine that begins each run with the same state: its own from before the tests, or one that is given. */
class Bench {
  readonly machine: TestMachine;
  readonly state: Uint8Array;
  readonly #fpu: Uint8Array;

  constructor(engine: "patch" | "wasm", mode: Mode, state?: Uint8Array) {
    this.machine = new TestMachine(engine, mode);
    this.machine.run([]); // takes in the state that the machine was given
    this.state = state ?? new Uint8Array(this.machine.memory.buffer, this.machine.zone, CPU.size).slice();
    const { log, memory, zone } = this.machine;
    this.#fpu = new Uint8Array(memory.buffer, zone + ZONE.fpu, PAGE_SIZE).slice();
    this.machine.portIn = (port, size) => log.push(`in ${port} ${size}`);
    this.machine.portOut = (port, size, value) => log.push(`out ${port} ${size} ${value}`);
    this.machine.mmioRead = (gpa, size) => BigInt(log.push(`read ${gpa} ${size}`)) * 0x0123_4567_89ab_cdefn;
    this.machine.mmioWrite = (gpa, size, value) => log.push(`write ${gpa} ${size} ${value}`);
  }

  run(start: Setup, counted: boolean): Record<string, unknown> {
    const { machine } = this;
    machine.log.length = 0;
    new Uint8Array(machine.memory.buffer, machine.zone, CPU.size).set(this.state);
    new Uint8Array(machine.memory.buffer, machine.zone + ZONE.fpu, PAGE_SIZE).set(this.#fpu);
    // The state was another machine's: it does not know what this one's TLBs hold.
    machine.view.setUint32(machine.zone + CPU.tlbUsed, TLB_ALL_CLASSES, true);
    machine.engine.flushTlb();
    prepare(machine, start, counted);
    if (start.pending) machine.pend();
    return outcome(machine, machine.engine.run());
  }
}

describe.each([32, 64] as const)("%i-bit", (mode) => {
  const interpreted = new Bench("patch", mode);
  const translated = new Bench("wasm", mode, interpreted.state);
  const numbers = cases.flatMap((found, number) => {
    if (found === undefined || CHANGING.has(found.insn.mnemonic) || !isFlat(found)) return [];
    return [mode, undefined].includes(modeOf(found)) ? [number] : [];
  });
  const straight = numbers.filter((number) => isStraight(cases[number]!) && number >= MICRO_COUNT);
  const mnemonics = [...new Set(numbers.map((number) => cases[number]!.insn.mnemonic))];

  it.each(mnemonics)("%s", (mnemonic) => {
    for (const number of numbers.filter((other) => cases[other]!.insn.mnemonic === mnemonic)) {
      for (let round = 0; round < ROUNDS; round++) {
        const random = new Random(number * ROUNDS + round + 1);
        const among = [...Array.from({ length: 3 }, () => random.of(straight)), number];
        const start = setup(random, mode, round === 0 ? [number] : random.below(2) ? among : [...among].reverse());
        const expected = interpreted.run(start, false);
        const before = (translated.machine.engine as WasmEngine).translations;
        const found = translated.run(start, true);
        const wrong = Object.keys(expected).filter((key) => String(expected[key]) !== String(found[key]));
        const shown = wrong.map((key) => `${key}: ${expected[key]} interpreted, ${found[key]} translated`);
        if (wrong.length > 0) expect.fail(`${cases[number]!.name}, round ${round}: ${shown.join("; ")}`);
        expect((translated.machine.engine as WasmEngine).translations).toBe(before + 1);
      }
    }
  });
});
