/**
 * Instructions that 64-bit mode has not: decimal adjustments for every input, BOUND; and VEX where no LES or LDS can be.
 * Document: SDM volume 2, AAA AAD AAM AAS DAA DAS BOUND LDS.
 * Left out: flags that the manual leaves undefined.
 */

import { describe, expect, it } from "vitest";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";
import { runToFault, setSegments, USER_CODE, userMachine } from "../support/segments.ts";

const { CF, PF, AF, ZF, SF } = RFLAGS;
const CODE = 0x10_0000;

interface Result {
  readonly ax: number;
  readonly flags: number;
}
/** SF, ZF and PF of a byte. */
function byteFlags(al: number): number {
  const ones = [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => al & (1 << bit)).length;
  return (al & 0x80 ? SF : 0) | (al === 0 ? ZF : 0) | (ones % 2 === 0 ? PF : 0);
}

/** The manual's operations. */
function daa(ax: number, af: boolean, cf: boolean): Result {
  const old = ax & 0xff;
  let al = old;
  let flags = 0;
  if ((al & 15) > 9 || af) {
    al = (al + 6) & 0xff;
    flags |= AF;
  }
  if (old > 0x99 || cf) {
    al = (al + 0x60) & 0xff;
    flags |= CF;
  }
  return { ax: (ax & 0xff00) | al, flags: flags | byteFlags(al) };
}
function das(ax: number, af: boolean, cf: boolean): Result {
  const old = ax & 0xff;
  let al = old;
  let flags = 0;
  if ((al & 15) > 9 || af) {
    if (al < 6 || cf) flags |= CF;
    al = (al - 6) & 0xff;
    flags |= AF;
  }
  if (old > 0x99 || cf) {
    al = (al - 0x60) & 0xff;
    flags |= CF;
  }
  return { ax: (ax & 0xff00) | al, flags: flags | byteFlags(al) };
}
const unpacked =
  (delta: number) =>
  (before: number, af: boolean): Result => {
    const adjusts = (before & 15) > 9 || af;
    const ax = adjusts ? (before + delta) & 0xffff : before;
    return { ax: ax & 0xff0f, flags: adjusts ? AF | CF : 0 };
  };

const ADJUSTMENTS = [
  ["daa", daa, CF | PF | AF | ZF | SF],
  ["das", das, CF | PF | AF | ZF | SF],
  ["aaa", unpacked(0x106), CF | AF],
  ["aas", unpacked(-0x106), CF | AF],
] as const;

describe.each(ENGINES)("%s", (engine) => {
  const machine = new TestMachine(engine, 32);

  it.each(ADJUSTMENTS)("%s of every AL, with and without carries", (name, operation, defined) => {
    const at = CODE + ADJUSTMENTS.findIndex((row) => row[0] === name) * 16;
    machine.write(at, assemble(`${name}; hlt`, 32));
    for (let n = 0; n < 0x1000; n++) {
      // AH is 12h, or 0, where AAS borrows.
      const ax = (n & 0x800 ? 0x1200 : 0) | (n & 0xff);
      const [af, cf] = [(n & 0x100) !== 0, (n & 0x200) !== 0];
      machine.set({
        rip: BigInt(at),
        rax: BigInt(0x5566_0000 | ax),
        rflags: BigInt(2 | (af ? AF : 0) | (cf ? CF : 0)),
      });
      machine.engine.run();
      const wanted = operation(ax, af, cf);
      expect(Number(machine.regs.rax), `${name} ${n.toString(16)}`).toBe(0x5566_0000 | wanted.ax);
      expect(Number(machine.regs.rflags) & defined, `${name} ${n.toString(16)}`).toBe(wanted.flags);
    }
  });

  it("aam and aad, in any base", () => {
    const codes = [10, 16, 255].flatMap((base) => [[`aam ${base}`, base] as const, [`aad ${base}`, base] as const]);
    codes.forEach(([text, base], i) => {
      const at = CODE + 0x4000 + i * 16;
      machine.write(at, assemble(`${text}; hlt`, 32));
      for (let ax = 0; ax < 0x1_0000; ax += 0x113) {
        machine.set({ rip: BigInt(at), rax: BigInt(ax), rflags: 2n });
        machine.engine.run();
        const al = ax & 0xff;
        const sum = ((ax >> 8) * base + al) & 0xff;
        const after = text.startsWith("aam") ? (Math.floor(al / base) << 8) | (al % base) : sum;
        expect(Number(machine.regs.rax), `${text} ${ax}`).toBe(after);
        expect(Number(machine.regs.rflags) & (PF | ZF | SF)).toBe(byteFlags(after & 0xff));
      }
    });
  });

  describe("exceptions", () => {
    const user = userMachine(engine);
    const rows: readonly (readonly [text: string, edi: number, vector: number])[] = [
      ["aam 0", 0, 0],
      ["bound edi, [0x300000]", -5, -1],
      ["bound edi, [0x300000]", 7, -1],
      ["bound edi, [0x300000]", -6, 5],
      ["bound edi, [0x300000]", 8, 5],
      ["bound di, [0x300000]", 0x1_0000, 5],
      ["bound di, [0x300000]", 0xfffe, -1],
      // C4 and C5 with a register are VEX prefixes, 62 an EVEX prefix: CPUID has BMI1, but neither AVX nor AVX-512.
      [".byte 0xc5, 0xf8, 0x77", 0, 6],
      [".byte 0xc4, 0xe2, 0x78, 0xf7, 0xc0", 0, -1],
      [".byte 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0", 0, 6],
    ];
    it.each(rows.map((row, i) => [...row, i] as const))("%s with EDI %i: %i", (text, edi, vector, i) => {
      user.setU32(0x30_0000, -5 >>> 0);
      user.setU32(0x30_0004, 7);
      const at = USER_CODE + i * 32;
      user.write(at, assemble(`${text}; int 3`, 32));
      user.setGate(0x9000, 3, 0xa003);
      user.setU32(0x9000 + 3 * 8 + 4, user.u32(0x9000 + 3 * 8 + 4) | 0x6000);
      setSegments(user, {});
      user.set({ rdi: BigInt(edi >>> 0) });
      const caught = runToFault(user, at);
      // Vector 6 is what runToFault() has for "nothing came up"; here that is INT3.
      if (vector === -1) expect(caught.vector).toBe(3);
      else expect(caught).toMatchObject({ vector: vector === 6 ? -1 : vector, rip: at });
    });
  });

  it("64-bit mode has none of them", () => {
    const long = new TestMachine(engine, 64);
    for (const code of [[0x27], [0x37], [0xd4, 10], [0x62, 0x00], [0xc4, 0x00], [0xc5, 0x00]]) {
      // No IDT: an exception shuts the machine down, with RIP at its instruction.
      expect(long.run(code, CODE + code[0]! * 16)).toBe(EngineExit.SHUTDOWN);
      expect(long.regs.rip).toBe(BigInt(CODE + code[0]! * 16));
    }
  });
});
