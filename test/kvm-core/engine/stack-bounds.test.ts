/**
 * Stacks with bounds: 16- and 32-bit stack segments at both ends, and stack addresses in 64-bit mode that are not canonical.
 * Document: SDM volume 1, 6.2 (stacks), 3.3.7.1 (canonical addresses); volume 3, 6.15 (#SS).
 * Left out: stacks of interrupts and far transfers.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import type { KvmSegment } from "../../../shared/ioctls.ts";
import { assemble, assembleAll } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";
import { data, runToFault, setSegments, USER_CODE, userMachine } from "../support/segments.ts";

const BASE = 0x30_0000;
const up = (limit: number, db: 0 | 1): KvmSegment => data({ base: BigInt(BASE), dpl: 3, limit, db });
const down = (limit: number, db: 0 | 1): KvmSegment => ({ ...up(limit, db), type: 7 });

/** stack segment, ESP, EBP, code; ESP afterwards, or -1 for #SS(0) at the first instruction. */
type Row = readonly [ss: KvmSegment, esp: number, ebp: number, code: string, after: number];
const ROWS: readonly Row[] = [
  // 32-bit stack of 4 KiB.
  [up(0xfff, 1), 0x1000, 0, "push eax", 0xffc],
  [up(0xfff, 1), 0x1001, 0, "push eax", -1],
  [up(0xfff, 1), 4, 0, "push eax", 0],
  [up(0xfff, 1), 2, 0, "push eax", -1],
  [up(0xfff, 1), 2, 0, "push ax", 0],
  [up(0xfff, 1), 0, 0, "push ax", -1],
  [up(0xfff, 1), 0xffc, 0, "pop eax", 0x1000],
  [up(0xfff, 1), 0xffd, 0, "pop eax", -1],
  [up(0xfff, 1), 0x1_0ffc, 0, "pop eax", -1],
  [up(0xfff, 1), 0xffc, 0, "push 7; pop ecx; pop ebx", 0x1000],
  [up(0xfff, 1), 0x20, 0, "pushad", 0],
  [up(0xfff, 1), 0x1c, 0, "pushad", -1],
  [up(0xfff, 1), 0xfe0, 0, "popad", 0x1000],
  [up(0xfff, 1), 0xfe1, 0, "popad", -1],
  [up(0xfff, 1), 0x100, 0xffc, "leave", 0x1000],
  [up(0xfff, 1), 0x100, 0xffd, "leave", -1],
  [up(0xfff, 1), 0x100, 0x80, "enter 0x10, 0", 0xec],
  [up(0xfff, 1), 0x100, 0x80, "enter 0x10, 3", 0xe0],
  [up(0xfff, 1), 0x100, 0x80, "enter 0xf9, 0", 3],
  [up(0xfff, 1), 0x100, 0x80, "enter 0xfd, 0", -1],
  [up(0xfff, 1), 0x100, 0x1000, "enter 0, 2", 0xf4],
  [up(0xfff, 1), 0x100, 0x1001, "enter 0, 2", -1],
  [up(0xfff, 1), 2, 0, "call 1f; 1:", -1],
  [up(0xfff, 1), 4, 0, "call 1f; 1:", 0],
  [up(0xfff, 1), 0xffd, 0, "ret", -1],
  [up(0xfff, 1), 0x1001, 0, "pushfd", -1],
  [up(0xfff, 1), 0xffd, 0, "popfd", -1],
  [up(0xfff, 1), 0x1001, 0, "push ds", -1],
  [up(0xfff, 1), 0xffd, 0, "pop ds", -1],
  // 16-bit stack: SP wraps, the upper half of ESP stays and does not count.
  [up(0xffff, 0), 0x7_0000, 0, "push eax", 0x7_fffc],
  [up(0xffff, 0), 0x7_0002, 0, "push eax", -1],
  [up(0xffff, 0), 0x7_fffe, 0, "pop ax", 0x7_0000],
  [up(0xffff, 0), 0x7_fffe, 0, "pop eax", -1],
  [up(0xffff, 0), 0x7_0010, 0, "push eax; push ax; pop ecx; pop bx", 0x7_0010],
  [up(0xfff, 0), 0x7_0000, 0, "push eax", -1],
  [up(0xffff, 0), 0x7_0010, 0, "pushaw", 0x7_0000],
  [up(0xffff, 0), 0x7_000f, 0, "pushaw", -1],
  [up(0xffff, 0), 0x7_0010, 0x9_8000, "leave", 0x7_8004],
  [up(0xffff, 0), 0x7_0010, 0x9_8000, "enter 0x20, 1", 0x7_ffe8],
  [up(0xffff, 0), 0x7_0010, 0, "call 1f; 1: pop eax", 0x7_0010],
  // Expand-down: above the limit, up to 4 GiB or 64 KiB.
  [down(0xfff, 1), 0x1004, 0, "push eax", 0x1000],
  [down(0xfff, 1), 0x1003, 0, "push eax", -1],
  [down(0xfff, 1), 0, 0, "push eax", 0xffff_fffc],
  [down(0xfff, 0), 0x7_0000, 0, "push eax", 0x7_fffc],
  [down(0xfff, 0), 0x7_1002, 0, "push eax", -1],
  // A flat segment with a 16-bit stack pointer, in 32-bit code.
  [data({ dpl: 3, limit: 0xffff_ffff, g: 1 }), 0x7_8000, 0, "push eax; call 1f; 1: xor eax, eax; jz 2f; 2:", 0x7_7ff8],
];

const CODES = assembleAll(
  ROWS.map(([, , , text]) => `${text}; ud2`),
  32,
);

describe.each(ENGINES)("%s", (engine) => {
  const machine = userMachine(engine);

  it.each(ROWS.map((row, i) => [row[3], row[1].toString(16), row, i] as const))("%s with ESP %s", (_t, _e, row, i) => {
    const [ss, esp, ebp, , after] = row;
    const at = USER_CODE + i * 32;
    machine.write(BASE - 16, new Array(0x1_0020).fill(0));
    machine.write(at, CODES[i]!);
    setSegments(machine, { ss });
    const before = { rax: 1n, rcx: 2n, rdx: 3n, rbx: 4n, rsp: BigInt(esp), rbp: BigInt(ebp), rsi: 5n, rdi: 6n };
    machine.set(before);
    const caught = runToFault(machine, at);
    expect(caught.rsp >>> 0).toBe(after < 0 ? esp : after);
    if (after >= 0) expect(caught).toMatchObject({ vector: -1, rip: at + CODES[i]!.length - 2 });
    else {
      expect(caught).toMatchObject({ vector: 12, code: 0, rip: at });
      const { rsp: _rsp, ...rest } = before;
      expect(machine.regs).toMatchObject(rest);
    }
  });

  it("writes where the stack segment says, and links frames", () => {
    setSegments(machine, { ss: up(0xffff, 0) });
    machine.write(USER_CODE + 0x4000, assemble("push 0x11223344; enter 4, 2; ud2", 32));
    machine.setU32(BASE + 0x7ffc, 0x5566_7788);
    machine.set({ rsp: 0x1000n, rbp: 0x9_8000n });
    expect(runToFault(machine, USER_CODE + 0x4000)).toMatchObject({ vector: -1, rsp: 0xfec });
    // The value; EBP; the enclosing frame's pointer; this frame's.
    expect([0xffc, 0xff8, 0xff4, 0xff0].map((offset) => machine.u32(BASE + offset))).toEqual([
      0x1122_3344, 0x9_8000, 0x5566_7788, 0xff8,
    ]);
    expect(machine.regs.rbp).toBe(0xff8n);
  });

  it.each([
    ["lgdt [ebp]", 13],
    ["lidt [ebp]", 13],
    ["lmsw [ebp]", 13],
    ["lldt [ebp]", 13],
    ["sgdt [ebp]", 12],
    ["verr [ebp]", 12],
  ] as const)("%s beyond the limit at level 3 is vector %i: the level is looked at first", (text, vector) => {
    setSegments(machine, { ss: up(0xfff, 1) });
    machine.write(USER_CODE + 0x4000, assemble(`${text}; ud2`, 32));
    machine.set({ rbp: 0x9_8000n });
    expect(runToFault(machine, USER_CODE + 0x4000)).toMatchObject({ vector, code: 0 });
  });

  describe("64-bit mode", () => {
    const IDT = 0x9000;
    const HANDLERS = 0xa000;
    const CODE = 0x10_0000;
    const STACK = 0x1f_0000;
    const NOT = 0x8000_0000_0000n;
    const long = new TestMachine(engine, 64);
    for (let vector = 0; vector < 32; vector++) {
      long.setGate(IDT, vector, HANDLERS + vector);
      long.setU32(IDT + vector * 16 + 4, long.u32(IDT + vector * 16 + 4) | 1);
    }
    long.write(HANDLERS, new Array(32).fill(0xf4));
    long.setU64(0xb000 + 36, BigInt(STACK));
    long.setSregs({
      idt: { base: BigInt(IDT), limit: 0xfff },
      tr: { ...long.sregs.tr, base: 0xb000n, limit: 103, type: 11 },
    });

    /** registers, code; vector. */
    const rows: readonly (readonly [Readonly<Record<string, bigint>>, string, number])[] = [
      [{ rsp: NOT }, "pop rax", 12],
      [{ rsp: NOT + 8n }, "push rax", 12],
      [{ rsp: NOT + 4n }, "push rax", 12],
      [{ rsp: NOT - 4n }, "pop rax", 12],
      [{ rsp: NOT + 8n }, "call 1f; 1:", 12],
      [{ rsp: NOT }, "ret", 12],
      [{ rbp: NOT }, "leave", 12],
      [{ rsp: NOT + 8n }, "enter 0, 0", 12],
      [{ rsp: NOT }, "mov rax, [rsp]", 12],
      [{ rbp: NOT }, "mov rax, [rbp]", 12],
      [{ rbp: NOT }, "add [rbp+8], rax", 12],
      [{ rbp: NOT, rax: 0n }, "mov [rbp+rax*2], cl", 12],
      [{ rax: NOT, rbp: 0n }, "mov rcx, [rax+rbp]", 13],
      [{ rbp: NOT }, "mov rcx, fs:[rbp]", 13],
      [{ r12: NOT }, "mov rcx, [r12]", 13],
      [{ r13: NOT }, "mov rcx, [r13+8]", 13],
      [{ rbp: NOT }, "sgdt [rbp]", 12],
      [{ rbp: NOT }, "lidt [rbp]", 12],
      [{ rbp: NOT }, "cmpxchg16b [rbp]", 12],
      [{ rbp: 0x30_0008n }, "cmpxchg16b [rbp+0]", 13],
      [{ rsi: NOT }, "sidt [rsi]", 13],
      [{ rsi: NOT }, "cmpxchg16b [rsi]", 13],
      [{ rbp: NOT }, "bt [rbp], eax", 12],
      [{ rax: NOT }, "push [rax]", 13],
      [{ rax: NOT }, "pop [rax]", 13],
      [{ rsi: NOT }, "lodsb", 13],
    ];
    it.each(rows)("%o %s: vector %i", (registers, text, vector) => {
      const at = CODE + rows.findIndex((row) => row[1] === text) * 32;
      long.write(at, assemble(text, 64));
      long.set({ rsp: BigInt(STACK - 0x1000), rbp: 0n, ...registers, rip: BigInt(at), rflags: 2n });
      const before = long.regs;
      expect(long.engine.run(), long.engine.errorDetail).toBe(EngineExit.HLT);
      expect(Number(long.regs.rip) - 1 - HANDLERS).toBe(vector);
      expect(long.regs.rsp).toBe(BigInt(STACK - 48));
      expect([long.u64(STACK - 48), long.u64(STACK - 40), long.u64(STACK - 16)]).toEqual([0n, BigInt(at), before.rsp]);
      expect({ ...long.regs, rsp: 0n, rip: 0n, rflags: 0n }).toEqual({ ...before, rsp: 0n, rip: 0n, rflags: 0n });
    });
  });
});
