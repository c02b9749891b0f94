/**
 * The sixteen conditions on every combination of the arithmetic flags.
 * Document: SDM volume 1, appendix B.
 * Left out: how instructions set flags: engine/vectors.test.ts.
 */

import { describe, expect, it } from "vitest";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";

type Flags = Readonly<Record<"c" | "p" | "z" | "s" | "o", boolean>>;
/** In the order of the opcodes' low four bits; the odd ones are the opposites. */
const EVEN: readonly (readonly [name: string, holds: (f: Flags) => boolean])[] = [
  ["o", (f) => f.o],
  ["b", (f) => f.c],
  ["e", (f) => f.z],
  ["be", (f) => f.c || f.z],
  ["s", (f) => f.s],
  ["p", (f) => f.p],
  ["l", (f) => f.s !== f.o],
  ["le", (f) => f.z || f.s !== f.o],
];
const CODE = 0x10_0000;

describe.each(ENGINES)("%s", (engine) => {
  const machine = new TestMachine(engine, 32);
  // SETcc AL for all sixteen: 0F 90+cc C0, and HLT.
  for (let cc = 0; cc < 16; cc++) machine.write(CODE + cc * 16, [0x0f, 0x90 + cc, 0xc0, 0xf4]);

  it.each(EVEN.map(([name, holds], i) => [name, holds, i * 2] as const))("%s and its opposite", (_name, holds, cc) => {
    for (let n = 0; n < 64; n++) {
      const on = (i: number): boolean => (n & (1 << i)) !== 0;
      const flags = { c: on(0), p: on(1), z: on(2), s: on(3), o: on(4) };
      const { CF, PF, ZF, SF, OF, AF } = RFLAGS;
      const rflags = [CF, PF, ZF, SF, OF, AF].reduce((all, bit, i) => all | (on(i) ? bit : 0), 2);
      for (const opposite of [0, 1]) {
        machine.set({ rip: BigInt(CODE + (cc + opposite) * 16), rflags: BigInt(rflags), rax: 0n });
        machine.engine.run();
        expect(machine.regs.rax, `flags ${rflags.toString(16)}`).toBe(holds(flags) !== (opposite === 1) ? 1n : 0n);
        expect(machine.regs.rflags).toBe(BigInt(rflags));
      }
    }
  });
});
