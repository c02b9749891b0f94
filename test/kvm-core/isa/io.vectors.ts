/**
 * Vectors of kvm-core/isa/insn/io.ts.
 * Document: SDM volume 2, IN OUT.
 * Left out: what an exit is: test/kvm-core/engine/exits.test.ts.
 */

import type { Vectors } from "./vectors.ts";

export const VECTORS: Vectors = {
  both: [
    [{ rax: 0xaabb_ccdd }, "in al, 0x40", { rax: 0xaabb_cc78 }],
    [{ rax: 0xaabb_ccdd, rdx: 0x3f8 }, "in ax, dx", { rax: 0xaabb_5678 }],
    [{ rax: 0xaabb_ccdd, rdx: 0x3f8 }, "in eax, dx", { rax: 0x1234_5678 }],
    [{ rax: 0xaabb_ccdd }, "out 0xf4, al", { out: "f4 1 dd" }],
    [{ rax: 0xaabb_ccdd, rdx: 0x3f8 }, "out dx, ax; out dx, eax", { out: "3f8 2 ccdd, 3f8 4 aabbccdd" }],
  ],
};
