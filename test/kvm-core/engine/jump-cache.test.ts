/**
 * The jump cache: an RIP must never lead to what it led to before a TLB flush or a mode change, nor to another RIP's code.
 * Document: JUMP in kvm-core/cpu/zones.ts; SDM volume 3, 4.10.4 (what invalidates translations).
 * Left out: its speed, which `make bench` measures.
 */

import { describe, expect, it } from "vitest";
import { JUMP, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { compileInterpreter, createEngine, EngineExit, type EngineHost } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, GDT, TABLES, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
/** A linear address whose 2 MiB page is mapped to ONE or to TWO, by the page directory of the first GiB. */
const FUNCTION = 0x60_0000;
const ENTRY = TABLES + 0x2000 + (FUNCTION >>> 21) * 8;
const ONE = 0x80_0000n;
const TWO = 0xa0_0000n;
const PRESENT_LARGE = 0x83n;

/** `call FUNCTION` through a register adds 1 to EAX where ONE is mapped, 100 where TWO is. */
function twoFunctions(engine: (typeof ENGINES)[number]): TestMachine {
  const machine = new TestMachine(engine, 64);
  machine.write(Number(ONE), assemble("add eax, 1; ret", 64));
  machine.write(Number(TWO), assemble("add eax, 100; ret", 64));
  machine.setU64(ENTRY, ONE | PRESENT_LARGE);
  machine.set({ rax: 0n, rbx: BigInt(FUNCTION) });
  return machine;
}

const noDevices: EngineHost = {
  portIn: () => 0,
  portOut: () => {},
  mmioRead: () => {},
  mmioWrite: () => {},
  trace: () => {},
};

describe.each(ENGINES)("%s", (engine) => {
  it.each(["interp", "patch", "wasm"] as const)("leaves nothing to an engine %s that takes its vCPU over", (next) => {
    const machine = twoFunctions(engine);
    // The function is in the jump cache; and the engine leaves a loop at its head, so there is a record to go on with.
    expect(machine.run(assemble("call rbx; call rbx", 64), CODE + 0x1000)).toBe(EngineExit.HLT);
    machine.write(CODE, assemble("1: dec ecx; jnz 1b; hlt", 64));
    machine.set({ rcx: 1000n, rip: BigInt(CODE) });
    machine.pend();
    for (let i = 0; i < 3; i++) expect(machine.engine.run()).toBe(EngineExit.INTR);
    machine.unpend();
    expect(machine.regs.rip).toBe(BigInt(CODE));
    // Both are others now.
    machine.write(CODE, assemble("xor eax, eax; call rbx; hlt", 64));
    machine.write(Number(ONE), assemble("add eax, 7; ret", 64));
    const other = createEngine(next, compileInterpreter(), machine.memory, machine.zone, noDevices);
    expect(other.run()).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(7n);
  });

  it("follows an address that CR3 maps elsewhere, and back", () => {
    const machine = twoFunctions(engine);
    // A second set of tables, the same but for the one entry.
    const [root, pointers, directory] = [0x1_0000, 0x1_1000, 0x1_2000];
    machine.write(root, machine.read(TABLES, 0x3000));
    machine.setU64(root, BigInt(pointers) | 3n);
    machine.setU64(pointers, BigInt(directory) | 3n);
    machine.setU64(directory + (FUNCTION >>> 21) * 8, TWO | PRESENT_LARGE);
    const other = `mov rcx, ${root}; mov cr3, rcx`;
    const first = `mov rcx, ${TABLES}; mov cr3, rcx`;
    const call = "call rbx; call rbx";
    expect(machine.run(assemble([call, other, call, first, call].join(";"), 64), CODE)).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(204n);
  });

  it("forgets everything when the generations start over", () => {
    const machine = twoFunctions(engine);
    const generation = (): number => machine.view.getUint32(machine.zone + ZONE.jumpGeneration, true);
    expect(machine.run(assemble("call rbx; call rbx", 64), CODE)).toBe(EngineExit.HLT);
    const used = generation();
    // The last generation: as many flushes as follow now come back to the one that was used.
    machine.view.setUint32(machine.zone + ZONE.jumpGeneration, (0 - JUMP.generation) >>> 0, true);
    machine.setU64(ENTRY, TWO | PRESENT_LARGE);
    const flush = "mov rcx, cr3; mov cr3, rcx;".repeat(used / JUMP.generation);
    expect(machine.run(assemble(`${flush} nop`, 64), CODE + 0x1000)).toBe(EngineExit.HLT);
    if (engine === "patch") expect(generation()).toBe(used);
    expect(machine.run(assemble("call rbx", 64), CODE + 0x2000)).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(102n);
  });

  it("decodes an address anew in another mode", () => {
    const machine = new TestMachine(engine, 64);
    const COMPATIBILITY = 24;
    machine.setU64(GDT + COMPATIBILITY, 0x00cf_9b00_0000_ffffn);
    machine.setSregs({ gdt: { base: BigInt(GDT), limit: 31 } });
    // 64-bit: inc rax (48 is REX.W). 32-bit: dec eax; inc eax.
    machine.write(FUNCTION, [0x48, 0xff, 0xc0, 0xc3]);
    machine.write(CODE + 0x1000, [...assemble("call ebx; call ebx; hlt", 32)]);
    machine.setU32(0x9000, CODE + 0x1000);
    machine.setU32(0x9004, COMPATIBILITY);
    machine.set({ rax: 0xff_ffff_ffffn, rbx: BigInt(FUNCTION) });
    expect(machine.run(assemble("call rbx; call rbx; jmp fword ptr [0x9000]", 64), CODE)).toBe(EngineExit.HLT);
    expect(machine.sregs.cs).toMatchObject({ selector: COMPATIBILITY, l: 0 });
    // 64-bit: two increments, with a carry into the upper half; 32-bit: no change but for the upper half.
    expect(machine.regs.rax).toBe(1n);
    expect(machine.regs.rip).toBe(BigInt(CODE + 0x1005));
  });

  it("keeps addresses apart that share an entry", () => {
    const machine = new TestMachine(engine, 64);
    const index = (rip: number): number => (rip ^ Math.floor(rip / 2 ** JUMP.hashShift)) & (JUMP.entries - 1);
    const near = 0x20_0000;
    const far = 0x21_0001;
    expect(index(far)).toBe(index(near));
    machine.write(near, assemble("inc eax; ret", 64));
    machine.write(far, assemble("inc ecx; ret", 64));
    machine.set({ rax: 0n, rcx: 0n, rsp: 0x30_0000n });
    const loop = `mov ebx, ${near}; mov ebp, ${far}; mov edx, 100; 1: call rbx; call rbp; dec edx; jnz 1b`;
    expect(machine.run(assemble(loop, 64), CODE)).toBe(EngineExit.HLT);
    expect(machine.regs).toMatchObject({ rax: 100n, rcx: 100n });
  });

  it("compares all 64 bits of an address", () => {
    const machine = new TestMachine(engine, 64);
    // The fifth GiB is the first one again, but for the page of the function.
    const directory = 0x1_2000;
    machine.setU64(TABLES + 0x1000 + 4 * 8, BigInt(directory) | 3n);
    for (let i = 0; i < 512; i++) machine.setU64(directory + i * 8, machine.u64(TABLES + 0x2000 + i * 8));
    machine.setU64(directory + (FUNCTION >>> 21) * 8, TWO | PRESENT_LARGE);
    machine.write(FUNCTION, assemble("inc eax; ret", 64));
    machine.write(Number(TWO), assemble("inc edx; ret", 64));
    machine.set({ rax: 0n, rdx: 0n, rbx: BigInt(FUNCTION), rbp: 0x1_0000_0000n + BigInt(FUNCTION) });
    const loop = "mov esi, 100; 1: call rbx; call rbp; dec esi; jnz 1b";
    expect(machine.run(assemble(loop, 64), CODE)).toBe(EngineExit.HLT);
    expect(machine.regs).toMatchObject({ rax: 100n, rdx: 100n });
  });
});
