/**
 * Where code may be: the limit of CS on fetches and branches, 16-bit operand sizes, RIPs that are not canonical, code that
 * is not in RAM.
 * Document: SDM volume 3, 5.3 (limit checking); volume 2, JMP, CALL, RET, Jcc, LOOP; volume 1, 3.3.7.1.
 * Left out: far transfers.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TABLES, TestMachine } from "../support/machine.ts";
import {
  assemble16,
  code,
  REAL_STACK,
  real,
  realMachine,
  run16,
  runToFault,
  setSegments,
  userMachine,
} from "../support/segments.ts";

const BASE = 0x30_0000;
const cs = (values: object) => code({ base: BigInt(BASE), dpl: 3, limit: 0x1fff, db: 1, selector: 0x1b, ...values });

describe.each(ENGINES)("%s", (engine) => {
  describe("the limit of CS", () => {
    const machine = userMachine(engine);
    let base = BASE;
    /** Code in a segment of 8 KiB whose base is `shift` bytes into a page; each has a place of its own. */
    const load = (text: string, at: number, limit: number, shift = 0): void => {
      base += 0x1_0000;
      machine.write(base + shift, new Array(0x3000).fill(0x90));
      machine.write(base + shift + at, assemble(text, 32));
      setSegments(machine, { cs: cs({ base: BigInt(base + shift), limit }) });
      machine.set({ rsp: 0x18_0000n, rcx: 2n, rax: 0n, rbx: 0n });
    };

    it.each([0, 0x123, 0xffd])("ends a run of instructions, base %i bytes into a page", (shift) => {
      load("nop", 0x1ff0, 0x1fff, shift);
      expect(runToFault(machine, 0x1ff0)).toMatchObject({ vector: 13, code: 0, rip: 0x2000 });
    });

    it("ends it within a page that other segments run on", () => {
      load("inc eax; inc eax; inc eax; ud2", 0x100, 0x1fff);
      expect(runToFault(machine, 0x100)).toMatchObject({ vector: -1, rip: 0x103 });
      setSegments(machine, { cs: cs({ base: BigInt(base), limit: 0x101 }) });
      expect(runToFault(machine, 0x100)).toMatchObject({ vector: 13, rip: 0x102 });
      expect(machine.regs.rax).toBe(5n);
      setSegments(machine, { cs: cs({ base: BigInt(base), limit: 0x1fff }) });
      expect(runToFault(machine, 0x100)).toMatchObject({ vector: -1, rip: 0x103 });
    });

    it.each([
      [0x1ffb, -1],
      [0x1ffc, 13],
      [0x1fff, 13],
    ])("an instruction of 5 bytes at %i", (at, vector) => {
      load("mov eax, 0x12345678", at, 0x1fff);
      if (vector < 0) expect(runToFault(machine, at)).toMatchObject({ vector: 13, rip: 0x2000 });
      else expect(runToFault(machine, at)).toMatchObject({ vector: 13, code: 0, rip: at });
      expect(machine.regs.rax).toBe(vector < 0 ? 0x1234_5678n : 0n);
    });

    it("an instruction across a page, in a segment that ends inside it and in one that does not", () => {
      load("mov eax, 0x12345678; ud2", 0xffe, 0x1fff);
      expect(runToFault(machine, 0xffe)).toMatchObject({ vector: -1, rip: 0x1003 });
      machine.set({ rax: 0n });
      setSegments(machine, { cs: cs({ base: BigInt(base), limit: 0x1001 }) });
      expect(runToFault(machine, 0xffe)).toMatchObject({ vector: 13, rip: 0xffe });
      expect(machine.regs.rax).toBe(0n);
    });

    it.each([
      ["jmp . + 0x2000", 0x10],
      ["jmp . + 0x70", 0x1fa0],
      ["test eax, eax; jz . + 0x70", 0x1fa0],
      ["call . + 0x2000", 0x10],
      ["loop . + 0x70", 0x1fa0],
      ["mov ebx, 0x2000; jmp ebx", 0x10],
      ["mov ebx, 0xffffffff; call ebx", 0x10],
      ["push 0x2000; ret", 0x10],
      ["push 0x2000; ret 8", 0x10],
      ["mov dword ptr [0x180010], 0x2000; jmp dword ptr [0x180010]", 0x10],
      ["mov dword ptr [0x180010], 0x2000; call dword ptr [0x180010]", 0x10],
    ])("%s: #GP(0) at the branch", (text, at) => {
      load(text, at, 0x1fff);
      const first = text.split(";").slice(0, -1).join(";");
      const branch = at + (first === "" ? 0 : assemble(first, 32).length);
      const pushes = text.startsWith("push") ? 4 : 0;
      expect(runToFault(machine, at)).toMatchObject({ vector: 13, code: 0, rip: branch, rsp: 0x18_0000 - pushes });
      expect(machine.regs.rcx).toBe(2n);
    });

    it("a branch that is not taken goes nowhere", () => {
      load("test eax, eax; jnz . + 0x70; mov ecx, 1; loop . + 0x60; ud2", 0x1fa0, 0x1fff);
      expect(runToFault(machine, 0x1fa0).vector).toBe(-1);
      expect(machine.regs.rcx).toBe(0n);
    });

    it("branches, calls and loops inside a small segment", () => {
      const text = "mov ecx, 1000; 1: call 2f; loop 1b; ud2; 2: add eax, ecx; jmp 3f; nop; 3: ret";
      load(text, 0x10, 0x1fff, 0x345);
      expect(runToFault(machine, 0x10).vector).toBe(-1);
      expect(machine.regs.rax).toBe(500_500n);
    });
  });

  describe("16-bit operand sizes in 32-bit code", () => {
    const machine = userMachine(engine);
    it.each([
      ["data16 jmp . + 0x20", 0x1_0000, 0x20],
      ["test eax, eax; data16 jz . + 0x20", 0x1_0100, 0x122],
      [".byte 0x66, 0xe8, 0x1c, 0x00", 0x2_0000, 0x20],
      ["mov ebx, 0x50040; jmp bx", 0x3_0000, 0x40],
      ["pushw 0x40; data16 ret", 0x3_0100, 0x40],
      // LOOP, which the assembler gives no prefix.
      ["mov ecx, 5; .byte 0x66, 0xe2, 0x1d", 0x4_0000, 0x25],
    ])("%s at %i goes to %i", (text, at, target) => {
      machine.write(at, assemble(text, 32));
      machine.write(target, [0x0f, 0x0b]);
      setSegments(machine, {});
      machine.set({ rsp: 0x18_0000n, rax: 0n });
      expect(runToFault(machine, at)).toMatchObject({ vector: -1, rip: target });
      if (text.includes("0xe8")) expect(machine.u32(0x18_0000 - 4) >>> 16).toBe(4);
    });
  });

  describe("real mode", () => {
    /** An IVT whose handlers are HLTs. */
    const withIvt = (segments = {}): TestMachine => {
      const machine = realMachine(engine, segments);
      for (let vector = 0; vector < 32; vector++) machine.setU32(vector * 4, 0x0700_0000 + vector);
      machine.write(0x7000, new Array(32).fill(0xf4));
      return machine;
    };
    const vectorOf = (machine: TestMachine): number => Number(machine.regs.rip) - 1;
    const word = (machine: TestMachine, at: number): number => machine.u32(at) & 0xffff;

    it.each([
      ["mov ax, [si]", { rsi: 0xffffn }, 13],
      ["mov eax, [si]", { rsi: 0xfffdn }, 13],
      ["mov [esi], al", { rsi: 0x1_0000n }, 13],
      ["mov [bp], ax", { rbp: 0xffffn }, 12],
      ["rep movsb", { rsi: 0xfffen, rcx: 4n }, -1],
      ["addr32 rep movsb", { rsi: 0xfffen, rcx: 4n }, 13],
      ["movsw", { rsi: 0xffffn }, 13],
    ] as const)("%s %o: vector %i", (text, registers, vector) => {
      const machine = withIvt();
      machine.set(registers);
      expect(run16(machine, text, 0x100), machine.engine.errorDetail).toBe(EngineExit.HLT);
      const { cs: segment, ss } = machine.sregs;
      if (vector < 0) {
        expect(segment.selector).toBe(0x1000);
        return;
      }
      expect([segment.selector, vectorOf(machine)]).toEqual([0x700, vector]);
      const sp = Number(ss.base) + Number(machine.regs.rsp & 0xffffn);
      expect([word(machine, sp), word(machine, sp + 2)]).toEqual([0x100, 0x1000]);
    });

    it("shuts down where the stack has no room for the fault's own frame", () => {
      const machine = withIvt();
      machine.set({ rsp: 1n });
      expect(run16(machine, "push ax", 0x100)).toBe(EngineExit.SHUTDOWN);
      expect(machine.regs).toMatchObject({ rip: 0x100n, rsp: 1n });
    });

    it("ends at 64K: no code runs on into the next segment, and IP 0 is pushed", () => {
      const machine = withIvt();
      machine.write(0x1_fffe, [0x90, 0x90, 0x40, 0x40]);
      machine.set({ rip: 0xfffen });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect([vectorOf(machine), word(machine, REAL_STACK + 0xffa), machine.regs.rax]).toEqual([13, 0, 0n]);
    });

    it("keeps limits that protected mode has set (unreal mode)", () => {
      const big = { ...real(0x2000), limit: 0xffff_ffff, g: 1 };
      const machine = withIvt({ ds: big });
      machine.set({ rsi: 0x10_0000n, rax: 0x1234_5678n });
      // A load of the segment register in real mode changes the base alone.
      expect(run16(machine, "mov [esi], eax; mov bx, 0x2100; mov ds, bx; mov [esi], eax")).toBe(EngineExit.HLT);
      expect([machine.u32(0x12_0000), machine.u32(0x12_1000)]).toEqual([0x1234_5678, 0x1234_5678]);
      expect(machine.sregs.ds.limit).toBe(0xffff_ffff);
    });

    it("enters it with PE: segments keep their limits until they are loaded", () => {
      const machine = withIvt();
      machine.setU64(0x8000 + 24, 0x008f_9300_0000_ffffn);
      machine.setSregs({ gdt: { base: 0x8000n, limit: 31 } });
      const text =
        "mov eax, cr0; or al, 1; mov cr0, eax; mov bx, 24; mov fs, bx; and al, 0xfe; mov cr0, eax; mov [edi], ecx; " +
        "mov fs:[edi], ecx";
      machine.set({ rdi: 0x20_0000n, rcx: 0x55n });
      expect(run16(machine, text.replace("mov [edi], ecx; ", ""))).toBe(EngineExit.HLT);
      expect(machine.u32(0x20_0000)).toBe(0x55);
      machine.set({ rdi: 0x20_0000n, rcx: 0x66n });
      run16(machine, text, 0x200);
      expect([vectorOf(machine), machine.u32(0x20_0000)]).toEqual([13, 0x55]);
    });

    it("writes through CS, which protected mode would not let it", () => {
      const machine = withIvt();
      expect(run16(machine, "mov word ptr cs:[0x200], 0x77; mov ax, cs:[0x200]")).toBe(EngineExit.HLT);
      expect(machine.regs.rax).toBe(0x77n);
    });
  });

  describe("virtual-8086 mode", () => {
    it("has the operand rules of real mode, in paged memory", () => {
      const machine = userMachine(engine);
      // 4 MiB pages, user, identity but for linear 0x20000..: the tables' first page leads elsewhere.
      const directory = 0xc000;
      const table = 0xd000;
      machine.setU32(directory, table | 7);
      for (let i = 0; i < 1024; i++) machine.setU32(table + i * 4, (i << 12) | 7);
      machine.setU32(table + 0x20 * 4, 0x5_0000 | 7);
      const vm = (selector: number) => ({ ...real(selector), dpl: 3 });
      setSegments(machine, {
        cs: { ...vm(0x1000), type: 11 },
        ds: vm(0x2000),
        es: vm(0x3000),
        fs: vm(0x3000),
        gs: vm(0x3000),
        ss: vm(0x4000),
      });
      machine.setSregs({ cr0: 0x8000_0011n, cr3: BigInt(directory) });
      machine.write(0x1_0000, assemble16("mov [si], ax; push ax; mov cs:[0x100], ax; mov bx, [di]; ud2"));
      machine.set({ rip: 0n, rflags: 0x2_0002n, rsi: 0x10n, rax: 0x1234n, rsp: 0x1000n, rdi: 0xffffn });
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(Number(machine.regs.rip) - 1 - 0xa000).toBe(13);
      expect(machine.u32(0x5_0010)).toBe(0x1234);
      expect(machine.u32(REAL_STACK + 0xffe) & 0xffff).toBe(0x1234);
      expect(machine.u32(0x1_0100) & 0xffff).toBe(0x1234);
    });

    it("is entered by RFLAGS.VM alone, as KVM_SET_REGS does it", () => {
      const machine = userMachine(engine);
      const vm = (selector: number) => ({ ...real(selector), dpl: 3 });
      // Read only, in protected mode.
      setSegments(machine, { cs: { ...vm(0x1000), type: 11 }, ds: { ...vm(0x2000), type: 1 }, ss: vm(0x4000) });
      machine.write(0x1_0000, assemble16("1: jmp 1b; mov [si], ax; hlt"));
      machine.set({ rip: 0n, rflags: 2n, rsi: 0x10n, rax: 0x77n, rsp: 0x1000n });
      machine.pend();
      expect(machine.engine.run()).toBe(EngineExit.INTR);
      machine.unpend();
      machine.set({ rip: 2n, rflags: 0x2_0002n });
      machine.engine.run();
      expect(machine.u32(0x2_0010) & 0xffff).toBe(0x77);
    });
  });

  describe("RIPs that are not canonical", () => {
    const IDT = 0x9000;
    const HANDLERS = 0xa000;
    const CODE = 0x10_0000;
    const STACK = 0x1f_0000;
    const machine = new TestMachine(engine, 64);
    for (let vector = 0; vector < 32; vector++) {
      machine.setGate(IDT, vector, HANDLERS + vector);
      machine.setU32(IDT + vector * 16 + 4, machine.u32(IDT + vector * 16 + 4) | 1);
    }
    machine.write(HANDLERS, new Array(32).fill(0xf4));
    machine.setU64(0xb000 + 36, BigInt(STACK));
    machine.setSregs({
      idt: { base: BigInt(IDT), limit: 0xfff },
      tr: { ...machine.sregs.tr, base: 0xb000n, limit: 103, type: 11 },
    });
    // The last page below the hole in the address space is mapped, to 0x500000.
    machine.setU64(TABLES + 255 * 8, BigInt(0x6_0000) | 3n);
    machine.setU64(0x6_0000 + 511 * 8, BigInt(0x6_1000) | 3n);
    machine.setU64(0x6_1000 + 511 * 8, BigInt(0x40_0000) | 0x83n);
    const LAST = 0x7fff_ffff_f000n;
    const place = (offset: number): number => 0x5f_f000 + offset;

    let code64 = CODE;
    it.each([
      ["mov rax, 0x800000000000; jmp rax", 10, 0],
      ["mov rax, 0x800000000000; call rax", 10, 0],
      ["mov rax, 0x800000000000; push rax; ret", 11, 8],
      ["mov rax, 0xffff7fffffffffff; push rax; ret 16", 11, 8],
      ["mov rax, 0x800000000000; mov [0x300000], rax; jmp [0x300000]", 18, 0],
      ["mov rax, 0x800000000000; mov [0x300000], rax; call [0x300000]", 18, 0],
    ])("%s: #GP(0) at the branch", (text, branch, pushed) => {
      code64 += 0x100;
      machine.write(code64, assemble(text, 64));
      machine.set({ rip: BigInt(code64), rsp: 0x18_0000n, rflags: 2n });
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(Number(machine.regs.rip) - 1 - HANDLERS).toBe(13);
      expect([machine.u64(STACK - 48), machine.u64(STACK - 40)]).toEqual([0n, BigInt(code64 + branch)]);
      expect(machine.u64(STACK - 16)).toBe(0x18_0000n - BigInt(pushed));
    });

    it.each([
      ["jmp . + 0x100", 0xf80, 0],
      ["call . + 0x100", 0xf90, 0],
      ["test eax, eax; jz . + 0x70", 0xfa0, 2],
      ["loop . + 0x70", 0xfb0, 0],
    ])("%s from the last page: #GP(0) at the branch", (text, at, branch) => {
      machine.write(place(at), assemble(text, 64));
      machine.set({ rip: LAST + BigInt(at), rsp: 0x18_0000n, rflags: 2n, rax: 0n, rcx: 7n });
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(Number(machine.regs.rip) - 1 - HANDLERS).toBe(13);
      expect(machine.u64(STACK - 40)).toBe(LAST + BigInt(at + branch));
      expect(machine.u64(STACK - 16)).toBe(0x18_0000n);
      expect(machine.regs.rcx).toBe(7n);
    });

    it("running on into the hole is #GP(0) there", () => {
      machine.write(place(0xffe), [0x90, 0x90]);
      machine.set({ rip: LAST + 0xffen, rflags: 2n });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.u64(STACK - 40)).toBe(LAST + 0x1000n);
    });
  });

  describe("code that is not in RAM", () => {
    const DEVICE = 0xd000_0000;
    const make = (text: string): { machine: TestMachine; reads: number[] } => {
      const machine = new TestMachine(engine, 32);
      const rom = assemble(text, 32);
      const reads: number[] = [];
      machine.mmioRead = (gpa, size) => {
        expect(size).toBe(1);
        reads.push(gpa - DEVICE);
        return BigInt(rom[gpa - DEVICE] ?? 0xff);
      };
      return { machine, reads };
    };

    it("is read from the host, and no byte more than the instructions have", () => {
      const { machine, reads } = make("mov ecx, 3; 1: add eax, ecx; dec ecx; jnz 1b; hlt");
      machine.set({ rip: BigInt(DEVICE), rax: 0n });
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rax: 6n, rip: BigInt(DEVICE + 11) });
      expect(reads.slice(0, 7)).toEqual([0, 1, 2, 3, 4, 5, 6]);
      expect(Math.max(...reads)).toBe(10);
    });

    it("calls into RAM and is returned to", () => {
      const { machine } = make("mov ebx, 0x100000; call ebx; inc eax; hlt");
      machine.write(0x10_0000, assemble("mov eax, 5; ret", 32));
      machine.set({ rip: BigInt(DEVICE) });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rax).toBe(6n);
    });

    it("goes on where RAM ends, in the middle of an instruction", () => {
      const { machine } = make("nop");
      machine.mapPage(0x20_1000, 0);
      machine.mmioRead = (gpa) => BigInt([0x34, 0x12, 0xf4][gpa - 0x20_1000]!);
      machine.write(0x20_0ffd, [0xb8, 0x78, 0x56]);
      machine.set({ rip: 0x20_0ffdn });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rax: 0x1234_5678n, rip: 0x20_1003n });
    });

    it("leaves RIP at the instruction whose fetch the host gives up, and fetches it again", () => {
      const { machine } = make("inc eax; inc eax; hlt");
      const answer = machine.mmioRead;
      machine.mmioRead = (gpa, size) => {
        if (gpa === DEVICE + 1) throw new Error("LeaveGuest");
        return answer(gpa, size);
      };
      machine.set({ rip: BigInt(DEVICE), rax: 0n });
      expect(() => machine.engine.run()).toThrow("LeaveGuest");
      expect(machine.regs).toMatchObject({ rax: 1n, rip: BigInt(DEVICE + 1) });
      machine.mmioRead = answer;
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rax).toBe(2n);
    });
  });
});
