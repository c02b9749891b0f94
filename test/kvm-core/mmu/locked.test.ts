/**
 * Locked instructions where nobody interferes: aligned, misaligned, across pages, 16 bytes, a device's.
 * Document: SDM volume 3, 9.1; volume 2, LOCK, XCHG, CMPXCHG16B.
 * Left out: several processors at once: test/kvm-core/ordering.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";

const DATA = 0x30_0000;

describe.each(ENGINES)("%s", (engine) => {
  const places = [
    ["aligned", DATA],
    ["misaligned", DATA + 3],
    ["across a cache line", DATA + 62],
    ["across two pages", DATA + 0xffd],
  ] as const;

  it.each(places)("%s operands are read, changed and written", (_, at) => {
    const machine = new TestMachine(engine, 64);
    machine.setU64(at, 0x1122_3344_5566_7788n);
    machine.set({ rsi: BigInt(at), rbx: 1n });
    const exit = machine.run(
      assemble("lock add [rsi], rbx; lock xadd [rsi], ebx; lock bts qword ptr [rsi], 63; xchg al, [rsi+7]", 64),
    );
    expect(exit).toBe(EngineExit.HLT);
    expect(machine.regs.rbx).toBe(0x5566_7789n);
    expect(machine.regs.rax & 0xffn).toBe(0x91n);
    expect(machine.u64(at)).toBe(0x0022_3344_5566_778an);
  });

  it.each(places)("%s operands are compared and exchanged", (_, at) => {
    const machine = new TestMachine(engine, 64);
    machine.setU64(at, 5n);
    machine.set({ rsi: BigInt(at), rax: 5n, rcx: 7n });
    machine.run(assemble("lock cmpxchg [rsi], rcx; setz bl; lock cmpxchg [rsi], rcx; setz bh", 64));
    expect(machine.u64(at)).toBe(7n);
    expect(machine.regs.rax).toBe(7n);
    expect(machine.regs.rbx & 0xffffn).toBe(1n);
  });

  it("16 bytes are compared and exchanged, aligned ones alone", () => {
    const machine = new TestMachine(engine, 64);
    machine.setU64(DATA, 1n);
    machine.setU64(DATA + 8, 2n);
    machine.set({ rsi: BigInt(DATA), rax: 1n, rdx: 2n, rbx: 3n, rcx: 4n });
    machine.run(assemble("lock cmpxchg16b [rsi]; setz r8b; lock cmpxchg16b [rsi]; setz r9b", 64));
    expect([machine.u64(DATA), machine.u64(DATA + 8)]).toEqual([3n, 4n]);
    expect([machine.regs.rax, machine.regs.rdx]).toEqual([3n, 4n]);
    expect([machine.regs.r8 & 1n, machine.regs.r9 & 1n]).toEqual([1n, 0n]);
    machine.set({ rsi: BigInt(DATA + 8) });
    // No IDT: #GP, #DF, shutdown.
    expect(machine.run(assemble("lock cmpxchg16b [rsi]", 64))).toBe(EngineExit.SHUTDOWN);
  });

  it("a fault in the second page leaves memory and registers alone", () => {
    const machine = new TestMachine(engine, 32, 4 << 20);
    // The next page is a device's: no RAM, and not read-only either. The write of the first part must still happen once.
    const writes: [number, bigint][] = [];
    machine.mmioRead = (_gpa, size) => (size === 2 ? 0x0201n : 0x04n);
    machine.mmioWrite = (gpa, _size, value) => writes.push([gpa, value]);
    machine.mapPage(DATA + 0x1000, 0);
    machine.setU32(DATA + 0xffc, 0xff00_0000);
    machine.set({ rsi: BigInt(DATA + 0xfff), rbx: 1n });
    machine.run(assemble("lock add [esi], ebx", 32));
    expect(machine.u32(DATA + 0xffc)).toBe(0);
    expect(writes).toEqual([
      [DATA + 0x1000, 0x0202n],
      [DATA + 0x1002, 0x04n],
    ]);
  });

  it("reaches a device as a read and a write", () => {
    const machine = new TestMachine(engine, 32, 4 << 20);
    const seen: string[] = [];
    machine.mmioRead = (gpa, size) => {
      seen.push(`read ${gpa.toString(16)} ${size}`);
      return 41n;
    };
    machine.mmioWrite = (gpa, size, value) => seen.push(`write ${gpa.toString(16)} ${size} ${value}`);
    machine.set({ rsi: 0xe000_0000n });
    machine.run(assemble("lock inc dword ptr [esi]", 32));
    expect(seen).toEqual(["read e0000000 4", "write e0000000 4 42"]);
  });
});
