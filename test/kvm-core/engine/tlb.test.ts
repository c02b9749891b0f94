/**
 * What the TLBs keep and what takes it away: global pages, PCIDs, INVLPG, INVPCID, MOV to control registers, large pages;
 * and what changes of AC and CPL make of them.
 * Document: SDM volume 3, 4.10 (TLBs and PCIDs), 4.6.1 (SMAP); volume 2, MOV CR, INVLPG, INVPCID, STAC, CLAC.
 * Left out: what a processor may forget at any time: the tests know that these TLBs keep what nothing takes away.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { CR0, CR4, EFER, updateMode } from "../../../kvm-core/cpu/control.ts";
import { CPU, SEG } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, type Mode, TABLES, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const IDT = 0x9000;
const HANDLERS = 0xa000;
/** Tables of the tests: page directories and page tables for linear 1 GiB to 2 GiB. */
const PD = 0x2_0000;
const PT = 0x2_1000;
const DATA = 0x4000_0000;
/** Guest pages that the data page may lead to, each with its own number in it. */
const FRAMES = 0x30_0000;
const PRESENT = 3n;
const USER = 4n;
const GLOBAL = 0x100n;
const LARGE = 0x80n;

let machine: TestMachine;
/** Code that a row names more than once is assembled once. */
const assembled = new Map<string, Uint8Array>();
let nextCode = CODE;

/** Runs the code, at an address of its own; returns the exception's vector, or -1 if it came to its end. */
function run(text: string, mode: Mode = machine.mode): number {
  const key = `${mode} ${text}`;
  const code = assembled.get(key) ?? assemble(text, mode);
  assembled.set(key, code);
  nextCode += 0x100;
  machine.set({ rsp: 0x20_0000n });
  expect(machine.run(code, nextCode), machine.engine.errorDetail).toBe(EngineExit.HLT);
  const at = Number(machine.regs.rip) - 1 - HANDLERS;
  return at >= 0 && at < 32 ? at : -1;
}

const frame = (n: number): bigint => BigInt(FRAMES + n * 4096);
const map = (n: number, flags: bigint): void => machine.setU64(PT, frame(n) | PRESENT | flags);
/** The number in the frame that the data page leads to. */
function see(): number {
  expect(run(`mov eax, [${DATA}]`)).toBe(-1);
  return Number(machine.regs.rax);
}

describe.each(ENGINES)("%s", (engine) => {
  beforeEach(() => {
    nextCode = CODE;
    machine = new TestMachine(engine, 64, 8 << 20);
    for (let vector = 0; vector < 32; vector++) machine.setGate(IDT, vector, HANDLERS + vector);
    machine.write(HANDLERS, new Array(32).fill(0xf4));
    machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
    for (let n = 0; n < 16; n++) machine.setU32(FRAMES + n * 4096, n);
    machine.setU64(TABLES + 0x1000 + 8, BigInt(PD) | PRESENT | USER);
    machine.setU64(PD, BigInt(PT) | PRESENT | USER);
    map(1, 0n);
  });
  const cr4 = (bits: number): void => {
    expect(machine.setSregs({ cr4: BigInt(CR4.PAE | bits) })).toBe(true);
  };

  describe("global pages", () => {
    it.each([
      ["mov rax, cr3; mov cr3, rax", GLOBAL, CR4.PGE, 1],
      ["mov rax, cr3; mov cr3, rax", 0n, CR4.PGE, 2],
      ["mov rax, cr3; mov cr3, rax", GLOBAL, 0, 2],
      ["nop", 0n, 0, 1],
      [`invlpg [${DATA + 0x123}]`, GLOBAL, CR4.PGE, 2],
      [`invlpg [${DATA + 0x1000}]`, 0n, CR4.PGE, 1],
      ["mov rax, cr4; xor rax, 0x80; mov cr4, rax", GLOBAL, CR4.PGE, 2],
      ["mov rax, cr4; mov cr4, rax", GLOBAL, CR4.PGE, 1],
      ["mov rax, cr0; xor rax, 0x10000; mov cr0, rax", GLOBAL, CR4.PGE, 2],
      ["mov ecx, 0xc0000080; rdmsr; xor eax, 0x800; wrmsr", GLOBAL, CR4.PGE, 2],
    ] as const)("%s, entry bit %i, CR4 %i: frame %i", (code, flag, bits, expected) => {
      cr4(bits);
      map(1, flag);
      expect(see()).toBe(1);
      map(2, flag);
      expect(see()).toBe(1);
      expect(run(code)).toBe(-1);
      expect(see()).toBe(expected);
    });
  });

  describe("large pages", () => {
    // The size; the entry and what it maps; two pieces of it, where frames 1 and 2 are; an address elsewhere in the page.
    it.each([
      ["2 MiB", PD + 3 * 8, 0x20_0000n, [0x70_1000, 0x70_2000], 0x7f_f000],
      ["1 GiB", TABLES + 0x1008, 0n, [0x30_1000, 0x30_2000], 0x3fe0_1000],
    ] as const)("INVLPG anywhere in a page of %s takes all of it", (_size, entry, base, pieces, offset) => {
      machine.setU64(entry, base | LARGE | PRESENT);
      const look = `mov eax, [${DATA + pieces[0]}]; mov ebx, [${DATA + pieces[1]}]`;
      const see2 = (): readonly bigint[] => {
        expect(run(look)).toBe(-1);
        return [machine.regs.rax, machine.regs.rbx];
      };
      expect(see2()).toEqual([1n, 2n]);
      machine.setU64(entry, 0n);
      expect(see2()).toEqual([1n, 2n]);
      run(`invlpg [${DATA + offset}]`);
      for (const piece of pieces) expect(run(`mov eax, [${DATA + piece}]`)).toBe(14);
    });

    it.each([
      ["4 KiB", PT + 8, 0x1000, 0x800, 1n],
      ["2 MiB", PD + 8, 0x20_0000, 0x3800, LARGE | 1n],
    ] as const)("INVLPG takes code of a page of %s away", (_size, entry, offset, at, bits) => {
      // CALL, twice, by a pointer: the second time through the jump cache.
      const code = (value: number): readonly number[] => [0xb8, value, 0, 0, 0, 0xc3];
      const base = bits === 1n ? FRAMES : 0x20_0000;
      const step = bits === 1n ? 0x1000 : 0x20_0000;
      machine.write(base + at, code(7));
      machine.write(base + step + at, code(8));
      machine.setU64(entry, BigInt(base) | bits);
      const call = `mov esi, ${DATA + offset + at}; call rsi; call rsi`;
      expect([run(call), machine.regs.rax]).toEqual([-1, 7n]);
      machine.setU64(entry, BigInt(base + step) | bits);
      expect([run(call), machine.regs.rax]).toEqual([-1, 7n]);
      expect([run(`invlpg [${DATA + offset + 0x10}]; ${call}`), machine.regs.rax]).toEqual([-1, 8n]);
    });

    it("leaves other pages alone", () => {
      cr4(0);
      expect(see()).toBe(1);
      machine.setU64(PD + 8, LARGE | PRESENT);
      run(`mov eax, [${DATA + 0x20_0000}]`);
      map(2, 0n);
      run(`invlpg [${DATA + 0x20_0000}]`);
      expect(see()).toBe(1);
    });
  });

  describe("PCIDs", () => {
    /** A PML4 per address space, all with the same tables but for the entry of the data page. */
    const space = (n: number): number => 0x4_0000 + n * 0x4000;
    const makeSpace = (n: number, target: number, flags = 0n): void => {
      const at = space(n);
      machine.setU64(at, BigInt(at + 0x1000) | PRESENT);
      for (let i = 0; i < 4; i++) machine.setU64(at + 0x1000 + i * 8, machine.u64(TABLES + 0x1000 + i * 8));
      machine.setU64(at + 0x1008, BigInt(at + 0x2000) | PRESENT);
      machine.setU64(at + 0x2000, BigInt(at + 0x3000) | PRESENT);
      machine.setU64(at + 0x3000, frame(target) | PRESENT | flags);
    };
    const remap = (n: number, target: number, flags = 0n): void =>
      machine.setU64(space(n) + 0x3000, frame(target) | PRESENT | flags);
    /** MOV CR3 to a space under a PCID; with bit 63 it keeps what the TLBs have. */
    const go = (n: number, pcid: number, keep: boolean): void => {
      const value = BigInt(space(n) | pcid) | (keep ? 1n << 63n : 0n);
      expect(run(`movabs rax, ${value}; mov cr3, rax; mov rbx, cr3`)).toBe(-1);
      expect(machine.regs.rbx).toBe(BigInt(space(n) | pcid));
    };
    beforeEach(() => {
      cr4(CR4.PCIDE | CR4.PGE);
      makeSpace(0, 1);
      makeSpace(1, 2);
    });

    it("keep their entries apart, and over loads with bit 63", () => {
      go(0, 5, false);
      expect(see()).toBe(1);
      go(1, 6, false);
      expect(see()).toBe(2);
      remap(0, 3);
      go(0, 5, true);
      expect(see()).toBe(1);
      go(0, 5, false);
      expect(see()).toBe(3);
    });

    it("lose their entries by a load without it, and no others do", () => {
      go(0, 5, false);
      expect(see()).toBe(1);
      go(1, 6, false);
      expect(see()).toBe(2);
      remap(0, 3);
      remap(1, 4);
      go(0, 5, false);
      expect(see()).toBe(3);
      go(1, 6, true);
      expect(see()).toBe(2);
    });

    it("keep global pages over a load", () => {
      remap(0, 1, GLOBAL);
      go(0, 5, false);
      expect(see()).toBe(1);
      remap(0, 3, GLOBAL);
      go(0, 5, false);
      expect(see()).toBe(1);
    });

    it("may be more than there are sets", () => {
      for (let n = 0; n < 12; n++) {
        makeSpace(n, n);
        go(n, n + 1, false);
        expect(see()).toBe(n);
      }
      // The last ones have their sets still, the first ones none.
      for (let n = 0; n < 12; n++) remap(n, 15 - n);
      go(11, 12, true);
      expect(see()).toBe(11);
      go(0, 1, true);
      expect(see()).toBe(15);
    });

    const invpcid = (type: number, pcid: number, address = DATA): string =>
      `push 0; movabs rax, ${address}; mov [rsp], rax; push ${pcid}; mov eax, ${type}; invpcid rax, [rsp]; add rsp, 16`;

    it.each([
      // type, PCID; then what spaces 0 (PCID 5), 1 (PCID 6) and a global page show: old or new.
      [0, 5, ["new", "old", "old"]],
      [1, 5, ["new", "old", "old"]],
      [1, 7, ["old", "old", "old"]],
      [2, 0, ["new", "new", "new"]],
      [3, 0, ["new", "new", "old"]],
    ] as const)("INVPCID type %i, PCID %i", (type, pcid, expected) => {
      // The global page is one further, so that an address of type 0 is not its.
      const globals = (target: number): void => {
        for (const n of [0, 1]) machine.setU64(space(n) + 0x3008, frame(target) | PRESENT | GLOBAL);
      };
      globals(1);
      // Type 0 may take the page of all PCIDs; here the other space has it elsewhere.
      const other = type === 0 ? DATA + 0x2000 : DATA;
      machine.setU64(space(1) + 0x3010, frame(2) | PRESENT);
      const look = (address: number): number => {
        expect(run(`mov eax, [${address}]`)).toBe(-1);
        return Number(machine.regs.rax);
      };
      go(0, 5, false);
      look(DATA);
      look(DATA + 0x1000);
      go(1, 6, false);
      look(other);
      look(DATA + 0x1000);
      remap(0, 8);
      remap(1, 8);
      machine.setU64(space(1) + 0x3010, frame(8) | PRESENT);
      globals(8);
      expect(run(invpcid(type, pcid))).toBe(-1);
      const age = (address: number): string => (look(address) === 8 ? "new" : "old");
      const second = age(other);
      const third = age(DATA + 0x1000);
      go(0, 5, true);
      expect([age(DATA), second, third]).toEqual(expected);
    });

    it.each([
      ["a type above 3", invpcid(4, 0)],
      ["a PCID above 4095", invpcid(1, 4096)],
      [
        "an address that is not canonical",
        "push -1; mov byte ptr [rsp+6], 0; push 0; xor eax, eax; invpcid rax, [rsp]",
      ],
    ])("INVPCID refuses %s", (_name, code) => {
      expect(run(code)).toBe(13);
    });

    it("INVPCID names PCID 0 alone while PCIDs are off", () => {
      cr4(0);
      expect(run(invpcid(1, 0))).toBe(-1);
      expect(run(invpcid(0, 5))).toBe(13);
    });

    it("INVLPG takes a page out of every PCID's entries if it is global", () => {
      remap(0, 1, GLOBAL);
      go(0, 5, false);
      expect(see()).toBe(1);
      remap(0, 3, GLOBAL);
      go(1, 6, false);
      run(`invlpg [${DATA}]`);
      go(0, 5, true);
      expect(see()).toBe(3);
    });
  });

  describe("MOV to control registers", () => {
    it.each([
      [
        "CR4.PCIDE, with a PCID in CR3",
        "mov rax, cr3; or rax, 1; mov cr3, rax; mov rax, cr4; bts rax, 17; mov cr4, rax",
        13,
      ],
      ["CR4.PCIDE", "mov rax, cr4; bts rax, 17; mov cr4, rax; mov rbx, cr4; and ebx, 0x20000", -1],
      ["CR4.SMEP and SMAP", "mov rax, cr4; or eax, 0x300000; mov cr4, rax", -1],
      ["an unknown bit of CR4", "mov rax, cr4; bts rax, 30; mov cr4, rax", 13],
      ["CR4 without PAE in long mode", "mov rax, cr4; btr rax, 5; mov cr4, rax", 13],
      ["bit 63 of CR3 without PCIDs", "mov rax, cr3; bts rax, 63; mov cr3, rax", 13],
      [
        "bit 63 of CR3 with PCIDs",
        "mov rax, cr4; bts rax, 17; mov cr4, rax; mov rax, cr3; bts rax, 63; mov cr3, rax",
        -1,
      ],
      ["a CR3 above the physical addresses", "mov rax, cr3; bts rax, 40; mov cr3, rax", 13],
      ["bit 62 of CR3", "mov rax, cr4; bts rax, 17; mov cr4, rax; mov rax, cr3; bts rax, 62; mov cr3, rax", 13],
    ])("%s", (_name, code, vector) => {
      expect(run(code)).toBe(vector);
    });

    it("refuses PCIDs outside long mode", () => {
      machine = new TestMachine(engine, 32, 8 << 20);
      for (let vector = 0; vector < 32; vector++) machine.setGate(IDT, vector, HANDLERS + vector);
      machine.write(HANDLERS, new Array(32).fill(0xf4));
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
      expect(run("mov eax, cr4; bts eax, 17; mov cr4, eax")).toBe(13);
      expect(machine.setSregs({ cr4: BigInt(CR4.PCIDE) })).toBe(false);
    });

    it("loads the PDPTE registers, and refuses reserved bits in them", () => {
      machine = new TestMachine(engine, 32, 8 << 20);
      for (let vector = 0; vector < 32; vector++) machine.setGate(IDT, vector, HANDLERS + vector);
      machine.write(HANDLERS, new Array(32).fill(0xf4));
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
      machine.setU64(PT, BigInt(PD) | 1n);
      machine.setU64(PD, LARGE | PRESENT);
      machine.setU64(PD + 8, 0x20_0000n | LARGE | PRESENT);
      const enable = `mov eax, cr4; or eax, 0x20; mov cr4, eax; mov eax, ${PT}; mov cr3, eax; mov eax, cr0; or eax, 0x80000000; mov cr0, eax`;
      expect(run(enable)).toBe(-1);
      // The registers hold, whatever becomes of the table, until they are loaded again.
      machine.setU64(PT, BigInt(PD) | 3n);
      expect(run(`invlpg [${DATA}]; mov ebx, [${FRAMES}]`)).toBe(-1);
      expect(run("mov eax, cr3; mov cr3, eax")).toBe(13);
      expect(run("mov eax, cr4; xor eax, 0x80; mov cr4, eax")).toBe(13);
      machine.setU64(PT, BigInt(PD) | 1n);
      expect(run("mov eax, cr4; xor eax, 0x80; mov cr4, eax; mov eax, cr3; mov cr3, eax")).toBe(-1);
    });
  });

  describe("SMAP", () => {
    beforeEach(() => {
      machine.setU64(TABLES, machine.u64(TABLES) | USER);
      map(1, USER);
      cr4(CR4.SMAP);
    });
    const touch = `mov eax, [${DATA}]`;
    const setAc = "pushfq; or dword ptr [rsp], 0x40000; popfq";
    const clearAc = "pushfq; and dword ptr [rsp], ~0x40000; popfq";
    const iret = (flags: number): string =>
      `mov rcx, rsp; push 16; push rcx; push ${flags}; push 8; lea rax, [rip+1f]; push rax; iretq; 1: nop`;

    it.each([
      [touch, 14],
      [`stac; ${touch}`, -1],
      [`stac; ${touch}; clac; ${touch}`, 14],
      [`stac; ${touch}; clac; nop; stac; add dword ptr [${DATA}], 1`, -1],
      [`${setAc}; ${touch}`, -1],
      [`${setAc}; ${touch}; ${clearAc}; ${touch}`, 14],
      [`${iret(0x4_0002)}; ${touch}`, -1],
      [`stac; ${touch}; ${iret(2)}; ${touch}`, 14],
    ] as const)("%s: %i", (code, vector) => {
      expect(run(code)).toBe(vector);
      if (vector !== 14) return;
      expect(machine.sregs.cr2).toBe(BigInt(DATA));
      expect(machine.u64(Number(machine.regs.rsp))).toBe(1n);
    });

    it("does not let AC open a descriptor table in a user-mode page: the access is implicit", () => {
      // The delivery of the fault needs the table as well: the machine shuts down.
      machine.setSregs({ gdt: { base: BigInt(DATA), limit: 0xff } });
      machine.write(CODE, assemble(`stac; mov rbx, [${DATA}]; mov ax, 16; mov ds, ax`, 64));
      machine.set({ rip: BigInt(CODE), rbx: 0n });
      expect(machine.engine.run()).toBe(EngineExit.SHUTDOWN);
      expect(machine.sregs.cr2).toBe(BigInt(DATA + 8));
      expect(machine.regs.rbx).toBe(1n);
      expect(machine.view.getUint32(machine.zone + CPU.walkError, true)).toBe(1);
    });

    it("is off with CR4.SMAP clear, and STAC and CLAC still set AC", () => {
      cr4(0);
      expect(run(`${touch}; stac; ${touch}; pushfq; pop rbx; clac; ${touch}; pushfq; pop rcx`)).toBe(-1);
      expect([machine.regs.rbx & 0x4_0000n, machine.regs.rcx & 0x4_0000n]).toEqual([0x4_0000n, 0n]);
    });
  });

  describe("privilege", () => {
    /** What a far transfer to another level does to the state, without one. */
    const setCpl = (cpl: number): void => {
      const { view, zone } = machine;
      for (const segment of [SEG.cs, SEG.ss]) {
        const at = zone + CPU.attributes + segment * 4;
        view.setUint32(at, (view.getUint32(at, true) & ~0x60) | (cpl << 5), true);
      }
      updateMode(new Uint32Array(machine.memory.buffer), zone);
    };
    /** Enters [rsi] by an indirect jump from the page of `at`; a fault shuts down: CR2, or -1 if all went well. */
    const jump = (at: number): number => {
      machine.write(at, [0xff, 0xe6]);
      machine.set({ rip: BigInt(at), rsi: BigInt(DATA) });
      machine.engine.run();
      const { cr2 } = machine.sregs;
      machine.view.setBigUint64(machine.zone + CPU.cr2, 0n, true);
      return cr2 === 0n ? -1 : Number(cr2);
    };
    beforeEach(() => {
      machine.setSregs({ idt: { base: 0n, limit: 0 } });
      // Code of CPL 0 at CODE, of CPL 3 at 2 MiB; both enter the data page.
      machine.setU64(TABLES + 0x2000 + 8, 0x20_0000n | LARGE | PRESENT | USER);
      for (const at of [TABLES, TABLES + 0x1000]) machine.setU64(at, machine.u64(at) | USER);
      machine.write(FRAMES + 0x1000, [0xf4, 0xf4]);
    });

    it("keeps CPL 3 out of what CPL 0 has just executed", () => {
      expect([jump(CODE), jump(CODE)]).toEqual([-1, -1]);
      setCpl(3);
      expect(jump(0x20_1000)).toBe(DATA);
      setCpl(0);
      expect(jump(CODE)).toBe(-1);
    });

    it("keeps CPL 0 out of what CPL 3 has just executed, under SMEP", () => {
      map(1, USER);
      cr4(CR4.SMEP);
      setCpl(3);
      // HLT is the end here: #GP, which shuts down.
      expect([jump(0x20_1000), jump(0x20_1000)]).toEqual([-1, -1]);
      setCpl(0);
      expect(jump(CODE)).toBe(DATA);
    });

    it("does not follow links that CPL 0 made in a page of both", () => {
      // JMP rel32 in a user-mode page to a supervisor one.
      const at = 0x20_1000;
      const go = (): number => {
        machine.set({ rip: BigInt(at) });
        machine.engine.run();
        const { cr2 } = machine.sregs;
        machine.view.setBigUint64(machine.zone + CPU.cr2, 0n, true);
        return cr2 === 0n ? -1 : Number(cr2);
      };
      machine.write(at, assemble(`jmp .+${CODE - at}`, 64));
      machine.write(CODE, [0xf4]);
      for (let round = 0; round < 2; round++) {
        setCpl(0);
        expect([go(), go()]).toEqual([-1, -1]);
        setCpl(3);
        expect(go()).toBe(CODE);
      }
    });

    it("gives #UD for STAC above CPL 0", () => {
      machine.write(0x20_1000, [0x0f, 0x01, 0xcb, 0xf4]);
      setCpl(3);
      machine.set({ rip: 0x20_1000n, rflags: 2n });
      expect(machine.engine.run()).toBe(EngineExit.SHUTDOWN);
      expect(machine.regs).toMatchObject({ rip: 0x20_1000n, rflags: 2n });
    });
  });

  it("reports what works in CPUID", () => {
    const leaf = (n: number): readonly bigint[] => {
      expect(run(`mov eax, ${n}; xor ecx, ecx; cpuid`)).toBe(-1);
      const { rbx, rcx, rdx } = machine.regs;
      return [rbx, rcx, rdx];
    };
    const [, pcid, features] = leaf(1);
    expect(pcid! & (1n << 17n)).toBe(1n << 17n);
    for (const bit of [3n, 6n, 13n, 17n]) expect((features! >> bit) & 1n).toBe(1n);
    const [extended] = leaf(7);
    for (const bit of [7n, 10n, 20n]) expect((extended! >> bit) & 1n).toBe(1n);
    expect(machine.sregs.efer & BigInt(EFER.NXE)).toBe(BigInt(EFER.NXE));
    expect(machine.sregs.cr0 & BigInt(CR0.PG >>> 0)).toBe(BigInt(CR0.PG >>> 0));
  });
});
