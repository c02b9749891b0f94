/**
 * Who may execute what: instructions of privilege level 0, those that CR4 gives or takes, and those that always fault.
 * Document: SDM volume 2, the exceptions of each instruction; volume 3, 2.5 (CR4) and 5.9.
 * Left out: what the instructions do: test/kvm-core/isa/system.vectors.ts; ports: io-permission.test.ts.
 */

import { beforeAll, describe, expect, it } from "vitest";
import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { assembleAll } from "../support/asm.ts";
import { ENGINES, type Mode, type TestEngine } from "../support/machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL } from "../support/rings.ts";

const [UD, GP] = [6, 13];
const NONE = -1;

/** instruction, vector at level 3, at level 0, CR4. */
type Row = readonly [code: string, user: number, kernel: number, cr4?: number];
const MEMORY = "[0x300000]";
const ROWS: readonly Row[] = [
  ["hlt", GP, NONE],
  ["clts", GP, NONE],
  ["invlpg [0x300000]", GP, NONE],
  ["wbinvd", GP, NONE],
  ["invd", GP, NONE],
  ["mov ecx, 0x174; rdmsr", GP, NONE],
  ["mov ecx, 0x174; xor eax, eax; xor edx, edx; wrmsr", GP, NONE],
  ["xor eax, eax; lmsw ax", GP, NONE],
  [`lgdt ${MEMORY}`, GP, NONE],
  [`lidt ${MEMORY}`, GP, NONE],
  ["xor eax, eax; lldt ax", GP, NONE],
  ["rdtsc", NONE, NONE],
  ["rdtsc", GP, NONE, CR4.TSD],
  ["rdtscp", NONE, NONE],
  ["rdtscp", GP, NONE, CR4.TSD],
  // There are no counters, whoever may read them.
  ["rdpmc", GP, GP],
  ["rdpmc", GP, GP, CR4.PCE],
  [`mov eax, 0x300000; xor ecx, ecx; monitor`, UD, NONE],
  [`mov eax, 0x300000; mov ecx, 1; monitor`, UD, GP],
  ["xor ecx, ecx; mwait", UD, NONE],
  ["mov ecx, 1; mwait", UD, NONE],
  ["mov ecx, 2; mwait", UD, GP],
  ["clac", UD, NONE],
  ["stac", UD, NONE],
  ["rsm", UD, UD],
  ["ud2", UD, UD],
  [".byte 0x0f, 0xb9, 0xc0", UD, UD],
  [".byte 0x0f, 0xff, 0xc0", UD, UD],
  ...["smsw ax", "sldt ax", "str ax", `sgdt ${MEMORY}`, `sidt ${MEMORY}`, `smsw word ptr ${MEMORY}`].flatMap(
    (code): Row[] => [
      [code, NONE, NONE],
      [code, GP, NONE, CR4.UMIP],
    ],
  ),
  // Virtual machine extensions, of either kind, are not of this CPU model.
  ...["vmcall", "vmlaunch", "vmresume", "vmxoff", "vmmcall", "vmrun", "clgi", "stgi"].map(
    (code): Row => [code, UD, UD],
  ),
  ...["0x0f, 0xc7, 0x30", "0xf3, 0x0f, 0xc7, 0x30", "0x66, 0x0f, 0xc7, 0x30", "0x0f, 0xc7, 0x38"].map(
    (bytes): Row => [`mov eax, 0x300000; .byte ${bytes}`, UD, UD],
  ),
  [".byte 0x0f, 0x78, 0xc0", UD, UD],
  [".byte 0x0f, 0x79, 0xc0", UD, UD],
  // CLFLUSH and its like fault as a load does.
  ["clflush [0x300000]", NONE, NONE],
];

const codes = new Map<string, Uint8Array>();
beforeAll(() => {
  for (const mode of [32, 64] as const) {
    assembleAll(
      ROWS.map(([code]) => code),
      mode,
    ).forEach((bytes, i) => {
      codes.set(`${ROWS[i]![0]} ${mode}`, bytes);
    });
  }
});

/** Runs the code up to the exception, or to the UD2 behind it. */
function vectorOf(engine: TestEngine, mode: Mode, cpl: number, code: string, cr4: number): number {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  for (let v = 0; v < 32; v++) machine.write(HANDLER + v * 16, [0xf4]);
  machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(cr4) });
  machine.runAt(cpl);
  const bytes = codes.get(`${code} ${mode}`)!;
  machine.write(CODE, [...bytes, 0x0f, 0x0b]);
  machine.set({ rflags: 2n });
  machine.engine.run();
  if (Number(machine.regs.rip) === CODE + bytes.length) return NONE;
  const vector = (Number(machine.regs.rip) - 1 - HANDLER) / 16;
  const at = machine.slots(mode === 64 ? 8 : 4, 2)[vector === GP ? 1 : 0];
  return vector === UD && at === CODE + bytes.length ? NONE : vector;
}

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%s-bit", (mode) => {
    it.each(ROWS.map(([code, user, kernel, cr4 = 0]) => [code, user, kernel, cr4] as const))(
      "%s: %i above level 0, else %i, CR4 %i",
      (code, user, kernel, cr4) => {
        expect(vectorOf(engine, mode, 3, code, cr4)).toBe(user);
        expect(vectorOf(engine, mode, 0, code, cr4)).toBe(kernel);
      },
    );
  });

  it("CLFLUSH faults where a load would", () => {
    const machine = new RingMachine(engine, 64);
    for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
    machine.set({ rax: 0x8000_0000_0000n });
    machine.step(Uint8Array.of(0x0f, 0xae, 0x38));
    expect(Number(machine.regs.rip)).toBe(HANDLER + GP * 16);
    const hole = 0x60_0000;
    machine.setU64(0x3000 + (hole >> 21) * 8, 0n);
    machine.runAt(0);
    machine.set({ rax: BigInt(hole + 5) });
    machine.step(Uint8Array.of(0x0f, 0xae, 0x38));
    expect(Number(machine.regs.rip)).toBe(HANDLER + 14 * 16);
    expect([machine.sregs.cr2, machine.slots(8, 1)[0]]).toEqual([BigInt(hole + 5), 0]);
  });
});
