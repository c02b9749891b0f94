/**
 * CPUID and what it denies: instructions that are undefined then, control bits that are reserved.
 * Document: SDM volume 2A, CPUID; volume 2, the instructions of the names ("#UD if CPUID..."); volume 3, 2.5.
 * Left out: what qemu-user makes of a CPU model: test/qemu-user/machine/cpu-models.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { SUPPORTED_CPUID, setCpuid } from "../../../kvm-core/cpu/cpuid.ts";
import { BUILT_FEATURES, gateOf } from "../../../kvm-core/cpu/features.ts";
import { DENIED_WORDS } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";
import { Decoded } from "../../../kvm-core/isa/decoded.ts";
import { INSNS } from "../../../kvm-core/isa/insn/all.ts";
import { CPU_FEATURE_NAMES, CPU_FEATURES, type CpuFeature, featuresOf } from "../../../shared/cpu-features.ts";
import type { CpuidEntry, KvmSregs } from "../../../shared/ioctls.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, type Mode, TestMachine } from "../support/machine.ts";

const IDT = 0x6000;
const HANDLER = 0x7000;
const UD = 6;
const GP = 13;
const OUTER = [UD, GP];

/** What is supported, without some features. */
function without(...names: readonly CpuFeature[]): CpuidEntry[] {
  return SUPPORTED_CPUID.map((entry) => {
    const copy = { ...entry };
    for (const name of names) {
      const { leaf, register, mask } = CPU_FEATURES[name];
      if (entry.function === leaf) copy[register] = (copy[register] & ~mask) >>> 0;
    }
    return copy;
  });
}

const codes = new Map<string, Uint8Array>();
function bytesOf(code: string, mode: Mode): Uint8Array {
  const key = `${mode} ${code}`;
  const bytes = codes.get(key) ?? assemble(code, mode);
  codes.set(key, bytes);
  return bytes;
}

class Machine extends TestMachine {
  readonly #sregs: KvmSregs;

  constructor(...args: ConstructorParameters<typeof TestMachine>) {
    super(...args);
    this.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
    // Each handler says its vector in RDI.
    for (const vector of OUTER) {
      const at = HANDLER + vector * 16;
      this.write(at, [0xbf, vector, 0, 0, 0, 0xf4]);
      this.setGate(IDT, vector, at);
    }
    this.#sregs = this.sregs;
  }

  /** The vector of the exception that the code ends in; 0: none. */
  outcome(code: string, deny: readonly CpuFeature[] = []): bigint {
    setCpuid(this.memory, this.zone, without(...deny));
    this.setSregs(this.#sregs);
    this.set({ rdi: 0n, rsp: 0x20_0000n });
    expect(this.run(bytesOf(code, this.mode)), this.engine.errorDetail).toBe(EngineExit.HLT);
    return this.regs.rdi;
  }
}

/** Feature, code that needs it; `only` in one mode. */
const INSTRUCTIONS: readonly (readonly [feature: CpuFeature, code: string, only?: Mode])[] = [
  ["cmov", "cmovz eax, ebx"],
  ["cx8", "mov ebx, 0x300000; cmpxchg8b [ebx]"],
  ["cx16", "mov ebx, 0x300000; cmpxchg16b [rbx]", 64],
  ["popcnt", "popcnt eax, ebx"],
  ["movbe", "movbe eax, [0x300000]"],
  ["bmi1", "andn eax, ebx, ecx"],
  ["bmi2", "pdep eax, ebx, ecx"],
  ["adx", "adcx eax, ebx"],
  ["lahf-lm", "lahf", 64],
  ["lahf-lm", "sahf", 64],
  ["tsc", "rdtsc"],
  ["msr", "mov ecx, 0x10; rdmsr"],
  ["smap", "clac"],
  ["rdtscp", "rdtscp"],
  ["clwb", "clwb [0x310000]"],
  ["clflushopt", "clflushopt [0x310000]"],
  ["clflush", "clflush [0x310000]"],
  ["rdseed", "rdseed eax"],
  ["rdrand", "rdrand eax"],
  ["invpcid", "mov eax, 2; invpcid eax, [0x310000]", 32],
];

/** Feature, code that writes its control bit. */
const CONTROL: readonly (readonly [feature: CpuFeature, bit: number])[] = [
  ["vme", CR4.VME],
  ["vme", CR4.PVI],
  ["umip", CR4.UMIP],
  ["fsgsbase", CR4.FSGSBASE],
  ["tsc", CR4.TSD],
  ["de", CR4.DE],
  ["pse", CR4.PSE],
  ["mce", CR4.MCE],
  ["pge", CR4.PGE],
  ["smep", CR4.SMEP],
  ["smap", CR4.SMAP],
];

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%i-bit", (mode) => {
    const machine = new Machine(engine, mode);
    const rows = INSTRUCTIONS.flatMap(([feature, code, only = mode]) =>
      only === mode ? [[feature, code] as const] : [],
    );
    it.each(rows)("%s: %s is #UD without it, also if it has run before", (feature, code) => {
      for (let i = 0; i < 2; i++) {
        expect(machine.outcome(code)).toBe(0n);
        expect(machine.outcome(code, [feature])).toBe(BigInt(UD));
      }
    });

    it.each(CONTROL)("%s: its bit of CR4, %i, gives #GP without it", (feature, bit) => {
      const a = mode === 64 ? "rax" : "eax";
      const code = `mov ${a}, cr4; or eax, ${bit}; mov cr4, ${a}`;
      expect(machine.outcome(code, [feature])).toBe(BigInt(GP));
      expect(machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(bit) })).toBe(false);
      expect(machine.outcome(code)).toBe(0n);
    });
  });

  it("EFER.NXE gives #GP without nx", () => {
    const machine = new Machine(engine, 32);
    const code = `mov ecx, 0xc0000080; mov eax, ${EFER.NXE}; xor edx, edx; wrmsr`;
    expect(machine.outcome(code, ["nx"])).toBe(BigInt(GP));
    expect(machine.outcome(code)).toBe(0n);
  });

  it("IA32_ARCH_CAPABILITIES gives #GP without arch-capabilities, and is read-only", () => {
    const machine = new Machine(engine, 32);
    const read = "mov ecx, 0x10a; rdmsr";
    expect(machine.outcome(read, ["arch-capabilities"])).toBe(BigInt(GP));
    expect(machine.outcome(read)).toBe(0n);
    expect(machine.outcome(`${read}; wrmsr`)).toBe(BigInt(GP));
  });

  it("LAHF is always there in 32-bit code", () => {
    expect(new Machine(engine, 32).outcome("lahf; sahf", ["lahf-lm"])).toBe(0n);
  });
});

describe("leaf 0BH", () => {
  const ask = (index: number, entries: readonly CpuidEntry[]): bigint[] => {
    const machine = new Machine("patch", 32);
    setCpuid(machine.memory, machine.zone, entries);
    machine.run(assemble(`mov eax, 11; mov ecx, ${index}; cpuid; hlt`, 32));
    const { rax, rbx, rcx, rdx } = machine.regs;
    return [rax, rbx, rcx, rdx];
  };
  const level = (index: number, ebx: number): CpuidEntry => {
    return { function: 0xb, index, flags: 1, eax: index, ebx, ecx: index | ((index + 1) << 8), edx: 5 };
  };

  it("answers a subleaf that is none with its number and the x2APIC ID", () => {
    const entries = [...SUPPORTED_CPUID, level(0, 1), level(1, 8)];
    expect(ask(1, entries)).toEqual([1n, 8n, 0x201n, 5n]);
    expect(ask(2, entries)).toEqual([0n, 0n, 2n, 5n]);
    expect(ask(0x102, entries)).toEqual([0n, 0n, 2n, 5n]);
  });

  it("has no topology unless it was given one", () => {
    expect(ask(2, SUPPORTED_CPUID)).toEqual([0n, 0n, 0n, 0n]);
    expect(ask(2, [...SUPPORTED_CPUID, level(0, 1)])).toEqual([0n, 0n, 0n, 0n]);
  });
});

describe("features", () => {
  it("are supported as far as they are built", () => {
    expect(featuresOf(SUPPORTED_CPUID)).toEqual(BUILT_FEATURES);
  });

  it("have a bit each, and a number", () => {
    const places = CPU_FEATURE_NAMES.map((name) => CPU_FEATURES[name]);
    const bits = places.map(({ leaf, index, register, mask }) => `${leaf} ${index} ${register} ${mask}`);
    expect(new Set(bits).size).toBe(bits.length);
    expect(places.map(({ number }) => number)).toEqual(places.map((_, i) => i));
    for (const { mask } of places) expect(Math.log2(mask) % 1).toBe(0);
  });

  it("deny each instruction that names one, and give back what it stands in the place of", () => {
    const map = opcodeMap();
    const gated = INSNS.filter(({ cpuid }) => cpuid !== undefined);
    expect(gated.length).toBeGreaterThan(20);
    const decoder = new Decoder(map);
    const words = new Uint32Array(DENIED_WORDS);
    expect(decoder.denied.take(words, 0)).toBe(false);
    const popcnt = Uint8Array.from([0xf3, 0x0f, 0xb8, 0xc0]);
    const decode = (): number => decoder.decode(popcnt, 0, 4, 2);
    expect(decode()).toBe(Decoded.ok);
    // TZCNT becomes BSF again, whose encoding it has with a prefix.
    const tzcnt = Uint8Array.from([0xf3, 0x0f, 0xbc, 0xc0]);
    const mnemonic = (): string => {
      expect(decoder.decode(tzcnt, 0, 4, 2)).toBe(Decoded.ok);
      return decoder.row.insn.mnemonic;
    };
    expect(mnemonic()).toBe("tzcnt");
    const bmi1 = new Uint32Array(DENIED_WORDS);
    bmi1[gateOf("bmi1").word] = gateOf("bmi1").mask;
    decoder.denied.take(bmi1, 0);
    expect(mnemonic()).toBe("bsf");
    decoder.denied.take(words, 0);
    const { word, mask } = gateOf("popcnt");
    words[word] = mask;
    expect(decoder.denied.take(words, 0)).toBe(true);
    expect(decoder.denied.take(words, 0)).toBe(false);
    expect(decode()).toBe(Decoded.undefined);
  });
});
