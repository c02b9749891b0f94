/**
 * State of x87 and SSE that goes elsewhere: into memory that is code, to another vCPU, and to another task by CR0.TS.
 * Document: SDM volume 3, 14.4 (saving state on task and context switches); KVM API, KVM_GET_XSAVE.
 * Left out: the instructions themselves: xsave.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR0 } from "../../../kvm-core/cpu/control.ts";
import { VECTOR } from "../../../kvm-core/cpu/fault.ts";
import { getXsave, setXsave } from "../../../kvm-core/cpu/fpu-regs.ts";
import { FPU } from "../../../kvm-core/cpu/fpu-state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { AREA, dump, fill, make, PAGE } from "../support/image.ts";
import { ENGINES } from "../support/machine.ts";

const IDT = 0x9000;
const HANDLER = 0x18_0000;
const IMAGE = 512;

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%i-bit", (mode) => {
    it("is noticed where it overwrites code", () => {
      const made = make(engine, mode);
      const code = AREA + PAGE;
      made.state.set(FPU.fcw, 0xf4f4);
      made.machine.write(code, assemble("nop; nop; nop; nop; hlt", mode));
      made.machine.set({ rip: BigInt(code) });
      expect(made.machine.engine.run()).toBe(EngineExit.HLT);
      expect(made.run(`fxsave [${code}]`)).toBe(EngineExit.HLT);
      made.machine.set({ rip: BigInt(code) });
      expect(made.machine.engine.run()).toBe(EngineExit.HLT);
      expect(made.machine.regs.rip).toBe(BigInt(code + 1));
    });

    it("KVM_GET_XSAVE and KVM_SET_XSAVE carry the state to another vCPU", () => {
      for (let seed = 20; seed < 30; seed++) {
        const [from, to] = [make(engine, mode), make(engine, mode, { which: 1 })];
        for (const made of [from, to]) fill(made, seed + (made === to ? 50 : 0));
        for (const made of [from, to]) for (const field of [FPU.fcs, FPU.fds]) made.state.set(field, 0);
        const region = getXsave(from.machine.memory, from.machine.zone);
        expect(setXsave(to.machine.memory, to.machine.zone, region)).toBe(true);
        expect(dump(to)).toBe(dump(from));
        for (const { run } of [from, to]) expect(run(`fxsave [${AREA}]`)).toBe(EngineExit.HLT);
        expect(to.machine.read(AREA, IMAGE)).toEqual(from.machine.read(AREA, IMAGE));
      }
    });

    it("switches lazily: #NM saves one task's state and restores another's, once", () => {
      const made = make(engine, mode, { notes: false });
      const { machine, state } = made;
      const [mine, other] = [AREA, AREA + PAGE];
      fill(made, 13);
      state.set(FPU.fsw, 0);
      expect(made.run(`fxsave [${other}]`)).toBe(EngineExit.HLT);
      const xmm3 = state.get(FPU.xmm + 48);
      fill(made, 14);
      state.set(FPU.fsw, 0);
      const cx = mode === 64 ? "rcx" : "ecx";
      const handler = `inc ${cx}; clts; fxsave [${mine}]; fxrstor [${other}]; ${mode === 64 ? "iretq" : "iretd"}`;
      machine.write(HANDLER, assemble(handler, mode));
      machine.setGate(IDT, VECTOR.NM, HANDLER);
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff }, cr0: machine.sregs.cr0 | BigInt(CR0.TS) });
      machine.set({ rcx: 0n });
      expect(made.run("movaps xmm1, xmm3; pxor mm0, mm0; movups [0x310000], xmm1")).toBe(EngineExit.HLT);
      expect(machine.regs.rcx).toBe(1n);
      expect(machine.u32(0x31_0000)).toBe(xmm3);
      expect(machine.sregs.cr0 & BigInt(CR0.TS)).toBe(0n);
    });

    it("switches two tasks a hundred times, whose registers count on", () => {
      const made = make(engine, mode, { notes: false });
      const { machine, state } = made;
      const [bx, si, ax] = mode === 64 ? ["rbx", "rsi", "rax"] : ["ebx", "esi", "eax"];
      const areas = [AREA, AREA + PAGE];
      const starts = [5, 0x7000_0000];
      const steps = [3, 0x11];
      // RBX is the owner of the registers, RSI the task that runs.
      const handler = `clts; cmp ${bx}, ${si}; je 1f; fxsave [${bx}]; fxrstor [${si}]; mov ${bx}, ${si}; 1: ${mode === 64 ? "iretq" : "iretd"}`;
      machine.write(HANDLER, assemble(handler, mode));
      machine.setGate(IDT, VECTOR.NM, HANDLER);
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
      areas.forEach((area, task) => {
        state.set(FPU.xmm, starts[task]!);
        state.set(FPU.xmm + 16, steps[task]!);
        state.set(FPU.st + 2 * 16, starts[task]!);
        state.set(FPU.st + 3 * 16, steps[task]!);
        expect(made.run(`fxsave [${area}]`)).toBe(EngineExit.HLT);
      });
      machine.set({ rcx: 200n, rbx: BigInt(areas[1]!), rsi: BigInt(areas[1]!) });
      const code = `
        2: xor esi, ${areas[0]! ^ areas[1]!}
        mov ${ax}, cr0; or eax, ${CR0.TS}; mov cr0, ${ax}
        paddd xmm0, xmm1
        paddd mm2, mm3
        dec ecx; jnz 2b
        fxsave [${bx}]`;
      expect(made.run(code)).toBe(EngineExit.HLT);
      areas.forEach((area, task) => {
        const sum = starts[task]! + 100 * steps[task]!;
        expect([machine.u32(area + 160), machine.u32(area + 32 + 2 * 16)]).toEqual([sum, sum]);
      });
    });
  });
});
