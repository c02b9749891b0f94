/**
 * When x87 instructions raise what: pending exceptions, CR0.EM, TS and MP, faults of memory; and what they say of themselves.
 * Document: SDM volume 1, 8.1.8 and 8.1.9 (pointers), 8.3.11 and 8.6 (which instructions wait); volume 3, 2.5, table 2-2.
 * Left out: what they compute: their vectors, and the host's processor; environments: x87-environment.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR0 } from "../../../kvm-core/cpu/control.ts";
import { VECTOR } from "../../../kvm-core/cpu/fault.ts";
import { FPU } from "../../../kvm-core/cpu/fpu-state.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { Machine } from "../../../kvm-core/engine/machine.ts";
import { assemble } from "../support/asm.ts";
import { f80, freshFpu, getFpu, setFpu } from "../support/fpu.ts";
import { CODE_SELECTOR, DATA_SELECTOR, ENGINES, TABLES, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const DATA = 0x30_0000;
/** 64-bit mode: a page that is not present begins here. */
const ABSENT = 0x60_0000;
/** An unmasked division by zero is pending. */
const PENDING = { fcw: 0x37b, fsw: 0x8084 };

describe.each(ENGINES)("%s", (engine) => {
  type Raised = (readonly [vector: number, at: number])[];
  /** Notes exceptions, and where, in place of delivering them. */
  const create = (mode: 32 | 64) => {
    const machine = new TestMachine(engine, mode);
    const raised: Raised = [];
    if (!(machine.engine instanceof Machine)) throw new Error("no machine");
    const { state } = machine.engine;
    machine.engine.deliver = (vector) => {
      raised.push([vector, state.get(CPU.rip) - CODE]);
      state.set(CPU.exit, EngineExit.SHUTDOWN);
    };
    if (mode === 64) machine.setU64(TABLES + 0x2000 + (ABSENT >>> 21) * 8, 0n);
    return { machine, raised, sregs: machine.sregs };
  };
  const machines = new Map<number, ReturnType<typeof create>>();
  /** The machine of a mode, as it was at first. */
  const make = (mode: 32 | 64, cr0 = 0): { machine: TestMachine; raised: Raised } => {
    const made = machines.get(mode) ?? create(mode);
    machines.set(mode, made);
    const { machine, raised, sregs } = made;
    raised.length = 0;
    machine.setSregs({ ...sregs, cr0: sregs.cr0 | BigInt(cr0) });
    return { machine, raised };
  };
  const give = (machine: TestMachine, fpu: object): void => {
    setFpu(machine, { ...freshFpu(machine.mode), ...fpu });
    for (const field of [FPU.fip, FPU.fdp]) machine.view.setBigUint64(machine.zone + field, 0n, true);
  };
  const run = (machine: TestMachine, code: string): number => machine.run(assemble(code, machine.mode), CODE);
  const word = (machine: TestMachine, field: number): number => machine.view.getUint32(machine.zone + field, true);
  const long = (machine: TestMachine, field: number): bigint => machine.view.getBigUint64(machine.zone + field, true);

  describe.each([32, 64] as const)("%i-bit", (mode) => {
    it.each(["wait", "fld1", "fnop", "fldcw [0x300000]", "fldenv [0x300000]", "frstor [0x300000]", "fincstp"])(
      "%s waits for a pending exception, which is #MF at the instruction that waits",
      (code) => {
        const { machine, raised } = make(mode);
        give(machine, PENDING);
        run(machine, `nop; nop; ${code}`);
        expect(raised).toEqual([[VECTOR.MF, 2]]);
        expect(getFpu(machine)).toMatchObject({ ...PENDING, tags: 0 });
      },
    );

    it.each([
      "fnclex",
      "fninit",
      "fnstsw ax",
      "fnstsw [0x300000]",
      "fnstcw [0x300000]",
      "fnstenv [0x300000]",
      "fnsave [0x300000]",
    ])("%s does not wait", (code) => {
      const { machine, raised } = make(mode);
      give(machine, PENDING);
      expect(run(machine, code)).toBe(EngineExit.HLT);
      expect(raised).toEqual([]);
    });

    it.each(["fnclex", "fninit", "fnstenv [0x300000]", "fnsave [0x300000]"])("%s ends the waiting", (code) => {
      const { machine, raised } = make(mode);
      give(machine, PENDING);
      expect(run(machine, `${code}; wait; fld1`)).toBe(EngineExit.HLT);
      expect(raised).toEqual([]);
    });

    it("reports an exception at the next instruction that waits, with NE set and clear", () => {
      for (const cr0 of [0, CR0.NE]) {
        const { machine, raised } = make(mode, cr0);
        give(machine, { fcw: 0x37b, st: [f80(1), f80(0), 0n, 0n, 0n, 0n, 0n, 0n], tags: 3 });
        run(machine, "fdiv st, st(1); fnstsw ax; nop; fld1");
        expect(raised).toEqual([[VECTOR.MF, 5]]);
        expect(machine.regs.rax & 0xffffn).toBe(0x8084n);
      }
    });

    it("reports what FLDCW unmasks, and forgets what it masks", () => {
      const { machine, raised } = make(mode);
      give(machine, { fsw: 4 });
      machine.setU64(DATA, 0x37bn);
      run(machine, "fldcw [0x300000]; fld1");
      expect(raised.map(([vector]) => vector)).toEqual([VECTOR.MF]);
    });

    it.each([
      ["fld1", CR0.EM, VECTOR.NM],
      ["fld1", CR0.TS, VECTOR.NM],
      ["fninit", CR0.EM, VECTOR.NM],
      ["fnstsw ax", CR0.TS, VECTOR.NM],
      ["fnsave [0]", CR0.TS, VECTOR.NM],
      ["fld dword ptr [0]", CR0.EM, VECTOR.NM],
      ["wait", CR0.TS | CR0.MP, VECTOR.NM],
    ])("%s with CR0 bits %x is exception %i", (code, cr0, vector) => {
      const { machine, raised } = make(mode, cr0);
      give(machine, {});
      run(machine, code);
      expect(raised).toEqual([[vector, 0]]);
    });

    it.each([CR0.TS, CR0.MP, CR0.EM, CR0.EM | CR0.MP])("WAIT with CR0 bits %x does nothing", (cr0) => {
      const { machine, raised } = make(mode, cr0);
      give(machine, {});
      expect(run(machine, "wait")).toBe(EngineExit.HLT);
      expect(raised).toEqual([]);
    });

    it("notes the last instruction, and the last operand in memory", () => {
      const { machine } = make(mode);
      give(machine, {});
      const sum = mode === 64 ? "rsi + rcx*4 + 8" : "esi + ecx*4 + 8";
      machine.set({ rsi: BigInt(DATA), rcx: 2n });
      expect(run(machine, `nop; fild word ptr [${sum}]`)).toBe(EngineExit.HLT);
      // DF /0 with a SIB byte and a displacement of 8 bits.
      expect(word(machine, FPU.fop)).toBe(0x744);
      expect(long(machine, FPU.fip)).toBe(BigInt(CODE + 1));
      expect(long(machine, FPU.fdp)).toBe(BigInt(DATA + 16));
      expect([word(machine, FPU.fcs), word(machine, FPU.fds)]).toEqual([CODE_SELECTOR, DATA_SELECTOR]);
      // Control instructions are not noted, others without operand leave its pointer.
      run(machine, "fxch st(5); nop; fnstcw [0x300000]; fnclex; wait");
      expect(word(machine, FPU.fop)).toBe(0x1cd);
      expect(long(machine, FPU.fip)).toBe(BigInt(CODE));
      expect(long(machine, FPU.fdp)).toBe(BigInt(DATA + 16));
    });

    it("notes an operand's offset in its segment, not its linear address", () => {
      const { machine } = make(mode);
      give(machine, {});
      machine.setSregs({ fs: { ...machine.sregs.fs, base: BigInt(DATA), selector: 0x33 } });
      expect(run(machine, "fld dword ptr fs:[0x20]")).toBe(EngineExit.HLT);
      expect(long(machine, FPU.fdp)).toBe(0x20n);
      expect(word(machine, FPU.fds)).toBe(0x33);
      expect(run(machine, "fstp qword ptr fs:[0x28]")).toBe(EngineExit.HLT);
      expect(long(machine, FPU.fdp)).toBe(0x28n);
    });

    it("asks a device for ten bytes in two pieces", () => {
      const { machine } = make(mode);
      give(machine, {});
      const asked: string[] = [];
      machine.mmioRead = (gpa, size) => {
        asked.push(`read ${gpa.toString(16)} ${size}`);
        return gpa & 8 ? 0x4000n : 0xc90f_daa2_2168_c235n;
      };
      machine.mmioWrite = (gpa, size, value) => asked.push(`write ${gpa.toString(16)} ${size} ${value.toString(16)}`);
      machine.set({ rsi: 0xd000_0000n });
      const si = mode === 64 ? "rsi" : "esi";
      expect(run(machine, `fld tbyte ptr [${si}]; fstp tbyte ptr [${si}+16]`)).toBe(EngineExit.HLT);
      expect(asked).toEqual([
        "read d0000000 8",
        "read d0000008 2",
        "write d0000010 8 c90fdaa22168c235",
        "write d0000018 2 4000",
      ]);
    });
  });

  it("raises #NM before a segment's #GP", () => {
    for (const [cr0, vector] of [
      [0, VECTOR.GP],
      [CR0.TS, VECTOR.NM],
    ] as const) {
      const { machine, raised } = make(32, cr0);
      give(machine, {});
      machine.setSregs({ fs: { ...machine.sregs.fs, limit: 0xfff, g: 0 } });
      run(machine, "nop; fld dword ptr fs:[0x2000]");
      expect(raised).toEqual([[vector, 1]]);
    }
  });

  describe("a page fault", () => {
    const st = [f80(5), ...new Array<bigint>(7).fill(0n)];
    it.each([
      ["fstp dword ptr [rsi+6]", "across a page", 0],
      ["fstp tbyte ptr [rsi]", "in the last two bytes", 0],
      ["fbstp tbyte ptr [rsi]", "of FBSTP", 0],
      ["fistp qword ptr [rsi+8]", "in all of it", 0],
      ["fld tbyte ptr [rsi]", "of a load", 0],
      ["fadd qword ptr [rsi+8]", "of arithmetic", 0],
      ["fnsave [rsi]", "of a saved state", 0],
      ["fnstenv [rsi]", "of an environment", 0],
      ["frstor [rsi]", "of a state to restore", 0],
      // The store will not be made, and its memory is looked at all the same.
      ["fistp dword ptr [rsi+8]", "of what is not stored", 0x37e],
    ])("%s, %s, leaves everything", (code, _name, fcw) => {
      const { machine, raised } = make(64);
      const fpu = { st: fcw ? [f80(1e30), ...st.slice(1)] : st, tags: 1, fcw: fcw || 0x37f };
      give(machine, fpu);
      machine.set({ rsi: BigInt(ABSENT - 8) });
      machine.setU64(ABSENT - 8, 0x1122_3344_5566_7788n);
      run(machine, code);
      expect(raised).toEqual([[VECTOR.PF, 0]]);
      expect(machine.u64(ABSENT - 8)).toBe(0x1122_3344_5566_7788n);
      expect(getFpu(machine)).toMatchObject({ ...fpu, fsw: 0 });
      expect(long(machine, FPU.fip)).toBe(0n);
    });
  });
});
