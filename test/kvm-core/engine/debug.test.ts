/**
 * Debugging by the guest itself: single step, breakpoints, general detect, INT1, RF, and the shadow of MOV SS.
 * Document: SDM volume 3, 18.2 and 18.3, 6.8.3, table 6-2.
 * Left out: data breakpoints: watch.test.ts; debugging from outside: guest-debug.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { getMsr, MSR_DEBUGCTL, setMsr } from "../../../kvm-core/cpu/msr.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES, type Mode } from "../support/machine.ts";
import { type Program, program } from "../support/program.ts";
import { CODE, gate, HANDLER, RingMachine, SEL } from "../support/rings.ts";

const [BD, BS] = [1 << 13, 1 << 14];
const TF = 0x100;
const RF = 0x1_0000;
const DR6_ONES = 0xffff_0ff0;
/** Where the handler of #DB notes what it was called for: pairs of RIP and flags; rBP is the next place. */
const LOG = 0x18_0000;

/** Handlers of #DB. `resuming` sets RF, so that an instruction with a breakpoint is executed. */
const HANDLERS: Readonly<Record<Mode, Readonly<Record<"noting" | "resuming" | "halting", string>>>> = {
  32: {
    noting: "mov esi, [esp]; mov [ebp], esi; mov esi, [esp+8]; mov [ebp+4], esi; add ebp, 8; iretd",
    resuming:
      "mov esi, [esp]; mov [ebp], esi; mov esi, [esp+8]; mov [ebp+4], esi; add ebp, 8; or byte ptr [esp+10], 1; iretd",
    halting: "hlt",
  },
  64: {
    noting: "mov rsi, [rsp]; mov [rbp], esi; mov rsi, [rsp+16]; mov [rbp+4], esi; add rbp, 8; iretq",
    resuming:
      "mov rsi, [rsp]; mov [rbp], esi; mov rsi, [rsp+16]; mov [rbp+4], esi; add rbp, 8; or byte ptr [rsp+18], 1; iretq",
    halting: "hlt",
  },
};
type Handler = keyof (typeof HANDLERS)[32];

function machineFor(engine: (typeof ENGINES)[number], mode: Mode, handler: Handler = "noting"): RingMachine {
  const machine = new RingMachine(engine, mode);
  machine.write(HANDLER, program(mode, [HANDLERS[mode][handler]]).bytes);
  machine.vector(1, gate(SEL.code[0], HANDLER, 14));
  // IRET behind INT3 and INT 30, HLT behind the rest.
  for (const v of [3, 0x30]) machine.vector(v, gate(SEL.code[0], HANDLER + 0x100, 15));
  machine.write(HANDLER + 0x100, mode === 64 ? [0x48, 0xcf] : [0xcf]);
  for (const v of [6, 13, 14]) machine.vector(v, gate(SEL.code[0], HANDLER + 0x200 + v, 15));
  machine.write(HANDLER + 0x200, new Array(16).fill(0xf4));
  machine.set({ rbp: BigInt(LOG), rdi: 0x19_0000n, rflags: 2n });
  return machine;
}

const setDr = (machine: RingMachine, register: number, value: number | bigint): void =>
  machine.view.setBigUint64(machine.zone + CPU.dr + register * 8, BigInt(value), true);
const dr = (machine: RingMachine, register: number): number =>
  machine.view.getUint32(machine.zone + CPU.dr + register * 8, true);
/** Arms execution breakpoints at these addresses. */
const arm = (machine: RingMachine, ...addresses: readonly number[]): void => {
  addresses.forEach((address, i) => {
    setDr(machine, i, address);
  });
  setDr(machine, 7, 0x400 | addresses.reduce((all, _, i) => all | (1 << (i * 2)), 0));
};

/** Runs instructions from CODE up to the HLT behind them. */
function run(machine: RingMachine, instructions: readonly string[], flags = 2): Program {
  const made = program(machine.mode, instructions);
  machine.set({ rflags: BigInt(flags) });
  expect(machine.run(made.bytes, CODE), machine.engine.errorDetail).toBe(EngineExit.HLT);
  return made;
}
/** What the handler noted: offsets of RIP from CODE, and flags. */
function noted(machine: RingMachine): { rip: number; flags: number }[] {
  const count = (Number(machine.regs.rbp) - LOG) / 8;
  return Array.from({ length: count }, (_, i) => {
    return { rip: machine.u32(LOG + i * 8) - CODE, flags: machine.u32(LOG + i * 8 + 4) };
  });
}
const rips = (machine: RingMachine): number[] => noted(machine).map(({ rip }) => rip);
/** The handler at which the machine has halted: of #DB, or the vector. */
const halted = (machine: RingMachine): number => {
  const at = Number(machine.regs.rip) - 1 - HANDLER;
  return at === 0 ? 1 : at - 0x200;
};

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%s-bit", (mode) => {
    const a = mode === 64 ? "rax" : "eax";
    const b = mode === 64 ? "rbx" : "ebx";

    describe("single step", () => {
      /** instructions; at which of them RIP is at each trap. */
      const ROWS: readonly (readonly [readonly string[], readonly number[]])[] = [
        [
          ["nop", "inc ecx", "push 5", `pop ${a}`, "add eax, [edi]", "nop"],
          [1, 2, 3, 4, 5, 6],
        ],
        // One trap an iteration, with RIP at the instruction until the last.
        [
          ["mov ecx, 3", "rep stosb", "nop"],
          [1, 1, 1, 2, 3],
        ],
        [
          ["xor ecx, ecx", "rep stosb", "nop"],
          [1, 2, 3],
        ],
        [
          ["mov ecx, 2", "repe cmpsb", "nop"],
          [1, 1, 2, 3],
        ],
        // Branches: taken and not, relative and not. JMP over one byte, JZ over one, CALL over two.
        [
          ["xor eax, eax", ".byte 0x74, 1", "nop", ".byte 0x75, 1", "nop", "nop"],
          [1, 3, 4, 5, 6],
        ],
        [
          [".byte 0xe8, 2, 0, 0, 0", ".byte 0xeb, 1", "ret", "nop"],
          [2, 1, 3, 4],
        ],
        [
          [`mov ${a}, ${CODE + (mode === 64 ? 10 : 8)}`, `jmp ${a}`, "nop", "nop"],
          [1, 3, 4],
        ],
        [
          ["mov ecx, 2", "loop .", "nop"],
          [1, 1, 2, 3],
        ],
        // None behind MOV SS, nor behind POP SS.
        [
          ["mov eax, ss", "mov ss, eax", "nop", "nop"],
          [1, 3, 4],
        ],
        [mode === 64 ? ["mov eax, ss", "mov ss, eax", "cld", "nop"] : ["push ss", "pop ss", "nop", "nop"], [1, 3, 4]],
        // Their handlers run without; behind their IRET one instruction goes first.
        [
          ["nop", "int3", "nop", "nop"],
          [1, 3, 4],
        ],
        [
          ["int 0x30", "nop", "nop"],
          [2, 3],
        ],
        [
          ["pushf", "popf", "nop"],
          [1, 2, 3],
        ],
        // Helpers.
        [
          ["cpuid", "in al, 0x60", "out 0x61, al", "rdtsc", `mov ${a}, cr0`, `mov cr0, ${a}`],
          [1, 2, 3, 4, 5, 6],
        ],
        [
          ["sti", "nop", "cli", "nop"],
          [1, 2, 3, 4],
        ],
        [
          ["mov eax, ds", "mov ds, eax", "lsl ecx, eax", "verw ax", "cld"],
          [1, 2, 3, 4, 5],
        ],
        [
          ["lock inc dword ptr [edi]", "xchg [edi], eax", "cmpxchg8b [edi]"],
          [1, 2, 3],
        ],
      ];
      it.each(ROWS)("%s", (instructions, at) => {
        const machine = machineFor(engine, mode);
        const n = instructions.length;
        // What turns it off is itself stepped.
        const { at: places } = run(machine, [...instructions, "push 2", "popf", "nop"], TF | 2);
        expect(rips(machine)).toEqual([...at, n + 1, n + 2].map((i) => places[i]));
        const flags = noted(machine).map((note) => note.flags & TF);
        expect(flags).toEqual([...at.map(() => TF), TF, 0]);
        expect(dr(machine, 6)).toBe((DR6_ONES | BS) >>> 0);
      });

      it("begins behind the instruction that follows POPF or IRET", () => {
        const machine = machineFor(engine, mode);
        const { at } = run(machine, ["push 0x102", "popf", "nop", "nop", "push 2", "popf", "nop"]);
        expect(rips(machine)).toEqual([3, 4, 5, 6].map((i) => at[i]));
      });

      it("pushes RF set between two iterations, and not behind the last", () => {
        const machine = machineFor(engine, mode);
        run(machine, ["mov ecx, 3", "rep stosb", "nop", "push 2", "popf"], TF | 2);
        expect(noted(machine).map(({ flags }) => flags & RF)).toEqual([0, RF, RF, 0, 0, 0, 0]);
        expect(machine.regs.rcx).toBe(0n);
      });

      it("gives way to a fault, whose handler runs without", () => {
        const machine = machineFor(engine, mode);
        run(machine, ["nop", "ud2"], TF | 2);
        expect([halted(machine), ...rips(machine)]).toEqual([6, 1]);
        expect(machine.regs.rflags & BigInt(TF)).toBe(0n);
        expect(machine.slots(mode === 64 ? 8 : 4, 3)[2]! & (TF | RF)).toBe(TF | RF);
      });

      it("wakes from HLT", () => {
        const machine = machineFor(engine, mode);
        machine.set({ rflags: BigInt(TF | 2) });
        const { bytes } = program(mode, ["hlt", "push 2", "popf"]);
        expect(machine.run(bytes, CODE)).toBe(EngineExit.HLT);
        expect(rips(machine)).toEqual([1, 3, 4]);
      });
    });

    describe("execution breakpoints", () => {
      it("come before their instruction, which RF lets pass", () => {
        const machine = machineFor(engine, mode, "resuming");
        const { at } = program(mode, ["nop", "inc ecx", "inc edx", "inc ecx"]);
        arm(machine, CODE + at[2]!, CODE + at[3]!);
        run(machine, ["nop", "inc ecx", "inc edx", "inc ecx"]);
        expect(noted(machine)).toMatchObject([{ rip: at[2] }, { rip: at[3] }]);
        // The image of such a fault has RF clear.
        expect(noted(machine).map(({ flags }) => flags & RF)).toEqual([0, 0]);
        expect(machine.regs).toMatchObject({ rcx: 2n, rdx: 1n });
        expect(machine.regs.rflags & BigInt(RF)).toBe(0n);
        expect(dr(machine, 6)).toBe((DR6_ONES | 2) >>> 0);
      });

      it("are met in a loop each time, also in code that has run before", () => {
        const machine = machineFor(engine, mode, "resuming");
        // INC ECX; CMP ECX,imm8; JNE back
        const loop = ["inc ecx", "cmp ecx, 5", mode === 64 ? ".byte 0x75, 0xf9" : ".byte 0x75, 0xfa", "nop"];
        const { at } = run(machine, loop);
        machine.set({ rcx: 0n, rsp: machine.regs.rsp });
        arm(machine, CODE + at[1]!);
        run(machine, loop);
        expect(rips(machine)).toEqual(new Array(5).fill(at[1]));
        expect(machine.regs.rcx).toBe(5n);
        // And are no more when they are taken away.
        setDr(machine, 7, 0x400);
        machine.set({ rcx: 0n, rbp: BigInt(LOG) });
        run(machine, loop);
        expect(rips(machine)).toEqual([]);
      });

      it("on a string instruction come once", () => {
        const machine = machineFor(engine, mode, "resuming");
        const code = ["mov ecx, 4", "rep stosb", "nop"];
        arm(machine, CODE + program(mode, code).at[1]!);
        const { at } = run(machine, code);
        expect(rips(machine)).toEqual([at[1]]);
        expect(machine.regs.rdi).toBe(0x19_0004n);
      });

      it("do not count where no instruction begins, nor behind MOV SS", () => {
        const machine = machineFor(engine, mode, "resuming");
        const code = ["mov eax, ss", "mov ss, eax", "inc ecx", "mov edx, 7"];
        const { at } = program(mode, code);
        arm(machine, CODE + at[2]!, CODE + at[3]! + 1);
        run(machine, code);
        expect(rips(machine)).toEqual([]);
        expect(machine.regs).toMatchObject({ rcx: 1n, rdx: 7n });
      });

      it("come behind the trap of the instruction before, and before the fault of a fetch", () => {
        const machine = machineFor(engine, mode, "halting");
        arm(machine, CODE + 1);
        run(machine, ["nop", "nop"], TF | 2);
        expect([halted(machine), dr(machine, 6) & 0xf, dr(machine, 6) & BS]).toEqual([1, 0, BS]);
        // The handler's RIP of the trap is the breakpoint: without TF it is next.
        machine.set({ rip: BigInt(CODE + 1), rflags: 2n });
        machine.engine.run();
        expect([halted(machine), dr(machine, 6) & 0xf]).toEqual([1, 1]);
        if (mode === 32) return;
        const nowhere = 0x1234_5678_0000;
        arm(machine, nowhere);
        machine.set({ rip: BigInt(nowhere), rflags: 2n });
        machine.engine.run();
        expect(halted(machine)).toBe(1);
        machine.set({ rip: BigInt(nowhere), rflags: BigInt(RF | 2) });
        machine.engine.run();
        expect(halted(machine)).toBe(14);
      });

      it("are armed by MOV DR7 for the next instruction", () => {
        const machine = machineFor(engine, mode, "resuming");
        const code = [
          `mov ${b}, ${CODE + 64}`,
          `mov db0, ${b}`,
          `mov ${a}, 1`,
          `mov db7, ${a}`,
          ".balign 64, 0x90",
          "inc ecx",
          "nop",
        ];
        const whole = program(mode, [code.join("; ")]);
        machine.set({ rflags: 2n });
        expect(machine.run(whole.bytes, CODE)).toBe(EngineExit.HLT);
        expect(rips(machine)).toEqual([64]);
      });
    });

    it("steps by taken branches with IA32_DEBUGCTL.BTF, until #DB", () => {
      const machine = machineFor(engine, mode, "halting");
      setMsr(machine.memory, machine.zone, MSR_DEBUGCTL, 2n);
      const code = ["nop", "inc ecx", "jz 1f; 1:", "mov ecx, 2", "rep lodsb", "jmp 1f; nop; 1:", "nop"];
      const { at } = run(machine, code, TF | 2);
      const size = mode === 64 ? 8 : 4;
      expect(machine.slots(size, 1)).toEqual([CODE + at[6]!]);
      expect(getMsr(machine.memory, machine.zone, MSR_DEBUGCTL)).toBe(0n);
    });

    it("INT1 is a trap that any level may raise, and sets nothing in DR6", () => {
      const machine = machineFor(engine, mode);
      machine.runAt(3);
      machine.write(CODE, [0xf1]);
      machine.step();
      // The stepper from outside takes it: without him it goes through the gate, whose DPL is 0.
      machine.set({ rip: BigInt(CODE), rflags: 2n });
      machine.write(HANDLER, [0xf4]);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.slots(mode === 64 ? 8 : 4, 2)).toEqual([CODE + 1, SEL.code[3]]);
      expect(dr(machine, 6)).toBe(DR6_ONES);
    });

    describe("debug registers", () => {
      it("keep what they can hold", () => {
        const machine = machineFor(engine, mode);
        machine.set({ rax: 0xffff_ffffn, rbx: 0x0000_d300n });
        run(machine, [`mov db6, ${a}`, `mov db7, ${b}`, `mov db1, ${a}`, "nop"]);
        expect([dr(machine, 6), dr(machine, 7), dr(machine, 1)]).toEqual([0xffff_efff, 0x700, 0xffff_ffff]);
      });

      it("DR4 and DR5 are others without CR4.DE, and undefined with it", () => {
        const machine = machineFor(engine, mode);
        setDr(machine, 7, 0x500);
        run(
          machine,
          [mode === 64 ? "mov rax, db5" : "mov eax, db5"].map((text) => text.replace("dr5", "db5")),
        );
        expect(machine.regs.rax).toBe(0x500n);
        machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(CR4.DE) });
        run(machine, [`mov ${a}, db5`]);
        expect(halted(machine)).toBe(6);
      });

      it("are of level 0", () => {
        const machine = machineFor(engine, mode);
        machine.runAt(3);
        machine.write(CODE, [0x0f, 0x21, 0xc0]);
        expect(machine.engine.run()).toBe(EngineExit.HLT);
        expect(halted(machine)).toBe(13);
      });

      it("general detect: any access is #DB, whose delivery clears GD", () => {
        const machine = machineFor(engine, mode, "halting");
        setDr(machine, 7, 0x2400);
        run(machine, ["nop", `mov ${a}, db0`]);
        expect([halted(machine), dr(machine, 6), dr(machine, 7)]).toEqual([1, (DR6_ONES | BD) >>> 0, 0x400]);
        expect(machine.slots(mode === 64 ? 8 : 4, 3)).toMatchObject([CODE + 1, SEL.code[0], RF | 2]);
      });
    });

    describe("port breakpoints", () => {
      const code = ["nop", "in al, 0x60", "nop", "out 0x61, eax", "out 0x70, al", "nop"];
      const armed = (port: number, length: number): RingMachine => {
        const machine = machineFor(engine, mode);
        machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(CR4.DE) });
        setDr(machine, 1, port);
        setDr(machine, 7, 0x404 | (2 << 20) | (length << 22));
        return machine;
      };
      it.each([
        [0x60, 0, [2]],
        [0x64, 0, [4]],
        [0x61, 0, [4]],
        [0x60, 3, [2, 4]],
        [0x65, 0, []],
        [0x70, 1, [5]],
        [0x71, 0, []],
      ])("of port %i, length %i", (port, length, traps) => {
        const machine = armed(port, length);
        const { at } = run(machine, code);
        expect(rips(machine)).toEqual(traps.map((i) => at[i]));
        expect(dr(machine, 6) & 0xf).toBe(traps.length > 0 ? 2 : 0);
      });

      it("trap after each element of a string", () => {
        const machine = armed(0x60, 0);
        machine.set({ rdx: 0x60n });
        const { at } = run(machine, ["mov ecx, 2", "rep insb", "nop"]);
        expect(rips(machine)).toEqual([at[1], at[2]]);
      });
    });
  });
});
