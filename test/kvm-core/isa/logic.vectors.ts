/**
 * Vectors of kvm-core/isa/insn/logic.ts.
 * Document: SDM volume 2, AND OR XOR TEST NOT.
 * Left out: random values, which the check against the host's processor has.
 */

import { ARITHMETIC, both, everyKind, M, type Row, type Vectors, WITHOUT_AF } from "./vectors.ts";

/** TEST has no form with a register destination and a memory source: its operands may stand in either order. */
const TEST: readonly Row[] = everyKind("test", [0xf0f0, 0x8080], {}, 0xf0f0, "", WITHOUT_AF);

export const VECTORS: Vectors = {
  both: [
    ...everyKind("and", [0x0fff_ffff, 0xff00], { flags: "CF OF" }, 0xff00, "PF", WITHOUT_AF),
    ...everyKind("or", [0x8000_0000, 1], { flags: "CF OF" }, 0x8000_0001, "SF", WITHOUT_AF),
    ...everyKind("xor", [0xff, 0xff], { flags: "CF" }, 0, "PF ZF", WITHOUT_AF),
    ...TEST,
    [{ rax: 0x8000, flags: "CF OF" }, "or ax, 1", { rax: 0x8001, flags: "SF" }, WITHOUT_AF],
    [{ rax: 5, flags: "CF" }, "xor eax, eax", { rax: 0, flags: "PF ZF" }, WITHOUT_AF],
    [{ m: 0x1122_3344_5566_7788n }, "xor byte ptr [0x300003], 0x55", { m: 0x1122_3344_0066_7788n }, ""],
    ...both("not", 0x5555_5555, { flags: ARITHMETIC }, 0xaaaa_aaaa, ARITHMETIC),
    [{ rax: 0x55, flags: ARITHMETIC }, "not al", { rax: 0xaa, flags: ARITHMETIC }],
    // F6 /1 is TEST too.
    [{ rax: 0x81 }, ".byte 0xf6, 0xc8, 0x80", { rax: 0x81, flags: "SF" }, WITHOUT_AF],
    [{ m: 0x81 }, `lock or byte ptr ${M}, 2`, { m: 0x83, flags: "SF" }, WITHOUT_AF],
  ],
};
