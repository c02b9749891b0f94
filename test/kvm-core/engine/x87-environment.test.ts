/**
 * The environment and the saved state of the x87 unit in memory, in each of their layouts: FNSTENV, FLDENV, FNSAVE, FRSTOR.
 * Document: SDM volume 1, 8.1.10 (figures 8-9 to 8-12), 8.1.7 (tag word).
 * Left out: faults: x87.test.ts; FXSAVE.
 */

import { describe, expect, it } from "vitest";
import { CR0 } from "../../../kvm-core/cpu/control.ts";
import { FPU } from "../../../kvm-core/cpu/fpu-state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { type FpuState, f80, freshFpu, getFpu, setFpu } from "../support/fpu.ts";
import { CODE_SELECTOR, DATA_SELECTOR, ENGINES, TestMachine } from "../support/machine.ts";
import { REAL_DATA, realMachine, run16 } from "../support/segments.ts";

const CODE = 0x10_0000;
const IMAGE = 0x30_1230;
/** The operand of the instruction whose pointers are in the image. */
const OPERAND = 0x32_3456;
const FILL = 0xeeee_eeee_eeee_eeeen;

/** TOP 3; R0 zero, R1 infinity, R2 a number, R3 a denormal, R4 unnormal, R5 empty, R6 a NaN, R7 empty. */
const ST = [
  0n,
  f80(Number.POSITIVE_INFINITY),
  f80(1),
  1n,
  0x4000_0000_0000_0000_0001n,
  f80(7),
  f80(Number.NaN),
  f80(8),
];
const STATE = { st: ST, tags: 0x5f, fsw: 0x1a41, fcw: 0xb7f };
const TAG_WORD = 0b11_10_11_10_10_00_10_01;
/** FCW, FSW and TW as 16 bits each. */
const WORDS = [STATE.fcw, STATE.fsw, TAG_WORD];
/** FLD m32 with a displacement of 32 bits: D9 /0; in 64-bit mode without a base it has a SIB byte. */
const FOP = { 32: 0x105, 64: 0x104 } as const;

/** A mode whose layout is another one. */
interface Layout {
  readonly name: string;
  readonly mode: 32 | 64;
  readonly real?: true;
  readonly narrow?: true;
}
const LAYOUTS: readonly Layout[] = [
  { name: "protected, 32-bit", mode: 32 },
  { name: "protected, 16-bit", mode: 32, narrow: true },
  { name: "64-bit", mode: 64 },
  { name: "64-bit, 16-bit operands", mode: 64, narrow: true },
  { name: "real, 32-bit", mode: 32, real: true },
  { name: "real, 16-bit", mode: 32, real: true, narrow: true },
];

/** The pointers as the image has them, the units being 16 or 32 bits. */
function pointers({ mode, real, narrow }: Layout): number[] {
  const fop = FOP[mode];
  if (real && narrow) {
    return [CODE & 0xffff, ((CODE >>> 4) & 0xf000) | fop, OPERAND & 0xffff, (OPERAND >>> 4) & 0xf000];
  }
  if (real) {
    return [
      0xffff_0000 + (CODE & 0xffff),
      ((CODE >>> 4) & 0x0fff_f000) | fop,
      0xffff_0000 + (OPERAND & 0xffff),
      (OPERAND >>> 4) & 0x0fff_f000,
    ];
  }
  if (narrow) return [CODE & 0xffff, CODE_SELECTOR, OPERAND & 0xffff, DATA_SELECTOR];
  return [CODE, CODE_SELECTOR | (fop << 16), OPERAND, 0xffff_0000 + DATA_SELECTOR];
}

describe.each(ENGINES)("%s", (engine) => {
  describe.each(LAYOUTS)("$name", (layout) => {
    const { mode, real, narrow } = layout;
    const prefix = narrow ? "data16 " : "";
    const unit = narrow ? 2 : 4;
    let made: TestMachine | undefined;
    const make = (): TestMachine => {
      const machine = made ?? new TestMachine(engine, mode);
      if (real && made === undefined) {
        // Real mode with the limits of before, and segments at 0.
        const { cs, ds, cr0 } = machine.sregs;
        machine.setSregs({ cs: { ...cs, selector: 0 }, ds: { ...ds, selector: 0 }, cr0: cr0 & ~BigInt(CR0.PE) });
      }
      made = machine;
      setFpu(machine, freshFpu(mode));
      for (let at = 0; at < 128; at += 8) machine.setU64(IMAGE + at, FILL);
      return machine;
    };
    const run = (machine: TestMachine, code: string): void => {
      expect(machine.run(assemble(code, mode), CODE), machine.engine.errorDetail).toBe(EngineExit.HLT);
    };
    const units = (machine: TestMachine): number[] => {
      const bytes = new DataView(machine.read(IMAGE, 28).buffer);
      return Array.from({ length: 7 }, (_, i) =>
        narrow ? bytes.getUint16(i * 2, true) : bytes.getUint32(i * 4, true),
      );
    };
    const high = narrow ? 0 : 0xffff_0000;
    const image = [...WORDS.map((word) => high + word), ...pointers(layout)];
    /** An instruction whose pointers are wanted, and the state of before again. */
    const point = (machine: TestMachine): void => {
      setFpu(machine, freshFpu(mode));
      run(machine, `fld dword ptr [${OPERAND}]`);
      setFpu(machine, { ...freshFpu(mode), ...STATE });
    };
    const plant = (machine: TestMachine, values: readonly number[]): void => {
      const bytes = new DataView(new ArrayBuffer(unit * values.length));
      values.forEach((value, i) => {
        if (narrow) bytes.setUint16(i * 2, value, true);
        else bytes.setUint32(i * 4, value, true);
      });
      machine.write(IMAGE, new Uint8Array(bytes.buffer));
    };
    const fields = (machine: TestMachine): number[] =>
      [FPU.fip, FPU.fcs, FPU.fdp, FPU.fds].map((field) => machine.view.getUint32(machine.zone + field, true));

    it("FNSTENV stores the environment, and masks all exceptions", () => {
      const machine = make();
      point(machine);
      const before = getFpu(machine);
      run(machine, `${prefix}fnstenv [${IMAGE}]`);
      expect(units(machine)).toEqual(image);
      expect(machine.read(IMAGE + unit * 7, 2)).toEqual(Uint8Array.of(0xee, 0xee));
      expect(getFpu(machine)).toEqual(before);
      setFpu(machine, { ...before, fcw: 0x300, fsw: 0x8081 });
      run(machine, `${prefix}fnstenv [${IMAGE}]`);
      expect(getFpu(machine)).toMatchObject({ fcw: 0x33f, fsw: 1 });
    });

    it("FLDENV takes it back", () => {
      const machine = make();
      point(machine);
      const [before, pointed] = [getFpu(machine), fields(machine)];
      run(machine, `${prefix}fnstenv [${IMAGE}]`);
      setFpu(machine, freshFpu(mode));
      for (const field of [FPU.fip, FPU.fcs, FPU.fdp, FPU.fds]) machine.view.setUint32(machine.zone + field, 0, true);
      run(machine, `${prefix}fldenv [${IMAGE}]`);
      const { fcw, fsw, tags } = before;
      expect(getFpu(machine)).toMatchObject({ fcw, fsw, tags });
      // As many bits of the pointers as the image has.
      const bits = narrow ? (real ? 0xf_ffff : 0xffff) : 0xffff_ffff;
      expect(fields(machine)).toEqual(pointed.map((value) => (value & bits) >>> 0));
    });

    it("FLDENV makes an exception pending that is not masked, whatever ES says", () => {
      const machine = make();
      plant(machine, [0x37b, 0x0004, 0xffff, 0, 0, 0, 0]);
      run(machine, `${prefix}fldenv [${IMAGE}]; fnstsw ax`);
      expect(machine.regs.rax & 0xffffn).toBe(0x8084n);
      plant(machine, [0x37f, 0x8084, 0xffff, 0, 0, 0, 0]);
      run(machine, `fnclex; ${prefix}fldenv [${IMAGE}]; fnstsw ax; fld1`);
      expect(machine.regs.rax & 0xffffn).toBe(4n);
    });

    it("FNSAVE stores registers from ST(0) on, and initialises; FRSTOR takes them back", () => {
      const machine = make();
      point(machine);
      const before: FpuState = getFpu(machine);
      run(machine, `${prefix}fnsave [${IMAGE}]`);
      expect(units(machine)).toEqual(image);
      const bytes = new DataView(machine.read(IMAGE + unit * 7, 80).buffer);
      const saved = Array.from(
        { length: 8 },
        (_, i) => bytes.getBigUint64(i * 10, true) | (BigInt(bytes.getUint16(i * 10 + 8, true)) << 64n),
      );
      expect(saved).toEqual(ST.map((_, i) => ST[(i + 3) & 7]!));
      expect(machine.read(IMAGE + unit * 7 + 80, 2)).toEqual(Uint8Array.of(0xee, 0xee));
      expect(getFpu(machine)).toMatchObject({ fcw: 0x37f, fsw: 0, tags: 0, st: ST });
      expect(fields(machine)).toEqual([0, 0, 0, 0]);
      setFpu(machine, freshFpu(mode));
      run(machine, `${prefix}frstor [${IMAGE}]`);
      expect(getFpu(machine)).toEqual(before);
    });
  });

  it("adds real mode's segments to the offsets, in 16-bit code", () => {
    const machine = realMachine(engine);
    setFpu(machine, freshFpu(32));
    const text = "nop; fld dword ptr [0x1234]; fnstenv [0x100]; data32 fnstenv [0x200]; fldenv [0x100]";
    expect(run16(machine, text, 0xf000), machine.engine.errorDetail).toBe(EngineExit.HLT);
    // Linear 1F001h and 21234h; D9 06.
    const narrow = new DataView(machine.read(REAL_DATA + 0x100 + 6, 8).buffer);
    expect([0, 2, 4, 6].map((at) => narrow.getUint16(at, true))).toEqual([0xf001, 0x1106, 0x1234, 0x2000]);
    const wide = new DataView(machine.read(REAL_DATA + 0x200 + 12, 16).buffer);
    expect([0, 4, 8, 12].map((at) => wide.getUint32(at, true))).toEqual([0xffff_f001, 0x1106, 0xffff_1234, 0x2000]);
    expect(machine.view.getUint32(machine.zone + FPU.fip, true)).toBe(0x1_f001);
    expect(machine.view.getUint32(machine.zone + FPU.fdp, true)).toBe(0x2_1234);
  });
});
