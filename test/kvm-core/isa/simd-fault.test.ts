/**
 * What MMX and SSE instructions raise, and how much of memory they touch: alignment, sizes at the end of a page, units, the
 * segment of MASKMOVQ and MASKMOVDQU.
 * Document: SDM volume 2, "Exceptions" of each instruction; volume 3, tables 2-2 and 9-3, 13.1; volume 1, 10.4.1 (alignment).
 * Left out: one instruction of each unit: ../engine/fpu-units.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR0, CR4 } from "../../../kvm-core/cpu/control.ts";
import { VECTOR } from "../../../kvm-core/cpu/fault.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { freshFpu, getFpu, setFpu } from "../support/fpu.ts";
import { DATA_SELECTOR, ENGINES, TABLES, type TestMachine } from "../support/machine.ts";
import { type Noting, notingMachine } from "../support/noting.ts";

/** In 64-bit mode the page behind it is not present. */
const LAST_PAGE = 0x1f_f000;
const END = LAST_PAGE + 0x1000;

/** Instructions whose operand of 128 bits has to be aligned, and those whose need not be. */
const ALIGNED = [
  "movaps xmm0, [rsi]",
  "movapd [rsi], xmm0",
  "movdqa [rsi], xmm0",
  "movntps [rsi], xmm0",
  "movntpd [rsi], xmm0",
  "movntdq [rsi], xmm0",
  "movntdqa xmm0, [rsi]",
  "movsldup xmm0, [rsi]",
  "movshdup xmm0, [rsi]",
  "paddb xmm0, [rsi]",
  "psllw xmm0, [rsi]",
  "punpcklbw xmm0, [rsi]",
  "unpcklpd xmm0, [rsi]",
  "pshufd xmm0, [rsi], 1",
  "shufps xmm0, [rsi], 1",
  "palignr xmm0, [rsi], 1",
  "pblendvb xmm1, [rsi], xmm0",
  "blendpd xmm0, [rsi], 1",
  "mpsadbw xmm0, [rsi], 1",
  "ptest xmm0, [rsi]",
];
const ANYWHERE = ["movups xmm0, [rsi]", "movupd [rsi], xmm0", "movdqu xmm0, [rsi]", "lddqu xmm0, [rsi]"];
/** Bytes that an instruction reads or writes. */
const SIZES: readonly (readonly [bytes: number, code: string])[] = [
  [16, "movups xmm0, [rsi]"],
  [16, "movdqu [rsi], xmm0"],
  [8, "movq xmm0, [rsi]"],
  [8, "movq [rsi], mm0"],
  [8, "movsd xmm0, [rsi]"],
  [8, "movhps xmm0, [rsi]"],
  [8, "movlpd [rsi], xmm0"],
  [8, "movddup xmm0, [rsi]"],
  [8, "movntq [rsi], mm0"],
  [8, "paddb mm0, [rsi]"],
  [8, "punpckhbw mm0, [rsi]"],
  [8, "pmovsxbw xmm0, [rsi]"],
  [8, "pmovzxdq xmm0, [rsi]"],
  [8, "pinsrq xmm0, qword ptr [rsi], 1"],
  [4, "punpcklbw mm0, [rsi]"],
  [4, "movss [rsi], xmm0"],
  [4, "movd mm0, dword ptr [rsi]"],
  [4, "pmovsxbd xmm0, [rsi]"],
  [4, "pmovzxwq xmm0, [rsi]"],
  [4, "insertps xmm0, [rsi], 0xd0"],
  [4, "extractps [rsi], xmm0, 2"],
  [4, "pextrd dword ptr [rsi], xmm0, 1"],
  [2, "pmovsxbq xmm0, [rsi]"],
  [2, "pinsrw mm0, word ptr [rsi], 1"],
  [2, "pextrw word ptr [rsi], xmm0, 1"],
  [1, "pinsrb xmm0, byte ptr [rsi], 1"],
  [1, "pextrb byte ptr [rsi], xmm0, 1"],
];

describe.each(ENGINES)("%s", (engine) => {
  const make = (mode: 32 | 64, cr0?: number, cr4?: number): Noting => notingMachine(engine, mode, cr0, cr4);
  let at = 0x10_0000;
  const run = (machine: TestMachine, code: string, registers: Parameters<TestMachine["set"]>[0] = {}): number => {
    machine.set(registers);
    at += 64;
    return machine.run(assemble(code, machine.mode), at);
  };

  it("wants 16 bytes aligned, but for those that do not", () => {
    const { machine, vectors } = make(64);
    for (const code of [...ALIGNED, ...ANYWHERE]) {
      vectors.length = 0;
      expect(run(machine, code, { rsi: 0x30_0010n }), code).toBe(EngineExit.HLT);
      run(machine, code, { rsi: 0x30_0008n });
      expect(vectors, code).toEqual(ALIGNED.includes(code) ? [VECTOR.GP] : []);
    }
  });

  it("touches as many bytes as the operand has", () => {
    const { machine, vectors } = make(64);
    // The 2 MiB behind END are no memory.
    machine.setU64(TABLES + 0x2000 + (END >>> 21) * 8, 0n);
    for (const [bytes, code] of SIZES) {
      vectors.length = 0;
      expect(run(machine, code, { rsi: BigInt(END - bytes), rsp: 0x1000_0000n }), code).toBe(EngineExit.HLT);
      run(machine, code, { rsi: BigInt(END - bytes + 1) });
      expect(vectors, code).toEqual([VECTOR.PF]);
    }
  });

  it.each([
    ["movq2dq xmm0, mm1", 0, 0, VECTOR.UD],
    ["movq2dq xmm0, mm1", CR0.EM, CR4.OSFXSR, VECTOR.UD],
    ["movdq2q mm0, xmm1", CR0.TS, CR4.OSFXSR, VECTOR.NM],
    ["emms", CR0.EM, 0, VECTOR.UD],
    ["emms", CR0.TS, 0, VECTOR.NM],
    ["pmovmskb eax, mm0", CR0.TS, 0, VECTOR.NM],
    ["maskmovdqu xmm0, xmm1", 0, 0, VECTOR.UD],
  ])("%s with CR0 %x and CR4 %x is exception %i", (code, cr0, cr4, vector) => {
    const { machine, vectors } = make(32, cr0, cr4);
    run(machine, code);
    expect(vectors).toEqual([vector]);
  });

  it("a pending x87 exception comes before what uses MMX registers", () => {
    const { machine, vectors } = make(64);
    const pending = { ...freshFpu(64), fcw: 0x37e, fsw: 0x8081 };
    for (const code of ["movq2dq xmm0, mm1", "movdq2q mm0, xmm1", "emms", "maskmovq mm0, mm1", "pshufb mm0, mm1"]) {
      vectors.length = 0;
      setFpu(machine, pending);
      run(machine, code, { rdi: 0x30_0000n });
      expect(vectors, code).toEqual([VECTOR.MF]);
    }
    setFpu(machine, pending);
    expect(run(machine, "maskmovdqu xmm0, xmm1; movd xmm0, eax", { rdi: 0x30_0000n })).toBe(EngineExit.HLT);
    expect(getFpu(machine).fsw).toBe(0x8081);
  });

  describe("MASKMOVQ and MASKMOVDQU", () => {
    /** The lowest byte, 5a. */
    const store = (machine: TestMachine, code: string, rdi: bigint): number => {
      const fpu = freshFpu(machine.mode);
      setFpu(machine, { ...fpu, xmm: fpu.xmm.map((_, i) => (i === 1 ? 0x80n : 0x5an)), tags: 0xff });
      return run(machine, code, { rdi });
    };
    const DOUBLE = ".byte 0x64; maskmovdqu xmm0, xmm1";

    it("store in the segment that a prefix names, at an address of 16 bits", () => {
      const { machine } = make(32);
      const { fs } = machine.sregs;
      machine.setSregs({ fs: { ...fs, base: 0x30_0000n, selector: DATA_SELECTOR } });
      expect(store(machine, DOUBLE, 0x20n)).toBe(EngineExit.HLT);
      expect(store(machine, `.byte 0x67; ${DOUBLE}`, 0xffff_0030n)).toBe(EngineExit.HLT);
      expect([machine.u64(0x30_0020), machine.u64(0x30_0030)]).toEqual([0x5an, 0x5an]);
    });

    it("want all bytes within the segment, and to be allowed to write", () => {
      const { machine, vectors } = make(32);
      const { fs } = machine.sregs;
      machine.setSregs({ fs: { ...fs, base: 0x30_0000n, limit: 0x10f, g: 0 } });
      expect(store(machine, DOUBLE, 0x100n)).toBe(EngineExit.HLT);
      store(machine, DOUBLE, 0x101n);
      machine.setSregs({ fs: { ...fs, type: 1 } });
      store(machine, DOUBLE, 0x100n);
      expect(vectors).toEqual([VECTOR.GP, VECTOR.GP]);
    });

    it("write nothing of a page if they may not write the next one", () => {
      const { machine, vectors } = make(64);
      machine.setU64(TABLES + 0x2000 + (END >>> 21) * 8, 0n);
      machine.setU64(END - 8, 7n);
      store(machine, "maskmovdqu xmm0, xmm1", BigInt(END - 8));
      expect(vectors).toEqual([VECTOR.PF]);
      expect(machine.u64(END - 8)).toBe(7n);
      expect(store(machine, "maskmovdqu xmm0, xmm1", BigInt(END - 16))).toBe(EngineExit.HLT);
      expect(machine.u64(END - 16)).toBe(0x5an);
    });

    it("write each byte to a device by itself", () => {
      const { machine } = make(64);
      const written: string[] = [];
      machine.mmioWrite = (gpa, size, value) => written.push(`${gpa.toString(16)} ${size} ${value.toString(16)}`);
      expect(store(machine, "maskmovdqu xmm0, xmm1", 0xd000_0001n)).toBe(EngineExit.HLT);
      expect(written).toEqual(["d0000001 1 5a"]);
    });
  });
});
