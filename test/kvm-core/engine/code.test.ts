/**
 * Code that changes, that crosses pages, that is interrupted: records must never be older than the bytes.
 * Document: SDM volume 3, 8.1.3 (self-modifying code); architecture.md section 5.
 * Left out: DMA into code and other vCPUs.
 */

import { describe, expect, it } from "vitest";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;

describe.each(ENGINES)("%s", (engine) => {
  it("sees an instruction that the one before it changed", () => {
    const machine = new TestMachine(engine, 32);
    // The store changes the immediate of the MOV behind it.
    machine.run(assemble("mov dword ptr [0x10000b], 0x22222222; mov eax, 0x11111111", 32), CODE);
    expect(machine.regs.rax).toBe(0x2222_2222n);
  });

  it("sees each change of a loop that patches itself", () => {
    const machine = new TestMachine(engine, 32);
    const code = assemble(
      "mov ecx, 5; xor ebx, ebx; 1: mov eax, 0; add ebx, eax; inc byte ptr [0x100008]; dec ecx; jnz 1b",
      32,
    );
    machine.run(code, CODE);
    expect(machine.regs.rbx).toBe(10n);
  });

  it("sees a change of code that it has called before", () => {
    const machine = new TestMachine(engine, 32);
    machine.run(assemble("call 1f; mov byte ptr [0x100013], 9; call 1f; hlt; 1: mov eax, 5; ret", 32), CODE);
    expect(machine.regs.rax).toBe(9n);
  });

  it("takes both ways of an if, and sees a change of either", () => {
    const machine = new TestMachine(engine, 32);
    // What lies behind the JMP is decoded with the block, since the JZ leads there.
    const code = assemble("mov eax, 0; test bl, 1; jz 1f; add eax, 10; jmp 2f; 1: add eax, 20; 2: add eax, 1", 32);
    const [odd, even] = [CODE + 0xc, CODE + 0x11];
    expect([machine.run(code, CODE), code[odd - CODE], code[even - CODE]]).toEqual([EngineExit.HLT, 10, 20]);
    const result = (rbx: bigint): bigint => {
      machine.set({ rbx, rip: BigInt(CODE) });
      machine.engine.run();
      return machine.regs.rax;
    };
    expect([result(0n), result(1n), result(2n)]).toEqual([21n, 11n, 21n]);
    // By the guest, so that its own records go.
    machine.run(assemble(`mov byte ptr [${odd}], 30; mov byte ptr [${even}], 40`, 32), CODE + 0x1000);
    expect([result(0n), result(1n)]).toEqual([41n, 31n]);
  });

  it("runs data stores beside code without harm", () => {
    const machine = new TestMachine(engine, 32);
    machine.run(assemble("mov ecx, 1000; 1: inc dword ptr [0x100f00]; loop 1b", 32), CODE);
    expect(machine.u32(0x10_0f00)).toBe(1000);
  });

  it("executes an instruction that crosses a page, and what follows", () => {
    const machine = new TestMachine(engine, 32);
    // 5 bytes: 3 in the first page, 2 in the second. The loop goes over it again and again.
    const code = assemble("1: add eax, 0x10203; dec ecx; jnz 1b", 32);
    machine.set({ rcx: 100n });
    expect(machine.run(code, CODE + 0xffd)).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(0x10203n * 100n);
  });

  it("sees a change of the second page of such an instruction", () => {
    const machine = new TestMachine(engine, 32);
    const code = assemble("1: add eax, 0x10203; mov byte ptr [0x101000], 0; dec ecx; jnz 1b", 32);
    machine.set({ rcx: 2n });
    machine.run(code, CODE + 0xffd);
    expect(machine.regs.rax).toBe(0x10203n + 0x203n);
  });

  it("jumps and calls between pages", () => {
    const machine = new TestMachine(engine, 64);
    machine.write(CODE + 0x5000, assemble("inc eax; ret", 64));
    // E8 rel32 to CODE + 0x5000, a hundred times.
    const loop = [0xb9, 100, 0, 0, 0, 0xe8, 0xf6, 0x4f, 0, 0, 0xff, 0xc9, 0x75, 0xf7];
    expect(machine.run(loop, CODE)).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(100n);
  });

  it("leaves at once when asked, with exact RIP, and goes on", () => {
    const machine = new TestMachine(engine, 32);
    machine.pend();
    machine.write(CODE, assemble("1: inc eax; jmp 1b", 32));
    machine.set({ rip: BigInt(CODE), rax: 0n });
    for (let i = 0; i < 10; i++) expect(machine.engine.run()).toBe(EngineExit.INTR);
    const { rip, rax } = machine.regs;
    expect([BigInt(CODE), BigInt(CODE + 1)]).toContain(rip);
    expect(rax).toBeGreaterThan(0n);
  });

  it("leaves between the iterations of a repeated string instruction", () => {
    const machine = new TestMachine(engine, 32);
    machine.pend();
    machine.set({ rdi: 0x30_0000n, rcx: 3n, rax: 1n });
    machine.write(CODE, assemble("rep stosb; hlt", 32));
    machine.set({ rip: BigInt(CODE) });
    let exits = 0;
    while (machine.engine.run() === EngineExit.INTR && exits < 10) {
      if (machine.regs.rcx > 0n) expect(machine.regs.rip).toBe(BigInt(CODE));
      exits++;
    }
    expect(machine.regs.rcx).toBe(0n);
    expect(exits).toBeGreaterThan(0);
  });

  it("traces what it decodes", () => {
    const machine = new TestMachine(engine, 32);
    machine.view.setUint32(machine.zone + CPU.traceMask, 1, true);
    machine.run(assemble("mov eax, 1; lock add dword ptr [ebx+ecx*4+8], 2", 32), CODE);
    expect(machine.log.slice(0, 2)).toEqual([
      "0x00100000:  mov eax,0x1",
      "0x00100005:  lock add dword [ebx+ecx*4+0x8],0x2",
    ]);
  });
});
