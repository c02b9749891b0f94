/**
 * Vectors of kvm-core/isa/insn/flagops.ts.
 * Document: SDM volume 2, CLC STC CMC CLD STD LAHF SAHF CLI STI CLAC STAC; and SALC.
 * Left out: the interrupt shadow of STI: interrupts.test.ts. What AC means with SMAP: tlb.test.ts.
 */

import { ARITHMETIC, type Vectors } from "./vectors.ts";

export const VECTORS: Vectors = {
  both: [
    [{ flags: ARITHMETIC }, "clc", { flags: "PF AF ZF SF OF" }],
    [{ flags: "OF" }, "stc", { flags: "CF OF" }],
    [{ flags: "CF" }, "cmc", { flags: "" }],
    [{ flags: "ZF" }, "cmc", { flags: "CF ZF" }],
    [{ flags: "DF CF" }, "cld", { flags: "CF" }, "DF CF"],
    [{ flags: "CF" }, "std", { flags: "DF CF" }, "DF CF"],
    [{ flags: ARITHMETIC }, "lahf", { rax: 0xd700 }],
    [{ rax: 0x12_34ff, flags: "" }, "lahf", { rax: 0x12_02ff }],
    [{ rax: 0xd700, flags: "OF" }, "sahf", { flags: ARITHMETIC }],
    [{ rax: 0x0000, flags: ARITHMETIC }, "sahf", { flags: "OF" }],
    [{ flags: "CF" }, "stac", { flags: "AC CF" }, "AC CF"],
    [{ flags: "AC CF" }, "clac", { flags: "CF" }, "AC CF"],
    [{ flags: "IF" }, "cli", { flags: "" }, "IF"],
    [{ flags: "" }, "sti", { flags: "IF" }, "IF"],
  ],
  // SALC, which the assembler does not know.
  only32: [
    [{ rax: 0x1234, flags: "CF ZF" }, ".byte 0xd6", { rax: 0x12ff, flags: "CF ZF" }],
    [{ rax: 0x1234, flags: "SF" }, ".byte 0xd6", { rax: 0x1200, flags: "SF" }],
  ],
};
