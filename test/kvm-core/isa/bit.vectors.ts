/**
 * Vectors of kvm-core/isa/insn/bit.ts.
 * Document: SDM volume 2, BT BTS BTR BTC BSF BSR POPCNT BSWAP.
 * Left out: flags that the manual leaves undefined.
 */

import { ARITHMETIC, M, type Row, type Vectors } from "./vectors.ts";

/** Bit 4 of `value`: what is there goes to CF. An immediate counts modulo the size, a register in memory does not. */
function bitTests(operation: string, value: number, result: number, flags: string): Row[] {
  const next = (word: number): bigint => BigInt(word) << 32n;
  return [
    [{ rax: value }, `${operation} eax, 36`, { rax: result, flags }, "CF"],
    [{ m: value }, `${operation} dword ptr ${M}, 36`, { m: result, flags }, "CF"],
    [{ rax: value, rbx: 36 }, `${operation} eax, ebx`, { rax: result, flags }, "CF"],
    [{ m: next(value), rbx: 36 }, `${operation} dword ptr ${M}, ebx`, { m: next(result), flags }, "CF"],
  ];
}

export const VECTORS: Vectors = {
  both: [
    ...bitTests("bt", 0x10, 0x10, "CF"),
    ...bitTests("bts", 0, 0x10, ""),
    ...bitTests("btr", 0x11, 1, "CF"),
    ...bitTests("btc", 0x10, 0, "CF"),
    [{ rbx: -28, m: 1 }, "bt dword ptr [0x300004], ebx", { flags: "" }, "CF"],
    [{ rbx: 35, m: 0 }, `bts dword ptr ${M}, ebx`, { m: 0x8_0000_0000n, flags: "" }, "CF"],
    [{ rax: 0x10, flags: "ZF" }, "bsf ecx, eax", { rcx: 4, flags: "" }, "ZF"],
    [{ m: 0x8000_0000 }, `bsf ecx, ${M}`, { rcx: 31, flags: "" }, "ZF"],
    [{ rax: 0, rcx: 9 }, "bsr ecx, eax", { rcx: 9, flags: "ZF" }, "ZF"],
    [{ m: 0x0000_ffff }, `bsr ecx, ${M}`, { rcx: 15, flags: "" }, "ZF"],
    [{ rax: 0xf0f0, flags: ARITHMETIC }, "popcnt ebx, eax", { rbx: 8, flags: "" }],
    [{ m: 0, rbx: 5 }, `popcnt ebx, dword ptr ${M}`, { rbx: 0, flags: "ZF" }],
    [{ rax: 0x1234_5678 }, "bswap eax", { rax: 0x7856_3412 }],
  ],
  only64: [
    [{ rax: 0xf0f0 }, "popcnt rbx, rax", { rbx: 8, flags: "" }],
    [{ rax: 0x1122_3344_5566_7788n }, "bswap rax", { rax: 0x8877_6655_4433_2211n }],
    [{ rbx: 1n << 40n, rax: 1 }, "bt rax, rbx", { flags: "CF" }, "CF"],
  ],
};
