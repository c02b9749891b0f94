/**
 * Vectors of kvm-core/isa/insn/shift.ts.
 * Document: SDM volume 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD.
 * Left out: flags that the manual leaves undefined: OF of counts above 1, AF.
 */

import { ARITHMETIC, M, type Row, type Vectors, WITHOUT_AF } from "./vectors.ts";

const VALUE = 0x8000_0001;

/** By 1 and by 4, in each kind of operands. `looksAt`: a rotate changes CF and OF alone. */
function shifts(
  operation: string,
  [one, oneFlags]: readonly [number, string],
  [four, fourFlags]: readonly [number, string],
  looksAt: string,
): Row[] {
  const before = { flags: operation.startsWith("rc") ? "CF" : "" };
  const without = looksAt.replace(" OF", "");
  return [
    [{ ...before, rax: VALUE }, `${operation} eax, 1`, { rax: one, flags: oneFlags }, looksAt],
    [{ ...before, m: VALUE }, `${operation} dword ptr ${M}, 1`, { m: one, flags: oneFlags }, looksAt],
    [{ ...before, rax: VALUE }, `${operation} eax, 4`, { rax: four, flags: fourFlags }, without],
    [{ ...before, m: VALUE }, `${operation} dword ptr ${M}, 4`, { m: four, flags: fourFlags }, without],
    [{ ...before, rax: VALUE, rcx: 4 }, `${operation} eax, cl`, { rax: four, flags: fourFlags }, without],
    [{ ...before, m: VALUE, rcx: 36 }, `${operation} dword ptr ${M}, cl`, { m: four, flags: fourFlags }, without],
  ];
}

/** By 8: EBX's bits come in. */
function doubles(operation: string, result: number, flags: string): Row[] {
  const [a, b] = [0x1234_5678, 0x9abc_def0];
  return [
    [{ rax: a, rbx: b }, `${operation} eax, ebx, 8`, { rax: result, flags }, "CF PF ZF SF"],
    [{ m: a, rbx: b }, `${operation} dword ptr ${M}, ebx, 8`, { m: result, flags }, "CF PF ZF SF"],
    [{ rax: a, rbx: b, rcx: 40 }, `${operation} eax, ebx, cl`, { rax: result, flags }, "CF PF ZF SF"],
    [{ m: a, rbx: b, rcx: 8 }, `${operation} dword ptr ${M}, ebx, cl`, { m: result, flags }, "CF PF ZF SF"],
  ];
}

export const VECTORS: Vectors = {
  both: [
    ...shifts("rol", [0x0000_0003, "CF OF"], [0x0000_0018, ""], "CF OF"),
    ...shifts("ror", [0xc000_0000, "CF"], [0x1800_0000, ""], "CF OF"),
    ...shifts("rcl", [0x0000_0003, "CF OF"], [0x0000_001c, ""], "CF OF"),
    ...shifts("rcr", [0xc000_0000, "CF"], [0x3800_0000, ""], "CF OF"),
    ...shifts("shl", [0x0000_0002, "CF OF"], [0x0000_0010, ""], WITHOUT_AF),
    ...shifts("shr", [0x4000_0000, "CF PF OF"], [0x0800_0000, "PF"], WITHOUT_AF),
    ...shifts("sar", [0xc000_0000, "CF PF SF"], [0xf800_0000, "PF SF"], WITHOUT_AF),
    ...doubles("shld", 0x3456_789a, "PF"),
    ...doubles("shrd", 0xf012_3456, "PF SF"),
    // A count of zero changes no flag, rotates change CF and OF alone.
    [{ rax: 1, rcx: 32, flags: ARITHMETIC }, "shl eax, cl", { rax: 1, flags: ARITHMETIC }],
    [{ rax: 0x8000_0000, flags: "ZF PF" }, "rol eax, 1", { rax: 1, flags: "CF PF ZF OF" }],
    [{ rax: 1, flags: "SF" }, "ror eax, 1", { rax: 0x8000_0000, flags: "CF SF OF" }],
    [{ rax: 0x80, flags: "CF" }, "rcl al, 1", { rax: 1, flags: "CF OF" }],
    [{ rax: 1, flags: "CF" }, "rcr al, 1", { rax: 0x80, flags: "CF OF" }],
    [{ rax: 0x12, rcx: 9, flags: "CF" }, "rcl al, cl", { rax: 0x12, flags: "CF" }, "CF"],
    [{ rax: 0x81 }, "sar al, 1", { rax: 0xc0, flags: "CF PF SF" }, WITHOUT_AF],
  ],
  only64: [
    [{ rax: 1n << 63n }, "sar rax, 63", { rax: 0xffff_ffff_ffff_ffffn, flags: "PF SF" }, "CF PF ZF SF"],
    [{ rax: 1n << 63n, rcx: 65 }, "shl rax, cl", { rax: 0, flags: "CF PF ZF OF" }, WITHOUT_AF],
  ],
};
