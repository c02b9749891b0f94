/**
 * Decoder and disassembly: length and text of encodings, in 32- and 64-bit mode.
 * Document: SDM volume 2A, chapter 2; text as objdump's Intel syntax without PTR.
 * Left out: the comparison with an independent disassembler: iced.test.ts.
 */

import { describe, expect, it } from "vitest";
import { MODE } from "../../../kvm-core/cpu/control.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { Decoder } from "../../../kvm-core/isa/decode.ts";
import { Decoded } from "../../../kvm-core/isa/decoded.ts";
import { disassemble } from "../../../kvm-core/isa/disasm.ts";

const MODES = {
  16: MODE.code16,
  32: MODE.code32 | MODE.stack32 | MODE.flat,
  64: MODE.code64 | MODE.stack32 | MODE.flat,
} as const;
const decoder = new Decoder(opcodeMap());
const parse = (hex: string): Uint8Array => new Uint8Array(hex.split(" ").map((byte) => Number.parseInt(byte, 16)));

/** mode, bytes, text at RIP 0x1000. */
const ROWS: readonly (readonly [mode: 16 | 32 | 64, bytes: string, text: string])[] = [
  [32, "01 d8", "add eax,ebx"],
  [32, "66 01 d8", "add ax,bx"],
  [32, "00 e3", "add bl,ah"],
  [32, "83 c0 ff", "add eax,0xffffffff"],
  [32, "40", "inc eax"],
  [32, "8b 44 8b 08", "mov eax,dword [ebx+ecx*4+0x8]"],
  [32, "8b 04 8d 00 10 00 00", "mov eax,dword [ecx*4+0x1000]"],
  [32, "a1 78 56 34 12", "mov eax,dword [0x12345678]"],
  [32, "67 8b 40 10", "mov eax,dword [bx+si+0x10]"],
  [32, "64 8b 00", "mov eax,dword fs:[eax]"],
  [32, "8d 75 f8", "lea esi,[ebp-0x8]"],
  [32, "e8 fb ff ff ff", "call 0x1000"],
  [32, "75 fe", "jne 0x1000"],
  [32, "ea 00 10 00 00 08 00", "ljmp 0x8:0x1000"],
  [32, "0f ac d8 05", "shrd eax,ebx,0x5"],
  [32, "0f a5 d8", "shld eax,ebx,cl"],
  [32, "d3 e0", "shl eax,cl"],
  [32, "0f 20 c0", "mov eax,cr0"],
  [32, "8e d8", "mov ds,ax"],
  [32, "0f 01 15 00 20 00 00", "lgdt [0x2000]"],
  [32, "f3 a4", "rep movsb"],
  [32, "cf", "iretd"],
  [32, "62 05 00 10 00 00", "bound eax,[0x1000]"],
  [32, "c8 34 12 05", "enter 0x1234,0x5"],
  [32, "66 eb 02", "jmp 0x1005"],
  [32, "66 e9 fc 0f", "jmp 0x2000"],
  [16, "01 d8", "add ax,bx"],
  [16, "66 01 d8", "add eax,ebx"],
  [16, "8b 40 10", "mov ax,word [bx+si+0x10]"],
  [16, "8a 0e 34 12", "mov cl,byte [0x1234]"],
  [16, "67 8b 04 8d 00 10 00 00", "mov ax,word [ecx*4+0x1000]"],
  [16, "26 a1 34 12", "mov ax,word es:[0x1234]"],
  [16, "67 66 a1 78 56 34 12", "mov eax,dword [0x12345678]"],
  [16, "e8 fd 0f", "call 0x2000"],
  [16, "66 e8 fa ff ff ff", "call 0x1000"],
  [16, "75 fe", "jne 0x1000"],
  [16, "0f 85 fc 0f", "jne 0x2000"],
  [16, "e2 fe", "loop 0x1000"],
  [16, "ea 00 7c 00 f0", "ljmp 0xf000:0x7c00"],
  [16, "66 ea 00 7c 00 00 08 00", "ljmp 0x8:0x7c00"],
  [16, "68 34 12", "push 0x1234"],
  [16, "c8 10 00 00", "enter 0x10,0x0"],
  [16, "d4 0a", "aam 0xa"],
  [16, "d7", "xlat"],
  [16, "c4 07", "les ax,[bx]"],
  [16, "cf", "iretw"],
  [32, "82 c0 ff", "add al,0xff"],
  [32, "8b 04 0d 00 10 00 00", "mov eax,dword [ecx*1+0x1000]"],
  [64, "48 01 d8", "add rax,rbx"],
  [64, "40 00 e3", "add bl,spl"],
  [64, "45 31 c9", "xor r9d,r9d"],
  [64, "4a 8b 04 e3", "mov rax,qword [rbx+r12*8]"],
  [64, "48 8b 04 24", "mov rax,qword [rsp]"],
  [64, "49 8b 45 00", "mov rax,qword [r13]"],
  [64, "48 8d 05 10 00 00 00", "lea rax,[rip+0x10]  # 0x1017"],
  [64, "83 3d 00 10 00 00 07", "cmp dword [rip+0x1000],0x7  # 0x2007"],
  [64, "48 b8 f0 de bc 9a 78 56 34 12", "mov rax,0x123456789abcdef0"],
  [64, "48 c7 c0 ff ff ff ff", "mov rax,0xffffffffffffffff"],
  [64, "48 63 d8", "movsxd rbx,eax"],
  [64, "50", "push rax"],
  [64, "41 57", "push r15"],
  [64, "66 50", "push ax"],
  [64, "90", "nop"],
  [64, "49 90", "xchg r8,rax"],
  [64, "f3 90", "pause"],
  [64, "66 0f 1f 84 00 00 00 00 00", "nop word [rax+rax]"],
  [64, "48 cf", "iretq"],
  [64, "0f 01 f8", "swapgs"],
  [64, "0f 22 d8", "mov cr3,rax"],
  [64, "f0 48 0f b1 0a", "lock cmpxchg qword [rdx],rcx"],
  [64, "48 99", "cqo"],
  [64, "48 6d", "insd"],
  [64, "67 8b 05 10 00 00 00", "mov eax,dword [eip+0x10]  # 0x1017"],
  [64, "8b 04 25 00 00 00 80", "mov eax,dword [0xffffffff80000000]"],
  [64, "65 48 8b 04 25 28 00 00 00", "mov rax,qword gs:[0x28]"],
  [64, "c4 e2 70 f2 c3", "andn eax,ecx,ebx"],
  [64, "c4 42 b8 f2 04 24", "andn r8,r8,qword [r12]"],
  [64, "c4 a2 70 f7 44 80 08", "bextr eax,dword [rax+r8*4+0x8],ecx"],
  [64, "c4 c2 f8 f3 dc", "blsi rax,r12"],
  [64, "c4 e3 fb f0 05 00 00 00 00 08", "rorx rax,qword [rip],0x8  # 0x100a"],
  [64, "64 67 c4 e2 70 f7 03", "bextr eax,dword fs:[ebx],ecx"],
  [32, "c4 e2 f0 f2 c3", "andn eax,ecx,ebx"],
  [32, "c4 e2 30 f2 c3", "andn eax,ecx,ebx"],
  [32, "c4 c2 70 f2 c3", "andn eax,ecx,ebx"],
  [16, "c4 e2 70 f7 00", "bextr eax,dword [bx+si],ecx"],
  [32, "c4 02", "les eax,[edx]"],
  [64, "f3 0f bc c3", "tzcnt eax,ebx"],
  [64, "66 f3 0f bd c3", "lzcnt ax,bx"],
  [64, "f2 0f 38 f0 c3", "crc32 eax,bl"],
  [64, "f2 48 0f 38 f1 c3", "crc32 rax,rbx"],
  [64, "66 f2 0f 38 f1 c3", "crc32 eax,bx"],
  [64, "66 0f 38 f0 00", "movbe ax,word [rax]"],
  [64, "66 48 0f 38 f6 c3", "adcx rax,rbx"],
  [64, "0f 18 00", "prefetchnta byte [rax]"],
];

describe("decoder", () => {
  it.each(ROWS)("%i-bit %s", (mode, bytes, text) => {
    const code = parse(bytes);
    // Bytes behind the instruction must not matter.
    const padded = new Uint8Array(32).fill(0xff);
    padded.set(code);
    expect(decoder.decode(padded, 0, padded.length, MODES[mode])).toBe(Decoded.ok);
    expect(decoder.length).toBe(code.length);
    expect(disassemble(decoder, 0x1000n)).toBe(text);
  });

  it.each(ROWS)("%i-bit %s needs all of its bytes", (mode, bytes) => {
    const code = parse(bytes);
    for (let end = 1; end < code.length; end++) {
      const prefixOnly = decoder.decode(code, 0, end, MODES[mode]);
      expect(prefixOnly, `${end} bytes`).toBe(Decoded.short);
    }
  });

  it.each([
    [64, "06"],
    [64, "c5 f8 77"],
    [64, "62 f1 7c 48 58 c0"],
    [32, "c5 f8 77"],
    [16, "c4 e2 78 f6 c0"],
    // Behind 66, F2, F3, LOCK and REX; of a map or with an L that are not there; with a vvvv that means nothing.
    [64, "66 c4 e2 78 f7 c0"],
    [64, "f2 c4 e2 78 f7 c0"],
    [64, "f3 c4 e2 78 f7 c0"],
    [64, "f0 c4 e2 78 f7 00"],
    [64, "48 c4 e2 78 f7 c0"],
    [64, "c4 e0 78 f7 c0"],
    [64, "c4 e4 78 f7 c0"],
    [64, "c4 e2 7c f7 c0"],
    [64, "c4 e3 73 f0 c0 05"],
    [32, "c4 e3 3b f0 c0 05"],
    [64, "f3 0f 38 f5 c0"],
    [64, "c4 e2 78 f3 c0"],
    [32, "f3 0f c3 00"],
    [64, "27"],
    [64, "82 c0 ff"],
    [64, "ea 00 10 00 00 08 00"],
    [32, "0f 04"],
    [32, "f0 01 d8"],
    [32, "f0 8b 00"],
    [32, "8e f8"],
    [32, "f0 d1 20"],
    [32, "0f 20 c8"],
    [32, "8d c0"],
    [32, "0f c7 c8"],
  ] as const)("%i-bit %s is undefined", (mode, bytes) => {
    expect(decoder.decode(parse(bytes), 0, bytes.length, MODES[mode])).toBe(Decoded.undefined);
  });

  it.each([
    ["0f ae e8", "lfence"],
    ["0f 01 38", "invlpg [rax]"],
    ["0f c7 08", "cmpxchg8b qword [rax]"],
  ])("%s: the whole ModRM byte, or its digit, decides", (bytes, text) => {
    expect(decoder.decode(parse(bytes), 0, 3, MODES[64])).toBe(Decoded.ok);
    expect(disassemble(decoder, 0n)).toBe(text);
  });

  it("refuses more than 15 bytes", () => {
    const code = new Uint8Array(32).fill(0x66);
    expect(decoder.decode(code, 0, 32, MODES[32])).toBe(Decoded.tooLong);
    code[14] = 0x90;
    expect(decoder.decode(code, 0, 32, MODES[32])).toBe(Decoded.ok);
  });

  it("ignores a REX that is not right before the opcode", () => {
    expect(decoder.decode(parse("48 66 01 d8"), 0, 4, MODES[64])).toBe(Decoded.ok);
    expect(disassemble(decoder, 0n)).toBe("add ax,bx");
  });
});
