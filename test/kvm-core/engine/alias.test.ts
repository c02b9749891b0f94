/**
 * Code that is mapped at two linear addresses: each goes on in the page that follows there.
 * Document: SDM volume 3, 4.10; architecture.md section 5 (blocks are found by guest-physical address).
 * Left out: the same address mapped elsewhere after a change of CR3: jump-cache.test.ts.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TABLES, TestMachine } from "../support/machine.ts";

const PAGE = 0x1000;
/** One page of code, followed by either of two others. */
const CODE = 0x50_0000;
const FIRST = 0x60_0000;
const SECOND = 0x61_0000;
/** The linear addresses: 2 MiB each of 4 KiB pages. */
const ALIASES = [0x4000_0000, 0x4020_0000] as const;
const MAPS = 0x40_0000;

describe.each(ENGINES)("%s", (engine) => {
  it.each([
    ["a jump to the next page", 0x100, "jmp .+0xf00"],
    ["a condition that holds there", 0x100, "test eax, eax; je .+0xefe"],
    ["the end of the page", 0xffe, "nop; nop"],
    ["an instruction that crosses it", 0xffd, ".byte 0xb9, 1, 0"],
    ["a jump to one that crosses it", 0x100, "jmp .+0xefd"],
  ])("%s", (_, offset, code) => {
    const machine = new TestMachine(engine, 64);
    // The GiB at 1 GiB has a directory of its own.
    machine.setU64(TABLES + 0x1000 + 8, BigInt(MAPS) | 3n);
    ALIASES.forEach((_, i) => {
      const table = MAPS + (i + 1) * PAGE;
      machine.setU64(MAPS + i * 8, BigInt(table) | 3n);
      machine.setU64(table, BigInt(CODE) | 3n);
      machine.setU64(table + 8, BigInt(i === 0 ? FIRST : SECOND) | 3n);
    });
    const crosses = code.includes("byte") || code.includes("0xefd");
    machine.write(CODE + offset, assemble(code, 64));
    if (code.includes("0xefd")) machine.write(CODE + 0xffd, [0xb9, 1, 0]);
    // The rest of MOV ECX, imm32 where it crosses; then a number of the page's own.
    const rest = (n: number) => assemble(`${crosses ? `.byte ${n}, 0;` : ""} mov ebx, ${n}; hlt`, 64);
    machine.write(FIRST, rest(1));
    machine.write(SECOND, rest(2));
    for (const which of [0, 1, 0, 1, 1, 0, 0, 1]) {
      machine.set({ rip: BigInt(ALIASES[which]! + offset), rax: 0n, rbx: 0n, rcx: 0n });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rbx).toBe(BigInt(which + 1));
      expect(machine.regs.rcx).toBe(crosses ? BigInt(((which + 1) << 16) | 1) : 0n);
    }
  });
});
