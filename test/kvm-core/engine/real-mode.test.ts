/**
 * Real mode: 16-bit code, operands, stacks and branches, in segments whose bases are no multiples of a page.
 * Document: SDM volume 3, 20.1 (real-address mode); volume 1, 3.4.5 (RIP), 6.2 (stack).
 * Left out: interrupts and far transfers.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES } from "../support/machine.ts";
import { REAL_DATA, REAL_EXTRA, REAL_STACK, real, realMachine, run16 } from "../support/segments.ts";

type Values = Readonly<Record<string, number | bigint>>;

/** before, instruction, registers after. */
const ROWS: readonly (readonly [Values, string, Values])[] = [
  [{ rax: 0x1234_5678, rbx: 0x1111_2222 }, "add ax, bx", { rax: 0x1234_789a }],
  [{ rax: 0x1234_5678, rbx: 0x1111_2222 }, "add eax, ebx", { rax: 0x2345_789a }],
  [{ rbx: 0x10, rsi: 0x20 }, "mov word ptr [bx+si+2], 0x55aa; mov ax, [0x32]", { rax: 0x55aa }],
  [{ rbx: 0xfff0, rdi: 0x20 }, "mov word ptr [bx+di], 0x77; mov cx, [0x10]", { rcx: 0x77 }],
  [{ rbp: 0xffe0 }, "mov word ptr [bp+0x40], 0x66; mov ax, ss:[0x20]", { rax: 0x66 }],
  [{ rbx: 0x40 }, "mov dword ptr [ebx+ebx], 0x12345678; mov eax, [0x80]", { rax: 0x1234_5678 }],
  [{ rbx: 5 }, "mov byte ptr es:[bx], 9; mov al, fs:[bx]; mov ah, es:[bx]", { rax: 0x900 }],
  [{ rbx: 0xffff, rsi: 3 }, "lea ax, [bx+si]; lea ecx, [bx+si]", { rax: 2, rcx: 2 }],
  [{ rax: 0xabcd }, "mov [0x1234], al; mov bl, [0x1234]", { rbx: 0xcd }],
  // Stack: SP wraps at 64K, the upper half of ESP stays.
  [{ rax: 0xaaaa_1234, rsp: 0x5555_1000 }, "push ax; pop bx", { rbx: 0x1234, rsp: 0x5555_1000 }],
  [{ rax: 0x1234_5678, rsp: 0x5555_1000 }, "push eax", { rsp: 0x5555_0ffc }],
  [{ rax: 0x77, rsp: 0x5555_0000 }, "push ax", { rsp: 0x5555_fffe }],
  [{ rsp: 0x5555_fffe }, "pop ax", { rsp: 0x5555_0000 }],
  [{ rsp: 0x9_1000 }, "push sp; pop ax", { rax: 0x1000 }],
  [{ rax: 1, rbx: 2, rsp: 0x9_0004 }, "pusha; mov ax, 0; mov bx, 0; popa", { rax: 1, rbx: 2, rsp: 0x9_0004 }],
  [{ rax: 1, rbx: 2, rsp: 0x9_0200 }, "pushad; mov eax, 0; popad", { rax: 1, rbx: 2, rsp: 0x9_0200 }],
  [{ rbp: 0x1_0800, rsp: 0x9_1000 }, "mov word ptr [bp], 7; leave", { rbp: 0x1_0007, rsp: 0x9_0802 }],
  [{ rbp: 0x55, rsp: 0x9_1000 }, "enter 0x10, 0", { rbp: 0xffe, rsp: 0x9_0fee }],
  [{ rbp: 0x2_0800, rsp: 0x9_1000 }, "enter 8, 2", { rbp: 0x2_0ffe, rsp: 0x9_0ff2 }],
  // With a 32-bit operand the frame pointer is ESP, in the register and on the stack, though SP is what counts.
  [
    { rbp: 0x55, rsp: 0x9_1000 },
    "enterd 0x10, 1; mov eax, ss:[0xff8]",
    { rax: 0x9_0ffc, rbp: 0x9_0ffc, rsp: 0x9_0fe8 },
  ],
  [{ rsp: 0x9_1000 }, "pushf; pop ax; and ax, 2", { rax: 2, rsp: 0x9_1000 }],
  // Branches: IP is truncated to 16 bits.
  [{ rcx: 3 }, "1: inc ax; loop 1b", { rax: 3, rcx: 0 }],
  [{ rcx: 0x1_0000 }, "jcxz 1f; inc ax; 1: inc bx", { rax: 0, rbx: 1 }],
  [{ rcx: 0x1_0000 }, "jecxz 1f; inc ax; 1: inc bx", { rax: 1, rbx: 1 }],
  [{ rcx: 0x1_0002 }, "1: inc eax; loop 1b", { rax: 2, rcx: 0x1_0000 }],
  [{ rcx: 3 }, "1: inc eax; addr32 loop 1b", { rax: 3, rcx: 0 }],
  [{}, "call 1f; jmp 2f; 1: inc ax; ret; 2: inc bx", { rax: 1, rbx: 1, rsp: 0x1000 }],
  [{}, "push word ptr 7; call 1f; jmp 2f; 1: inc ax; ret 2; 2: inc bx", { rax: 1, rbx: 1, rsp: 0x1000 }],
  [{}, "calld 1f; jmp 2f; 1: inc ax; retd; 2: inc bx", { rax: 1, rbx: 1, rsp: 0x1000 }],
  [{ rbx: 8 }, "jmp bx; nop; nop; nop; nop; nop; nop; inc ax", { rax: 1 }],
  [{}, "xor cx, cx; jz 1f; inc ax; 1: jnz 2f; inc bx; 2: nop", { rax: 0, rbx: 1 }],
  // Strings.
  [{ rsi: 0x10, rdi: 0x20, rcx: 4 }, "mov word ptr [0x10], 0x2211; rep movsb; mov ax, es:[0x20]", { rax: 0x2211 }],
  [{ rdi: 0xfffe, rcx: 4, rax: 0x55 }, "rep stosb; mov bl, es:[1]", { rbx: 0x55, rdi: 2 }],
  [{ rsi: 0x1_0000 }, "mov word ptr [0], 0x99; lodsw", { rax: 0x99, rsi: 0x1_0002 }],
  [{ rbx: 0xfff0, rax: 0x20 }, "mov byte ptr [0x10], 0x42; xlat", { rax: 0x42 }],
  [{ rbx: 1, rax: 1 }, "mov byte ptr ss:[2], 0x43; xlat byte ptr ss:[bx]", { rax: 0x43 }],
];

describe.each(ENGINES)("%s", (engine) => {
  it.each(ROWS)("%o %s", (before, text, after) => {
    const machine = realMachine(engine);
    machine.set(Object.fromEntries(Object.entries(before).map(([name, value]) => [name, BigInt(value)])));
    expect(run16(machine, text), machine.engine.errorDetail).toBe(EngineExit.HLT);
    const { regs } = machine;
    for (const [name, value] of Object.entries(after)) expect(regs[name as "rax"], name).toBe(BigInt(value));
  });

  it("starts at the reset vector's IP with a CS base that no segment register could give", () => {
    const machine = realMachine(engine, { cs: { ...real(0xf000), base: 0x8_0000n, type: 11 } });
    expect(run16(machine, "inc ax", 0xfff0)).toBe(EngineExit.HLT);
    expect(machine.regs).toMatchObject({ rax: 1n, rip: 0xfff2n });
  });

  it("runs in a segment whose base is no multiple of a page, over page ends and back", () => {
    const machine = realMachine(engine, { cs: { ...real(0x123), type: 11 } });
    // 1230h + ip: the first page ends at IP dd0h.
    const text = "mov cx, 300; 1: add ax, cx; .skip 0xdd0 - 7 - 3, 0x90; add bx, 0x102; loop 2f; jmp 3f; 2: jmp 1b; 3:";
    expect(run16(machine, text), machine.engine.errorDetail).toBe(EngineExit.HLT);
    expect(machine.regs).toMatchObject({ rax: BigInt((300 * 301) / 2), rbx: BigInt((300 * 0x102) & 0xffff) });
  });

  it("wraps branches at 64K", () => {
    const machine = realMachine(engine);
    // At fff0: a jump over the end, to 0010.
    machine.write(0x1_0010, [0x40, 0xf4]);
    expect(run16(machine, "jmp . + 0x20", 0xfff0), machine.engine.errorDetail).toBe(EngineExit.HLT);
    expect(machine.regs).toMatchObject({ rax: 1n, rip: 0x12n });
  });

  it("pushes and stores where the segments say", () => {
    const machine = realMachine(engine);
    run16(machine, "push 0x1122; mov word ptr [0x10], 0x3344; mov di, 0x20; mov ax, 0x5566; stosw");
    expect(machine.u32(REAL_STACK + 0xffe) & 0xffff).toBe(0x1122);
    expect(machine.u32(REAL_DATA + 0x10)).toBe(0x3344);
    expect(machine.u32(REAL_EXTRA + 0x20)).toBe(0x5566);
  });
});
