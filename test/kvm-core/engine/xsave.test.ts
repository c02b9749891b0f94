/**
 * FXSAVE and FXRSTOR, the XSAVE feature set, XGETBV and XSETBV.
 * Document: SDM volume 1, 10.5 and chapter 13; volume 2, the instructions.
 * Left out: what the host's processor makes of images: test/host; what is done with them: fpu-switch.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR0, CR4 } from "../../../kvm-core/cpu/control.ts";
import { SUPPORTED_CPUID, setCpuid } from "../../../kvm-core/cpu/cpuid.ts";
import { VECTOR } from "../../../kvm-core/cpu/fault.ts";
import { FPU, FSW_ES } from "../../../kvm-core/cpu/fpu-state.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { GUEST_RAM } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import {
  AREA,
  dump,
  FILLED,
  fill,
  header,
  MASK,
  type Made,
  make,
  PAGE,
  SSE,
  untouched,
  word,
  X87,
} from "../support/image.ts";
import { ENGINES, TABLES } from "../support/machine.ts";

const SIZE = 1024;

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%i-bit", (mode) => {
    const count = mode === 64 ? 16 : 8;
    const end = 160 + count * 16;

    it("FXSAVE writes the image, and nothing behind it", () => {
      const made = make(engine, mode);
      const { state, get } = made;
      fill(made, 1);
      state.set64(FPU.fip, 0x1234_5678, 0x9abc);
      expect(made.run(`fxsave [${AREA}]`)).toBe(EngineExit.HLT);
      const top = get(FPU.top);
      expect(word(made, 0)).toBe(((get(FPU.fsw) | (top << 11)) * 0x1_0000 + 0x37f) >>> 0);
      expect(word(made, 4)).toBe(get(FPU.tags) | (get(FPU.fop) << 16));
      expect([word(made, 8), word(made, 12), word(made, 16), word(made, 20)]).toEqual([
        0x1234_5678,
        0x1b,
        get(FPU.fdp),
        0x2b,
      ]);
      expect([word(made, 24), word(made, 28)]).toEqual([get(FPU.mxcsr), 0xffff]);
      for (let i = 0; i < 8; i++) {
        const register = FPU.st + ((top + i) & 7) * 16;
        for (const at of [0, 4, 8, 12]) expect(word(made, 32 + i * 16 + at)).toBe(get(register + at));
      }
      for (let i = 0; i < count * 4; i++) expect(word(made, 160 + i * 4)).toBe(get(FPU.xmm + i * 4));
      expect(untouched(made, end, SIZE)).toBe(true);
    });

    it("FXRSTOR takes it back, in another TOP too, and sees a pending exception", () => {
      for (let seed = 2; seed < 6; seed++) {
        const made = make(engine, mode);
        fill(made, seed);
        const before = dump(made);
        expect(made.run(`fxsave [${AREA}]`)).toBe(EngineExit.HLT);
        fill(made, seed + 100);
        // What 32-bit code does not see stays.
        for (let i = count * 4; i < 64; i++) made.state.set(FPU.xmm + i * 4, 0);
        expect(made.run(`fxrstor [${AREA}]`)).toBe(EngineExit.HLT);
        const words = before.split(" ");
        if (mode === 32) words.fill("0", words.length - 32);
        expect(dump(made)).toBe(words.join(" "));
        // IE without its mask, ES clear in the image.
        made.machine.setU32(AREA, 0x0001_037e);
        expect(made.run(`fxrstor [${AREA}]`)).toBe(EngineExit.HLT);
        expect(made.get(FPU.fsw) & FSW_ES).toBe(FSW_ES);
        made.run("pxor mm0, mm0");
        expect(made.raised).toEqual([[VECTOR.MF, 0]]);
      }
    });

    it("without CR4.OSFXSR they leave XMM alone", () => {
      const made = make(engine, mode, { cr4: 0 });
      fill(made, 7);
      expect(made.run(`fxsave [${AREA}]`)).toBe(EngineExit.HLT);
      expect(untouched(made, 160, SIZE)).toBe(true);
      const xmm = made.get(FPU.xmm);
      expect(made.run(`fxrstor [${AREA}]`)).toBe(EngineExit.HLT);
      expect(made.get(FPU.xmm)).toBe(xmm);
    });

    it.each([
      ["fxsave [0x300008]", {}, VECTOR.GP],
      ["fxrstor [0x300001]", {}, VECTOR.GP],
      ["fxsave [0x300000]", { cr0: CR0.TS }, VECTOR.NM],
      ["fxrstor [0x300008]", { cr0: CR0.TS }, VECTOR.NM],
      ["fxsave [0x300000]", { cr0: CR0.EM | CR0.TS }, VECTOR.UD],
      // The image is noise: reserved bits of MXCSR.
      ["fxrstor [0x300000]", {}, VECTOR.GP],
      ["xsave [0x300000]", { cr4: CR4.OSFXSR }, VECTOR.UD],
      ["xrstor [0x300010]", { cr4: CR4.OSFXSR, cr0: CR0.TS }, VECTOR.UD],
      ["xsave [0x300010]", { cr0: CR0.TS }, VECTOR.NM],
      ["xsave [0x300010]", {}, VECTOR.GP],
      ["xsavec [0x300020]", {}, VECTOR.GP],
      ["xsaveopt [0x300020]", {}, VECTOR.GP],
      ["xsaves [0x300020]", {}, VECTOR.GP],
      ["xrstor [0x300030]", {}, VECTOR.GP],
      ["xrstors [0x300000]", {}, VECTOR.GP],
      ["xgetbv", { cr4: 0 }, VECTOR.UD],
      ["xsetbv", { cr4: 0 }, VECTOR.UD],
      ["mov ecx, 2; xgetbv", {}, VECTOR.GP],
      ["mov ecx, 1; mov eax, 1; xsetbv", {}, VECTOR.GP],
      ["mov eax, 2; xsetbv", {}, VECTOR.GP],
      ["mov eax, 7; xsetbv", {}, VECTOR.GP],
      ["mov eax, 3; mov edx, 1; xsetbv", {}, VECTOR.GP],
    ])("%s with %o is exception %i", (code, control, vector) => {
      const made = make(engine, mode, control);
      const before = dump(made);
      made.run(code);
      expect(made.raised).toEqual([[vector, 0]]);
      expect(dump(made)).toBe(before);
      expect(untouched(made, 0, SIZE)).toBe(true);
    });

    it("EM does not keep XSAVE from its work", () => {
      const made = make(engine, mode, { cr0: CR0.EM });
      header(made, []);
      expect(made.run(`mov eax, 3; xsave [${AREA}]; xrstor [${AREA}]`)).toBe(EngineExit.HLT);
      expect(made.raised).toEqual([]);
    });

    it("XSAVE writes what is asked for and enabled, and keeps other bits of the header", () => {
      const made = make(engine, mode);
      fill(made, 8);
      header(made, [0xffff_fff4]);
      expect(made.run(`mov eax, 0xfffffff9; xsave [${AREA}]`)).toBe(EngineExit.HLT);
      expect(word(made, 512)).toBe(0xffff_fff5);
      expect([untouched(made, 24, 32), untouched(made, 160, 512)]).toEqual([true, true]);
      expect(word(made, 0) & 0xffff).toBe(0x37f);
      made.machine.write(AREA, new Uint8Array(160).fill(FILLED));
      expect(made.run(`mov eax, 2; xsave [${AREA}]`)).toBe(EngineExit.HLT);
      expect(word(made, 512)).toBe(0xffff_fff7);
      expect([untouched(made, 0, 24), untouched(made, 32, 160), untouched(made, end, 512)]).toEqual([true, true, true]);
      expect([word(made, 24), word(made, 28)]).toEqual([made.get(FPU.mxcsr), 0xffff]);
      expect(word(made, 160)).toBe(made.get(FPU.xmm));
      // Not even a header for what is not enabled.
      made.state.set(FPU.xcr0, X87);
      header(made, [2]);
      expect(made.run(`mov eax, 2; xsave [${AREA}]`)).toBe(EngineExit.HLT);
      expect(word(made, 512)).toBe(2);
    });

    it("states in use: XSAVE writes the others too, XSAVEOPT and XSAVEC do not", () => {
      const initial = (): Made => {
        const made = make(engine, mode);
        header(made, [3]);
        return made;
      };
      for (const mnemonic of ["xsave", "xsaveopt"]) {
        const made = initial();
        expect(made.run(`mov eax, 3; ${mnemonic} [${AREA}]`)).toBe(EngineExit.HLT);
        expect(word(made, 512)).toBe(0);
        expect(untouched(made, 0, 24) && untouched(made, 160, 512)).toBe(mnemonic === "xsaveopt");
        expect(word(made, 24)).toBe(MASK);
      }
      for (const mnemonic of ["xsavec", "xsaves"]) {
        const made = initial();
        header(made, [7, 7, 7, 7, 7]);
        expect(made.run(`mov eax, 3; ${mnemonic} [${AREA}]`)).toBe(EngineExit.HLT);
        expect([0, 4, 8, 12, 16].map((at) => word(made, 512 + at))).toEqual([0, 0, 3, 0x8000_0000, 7]);
        expect(untouched(made, 0, 512)).toBe(true);
        // MXCSR alone makes it worth saving.
        made.state.set(FPU.mxcsr, MASK | 1);
        expect(made.run(`mov eax, 3; ${mnemonic} [${AREA}]`)).toBe(EngineExit.HLT);
        expect([word(made, 512), word(made, 24)]).toEqual([2, MASK | 1]);
        expect(made.run(`mov eax, 1; ${mnemonic} [${AREA}]`)).toBe(EngineExit.HLT);
        expect([word(made, 512), word(made, 520)]).toEqual([0, 1]);
      }
    });

    it("registers that 32-bit code does not see are not in use there", () => {
      const made = make(engine, mode);
      made.state.set(FPU.xmm + 15 * 16, 1);
      header(made, []);
      expect(made.run(`mov eax, 3; xsave [${AREA}]; mov ecx, 1; xgetbv`)).toBe(EngineExit.HLT);
      expect(word(made, 512)).toBe(mode === 64 ? SSE : 0);
      expect(made.machine.regs.rax).toBe(mode === 64 ? 2n : 0n);
    });

    it.each(["xsave", "xsavec", "xsaves"])("XRSTOR takes back what %s wrote", (mnemonic) => {
      const made = make(engine, mode);
      fill(made, 9);
      const before = dump(made);
      header(made, []);
      const restore = mnemonic === "xsaves" ? "xrstors" : "xrstor";
      expect(made.run(`mov eax, 3; ${mnemonic} [${AREA}]`)).toBe(EngineExit.HLT);
      for (let i = 0; i < count * 4; i++) made.state.set(FPU.xmm + i * 4, i);
      for (const field of [FPU.top, FPU.tags, FPU.fop, FPU.st, FPU.fcs]) made.state.set(field, 1);
      made.state.set(FPU.mxcsr, MASK);
      expect(made.run(`mov eax, 3; ${restore} [${AREA}]`)).toBe(EngineExit.HLT);
      expect(dump(made)).toBe(before);
    });

    it("XRSTOR initialises what the header does not have", () => {
      const made = make(engine, mode);
      const area = (words: readonly number[]): void => {
        fill(made, 10);
        made.machine.setU32(AREA + 24, MASK | 5);
        header(made, words);
      };
      area([0]);
      expect(made.run(`mov eax, 2; xrstor [${AREA}]`)).toBe(EngineExit.HLT);
      expect([made.get(FPU.xmm), made.get(FPU.xmm + count * 16 - 4), made.get(FPU.mxcsr)]).toEqual([0, 0, MASK | 5]);
      expect(made.get(FPU.xmm + 252) === 0).toBe(mode === 64);
      expect(made.get(FPU.st)).not.toBe(0);
      area([0]);
      expect(made.run(`mov eax, 1; xrstor [${AREA}]`)).toBe(EngineExit.HLT);
      const x87 = [
        FPU.fcw,
        FPU.fsw,
        FPU.top,
        FPU.tags,
        FPU.fop,
        FPU.fip,
        FPU.fdp,
        FPU.fcs,
        FPU.fds,
        FPU.st,
        FPU.st + 120,
      ];
      expect(x87.map((field) => made.get(field))).toEqual([0x37f, ...Array(10).fill(0)]);
      expect(made.get(FPU.xmm)).not.toBe(0);
      // In the compacted format MXCSR is a part of the component.
      area([0, 0, 3, 0x8000_0000]);
      expect(made.run(`mov eax, 2; xrstor [${AREA}]`)).toBe(EngineExit.HLT);
      expect([made.get(FPU.xmm), made.get(FPU.mxcsr)]).toEqual([0, MASK]);
    });

    it.each([
      ["a component that is not enabled", "xrstor", [4], true],
      ["bits 63 to 32 of XSTATE_BV", "xrstor", [0, 1], true],
      ["bytes 15 to 8", "xrstor", [0, 0, 1], true],
      ["bytes 23 to 16", "xrstor", [0, 0, 0, 0, 1], true],
      ["bytes 31 to 24, which do not matter", "xrstor", [0, 0, 0, 0, 0, 0, 1], false],
      ["a component that the format does not have", "xrstor", [2, 0, 1, 0x8000_0000], true],
      ["a format with a component that is not enabled", "xrstor", [0, 0, 4, 0x8000_0000], true],
      ["a format with bits 62 to 32", "xrstor", [0, 0, 0, 0x8000_0001], true],
      ["compacted, byte 63", "xrstor", [0, 0, 0, 0x8000_0000, ...Array(11).fill(0), 1], true],
      ["XRSTORS of the standard format", "xrstors", [0], true],
      ["XRSTORS of the compacted one", "xrstors", [0, 0, 0, 0x8000_0000], false],
    ])("%s in a header", (_name, mnemonic, words, faults) => {
      const made = make(engine, mode);
      fill(made, 11);
      made.machine.write(AREA, new Uint8Array(512));
      header(made, words);
      const before = dump(made);
      const exit = made.run(`mov eax, 4; ${mnemonic} [${AREA}]`);
      expect(made.raised).toEqual(faults ? [[VECTOR.GP, 0]] : []);
      expect(exit === EngineExit.HLT).toBe(!faults);
      expect(dump(made)).toBe(before);
    });

    it("reserved bits of MXCSR matter where it is loaded", () => {
      const made = make(engine, mode);
      made.machine.write(AREA, new Uint8Array(576));
      made.machine.setU32(AREA + 24, 0x1_0000);
      expect(made.run(`mov eax, 1; xrstor [${AREA}]`)).toBe(EngineExit.HLT);
      made.run(`mov eax, 2; xrstor [${AREA}]`);
      expect(made.raised).toEqual([[VECTOR.GP, 0]]);
    });

    it("XSETBV, XGETBV and CPUID", () => {
      const made = make(engine, mode);
      expect(made.run("mov eax, 1; xsetbv; mov ecx, 0; xgetbv")).toBe(EngineExit.HLT);
      expect(made.machine.regs).toMatchObject({ rax: 1n, rdx: 0n });
      const leaf = (eax: number, ecx: number): bigint[] => {
        expect(made.run(`mov eax, ${eax}; mov ecx, ${ecx}; cpuid`)).toBe(EngineExit.HLT);
        const { rax, rbx, rcx, rdx } = made.machine.regs;
        return [rax, rbx, rcx, rdx];
      };
      expect(leaf(0xd, 0)).toEqual([3n, 576n, 576n, 0n]);
      expect(leaf(0xd, 1)).toEqual([0xfn, 576n, 0n, 0n]);
      expect(leaf(0xd, 2)).toEqual([0n, 0n, 0n, 0n]);
      expect(leaf(1, 0)[2]! & (3n << 26n)).toBe(3n << 26n);
      made.machine.setSregs({ cr4: made.machine.sregs.cr4 & ~BigInt(CR4.OSXSAVE) });
      expect(leaf(1, 0)[2]! & (3n << 26n)).toBe(1n << 26n);
    });

    it("what CPUID does not name is not there", () => {
      const made = make(engine, mode);
      const { memory, zone } = made.machine;
      const without = (leaf: number, index: number, mask: number): void => {
        const entries = SUPPORTED_CPUID.map((entry) =>
          entry.function === leaf && entry.index === index ? { ...entry, eax: entry.eax & ~mask } : entry,
        );
        expect(setCpuid(memory, zone, entries)).toBe(true);
        made.raised.length = 0;
      };
      without(0xd, 0, SSE);
      made.run("mov eax, 3; xsetbv");
      expect(made.raised).toEqual([[VECTOR.GP, 0]]);
      expect(made.run("mov eax, 1; xsetbv")).toBe(EngineExit.HLT);
      // XSAVEC, and with it the compacted format; XGETBV of register 1.
      without(0xd, 1, 2);
      made.run(`xsavec [${AREA}]`);
      expect(made.raised).toEqual([[VECTOR.UD, 0]]);
      header(made, [0, 0, 0, 0x8000_0000]);
      without(0xd, 1, 2);
      made.run(`xor eax, eax; xrstor [${AREA}]`);
      expect(made.raised).toEqual([[VECTOR.GP, 0]]);
      without(0xd, 1, 4);
      expect(made.run("xor ecx, ecx; xgetbv")).toBe(EngineExit.HLT);
      made.run("mov ecx, 1; xgetbv");
      expect(made.raised).toEqual([[VECTOR.GP, 0]]);
      setCpuid(memory, zone, SUPPORTED_CPUID);
    });

    it("an image in two pages: at once or not at all", () => {
      const made = make(engine, mode);
      fill(made, 12);
      const at = AREA + PAGE - 256;
      expect(made.run(`fxsave [${at}]; fxsave [${AREA}]`)).toBe(EngineExit.HLT);
      expect(made.machine.read(at, end)).toEqual(made.machine.read(AREA, end));
      // The second page is a device's.
      made.machine.mapPage(AREA + PAGE, 0);
      const asked: string[] = [];
      made.machine.mmioWrite = (gpa, size) => asked.push(`${gpa.toString(16)} ${size}`);
      made.machine.engine.flushTlb();
      expect(made.run(`fxsave [${at}]`)).toBe(EngineExit.HLT);
      expect(asked[0]).toBe("301000 8");
      expect(asked.length).toBe((end - 256) / 8);
      made.machine.mapPage(AREA + PAGE, GUEST_RAM + AREA + PAGE);
      made.machine.engine.flushTlb();
    });
  });

  it("a page fault of the second page comes before anything is written", () => {
    const made = make(engine, 64);
    const { machine } = made;
    const entry = TABLES + 0x2000 + 3 * 8;
    const before = machine.u64(entry);
    const at = 0x5f_ff00;
    machine.write(at, new Uint8Array(256).fill(FILLED));
    machine.setU64(entry, 0n);
    machine.engine.flushTlb();
    for (const [code, error] of [
      [`fxsave [${at}]`, 2],
      [`fxrstor [${at}]`, 0],
      [`mov eax, 3; xsave [${at}]`, 2],
      [`mov eax, 3; xrstor [${at}]`, 0],
    ] as const) {
      made.raised.length = 0;
      const state = dump(made);
      made.run(code);
      expect(made.raised).toEqual([[VECTOR.PF, error]]);
      expect(machine.view.getBigUint64(machine.zone + CPU.cr2, true)).toBe(0x60_0000n);
      expect(dump(made)).toBe(state);
    }
    expect(machine.read(at, 256).every((byte) => byte === FILLED)).toBe(true);
    machine.setU64(entry, before);
    machine.engine.flushTlb();
  });

  it("with REX.W pointers have 64 bits", () => {
    const made = make(engine, 64);
    fill(made, 15);
    made.state.set64(FPU.fip, 1, 2);
    made.state.set64(FPU.fdp, 3, 4);
    header(made, []);
    for (const [save, restore] of [
      ["fxsave64", "fxrstor64"],
      ["xsave64", "xrstor64"],
      ["xsavec64", "xrstor64"],
      ["xsaves64", "xrstors64"],
      ["xsaveopt64", "xrstor64"],
    ]) {
      header(made, []);
      made.state.set(FPU.fcs, 9);
      expect(made.run(`mov eax, 3; ${save} [${AREA}]`)).toBe(EngineExit.HLT);
      expect([8, 12, 16, 20].map((at) => word(made, at))).toEqual([1, 2, 3, 4]);
      made.state.set64(FPU.fip, 0, 0);
      expect(made.run(`mov eax, 3; ${restore} [${AREA}]`)).toBe(EngineExit.HLT);
      expect([FPU.fip, FPU.fip + 4, FPU.fdp, FPU.fdp + 4, FPU.fcs].map(made.get)).toEqual([1, 2, 3, 4, 0]);
    }
  });
});
