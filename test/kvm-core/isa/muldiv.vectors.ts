/**
 * Vectors of kvm-core/isa/insn/muldiv.ts.
 * Document: SDM volume 2, MUL IMUL DIV IDIV CBW/CWDE/CDQE CWD/CDQ/CQO.
 * Left out: #DE: test/kvm-core/engine/exceptions.test.ts.
 */

import { M, type Vectors } from "./vectors.ts";

const D = `dword ptr ${M}`;

export const VECTORS: Vectors = {
  both: [
    [{ rax: 0x10, rbx: 0x10 }, "mul bl", { rax: 0x100, flags: "CF OF" }, "CF OF"],
    [{ rax: 0xffff_ffff, rbx: 2 }, "mul ebx", { rax: 0xffff_fffe, rdx: 1, flags: "CF OF" }, "CF OF"],
    [{ rax: 3, m: 5, flags: "CF OF" }, `mul ${D}`, { rax: 15, rdx: 0, flags: "" }, "CF OF"],
    [{ rax: 0xffff_ffff, rbx: 2 }, "imul ebx", { rax: 0xffff_fffe, rdx: 0xffff_ffff, flags: "" }, "CF OF"],
    [{ rax: 0x4000_0000, m: 4 }, `imul ${D}`, { rax: 0, rdx: 1, flags: "CF OF" }, "CF OF"],
    [{ rax: 7, rbx: 0xffff_fffd, flags: "CF" }, "imul eax, ebx", { rax: 0xffff_ffeb, flags: "" }, "CF OF"],
    [{ rax: 0x1_0000, m: 0x1_0000 }, `imul eax, ${M}`, { rax: 0, flags: "CF OF" }, "CF OF"],
    [{ rbx: 0x4000_0000 }, "imul ecx, ebx, 2", { rcx: 0x8000_0000, flags: "CF OF" }, "CF OF"],
    [{ m: 100 }, `imul ecx, ${D}, -1000`, { rcx: 0xfffe_7960, flags: "" }, "CF OF"],
    [{ rax: 7, rdx: 1, rbx: 0x10 }, "div ebx", { rax: 0x1000_0000, rdx: 7 }, ""],
    [{ rax: 100, m: 7 }, `div ${D}`, { rax: 14, rdx: 2 }, ""],
    [{ rax: 0xffff_fff9, rdx: 0xffff_ffff, rbx: 2 }, "idiv ebx", { rax: 0xffff_fffd, rdx: 0xffff_ffff }, ""],
    [{ rax: 7, m: 0xffff_fffe }, `idiv ${D}`, { rax: 0xffff_fffd, rdx: 1 }, ""],
    [{ rax: 0xfff9, rbx: 2 }, "idiv bl", { rax: 0xfffd }, ""],
    [{ rax: 0x80 }, "cbw", { rax: 0xff80 }],
    [{ rax: 0x1_8000 }, "cwde", { rax: 0xffff_8000 }],
    [{ rax: 0x8000_0000 }, "cdq", { rdx: 0xffff_ffff }],
    [{ rax: 0x7fff, rdx: 0x1_2345 }, "cwd", { rdx: 0x1_0000 }],
  ],
  only64: [
    [{ rax: 1n << 32n, rbx: 1n << 32n }, "mul rbx", { rax: 0, rdx: 1, flags: "CF OF" }, "CF OF"],
    [{ rax: -3n, rbx: 5n }, "imul rbx", { rax: -15n, rdx: -1n, flags: "" }, "CF OF"],
    [{ rdx: 1, rax: 0, rbx: 2 }, "div rbx", { rax: 1n << 63n, rdx: 0 }, ""],
    [{ rdx: -1n, rax: -7n, rbx: 2 }, "idiv rbx", { rax: -3n, rdx: -1n }, ""],
    [{ rax: 0x8000_0000n }, "cdqe", { rax: 0xffff_ffff_8000_0000n }],
    [{ rax: 1n << 63n }, "cqo", { rdx: -1n }],
  ],
};
