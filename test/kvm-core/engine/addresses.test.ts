/**
 * Addresses in 64-bit mode: bases of FS and GS, 32-bit addresses, ignored segments, RIP-relative ones of any distance.
 * Document: SDM volume 3, 3.4.4 (segments in IA-32e mode); volume 1, 3.7.5.1; volume 2A, 2.2.1.6 (RIP-relative).
 * Left out: addresses that are not canonical: stack-bounds.test.ts.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TABLES, TestMachine } from "../support/machine.ts";

/** FS and GS begin here, above 4 GiB; the page with their 3 MiB is guest-physical 5 MiB. */
const HIGH = 0x1_0000_0000n;
const OWN = 0x50_0000;
/** DS and ES, whose bases 64-bit mode ignores. */
const LOW = 0x30_0000;
const OWN_VALUE = 0x1122_3344;
const LOW_VALUE = 0x5566_7788;

type Values = Readonly<Record<string, bigint>>;
const ROWS: readonly (readonly [before: Values, code: string, after: Values])[] = [
  [{ rbx: 0x30_0000n }, "mov eax, [rbx]", { rax: BigInt(LOW_VALUE) }],
  [{ rbx: 0x30_0000n }, "mov eax, es:[rbx]", { rax: BigInt(LOW_VALUE) }],
  [{ rbp: 0x30_0000n }, "mov eax, ds:[rbp]", { rax: BigInt(LOW_VALUE) }],
  [{ rbx: 0x30_0000n }, "mov eax, fs:[rbx]", { rax: BigInt(OWN_VALUE) }],
  [{ rbx: 0x2f_0000n, rcx: 0x8000n }, "mov eax, fs:[rbx+rcx*2]", { rax: BigInt(OWN_VALUE) }],
  [{}, "mov eax, gs:[0x300000]", { rax: BigInt(OWN_VALUE) }],
  [{ rbx: 0xffff_0000_0030_0000n }, "mov eax, fs:[ebx]", { rax: BigInt(OWN_VALUE) }],
  [{ rbx: 0xffff_fff0n, rcx: 0xc_0004n }, "mov eax, gs:[ebx+ecx*4]", { rax: BigInt(OWN_VALUE) }],
  [{ rbx: 0xffff_0000_0030_0000n }, "mov eax, [ebx]", { rax: BigInt(LOW_VALUE) }],
  [{}, "movabs eax, fs:[0x300000]", { rax: BigInt(OWN_VALUE) }],
  [{ rbx: 0x30_0000n, rax: 9n }, "mov fs:[rbx+8], eax; add dword ptr gs:[rbx+8], 1; mov ecx, fs:[rbx+8]", { rcx: 10n }],
  [{ rbx: 0x30_0000n, rax: 9n }, "lea rcx, fs:[rbx+8]", { rcx: 0x30_0008n }],
  [{ rbx: 0x1_0030_0000n }, "lea rcx, [ebx+8]", { rcx: 0x30_0008n }],
  [{ rsi: 0x30_0000n }, "lods eax, dword ptr fs:[rsi]", { rax: BigInt(OWN_VALUE) }],
  [{ rsi: 0x7_0030_0000n }, "lods eax, dword ptr fs:[esi]", { rax: BigInt(OWN_VALUE), rsi: 0x30_0004n }],
  [{ rsi: 0x30_0000n }, "lods eax, dword ptr es:[rsi]", { rax: BigInt(LOW_VALUE) }],
  [{ rbx: 0x30_0000n, rax: 1n }, "xlat byte ptr fs:[rbx]", { rax: 0x33n }],
  [{ rbx: 0x30_0000n, rax: 2n }, "bt dword ptr fs:[rbx], eax; setc cl", { rcx: 1n }],
  [{}, "lea rax, [rip+0x7fffffff]", { rax: 0x8010_0006n }],
  [{}, "lea rax, [rip-0x80000000]", { rax: 0xffff_ffff_8010_0007n }],
  [{}, "lea rax, [eip-0x80000000]", { rax: 0x8010_0008n }],
  [{}, "mov eax, [rip+0x1ffffa]", { rax: BigInt(LOW_VALUE) }],
  [{}, "mov eax, fs:[rip+0x1ffff9]", { rax: BigInt(OWN_VALUE) }],
  [{}, "mov eax, [eip+0x1ffff9]", { rax: BigInt(LOW_VALUE) }],
];

describe.each(ENGINES)("%s", (engine) => {
  it.each(ROWS)("%o %s", (before, text, after) => {
    const machine = new TestMachine(engine, 64);
    machine.setU64(TABLES + 0x1000 + 4 * 8, 0x6_2003n);
    machine.setU64(0x6_2000 + 8, 0x40_0083n);
    const { fs, ds } = machine.sregs;
    const small = { ...ds, base: 0x10_0000n, limit: 0xfff };
    machine.setSregs({
      fs: { ...fs, base: HIGH, limit: 0 },
      gs: { ...fs, base: HIGH, limit: 0 },
      ds: small,
      es: small,
    });
    machine.setU32(OWN, OWN_VALUE);
    machine.setU32(LOW, LOW_VALUE);
    machine.set({ rax: 0n, rcx: 0n, ...before });
    expect(machine.run(assemble(text, 64)), machine.engine.errorDetail).toBe(EngineExit.HLT);
    for (const [name, value] of Object.entries(after)) expect(machine.regs[name as "rax"], name).toBe(value);
  });

  it.each([
    ["bt dword ptr [eax], ecx", 0xffff_fe10],
    ["bt dword ptr [rax+0x1000], ecx", 0xe10],
    ["bts dword ptr fs:[eax], ecx", 0xffff_fe10],
  ])("64-bit: the offset of %s is cut to its size after the bit string's displacement was added", (code, expected) => {
    const machine = new TestMachine(engine, 64, 4 << 20);
    for (const page of [0, 0xffff_f000]) machine.mapPage(page, 0);
    const seen: number[] = [];
    machine.mmioRead = (gpa) => {
      seen.push(gpa);
      return 0n;
    };
    machine.set({ rax: 16n, rcx: 0xffff_f000n });
    machine.run(assemble(code, 64));
    expect(seen).toEqual([expected]);
  });

  it("goes on with RIP-relative addresses over the end of 32 bits of displacement", () => {
    const machine = new TestMachine(engine, 64);
    // Near the end of a page, where page offset and displacement together leave 32 bits.
    const at = 0x10_0ff0;
    machine.run(assemble("lea rax, [rip+0x7fffffff]; lea rbx, fs:[rip+0x7ffffff0]", 64), at);
    expect(machine.regs).toMatchObject({ rax: BigInt(at + 7 + 0x7fff_ffff), rbx: BigInt(at + 15 + 0x7fff_fff0) });
    machine.mapPage(0x8010_1000, 0x1000_0000 + 0x50_0000);
    machine.setU32(0x50_0000, 77);
    const displacement = 0x8010_1000 - (0x10_1ff0 + 6);
    const next = assemble(`mov eax, [rip+${displacement}]`, 64);
    expect(machine.run(next, 0x10_1ff0), machine.engine.errorDetail).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(77n);
    // The same with a segment's base.
    machine.setSregs({ fs: { ...machine.sregs.fs, base: 0x1000n } });
    machine.mapPage(0x8010_3000, 0x1000_0000 + 0x50_1000);
    machine.setU32(0x50_1000, 78);
    const withBase = assemble(`mov eax, fs:[rip+${0x8010_2000 - (0x10_2ff0 + 7)}]`, 64);
    expect(machine.run(withBase, 0x10_2ff0), machine.engine.errorDetail).toBe(EngineExit.HLT);
    expect(machine.regs.rax).toBe(78n);
  });
});
