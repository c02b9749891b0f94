/**
 * Vectors in registers and memory, and what is raised before an instruction of a unit.
 * Document: SDM volume 3, tables 2-2 and 9-3 (CR0.EM, MP, TS), 9.5 (CR4.OSFXSR); volume 1, 9.2.1 (MMX and x87), 10.4.1 (alignment).
 * Left out: what the instructions compute: their vectors, and the host's processor.
 */

import { describe, expect, it } from "vitest";
import { CR0, CR4 } from "../../../kvm-core/cpu/control.ts";
import { VECTOR } from "../../../kvm-core/cpu/fault.ts";
import { FPU, FSW_ES } from "../../../kvm-core/cpu/fpu-state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, type TestMachine } from "../support/machine.ts";
import { type Noting, notingMachine } from "../support/noting.ts";

const DEVICE = 0xd000_0000;
const DATA = 0x30_0000;
const HALVES = [0x1122_3344_5566_7788n, 0x99aa_bbcc_ddee_ff00n] as const;

describe.each(ENGINES)("%s", (engine) => {
  const make = (mode: 32 | 64, cr0?: number, cr4?: number): Noting => notingMachine(engine, mode, cr0, cr4);
  const run = (machine: TestMachine, code: string): number => machine.run(assemble(code, machine.mode));
  const fpu = (machine: TestMachine, field: number): number => machine.view.getUint32(machine.zone + field, true);
  const half = (machine: TestMachine, field: number): bigint => machine.view.getBigUint64(machine.zone + field, true);
  const plant = (machine: TestMachine, at: number): void => {
    for (const [i, value] of HALVES.entries()) machine.setU64(at + i * 8, value);
  };

  describe.each([32, 64] as const)("%i-bit", (mode) => {
    it.each([
      ["aligned", 0, "movaps"],
      ["misaligned", 7, "movups"],
      ["across a page", 0xff9, "movups"],
    ])("moves 128 bits, %s", (_name, offset, mnemonic) => {
      const { machine } = make(mode);
      plant(machine, DATA + offset);
      const code = `${mnemonic} xmm3, [${DATA + offset}]; ${mnemonic} [${DATA + 0x2000 + offset}], xmm3`;
      expect(run(machine, code)).toBe(EngineExit.HLT);
      expect([half(machine, FPU.xmm + 48), half(machine, FPU.xmm + 56)]).toEqual(HALVES);
      const at = DATA + 0x2000 + offset;
      expect([machine.u64(at), machine.u64(at + 8)]).toEqual(HALVES);
    });

    it.each(["movaps xmm0, [0x300008]", "movdqa [0x300001], xmm0", "andps xmm1, [0x30000f]"])(
      "wants %s aligned",
      (code) => {
        const { machine, vectors } = make(mode);
        run(machine, code);
        expect(vectors).toEqual([VECTOR.GP]);
      },
    );

    it("asks a device for two halves", () => {
      const { machine } = make(mode);
      const asked: string[] = [];
      machine.mmioRead = (gpa, size) => {
        asked.push(`read ${gpa.toString(16)} ${size}`);
        return HALVES[(gpa & 8) >> 3]!;
      };
      machine.mmioWrite = (gpa, size, value) => asked.push(`write ${gpa.toString(16)} ${size} ${value.toString(16)}`);
      machine.set({ rsi: BigInt(DEVICE) });
      const si = mode === 64 ? "rsi" : "esi";
      expect(run(machine, `movups xmm0, [${si}]; movups [${si}+16], xmm0`)).toBe(EngineExit.HLT);
      expect(asked).toEqual([
        "read d0000000 8",
        "read d0000008 8",
        "write d0000010 8 1122334455667788",
        "write d0000018 8 99aabbccddeeff00",
      ]);
    });

    it("MMX makes all registers valid, TOP 0, and the exponent ones", () => {
      const { machine } = make(mode);
      machine.view.setUint32(machine.zone + FPU.top, 5, true);
      machine.view.setUint32(machine.zone + FPU.tags, 0x21, true);
      plant(machine, DATA);
      expect(run(machine, "pxor mm2, mm2; por mm2, [0x300008]")).toBe(EngineExit.HLT);
      expect(half(machine, FPU.st + 32)).toBe(HALVES[1]);
      expect(half(machine, FPU.st + 40)).toBe(0xffffn);
      expect([fpu(machine, FPU.top), fpu(machine, FPU.tags)]).toEqual([0, 0xff]);
    });

    it.each([
      ["pand xmm0, xmm1", 0, 0, VECTOR.UD],
      ["pand xmm0, xmm1", CR0.EM, CR4.OSFXSR, VECTOR.UD],
      ["pand xmm0, xmm1", CR0.TS, CR4.OSFXSR, VECTOR.NM],
      ["pand xmm0, xmm1", CR0.TS, 0, VECTOR.UD],
      ["pand mm0, mm1", CR0.EM, CR4.OSFXSR, VECTOR.UD],
      ["pand mm0, mm1", CR0.TS, 0, VECTOR.NM],
      ["pand mm0, [0]", CR0.TS, 0, VECTOR.NM],
    ])("%s with CR0 %x and CR4 %x is exception %i", (code, cr0, cr4, vector) => {
      const { machine, vectors } = make(mode, cr0, cr4);
      run(machine, code);
      expect(vectors).toEqual([vector]);
      expect(fpu(machine, FPU.tags)).toBe(0xff);
    });

    it("CLTS and MOV CR0 are noticed, and a pending x87 exception by MMX", () => {
      const { machine, vectors } = make(mode, CR0.TS);
      expect(run(machine, "clts; pxor xmm0, xmm0; pxor mm0, mm0")).toBe(EngineExit.HLT);
      const ax = mode === 64 ? "rax" : "eax";
      run(machine, `mov ${ax}, cr0; or eax, 8; mov cr0, ${ax}; pxor xmm0, xmm0`);
      expect(vectors).toEqual([VECTOR.NM]);
      vectors.length = 0;
      machine.view.setUint32(machine.zone + FPU.fsw, FSW_ES, true);
      expect(run(machine, "clts; pxor xmm0, xmm0; pxor mm0, mm0")).not.toBe(EngineExit.HLT);
      expect(vectors).toEqual([VECTOR.MF]);
    });
  });
});
