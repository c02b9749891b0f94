/**
 * Instruction vectors: state before, instruction, state after, on both engines.
 * Document: SDM volume 2; flags as the instruction's "Flags Affected" says, those left undefined are not compared.
 * Left out: the differential check against the host's processor.
 */

import { describe, expect, it } from "vitest";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assembleAll } from "../support/asm.ts";
import { ENGINES, type Mode, TestMachine } from "../support/machine.ts";

type Values = Readonly<Record<string, bigint | number | string>>;
/** before, instruction, after. `flags`: exactly these of `looksAt` (default all six) are set. `m`: u64 at 0x300000. */
type Row = readonly [before: Values, code: string, after: Values, looksAt?: string];

const DATA = 0x30_0000;
const M = "[0x300000]";
const ARITHMETIC = "CF PF AF ZF SF OF";
const flagBits = (names: string): bigint =>
  names.split(" ").reduce((all, name) => all | BigInt(name === "" ? 0 : RFLAGS[name as keyof typeof RFLAGS]), 0n);

const BOTH: readonly Row[] = [
  [{ rax: 0xff, rbx: 1 }, "add al, bl", { rax: 0, flags: "CF PF AF ZF" }],
  [{ rax: 0x7fff_ffff }, "add eax, 1", { rax: 0x8000_0000, flags: "PF AF SF OF" }],
  [{ rax: 0xff, rbx: 0, flags: "CF" }, "adc al, bl", { rax: 0, flags: "CF PF AF ZF" }],
  [{ rax: 0x7fff_ffff, flags: "CF" }, "adc eax, 0", { rax: 0x8000_0000, flags: "PF AF SF OF" }],
  [{ rax: 0xffff_ffff, rbx: 0xffff_ffff, flags: "CF" }, "adc eax, ebx", { rax: 0xffff_ffff, flags: "CF PF AF SF" }],
  [{ rax: 0, flags: "CF" }, "sbb eax, 0", { rax: 0xffff_ffff, flags: "CF PF AF SF" }],
  [{ rax: 0, rbx: 0xffff_ffff, flags: "CF" }, "sbb eax, ebx", { rax: 0, flags: "CF PF AF ZF" }],
  [{ rax: 0x8000_0000 }, "sub eax, 1", { rax: 0x7fff_ffff, flags: "PF AF OF" }],
  [{ rax: 3, rbx: 5 }, "cmp eax, ebx", { rax: 3, flags: "CF AF SF" }],
  [{ rax: 0x1234 }, "add ah, 0xf0", { rax: 0x0234, flags: "CF" }],
  [{ rax: 0x0fff_ffff, rbx: 0xff00 }, "and eax, ebx", { rax: 0xff00, flags: "PF" }, "CF PF ZF SF OF"],
  [{ rax: 0x8000, flags: "CF OF" }, "or ax, 1", { rax: 0x8001, flags: "SF" }, "CF PF ZF SF OF"],
  [{ rax: 5, flags: "CF" }, "xor eax, eax", { rax: 0, flags: "PF ZF" }, "CF PF ZF SF OF"],
  [{ rax: 0xffff_ffff, flags: "CF" }, "inc eax", { rax: 0, flags: "CF PF AF ZF" }],
  [{ rax: 0x7f, flags: "" }, "inc al", { rax: 0x80, flags: "AF SF OF" }],
  [{ rax: 0x80, flags: "CF" }, "dec al", { rax: 0x7f, flags: "CF AF OF" }],
  [{ rax: 0 }, "neg eax", { rax: 0, flags: "PF ZF" }],
  [{ rax: 0x8000_0000 }, "neg eax", { rax: 0x8000_0000, flags: "CF PF SF OF" }],
  [{ rax: 0x55, flags: ARITHMETIC }, "not al", { rax: 0xaa, flags: ARITHMETIC }],
  // Shifts and rotates: a count of zero changes no flag, rotates change CF and OF alone.
  [{ rax: 0x8000_0001, rcx: 1 }, "shl eax, cl", { rax: 2, flags: "CF OF" }, "CF PF ZF SF OF"],
  [{ rax: 1, rcx: 32, flags: ARITHMETIC }, "shl eax, cl", { rax: 1, flags: ARITHMETIC }],
  [{ rax: 3 }, "shr eax, 1", { rax: 1, flags: "CF" }, "CF PF ZF SF OF"],
  [{ rax: 0x8000_0000 }, "shr eax, 1", { rax: 0x4000_0000, flags: "PF OF" }, "CF PF ZF SF OF"],
  [{ rax: 0x81 }, "sar al, 1", { rax: 0xc0, flags: "CF PF SF" }, "CF PF ZF SF OF"],
  [{ rax: 0x8000_0000, flags: "ZF PF" }, "rol eax, 1", { rax: 1, flags: "CF PF ZF OF" }],
  [{ rax: 1, flags: "SF" }, "ror eax, 1", { rax: 0x8000_0000, flags: "CF SF OF" }],
  [{ rax: 0x80, flags: "CF" }, "rcl al, 1", { rax: 1, flags: "CF OF" }],
  [{ rax: 1, flags: "CF" }, "rcr al, 1", { rax: 0x80, flags: "CF OF" }],
  [{ rax: 0x12, rcx: 9, flags: "CF" }, "rcl al, cl", { rax: 0x12, flags: "CF" }, "CF"],
  [{ rax: 0x1234_5678, rbx: 0x9abc_def0 }, "shld eax, ebx, 8", { rax: 0x3456_789a }, ""],
  [{ rax: 0x1234_5678, rbx: 0x9abc_def0 }, "shrd eax, ebx, 8", { rax: 0xf012_3456 }, ""],
  // Multiplication and division.
  [{ rax: 0x10, rbx: 0x10 }, "mul bl", { rax: 0x100, flags: "CF OF" }, "CF OF"],
  [{ rax: 0xffff_ffff, rbx: 2 }, "mul ebx", { rax: 0xffff_fffe, rdx: 1, flags: "CF OF" }, "CF OF"],
  [{ rax: 0xffff_ffff, rbx: 2 }, "imul ebx", { rax: 0xffff_fffe, rdx: 0xffff_ffff, flags: "" }, "CF OF"],
  [{ rbx: 0x4000_0000 }, "imul ecx, ebx, 2", { rcx: 0x8000_0000, flags: "CF OF" }, "CF OF"],
  [{ rax: 7, rdx: 1, rbx: 0x10 }, "div ebx", { rax: 0x1000_0000, rdx: 7 }, ""],
  [{ rax: 0xffff_fff9, rdx: 0xffff_ffff, rbx: 2 }, "idiv ebx", { rax: 0xffff_fffd, rdx: 0xffff_ffff }, ""],
  [{ rax: 0xfff9, rbx: 2 }, "idiv bl", { rax: 0xfffd }, ""],
  [{ rax: 0x80 }, "cbw", { rax: 0xff80 }],
  [{ rax: 0x8000_0000 }, "cdq", { rdx: 0xffff_ffff }],
  // Bits.
  [{ rax: 0x10, rbx: 36 }, "bt eax, ebx", { flags: "CF" }, "CF"],
  [{ rbx: 35, m: 0 }, `bts dword ptr ${M}, ebx`, { m: 0x8_0000_0000n, flags: "" }, "CF"],
  [{ rax: 0x10 }, "bsf ecx, eax", { rcx: 4, flags: "" }, "ZF"],
  [{ rax: 0, rcx: 9 }, "bsr ecx, eax", { rcx: 9, flags: "ZF" }, "ZF"],
  [{ rax: 0x1234_5678 }, "bswap eax", { rax: 0x7856_3412 }],
  // Moves.
  [{ rax: 0x1234_5678, rbx: 0xff }, "mov ah, bl", { rax: 0x1234_ff78 }],
  [{ rbx: 0x80 }, "movsx eax, bl", { rax: 0xffff_ff80 }],
  [{ rbx: 0x8080 }, "movzx eax, bx", { rax: 0x8080 }],
  [{ rbx: 3, rcx: 5 }, "lea eax, [ebx+ecx*4-1]", { rax: 22 }],
  [{ rax: 1, rbx: 2 }, "xchg eax, ebx", { rax: 2, rbx: 1 }],
  [{ rax: 1, rbx: 2, flags: "ZF" }, "cmove eax, ebx", { rax: 2 }],
  [{ rax: 1, rbx: 2, flags: "SF" }, "cmovge eax, ebx", { rax: 1 }],
  [{ rax: 0xff, flags: "SF OF" }, "setl al", { rax: 0 }],
  [{ rax: 5, rbx: 9, rcx: 7 }, "cmpxchg ebx, ecx", { rax: 9, rbx: 9, flags: "CF PF AF SF" }],
  [{ rax: 9, rbx: 9, rcx: 7 }, "lock cmpxchg dword ptr [0x300000], ecx", { rax: 0 }],
  [{ rax: 1, rbx: 2 }, "xadd eax, ebx", { rax: 3, rbx: 1 }],
  [{ rdx: 0, rax: 5, rcx: 7, rbx: 8, m: 5, flags: "SF" }, `cmpxchg8b ${M}`, { m: 0x7_0000_0008n, flags: "ZF SF" }],
  [{ rdx: 0, rax: 6, m: 0x9_0000_0005n }, `cmpxchg8b ${M}`, { rdx: 9, rax: 5, flags: "" }, "ZF"],
  // Memory.
  [{ m: 0xffff_ffffn }, `add dword ptr ${M}, 1`, { m: 0, flags: "CF PF AF ZF" }],
  [{ m: 0x1122_3344_5566_7788n }, `xor byte ptr [0x300003], 0x55`, { m: 0x1122_3344_0066_7788n }, ""],
  [{ rsi: DATA, rcx: 1, m: 0x0000_0005_0000_0000n }, "mov eax, [esi+ecx*4]", { rax: 5 }],
  // Stack.
  [{ rax: 0x1234 }, "push ax; pop bx", { rbx: 0x1234, rsp: 0x20_0000 }],
  [{ rbp: DATA, m: 0x77 }, "leave", { rbp: 0x77 }, ""],
  [{ flags: ARITHMETIC }, "lahf", { rax: 0xd700 }],
  [{ rax: 0xd700 }, "sahf", { flags: "CF PF AF ZF SF" }],
  [{ flags: "CF" }, "cmc", { flags: "" }],
  // Strings: pointers move by the direction flag; a count of zero does nothing.
  [{ rdi: DATA, rcx: 3, rax: 0xab }, "rep stosb", { m: 0xab_abab, rdi: DATA + 3, rcx: 0 }],
  [{ rdi: DATA, rcx: 0, rax: 0xab }, "rep stosb", { m: 0, rdi: DATA }],
  [{ rdi: DATA + 4, rax: 0x1122_3344 }, "std; stosd; cld", { m: 0x1122_3344_0000_0000n, rdi: DATA }],
  [{ rsi: DATA, m: 0x1122n }, "lodsw", { rax: 0x1122, rsi: DATA + 2 }],
  [{ rdi: DATA, rax: 0x33, rcx: 8, m: 0x4433_2211n }, "repne scasb", { rcx: 5, rdi: DATA + 3, flags: "ZF" }, "ZF"],
  [{ rsi: DATA, rdi: DATA + 4, rcx: 4, m: 0x0102_0304_ff02_0304n }, "repe cmpsb", { rcx: 0, flags: "" }, "ZF CF"],
  // Control.
  [{ rcx: 3, rax: 0 }, "1: inc eax; loop 1b", { rax: 3, rcx: 0 }, ""],
  [{ rcx: 0, rax: 0 }, "jecxz 1f; inc eax; 1: nop", { rax: 0 }, ""],
  [{ rax: 0 }, "call 1f; jmp 2f; 1: inc eax; ret; 2: nop", { rax: 1, rsp: 0x20_0000 }, ""],
  [{ rax: 0 }, "push 0; call 1f; jmp 2f; 1: ret 4; 2: nop", {}, ""],
];

const LONG: readonly Row[] = [
  [{ rax: 0xffff_ffff_ffff_ffffn, rbx: 1 }, "add eax, ebx", { rax: 0, flags: "CF PF AF ZF" }],
  [{ rax: 0x7fff_ffff_ffff_ffffn }, "add rax, 1", { rax: 1n << 63n, flags: "PF AF SF OF" }],
  [{ rax: 1n << 63n }, "sub rax, 1", { rax: 0x7fff_ffff_ffff_ffffn, flags: "PF AF OF" }],
  [{ rax: 0 }, "sub rax, 1", { rax: 0xffff_ffff_ffff_ffffn, flags: "CF PF AF SF" }],
  [{ rbx: 0x8000_0000n }, "movsxd rax, ebx", { rax: 0xffff_ffff_8000_0000n }],
  [{}, "mov rax, 0x123456789abcdef0", { rax: 0x1234_5678_9abc_def0n }],
  [{ m: 0x1122_3344_5566_7788n }, "movabs rax, [0x300000]", { rax: 0x1122_3344_5566_7788n }],
  [{ rax: 1n << 63n }, "sar rax, 63", { rax: 0xffff_ffff_ffff_ffffn, flags: "PF SF" }, "CF PF ZF SF OF"],
  [{ rax: 1n << 63n, rcx: 65 }, "shl rax, cl", { rax: 0, flags: "CF PF ZF OF" }, "CF PF ZF SF OF"],
  [{ rax: 1n << 32n, rbx: 1n << 32n }, "mul rbx", { rax: 0, rdx: 1, flags: "CF OF" }, "CF OF"],
  [{ rax: -3n, rbx: 5n }, "imul rbx", { rax: -15n, rdx: -1n, flags: "" }, "CF OF"],
  [{ rdx: 1, rax: 0, rbx: 2 }, "div rbx", { rax: 1n << 63n, rdx: 0 }, ""],
  [{ rdx: -1n, rax: -7n, rbx: 2 }, "idiv rbx", { rax: -3n, rdx: -1n }, ""],
  [{ rax: 0x8000_0000n }, "cdqe", { rax: 0xffff_ffff_8000_0000n }],
  [{ rax: 1n << 63n }, "cqo", { rdx: -1n }],
  [{ rax: 0x1122_3344_5566_7788n }, "bswap rax", { rax: 0x8877_6655_4433_2211n }],
  [{ rsp: 0x20_0000 }, "push rsp; pop rax", { rax: 0x20_0000 }],
  [{ rbx: 0x12 }, "mov sil, bl", { rsi: 0x12 }],
  [{ rax: 5, r8: 6 }, "xchg r8, rax", { rax: 6, r8: 5 }],
  [{ rax: 0xffff_ffff_ffff_ffffn }, "nop; .byte 0x90", { rax: 0xffff_ffff_ffff_ffffn }],
  [{ rsi: DATA, rcx: 2, m: 5 }, "lea rdi, [rsi+16]; rep movsq", { rsi: DATA + 16, rdi: DATA + 32, rcx: 0 }],
  [{ rax: 0xf0f0 }, "popcnt rbx, rax", { rbx: 8, flags: "" }],
  [{ r14: DATA, m: 9 }, "add r15, [r14]", { r15: 9 }, ""],
];

function check(mode: Mode, rows: readonly Row[]): void {
  const vectors = rows;
  const codes = assembleAll(
    vectors.map((row) => row[1]),
    mode,
  );
  describe.each(ENGINES)("%s", (engine) => {
    const machine = new TestMachine(engine, mode);
    it.each(vectors.map((row, i) => [row[1], row, codes[i]!, i] as const))("%s", (_name, row, code, i) => {
      const [before, , after, looksAt = ARITHMETIC] = row;
      const number = (value: bigint | number | string): bigint => BigInt.asUintN(64, BigInt(value));
      const names = Object.keys(machine.regs).filter((name) => name !== "rip" && name !== "rflags");
      machine.set(
        Object.fromEntries(names.map((name) => [name, number(before[name] ?? (name === "rsp" ? 0x20_0000 : 0))])),
      );
      machine.set({ rflags: flagBits(String(before["flags"] ?? "")) | 2n });
      machine.setU64(DATA, number(before["m"] ?? 0));
      expect(machine.run(code, 0x10_0000 + i * 64), machine.engine.errorDetail).toBe(EngineExit.HLT);
      const regs = machine.regs;
      for (const [name, value] of Object.entries(after)) {
        if (name === "m") expect(machine.u64(DATA)).toBe(number(value));
        else if (name === "flags") expect(regs.rflags & flagBits(looksAt)).toBe(flagBits(String(value)));
        else expect(regs[name as "rax"], name).toBe(number(value));
      }
    });
  });
}

describe("32-bit", () => check(32, BOTH));
describe("64-bit", () => check(64, [...BOTH.filter(([, code]) => !code.includes("ret 4")), ...LONG]));
