/**
 * Vectors of kvm-core/isa/insn/bcd.ts.
 * Document: SDM volume 2, AAA AAD AAM AAS DAA DAS, with the examples of their pages.
 * Left out: every input: test/kvm-core/engine/legacy.test.ts. Flags that the manual leaves undefined.
 */

import type { Vectors } from "./vectors.ts";

const PACKED = "CF PF AF ZF SF";
const UNPACKED = "CF AF";
const SPLIT = "PF ZF SF";

export const VECTORS: Vectors = {
  both: [],
  only32: [
    [{ rax: 0x79, rbx: 0x35 }, "add al, bl; daa", { rax: 0x14, flags: "CF PF AF" }, PACKED],
    [{ rax: 0x2e }, "daa", { rax: 0x34, flags: "AF" }, PACKED],
    [{ rax: 0x35, rbx: 0x47 }, "sub al, bl; das", { rax: 0x88, flags: "CF PF AF SF" }, PACKED],
    // The low digit's borrow counts as well.
    [{ rax: 0x1203, flags: "AF" }, "das", { rax: 0x12fd, flags: "CF AF SF" }, PACKED],
    [{ rax: 0x1209, rbx: 8 }, "add al, bl; aaa", { rax: 0x1307, flags: "CF AF" }, UNPACKED],
    [{ rax: 0x12f9, flags: "CF" }, "aaa", { rax: 0x1209, flags: "" }, UNPACKED],
    [{ rax: 0x1203, rbx: 8 }, "sub al, bl; aas", { rax: 0x1105, flags: "CF AF" }, UNPACKED],
    [{ rax: 0x12_3448 }, "aam", { rax: 0x12_0702, flags: "" }, SPLIT],
    [{ rax: 0x3448 }, "aam 16", { rax: 0x0408, flags: "" }, SPLIT],
    [{ rax: 0x12_0702 }, "aad", { rax: 0x12_0048, flags: "PF" }, SPLIT],
    [{ rax: 0x0f10 }, "aad 16", { rax: 0x0000, flags: "PF ZF" }, SPLIT],
  ],
};
