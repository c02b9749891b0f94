/**
 * Vectors of kvm-core/isa/insn/control.ts.
 * Document: SDM volume 2, JMP Jcc CALL RET LOOP JCXZ BOUND INTO IRET.
 * Left out: exceptions, which exceptions.test.ts has.
 */

import { CONDITION_FLAGS, DATA, M, type Row, type Vectors } from "./vectors.ts";

const SP = 0x20_0000;
const EXCEPTIONS = "test/kvm-core/engine/exceptions.test.ts";
const DEBUG = "test/kvm-core/engine/debug.test.ts";
const HOST = "test/host/host.test.ts";

const JCC: readonly Row[] = CONDITION_FLAGS.flatMap(([name, holds, not]): Row[] => [
  [{ flags: holds }, `j${name} 1f; inc eax; 1: nop`, { rax: 0, flags: holds }],
  [{ flags: not }, `j${name} 1f; mov eax, 1; 1: nop`, { rax: 1, flags: not }],
]);

/** EBX or RBX becomes the address of label 2. */
const address = (register: string): string => `call 1f; 1: pop ${register}; add ${register}, 2f - 1b`;

export const VECTORS: Vectors = {
  both: [
    [{}, "jmp 1f; inc eax; 1: nop", { rax: 0 }],
    ...JCC,
    [{}, "call 1f; jmp 2f; 1: inc eax; ret; 2: nop", { rax: 1, rsp: SP }, ""],
    [{ rcx: 3 }, "1: inc eax; loop 1b", { rax: 3, rcx: 0 }, ""],
    // Out by the count, and out by ZF.
    [{ rcx: 2 }, "1: inc eax; cmp eax, eax; loope 1b", { rax: 2, rcx: 0 }, ""],
    [{ rcx: 9 }, "1: inc eax; test eax, 1; loope 1b", { rax: 1, rcx: 8 }, ""],
    [{ rcx: 9 }, "1: inc eax; cmp eax, 2; loopne 1b", { rax: 2, rcx: 7 }, ""],
    [{ rcx: 0 }, "jecxz 1f; inc eax; 1: nop", { rax: 0 }, ""],
    [{ rcx: 1 }, "jecxz 1f; inc eax; 1: nop", { rax: 1 }, ""],
  ],
  only32: [
    [{}, `${address("ebx")}; jmp ebx; inc eax; 2: nop`, { rax: 0, rsp: SP }, ""],
    [{}, `${address("ebx")}; mov ${M}, ebx; jmp dword ptr ${M}; inc eax; 2: nop`, { rax: 0 }, ""],
    [{}, `${address("ebx")}; call ebx; jmp 3f; 2: inc eax; ret; 3: nop`, { rax: 1, rsp: SP }, ""],
    [
      {},
      `${address("ebx")}; mov ${M}, ebx; call dword ptr ${M}; jmp 3f; 2: inc eax; ret; 3: nop`,
      { rax: 1, rsp: SP },
      "",
    ],
    [{}, "push 0; call 1f; jmp 2f; 1: ret 4; 2: nop", { rsp: SP }, ""],
    // The far pointer in the instruction is written before it.
    [{}, `${address("ebx")}; mov [ebx-6], ebx; .byte 0xea, 0, 0, 0, 0, 8, 0; 2: mov eax, cs`, { rax: 8 }, ""],
    [{ m: 8n << 32n }, `${address("ebx")}; mov ${M}, ebx; ljmp ${M}; inc ecx; 2: mov eax, cs`, { rax: 8, rcx: 0 }, ""],
    [
      {},
      `${address("ebx")}; mov [ebx-6], ebx; .byte 0x9a, 0, 0, 0, 0, 8, 0; 2: pop eax; sub eax, ebx; pop cx; pop dx`,
      { rax: 0, rcx: 8, rsp: SP },
      "",
    ],
    [
      { m: 8n << 32n },
      `${address("ebx")}; mov ${M}, ebx; lcall ${M}; jmp 3f; 2: inc eax; retf; 3: nop`,
      { rax: 1, rsp: SP },
      "",
    ],
    [{ rax: -5, m: 0x7_ffff_fffbn }, `bound eax, ${M}; inc eax`, { rax: -4 }, ""],
    [{ flags: "CF PF AF ZF SF" }, "into; inc eax", { rax: 1 }, ""],
    [{}, "push 8; call 1f; jmp 2f; 1: retf; 2: mov eax, cs", { rax: 8, rsp: SP }, ""],
    [{}, "push 0; push 8; call 1f; jmp 2f; 1: retf 4; 2: nop", { rsp: SP }, ""],
    [{}, "push 0x8d7; push 8; call 1f; jmp 2f; 1: iret; 2: nop", { rsp: SP, flags: "CF PF AF ZF SF OF" }],
  ],
  only64: [
    [{}, `${address("rbx")}; jmp rbx; inc eax; 2: nop`, { rax: 0, rsp: SP }, ""],
    [{}, `${address("rbx")}; mov ${M}, rbx; jmp qword ptr ${M}; inc eax; 2: nop`, { rax: 0 }, ""],
    [{}, `${address("rbx")}; call rbx; jmp 3f; 2: inc eax; ret; 3: nop`, { rax: 1, rsp: SP }, ""],
    [
      {},
      `${address("rbx")}; mov ${M}, rbx; call qword ptr ${M}; jmp 3f; 2: inc eax; ret; 3: nop`,
      { rax: 1, rsp: SP },
      "",
    ],
    [{}, "push 0; call 1f; jmp 2f; 1: ret 8; 2: nop", { rsp: SP }, ""],
    [{ m: 8n << 32n }, `${address("rbx")}; mov ${M}, ebx; ljmp ${M}; inc ecx; 2: mov eax, cs`, { rax: 8, rcx: 0 }, ""],
    [
      { m: 8n << 32n },
      `${address("rbx")}; mov ${M}, ebx; lcall ${M}; jmp 3f; 2: inc eax; retfd; 3: nop`,
      { rax: 1, rsp: SP },
      "",
    ],
    [{}, "push 8; call 1f; jmp 2f; 1: rex.w retf; 2: mov eax, cs", { rax: 8, rsp: SP }, ""],
    [{}, "push 0; push 8; call 1f; jmp 2f; 1: rex.w retf 8; 2: nop", { rsp: SP }, ""],
    [
      { rbx: SP - 8 },
      "push 16; push rbx; push 0x8d7; push 8; call 1f; jmp 2f; 1: iretq; 2: nop",
      { rsp: SP - 8, flags: "CF PF AF ZF SF OF" },
    ],
    [{ rcx: 1n << 32n }, "jecxz 1f; inc eax; 1: jrcxz 2f; inc ebx; 2: nop", { rax: 0, rbx: 1 }, ""],
    [{ rsi: DATA }, "1: lea rdi, [rip+1b]; sub rdi, rsi; jmp 2f; inc eax; 2: nop", { rax: 0 }, ""],
  ],
  elsewhere: [
    { mnemonic: "int3", file: EXCEPTIONS, reason: "delivers through an IDT" },
    { mnemonic: "int", file: EXCEPTIONS, reason: "delivers through an IDT" },
    { mnemonic: "int1", file: DEBUG, reason: "delivers through an IDT" },
    { mnemonic: "ud2", file: EXCEPTIONS, reason: "delivers through an IDT" },
    { mnemonic: "ud1", file: HOST, reason: "its #UD and the RIP of it, as the host's processor has them" },
    { mnemonic: "ud0", file: HOST, reason: "its #UD and the RIP of it, as the host's processor has them" },
  ],
};
