/**
 * Translations of some blocks as WebAssembly text, kept as files so that a change of the emitter is reviewed as a diff.
 * Document: architecture.md section 5; golden/*.wat beside this file. `make golden` writes them anew.
 * Left out: whether they are right: everything else in test/ asks that.
 */

import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import wabt from "wabt";
import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { MEMORY_PAGES, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { BLOCK_TYPE } from "../../../kvm-core/emit/boundary.ts";
import { MICRO, RECORD } from "../../../kvm-core/emit/record.ts";
import { BlockReader, ModuleImports } from "../../../kvm-core/engine/block-translation.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";
import { assemble } from "../support/asm.ts";
import { EAGER, type Mode, TestMachine } from "../support/machine.ts";

const FOLDER = new URL("golden/", import.meta.url);
const DATA = 0x30_0000;

/** File name -> mode and code of one block, whose RSI leads to memory. */
const BLOCKS: Readonly<Record<string, readonly [Mode, string]>> = {
  "mov-registers": [64, "mov rax, rbx; mov ecx, edx; mov r8w, r9w; mov ah, bl"],
  "mov-load": [64, "mov rax, [rsi+8]"],
  "mov-store": [64, "mov [rsi+rcx*4], edx"],
  "mov-immediate": [64, "movabs rax, 0x1122334455667788; mov ecx, -1; mov dl, 7"],
  movzx: [64, "movzx eax, byte ptr [rsi]; movsx rcx, dx; movsxd rdi, eax"],
  lea: [64, "lea rax, [rbx+rcx*8-4]; lea edx, [rip+0x10]"],
  "load-32": [32, "mov eax, [esi]; mov [esi+4], ax"],
  add: [64, "add rax, rbx; adc edx, 5"],
  sub: [64, "sub cl, dl; sbb rax, [rsi]"],
  "cmp-jcc": [64, "cmp rax, rbx; jl .+16"],
  "test-jcc": [64, "test eax, eax; jz .+0x2000"],
  "dec-jnz": [32, "1: dec ecx; jnz 1b"],
  inc: [64, "inc eax; dec rbx"],
  logic: [64, "and rax, rbx; or ecx, 1; xor edx, edx; not r8"],
  "shift-immediate": [64, "shl rax, 3; shr ecx, 31; sar dl, 1"],
  "shift-cl": [64, "shl eax, cl; ror rbx, cl"],
  "shift-double": [64, "shld rax, rbx, 7"],
  mul: [64, "mul rcx; imul eax, edx, 100"],
  div: [64, "div ecx"],
  setcc: [64, "setb al; cmovne rcx, rdx"],
  "bit-test": [64, "bt eax, 5; bts [rsi], rcx"],
  "bit-scan": [64, "bsf eax, ecx; popcnt rdx, rdi"],
  "read-modify-write": [64, "add dword ptr [rsi], 1"],
  "lock-add": [64, "lock add dword ptr [rsi], eax"],
  xchg: [64, "xchg [rsi], rax"],
  cmpxchg: [64, "lock cmpxchg [rsi], ecx"],
  "push-pop": [64, "push rax; pop rbx"],
  "push-32": [32, "push eax; pop ebx"],
  call: [64, "call .+64"],
  ret: [64, "ret"],
  "jmp-indirect": [64, "jmp rax"],
  "jmp-memory": [64, "jmp [rsi]"],
  "rep-movs": [64, "rep movsb"],
  stos: [64, "stosd"],
  "address-size": [64, "mov eax, [esi+4]"],
  "segment-gs": [64, "mov rax, gs:[rsi]"],
  flags: [64, "lahf; sahf; cmc; cld"],
  cpuid: [64, "cpuid; mov eax, ebx"],
  "vector-logic": [64, "pxor xmm0, xmm1; pand xmm2, [rsi]"],
  "vector-shuffle": [64, "pshufd xmm0, xmm1, 0x1b; punpcklbw mm0, mm1"],
  "float-add": [64, "addsd xmm0, xmm1"],
  "float-compare": [64, "ucomisd xmm0, xmm1; ja .+16"],
  "float-packed": [64, "mulps xmm0, [rsi]"],
  "x87-load": [64, "fld1; fadd qword ptr [rsi]"],
  "x87-32": [32, "fld dword ptr [esi]; fstp dword ptr [esi]"],
  andn: [64, "andn rax, rbx, rcx"],
  "vector-move": [64, "movdqu xmm0, [rsi]; movaps [rsi+16], xmm0"],
};

const { readWasm } = await wabt();

/** The block's function in a module of its own. */
function translation(mode: Mode, code: string): string {
  const machine = new TestMachine("wasm", mode, 16 << 20, { options: { translation: { ...EAGER, threshold: 100 } } });
  machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(CR4.OSFXSR) });
  machine.set({ rsi: BigInt(DATA), rax: 0x10_0100n, rcx: 1n, rdi: BigInt(DATA), rdx: 0n });
  machine.setU64(DATA, 0x10_0100n);
  // Wherever a branch goes, it halts.
  machine.write(0x10_0000, new Uint8Array(0x3000).fill(0xf4));
  machine.run(assemble(code, mode));
  const reader = new BlockReader(new Uint32Array(machine.memory.buffer), opcodeMap().cases);
  const entry = machine.zone + ZONE.records + RECORD.size;
  expect(reader.caseOf(entry)).toBe(MICRO.entry);
  const module = new ModuleBuilder();
  module.importMemory("e", "memory", MEMORY_PAGES);
  reader.translate(entry, module.define("block", BLOCK_TYPE), new ModuleImports(module), true);
  const read = readWasm(module.encode(), { readDebugNames: false, threads: true, simd: true });
  try {
    read.applyNames();
    return `;; ${mode}-bit: ${code}\n${read.toText({ foldExprs: true, inlineExport: false })}`;
  } finally {
    read.destroy();
  }
}

describe("translations are as they were reviewed", () => {
  it.each(Object.entries(BLOCKS))("%s", async (name, [mode, code]) => {
    await expect(translation(mode, code)).toMatchFileSnapshot(`golden/${name}.wat`);
  });

  it("and no file is left over", () => {
    const names = readdirSync(FOLDER).map((file) => file.replace(/\.wat$/, ""));
    expect(names.filter((name) => !(name in BLOCKS))).toEqual([]);
  });
});
