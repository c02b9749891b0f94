/**
 * Vectors of kvm-core/isa/insn/stack.ts.
 * Document: SDM volume 2, PUSH POP PUSHA POPA ENTER LEAVE PUSHF POPF.
 * Left out: 16-bit stacks.
 */

import { ARITHMETIC, DATA, M, type Vectors } from "./vectors.ts";

const W = `word ptr ${M}`;
const SP = 0x20_0000;

export const VECTORS: Vectors = {
  both: [
    [{ rax: 0x1234 }, "push ax; pop bx", { rbx: 0x1234, rsp: SP }],
    [{ m: 0x1234 }, `push ${W}; pop bx`, { rbx: 0x1234, rsp: SP }],
    [{ rax: 0x1234 }, `push ax; pop ${W}`, { m: 0x1234, rsp: SP }],
    [{ rbp: 0x77 }, "enter 8, 0; mov eax, ebp; sub eax, esp; leave", { rax: 8, rbp: 0x77, rsp: SP }, ""],
    [{ rbp: DATA, m: 0x77 }, "leave", { rbp: 0x77 }, ""],
  ],
  only32: [
    [{}, "push -5; pop ebx", { rbx: 0xffff_fffb, rsp: SP }],
    [{}, "push ds; pop ebx", { rbx: 16, rsp: SP }],
    [{}, "push 0; push ds; pop es; pop ds; mov eax, es; mov ebx, ds", { rax: 16, rbx: 0, rsp: SP }],
    // RSP as it was before goes down, and is not taken back.
    [
      { rax: 1, rcx: 2, rdx: 3, rbx: 4, rbp: 5, rsi: 6, rdi: 7 },
      "pusha; mov eax, [esp+28]; mov ebx, [esp+12]; mov ecx, [esp]",
      { rax: 1, rbx: SP, rcx: 7, rsp: SP - 32 },
    ],
    [
      { rax: 9 },
      "push 1; push 2; push 3; push 4; push 5; push 6; push 7; push 8; popa",
      { rax: 1, rcx: 2, rdx: 3, rbx: 4, rbp: 6, rsi: 7, rdi: 8, rsp: SP },
    ],
    [{ flags: "CF ZF" }, "pushf; pop ebx", { rbx: 0x43, flags: "CF ZF" }],
    [{}, "push 0x8d7; popf", { flags: ARITHMETIC, rsp: SP }],
  ],
  only64: [
    [{}, "push -5; pop rbx", { rbx: -5n, rsp: SP }],
    [{ rsp: SP }, "push rsp; pop rax", { rax: SP }],
    [{}, "push fs; pop rbx", { rbx: 16, rsp: SP }],
    [{}, "push 0; pop gs; mov eax, gs", { rax: 0, rsp: SP }],
    [{ flags: "CF ZF" }, "pushf; pop rbx", { rbx: 0x43, flags: "CF ZF" }],
    [{}, "push 0x8d7; popf", { flags: ARITHMETIC, rsp: SP }],
  ],
};
