/**
 * Port and MMIO accesses from instructions: what the host is asked, in which pieces, and what the guest gets.
 * Document: kvm-core/engine/host.ts; SDM volume 2, IN, OUT.
 * Left out: the I/O permission bitmap: not built.
 */

import { describe, expect, it } from "vitest";
import { GPA_PRESENT, GPA_READONLY, GUEST_RAM } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TABLES, TestMachine } from "../support/machine.ts";

const DEVICE = 0xd000_0000;

describe.each(ENGINES)("%s", (engine) => {
  const make = (): { machine: TestMachine; asked: string[] } => {
    const machine = new TestMachine(engine, 32);
    const asked: string[] = [];
    machine.portIn = (port, size) => {
      asked.push(`in ${port.toString(16)} ${size}`);
      return 0x1234_5678;
    };
    machine.portOut = (port, size, value) => asked.push(`out ${port.toString(16)} ${size} ${value.toString(16)}`);
    machine.mmioRead = (gpa, size) => {
      asked.push(`read ${gpa.toString(16)} ${size}`);
      return 0x8877_6655_4433_2211n;
    };
    machine.mmioWrite = (gpa, size, value) => asked.push(`write ${gpa.toString(16)} ${size} ${value.toString(16)}`);
    machine.set({ rsi: BigInt(DEVICE), rdx: 0x3f8n, rax: 0xaabb_ccddn });
    return { machine, asked };
  };

  it.each([
    ["in al, dx", ["in 3f8 1"], { rax: 0xaabb_cc78n }],
    ["in ax, 0x40", ["in 40 2"], { rax: 0xaabb_5678n }],
    ["in eax, dx", ["in 3f8 4"], { rax: 0x1234_5678n }],
    ["out 0xf4, al", ["out f4 1 dd"], {}],
    ["out dx, ax", ["out 3f8 2 ccdd"], {}],
    ["out dx, eax", ["out 3f8 4 aabbccdd"], {}],
    ["mov ebx, [esi+4]", ["read d0000004 4"], { rbx: 0x4433_2211n }],
    ["movzx ebx, byte ptr [esi]", ["read d0000000 1"], { rbx: 0x11n }],
    ["mov [esi], ax", ["write d0000000 2 ccdd"], {}],
    ["add dword ptr [esi], 1", ["read d0000000 4", "write d0000000 4 44332212"], {}],
    ["xchg [esi], eax", ["read d0000000 4", "write d0000000 4 aabbccdd"], { rax: 0x4433_2211n }],
    ["cmp dword ptr [esi], 0x44332211", ["read d0000000 4"], {}],
    // Across a page: split at the page, and into accesses of 1, 2, 4 bytes.
    ["mov ebx, [esi+0xffd]", ["read d0000ffd 2", "read d0000fff 1", "read d0001000 1"], { rbx: 0x1111_2211n }],
    ["mov [esi+0xffe], eax", ["write d0000ffe 2 ccdd", "write d0001000 2 aabb"], {}],
    ["push dword ptr [esi]; pop ebx", ["read d0000000 4"], { rbx: 0x4433_2211n }],
    ["mov edi, 0x300000; mov ecx, 2; rep movsd", ["read d0000000 4", "read d0000004 4"], { rcx: 0n }],
    ["lock xadd [esi], eax", ["read d0000000 4", "write d0000000 4 eeeeeeee"], { rax: 0x4433_2211n }],
    // A comparison that fails writes back what it read.
    ["cmpxchg [esi], ebx", ["read d0000000 4", "write d0000000 4 44332211"], { rax: 0x4433_2211n }],
    ["bts dword ptr [esi], 3", ["read d0000000 4", "write d0000000 4 44332219"], {}],
    ["not byte ptr [esi]", ["read d0000000 1", "write d0000000 1 ee"], {}],
    ["setne byte ptr [esi]", ["write d0000000 1 1"], {}],
    ["cmovb ebx, [esi]", ["read d0000000 4"], { rbx: 0n }],
    ["push eax; pop dword ptr [esi]", ["write d0000000 4 aabbccdd"], {}],
    ["sgdt [esi]", ["write d0000000 4 80000017", "write d0000004 2 0"], {}],
    ["mov edi, esi; stosd", ["write d0000000 4 aabbccdd"], { rdi: BigInt(DEVICE + 4) }],
    ["lea edi, [esi+8]; movsd", ["read d0000000 4", "write d0000008 4 44332211"], {}],
    ["lea edi, [esi+8]; cmpsb", ["read d0000000 1", "read d0000008 1"], {}],
    // The destination of INS is written and never read.
    ["mov edi, esi; insb", ["in 3f8 1", "write d0000000 1 78"], {}],
    ["lea edi, [esi+0xfff]; insw", ["in 3f8 2", "write d0000fff 1 78", "write d0001000 1 56"], {}],
    ["outsb", ["read d0000000 1", "out 3f8 1 11"], {}],
    [
      "add dword ptr [esi+0xffe], 1",
      ["read d0000ffe 2", "read d0001000 2", "write d0000ffe 2 2212", "write d0001000 2 2211"],
      {},
    ],
    [
      "xchg [esi+0xfff], ax",
      ["read d0000fff 1", "read d0001000 1", "write d0000fff 1 dd", "write d0001000 1 cc"],
      { rax: 0xaabb_1111n },
    ],
  ] as const)("%s", (code, expected, after) => {
    const { machine, asked } = make();
    expect(machine.run(assemble(code, 32)), machine.engine.errorDetail).toBe(EngineExit.HLT);
    expect(asked).toEqual(expected);
    expect(machine.regs).toMatchObject(after);
  });

  it.each([
    "mov ebx, [rsi]",
    "mov [rsi], eax",
    "add dword ptr [rsi], 1",
    "xchg [rsi], eax",
    "mov rdi, rsi; insd",
    "mov rdi, rsi; stosd",
  ])("asks no device and no port if the second page of %s faults", (code) => {
    const machine = new TestMachine(engine, 64);
    const asked: string[] = [];
    machine.portIn = () => asked.push("in");
    machine.mmioRead = () => BigInt(asked.push("read"));
    machine.mmioWrite = () => asked.push("write");
    machine.setU64(TABLES + 0x5000 + ((DEVICE + 0x20_0000 - 0xc000_0000) >>> 21) * 8, 0n);
    machine.set({ rsi: BigInt(DEVICE + 0x1f_fffe) });
    expect(machine.run(assemble(code, 64))).toBe(EngineExit.SHUTDOWN);
    expect(machine.sregs.cr2).toBe(BigInt(DEVICE + 0x20_0000));
    expect(asked).toEqual([]);
  });

  it.each([
    ["mov rbx, [rsi]", ["read d0000000 8"], 0x8877_6655_4433_2211n],
    // Bytes 44332211, 11, 2211, 11, from the lowest on.
    [
      "mov rbx, [rsi+0xffb]",
      ["read d0000ffb 4", "read d0000fff 1", "read d0001000 2", "read d0001002 1"],
      0x1122_1111_4433_2211n,
    ],
    ["mov [rsi], rax", ["write d0000000 8 aabbccdd"], 0n],
    ["inc qword ptr [rsi]", ["read d0000000 8", "write d0000000 8 8877665544332212"], 0n],
  ] as const)("in 64-bit mode: %s", (code, expected, rbx) => {
    const { asked, ...host } = make();
    const machine = new TestMachine(engine, 64);
    machine.mmioRead = host.machine.mmioRead;
    machine.mmioWrite = host.machine.mmioWrite;
    machine.set({ rsi: BigInt(DEVICE), rax: 0xaabb_ccddn });
    expect(machine.run(assemble(code, 64))).toBe(EngineExit.HLT);
    expect(asked).toEqual(expected);
    expect(machine.regs.rbx).toBe(rbx);
  });

  it("splits an access between RAM and a device", () => {
    const { machine, asked } = make();
    machine.mapPage(0x30_1000, 0);
    machine.setU32(0x30_0ffc, 0xbbaa_0000);
    machine.run(assemble("mov ebx, [0x300ffe]; mov [0x300ffe], eax", 32));
    expect(asked).toEqual(["read 301000 2", "write 301000 2 aabb"]);
    expect(machine.regs.rbx).toBe(0x2211_bbaan);
    expect(machine.u32(0x30_0ffc)).toBe(0xccdd_0000);
  });

  it("sends writes to read-only memory to the host, and reads it as RAM", () => {
    const { machine, asked } = make();
    machine.mapPage(0x30_0000, GUEST_RAM + 0x30_0000, GPA_PRESENT | GPA_READONLY);
    machine.setU32(0x30_0000, 7);
    machine.run(assemble("mov ebx, [0x300000]; inc dword ptr [0x300000]; mov ecx, [0x300000]", 32));
    expect(asked).toEqual(["write 300000 4 8"]);
    expect(machine.regs).toMatchObject({ rbx: 7n, rcx: 7n });
  });

  it("leaves RIP at an IN whose exit is given up, and executes it again", () => {
    const { machine, asked } = make();
    const answer = machine.portIn;
    machine.portIn = () => {
      throw new Error("LeaveGuest");
    };
    expect(() => machine.run(assemble("nop; in eax, dx", 32), 0x10_0000)).toThrow("LeaveGuest");
    expect(machine.regs).toMatchObject({ rip: 0x10_0001n, rax: 0xaabb_ccddn });
    machine.portIn = answer;
    expect(machine.engine.run()).toBe(EngineExit.HLT);
    expect(asked).toEqual(["in 3f8 4"]);
    expect(machine.regs.rax).toBe(0x1234_5678n);
  });
});
