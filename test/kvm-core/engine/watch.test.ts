/**
 * Data breakpoints: which accesses meet them, where the trap comes, what DR6 says; set by the guest and from outside.
 * Document: SDM volume 3, 18.2.4 to 18.2.6, 18.3.1.2 (data breakpoints), 6.8.3 (MOV SS).
 * Left out: breakpoints on instructions and ports, single step: debug.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { KVM_GUESTDBG } from "../../../shared/ioctls.ts";
import { ENGINES, GDT, type Mode, type TestEngine } from "../support/machine.ts";
import { type Program, program } from "../support/program.ts";
import { CODE, gate, HANDLER, RingMachine, SEL, STACKS } from "../support/rings.ts";

/** Where the handler of #DB notes RIP; rBP is the next place. */
const LOG = 0x18_0000;
const DATA = 0x30_0000;
const [WRITE, ACCESS] = [1, 3];
/** LEN of 1, 2, 8 and 4 bytes. */
const LEN: Readonly<Record<number, number>> = { 1: 0, 2: 1, 4: 3, 8: 2 };
const HANDLERS: Readonly<Record<Mode, string>> = {
  32: "mov eax, [esp]; mov [ebp], eax; add ebp, 4; iretd",
  64: "mov rax, [rsp]; mov [rbp], eax; add rbp, 4; iretq",
};

const setDr = (machine: RingMachine, register: number, value: number | bigint): void =>
  machine.view.setBigUint64(machine.zone + CPU.dr + register * 8, BigInt(value), true);
const dr6 = (machine: RingMachine): number => machine.view.getUint32(machine.zone + CPU.dr + 6 * 8, true) & 0xe00f;
const dr7For = (n: number, kind: number, size: number): number =>
  (0x400 | (1 << (n * 2)) | ((kind | (LEN[size]! << 2)) << (16 + n * 4))) >>> 0;

function machineFor(engine: TestEngine, mode: Mode): RingMachine {
  const machine = new RingMachine(engine, mode);
  machine.write(HANDLER, program(mode, [HANDLERS[mode]]).bytes);
  machine.vector(1, gate(SEL.code[0]!, HANDLER, 14));
  for (const v of [6, 13, 14]) machine.vector(v, gate(SEL.code[0]!, HANDLER + 0x200 + v, 15));
  machine.vector(0x30, gate(SEL.code[0]!, HANDLER + 0x100, 15));
  machine.write(HANDLER + 0x100, mode === 64 ? [0x48, 0xcf] : [0xcf]);
  machine.write(HANDLER + 0x200, new Array(16).fill(0xf4));
  machine.set({ rbp: BigInt(LOG), rsi: BigInt(DATA), rdi: BigInt(DATA + 0x40), rflags: 2n });
  return machine;
}
function watch(machine: RingMachine, address: number | bigint, kind: number, size: number, n = 0): void {
  setDr(machine, n, address);
  setDr(machine, 7, dr7For(n, kind, size));
}
function run(machine: RingMachine, instructions: readonly string[]): Program {
  const made = program(machine.mode, instructions);
  expect(machine.run(made.bytes, CODE), machine.engine.errorDetail).toBe(EngineExit.HLT);
  return made;
}
const noted = (machine: RingMachine): number[] =>
  Array.from({ length: (Number(machine.regs.rbp) - LOG) / 4 }, (_, i) => machine.u32(LOG + i * 4) - CODE);

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%s-bit", (mode) => {
    const [si, di, sp, c] = mode === 64 ? ["rsi", "rdi", "rsp", "rcx"] : ["esi", "edi", "esp", "ecx"];
    /** instructions; those behind which a breakpoint on reads and writes traps; those of writes alone. */
    const ROWS: readonly (readonly [readonly string[], readonly number[], readonly number[]])[] = [
      [["nop", `mov ebx, [${si}+4]`, "inc edx"], [2], []],
      [["nop", `mov [${si}+4], ebx`, "inc edx"], [2], [2]],
      [[`add dword ptr [${si}+4], 1`, "inc edx"], [1], [1]],
      [[`lock add dword ptr [${si}+4], 1`, "inc edx"], [1], [1]],
      [[`xchg [${si}+4], ebx`, "inc edx"], [1], [1]],
      [[`lea ebx, [${si}+4]`, `mov ebx, [${si}]`, `mov ebx, [${si}+8]`], [], []],
      // Bytes that meet the four from one side or the other.
      [[`mov bl, [${si}+3]`, `mov bl, [${si}+4]`, `mov bl, [${si}+7]`, `mov bl, [${si}+8]`], [2, 3], []],
      [
        [`mov [${si}+1], ebx`, `mov [${si}+7], ebx`, `mov [${si}], ebx`],
        [1, 2],
        [1, 2],
      ],
      [[`mov ebx, [${si}+4]`, `mov ebx, [${si}+4]`, "nop"], [1, 2], []],
      // One trap for an iteration, with RIP at the instruction until the last.
      [[`mov ${c}, 3`, "rep lodsd", "nop"], [1], []],
      [["mov ecx, 3", `mov ${di}, ${si}`, "rep stosd", "nop"], [2], [2]],
      [["mov ecx, 2", `mov ${di}, ${si}`, "rep stosd", "nop"], [3], [3]],
      [[`mov ${sp}, ${si}`, `add ${sp}, 8`, `push ${c}`, `mov ${sp}, 0x200000`], mode === 64 ? [3] : [3], [3]],
      [["jmp 1f; nop; 1:", `inc dword ptr [${si}+4]`, "jmp 2f; nop; 2:"], [2], [2]],
    ];
    it.each(ROWS)("%s", (code, access, write) => {
      for (const [kind, traps] of [
        [ACCESS, access],
        [WRITE, write],
      ] as const) {
        const machine = machineFor(engine, mode);
        machine.setU32(DATA + 4, 41);
        watch(machine, DATA + 4, kind, 4, 2);
        const { at } = run(machine, code);
        expect(noted(machine)).toEqual(traps.map((i) => at[i]));
        expect(dr6(machine)).toBe(traps.length > 0 ? 4 : 0);
      }
    });

    it("does in a loop what is right, once an iteration", () => {
      const machine = machineFor(engine, mode);
      watch(machine, DATA + 8, WRITE, 1);
      const code = ["mov ecx, 40", "1: inc dword ptr [esi]; inc dword ptr [esi+8]; inc edx; dec ecx; jnz 1b"];
      run(machine, mode === 64 ? code.map((text) => text.replaceAll("esi", "rsi")) : code);
      expect([machine.u32(DATA), machine.u32(DATA + 8), Number(machine.regs.rdx)]).toEqual([40, 40, 40]);
      expect(noted(machine).length).toBe(40);
      expect(new Set(noted(machine)).size).toBe(1);
    });

    it("of each length, aligned to it", () => {
      for (const size of [1, 2, 4, 8]) {
        const machine = machineFor(engine, mode);
        watch(machine, DATA + 0x10 + size - 1, WRITE, size);
        const code = Array.from({ length: 12 }, (_, i) => `mov [${si}+${0xe + i}], bl`);
        const { at } = run(machine, code);
        expect(noted(machine)).toEqual(Array.from({ length: size }, (_, i) => at[3 + i]));
      }
    });

    it("meets accesses across pages", () => {
      for (const [address, at] of [
        [DATA + 0xffc, 1],
        [DATA + 0x1000, 1],
      ] as const) {
        const machine = machineFor(engine, mode);
        watch(machine, address, ACCESS, 4);
        const made = run(machine, [`mov ebx, [${si}+0xffe]`, "nop"]);
        expect(noted(machine)).toEqual([made.at[at]]);
      }
    });

    it("is armed and disarmed by MOV DR", () => {
      const machine = machineFor(engine, mode);
      setDr(machine, 0, DATA);
      const [a, dr] = [mode === 64 ? "rax" : "eax", dr7For(0, ACCESS, 4)];
      const read = `mov ebx, [${si}]`;
      const { at } = run(machine, [
        read,
        `mov eax, ${dr}`,
        `mov db7, ${a}`,
        read,
        `xor eax, eax`,
        `mov db7, ${a}`,
        read,
      ]);
      expect(noted(machine)).toEqual([at[4]]);
    });

    it("several at once, with an instruction's own trap", () => {
      const machine = machineFor(engine, mode);
      setDr(machine, 0, DATA);
      setDr(machine, 1, DATA + 4);
      setDr(machine, 3, DATA + 0x40);
      setDr(machine, 7, dr7For(0, WRITE, 4) | dr7For(1, ACCESS, 4) | dr7For(3, WRITE, 4));
      machine.set({ rflags: 0x102n });
      machine.write(HANDLER, [0xf4]);
      machine.vector(1, gate(SEL.code[0]!, HANDLER, 14));
      const bytes = program(mode, ["mov ecx, 1; nop", `mov ${di}, ${si}`, `mov [${si}+2], ebx`, "nop"]).bytes;
      // Single step traps at the first instruction already.
      machine.run(bytes, CODE);
      expect(dr6(machine)).toBe(0x4000);
      const both = machineFor(engine, mode);
      setDr(both, 0, DATA);
      setDr(both, 1, DATA + 4);
      setDr(both, 7, dr7For(0, WRITE, 4) | dr7For(1, ACCESS, 4));
      both.set({ rflags: 0x102n });
      both.write(HANDLER, [0xf4]);
      both.run(program(mode, [`mov [${si}+2], ebx`, "nop"]).bytes, CODE);
      expect(dr6(both)).toBe(0x4003);
    });

    it("an instruction that faults behind its access traps only when it ends", () => {
      const machine = machineFor(engine, mode);
      watch(machine, DATA, ACCESS, 4);
      const bytes = program(mode, [`lodsd`, "nop"]).bytes;
      machine.run(bytes, CODE);
      expect(noted(machine)).toEqual([1]);
      const faulting = machineFor(engine, mode);
      watch(faulting, DATA, ACCESS, 4);
      // DIV by zero from memory.
      faulting.vector(0, gate(SEL.code[0]!, HANDLER + 0x200, 15));
      faulting.setU32(DATA, 0);
      faulting.run(program(mode, [`div dword ptr [${si}]`]).bytes, CODE);
      expect(Number(faulting.regs.rip)).toBe(HANDLER + 0x201);
      expect(dr6(faulting)).toBe(0);
    });

    it("what a delivery writes traps at its handler", () => {
      const machine = machineFor(engine, mode);
      watch(machine, STACKS[0] - mode / 8, WRITE, 4);
      machine.write(HANDLER, [0xf4]);
      machine.run([0xcd, 0x30], CODE);
      expect(Number(machine.regs.rip)).toBe(HANDLER + 1);
      expect(machine.slots(mode === 64 ? 8 : 4, 1)).toEqual([HANDLER + 0x100]);
      expect(dr6(machine)).toBe(1);
    });

    it("waits for the instruction behind MOV SS", () => {
      const machine = machineFor(engine, mode);
      machine.setU32(DATA, SEL.data[0]!);
      watch(machine, DATA, ACCESS, 2);
      const { at } = run(machine, ["nop", `mov ss, [${si}]`, "inc edx", "inc edx"]);
      expect(noted(machine)).toEqual([at[3]]);
      expect(machine.regs.rdx).toBe(2n);
    });

    it("that MOV SS held off comes with the #DB of INT1, and not once more", () => {
      const machine = machineFor(engine, mode);
      machine.setU32(DATA, SEL.data[0]!);
      watch(machine, DATA, ACCESS, 2);
      const { at } = run(machine, ["nop", `mov ss, [${si}]`, "int1", "inc edx"]);
      expect(noted(machine)).toEqual([at[3]]);
      expect(dr6(machine)).toBe(1);
    });

    it("leaves in DR6 the bits of breakpoints that the last #DB met, and the others that software has not cleared", () => {
      const machine = machineFor(engine, mode);
      watch(machine, DATA, WRITE, 4, 2);
      setDr(machine, 6, 0xffff_4ff2);
      run(machine, [`mov [${si}], ebx`, "nop"]);
      expect(dr6(machine)).toBe(0x4004);
      run(machine, ["int1", "nop"]);
      expect(dr6(machine)).toBe(0x4000);
    });

    it("meets what helpers access: descriptor tables, far frames", () => {
      const table = machineFor(engine, mode);
      watch(table, GDT + SEL.readOnly, ACCESS, 8);
      const loaded = run(table, [`mov ecx, ${SEL.readOnly}`, "mov ds, ecx", "inc edx"]);
      expect(noted(table)).toEqual([loaded.at[2]]);
      const stored = machineFor(engine, mode);
      watch(stored, DATA, WRITE, 4);
      const { at } = run(stored, ["nop", `sgdt [${si}]`, "inc edx"]);
      expect(noted(stored)).toEqual([at[2]]);
      const wide = machineFor(engine, mode);
      watch(wide, DATA, WRITE, 4);
      const exchanged = run(wide, ["nop", `lock cmpxchg8b [${si}]`, "inc edx"]);
      expect(noted(wide)).toEqual([exchanged.at[2]]);
    });

    it("from outside: the exit comes behind the access", () => {
      const machine = machineFor(engine, mode);
      const registers = [0n, BigInt(DATA), 0n, 0n, 0n, 0n, 0n, BigInt(dr7For(1, WRITE, 4))];
      machine.debugFromOutside(KVM_GUESTDBG.ENABLE | KVM_GUESTDBG.USE_HW_BP, registers);
      const { at, bytes } = program(mode, ["nop", `mov ebx, [${si}]`, `mov [${si}], ebx`, "inc edx"]);
      expect(machine.run(bytes, CODE)).toBe(EngineExit.DEBUG);
      expect(machine.engine.debugDetail).toMatchObject({ exception: 1, pc: BigInt(CODE + at[3]!), dr6: 0xffff_0ff2n });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rdx).toBe(1n);
    });
  });

  it("compares all bits of a 64-bit address", () => {
    const machine = machineFor(engine, 64);
    watch(machine, BigInt(DATA) + 0x1_0000_0000n, ACCESS, 4);
    run(machine, ["mov ebx, [rsi]"]);
    expect(noted(machine)).toEqual([]);
  });
});
