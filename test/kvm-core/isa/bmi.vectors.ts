/**
 * Vectors of kvm-core/isa/insn/bmi.ts.
 * Document: SDM volume 2, the instructions of the names; the CRC of RFC 3720, B.4.
 * Left out: flags that the manual leaves undefined.
 */

import { ARITHMETIC, M, type Row, type Vectors } from "./vectors.ts";

const DEFINED = "CF ZF SF OF";
const ALL = ARITHMETIC;

/** `operation` into EAX from EBX, from memory; the flags as given. */
function unary(operation: string, value: number, result: number, flags: string, looksAt: string): Row[] {
  return [
    [{ rbx: value, flags: ALL }, `${operation} eax, ebx`, { rax: result, flags }, looksAt],
    [{ m: value, flags: "" }, `${operation} eax, dword ptr ${M}`, { rax: result, flags }, looksAt],
  ];
}

/** The same with a third operand in ECX, which stands last or in the middle. No flags: they stay as they were. */
function ternary(
  operation: string,
  [value, other]: readonly [number, number],
  result: number,
  flags: string | undefined,
  middle = false,
): Row[] {
  const operands = (source: string): string => (middle ? `eax, ecx, ${source}` : `eax, ${source}, ecx`);
  const after = { rax: result, flags: flags ?? ALL };
  const looksAt = flags === undefined ? ALL : DEFINED;
  const before = { rcx: other, flags: ALL };
  return [
    [{ ...before, rbx: value }, `${operation} ${operands("ebx")}`, after, looksAt],
    [{ ...before, m: value }, `${operation} ${operands(`dword ptr ${M}`)}`, after, looksAt],
  ];
}

export const VECTORS: Vectors = {
  both: [
    ...ternary("andn", [0xff00_ff00, 0x0f00_000f], 0xf000_ff00, "SF", true),
    ...ternary("bextr", [0x1234_5678, 0x0c04], 0x567, ""),
    ...ternary("bextr", [0x8000_0000, 0xff1f], 1, ""),
    ...ternary("bextr", [0x1234_5678, 0x0820], 0, "ZF"),
    ...unary("blsi", 0x58, 8, "CF", DEFINED),
    ...unary("blsi", 0, 0, "ZF", DEFINED),
    ...unary("blsmsk", 0x58, 15, "", DEFINED),
    ...unary("blsmsk", 0, 0xffff_ffff, "CF SF", DEFINED),
    ...unary("blsr", 0x58, 0x50, "", DEFINED),
    ...unary("blsr", 0, 0, "CF ZF", DEFINED),
    ...unary("tzcnt", 0x8000, 15, "", "CF ZF"),
    ...unary("tzcnt", 1, 0, "ZF", "CF ZF"),
    ...unary("tzcnt", 0, 32, "CF", "CF ZF"),
    ...unary("lzcnt", 0x8000, 16, "", "CF ZF"),
    ...unary("lzcnt", 0, 32, "CF", "CF ZF"),
    ...unary("lzcnt", 0x8000_0000, 0, "ZF", "CF ZF"),
    [{ rbx: 0 }, "tzcnt ax, bx", { rax: 16, flags: "CF" }, "CF ZF"],
    [{ rbx: 1 }, "lzcnt ax, bx", { rax: 15, flags: "" }, "CF ZF"],
    ...ternary("bzhi", [0xffff_ffff, 0x7f04], 15, ""),
    ...ternary("bzhi", [0x8000_0001, 32], 0x8000_0001, "CF SF"),
    ...ternary("bzhi", [0xffff_ffff, 0], 0, "ZF"),
    [{ rdx: 0xffff_ffff, rbx: 0x10, flags: ALL }, "mulx eax, ecx, ebx", { rax: 15, rcx: 0xffff_fff0, flags: ALL }],
    [{ rdx: 0xffff_ffff, m: 0x10 }, `mulx eax, ecx, dword ptr ${M}`, { rax: 15, rcx: 0xffff_fff0 }],
    [{ rdx: 0xffff_ffff, rbx: 0x10 }, "mulx eax, eax, ebx", { rax: 15 }],
    ...ternary("pdep", [0x00ff_0ff0, 0xffff_fabc], 0x00fa_0bc0, undefined, true),
    ...ternary("pext", [0x00ff_0ff0, 0x12fa_3bc7], 0xfabc, undefined, true),
    [{ rbx: 0x1234_5678, flags: ALL }, "rorx eax, ebx, 40", { rax: 0x7812_3456, flags: ALL }],
    [{ m: 0x1234_5678 }, `rorx eax, dword ptr ${M}, 4`, { rax: 0x8123_4567 }],
    ...ternary("shlx", [0x8123_4567, 36], 0x1234_5670, undefined),
    ...ternary("shrx", [0x8123_4567, 36], 0x0812_3456, undefined),
    ...ternary("sarx", [0x8123_4567, 36], 0xf812_3456, undefined),
    // The one leaves the other's flag, and all others, alone.
    [{ rax: 0xffff_ffff, rbx: 0, flags: "CF" }, "adcx eax, ebx", { rax: 0, flags: "CF" }],
    [{ rax: 1, m: 2, flags: "CF OF SF AF PF ZF" }, `adcx eax, dword ptr ${M}`, { rax: 4, flags: "OF SF AF PF ZF" }],
    [{ rax: 0xffff_ffff, rbx: 0, flags: "OF" }, "adox eax, ebx", { rax: 0, flags: "OF" }],
    [{ rax: 1, m: 2, flags: "CF OF SF AF PF ZF" }, `adox eax, dword ptr ${M}`, { rax: 4, flags: "CF SF AF PF ZF" }],
    // Of 32 bytes of zeros; of one byte, one word.
    [{ rax: 0xffff_ffff, rcx: 8, flags: ALL }, "1: crc32 eax, ebx; dec ecx; jnz 1b; not eax", { rax: 0x8a91_36aa }],
    [{ rax: 0xffff_ffff, m: 0, flags: ALL }, `crc32 eax, dword ptr ${M}`, { rax: 0xb798_b438, flags: ALL }],
    [{ rax: 0, rbx: 0x1201 }, "crc32 eax, bl", { rax: 0xf26b_8303 }],
    [{ rax: 0, rbx: 0x0112 }, "crc32 eax, bh", { rax: 0xf26b_8303 }],
    [{ rax: 0, m: 1 }, `crc32 eax, byte ptr ${M}`, { rax: 0xf26b_8303 }],
  ],
  only64: [
    [{ rbx: -1n, rcx: 0xff }, "andn rax, rcx, rbx", { rax: ~0xffn, flags: "SF" }, DEFINED],
    [{ rbx: 1n << 63n, rcx: 0xff3f }, "bextr rax, rbx, rcx", { rax: 1, flags: "" }, DEFINED],
    [{ r9: 1n << 40n }, "tzcnt r10, r9", { r10: 40, flags: "" }, "CF ZF"],
    [{ r9: 0 }, "lzcnt r10, r9", { r10: 64, flags: "CF" }, "CF ZF"],
    [{ rdx: -1n, r8: 16 }, "mulx r9, r10, r8", { r9: 15, r10: -16n }],
    [{ rbx: 0xfabc, rcx: 0xff00_0000_0000_00ffn }, "pdep rax, rbx, rcx", { rax: 0xfa00_0000_0000_00bcn }],
    [{ rbx: 0xfa00_0000_0000_00bcn, rcx: 0xff00_0000_0000_00ffn }, "pext rax, rbx, rcx", { rax: 0xfabc }],
    [{ rbx: 0x1122_3344_5566_7788n }, "rorx rax, rbx, 8", { rax: 0x8811_2233_4455_6677n }],
    [{ rbx: -2n, r15: 65 }, "sarx rax, rbx, r15", { rax: -1n }],
    [{ rax: -1n, rbx: 0, flags: "CF" }, "adcx rax, rbx", { rax: 0, flags: "CF" }],
    [{ rax: -1n, rbx: 1, flags: "" }, "adox rax, rbx", { rax: 0, flags: "OF" }],
    [{ rax: -1n, rbx: 0 }, "crc32 rax, rbx", { rax: 0x73d7_4d75 }],
  ],
};
