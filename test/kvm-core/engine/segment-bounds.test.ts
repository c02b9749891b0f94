/**
 * Segment bounds and types: every kind of segment, access and size, at both ends of the bounds.
 * Document: SDM volume 3, 5.3 (limit checking), 5.4 (type checking), 3.4.5.1 (types).
 * Left out: what loading a segment register checks.
 */

import { describe, expect, it } from "vitest";
import type { KvmSegment } from "../../../shared/ioctls.ts";
import { assemble, assembleAll } from "../support/asm.ts";
import { ENGINES, type TestMachine } from "../support/machine.ts";
import { code, data, runToFault, setSegments, USER_CODE, userMachine } from "../support/segments.ts";

const BASE = 0x30_0000;
const user = { base: BigInt(BASE), dpl: 3, selector: 0x2b } as const;

/** A segment, and the offsets that it has; reads and writes of it are allowed or not. */
interface Kind {
  readonly segment: KvmSegment;
  readonly low: number;
  readonly high: number;
  readonly read: boolean;
  readonly write: boolean;
}
const KINDS: Readonly<Record<string, Kind>> = {
  "read and written": { segment: data({ ...user, limit: 0x1fff }), low: 0, high: 0x1fff, read: true, write: true },
  "read only": { segment: data({ ...user, type: 1, limit: 0x1fff }), low: 0, high: 0x1fff, read: true, write: false },
  "4 GiB with a base": {
    segment: data({ ...user, limit: 0xffff_efff, g: 1, db: 1 }),
    low: 0,
    high: 0xffff_efff,
    read: true,
    write: true,
  },
  "expand-down, 32-bit": {
    segment: data({ ...user, type: 7, limit: 0xfff, db: 1 }),
    low: 0x1000,
    high: 0xffff_ffff,
    read: true,
    write: true,
  },
  "expand-down, 16-bit": {
    segment: data({ ...user, type: 7, limit: 0xfff }),
    low: 0x1000,
    high: 0xffff,
    read: true,
    write: true,
  },
  "expand-down, read only": {
    segment: data({ ...user, type: 5, limit: 0xfff }),
    low: 0x1000,
    high: 0xffff,
    read: true,
    write: false,
  },
  "one byte": { segment: data({ ...user, limit: 0 }), low: 0, high: 0, read: true, write: true },
  "code, readable": { segment: code({ ...user, limit: 0x1fff }), low: 0, high: 0x1fff, read: true, write: false },
  "code, execute only": {
    segment: code({ ...user, type: 9, limit: 0x1fff }),
    low: 0,
    high: 0x1fff,
    read: false,
    write: false,
  },
  null: {
    segment: data({ dpl: 3, selector: 0, limit: 0, unusable: 1, present: 0, type: 0, s: 0 }),
    low: 0,
    high: 0,
    read: false,
    write: false,
  },
};

const REGISTERS: Readonly<Record<number, readonly [name: string, register: string]>> = {
  1: ["byte", "cl"],
  2: ["word", "cx"],
  4: ["dword", "ecx"],
};
/** Bytes of the access, whether it writes, and the instruction. */
type Access = readonly [bytes: number, write: boolean, text: (memory: string) => string];
const ACCESSES: readonly Access[] = [
  ...[1, 2, 4].flatMap((bytes): Access[] => {
    const [name, register] = REGISTERS[bytes]!;
    return [
      [bytes, false, (m) => `mov ${register}, ${name} ptr ${m}`],
      [bytes, false, (m) => `cmp ${name} ptr ${m}, ${register}`],
      [bytes, true, (m) => `mov ${name} ptr ${m}, ${register}`],
      [bytes, true, (m) => `add ${name} ptr ${m}, ${register}`],
      [bytes, true, (m) => `xchg ${name} ptr ${m}, ${register}`],
    ];
  }),
  [8, true, (m) => `cmpxchg8b qword ptr ${m}`],
  [8, false, (m) => `bound edi, qword ptr ${m}`],
  [6, false, (m) => `les edi, fword ptr ${m}`],
  [6, true, (m) => `sidt ${m}`],
  [1, false, (m) => `movzx edx, byte ptr ${m}`],
  [1, true, (m) => `setc byte ptr ${m}`],
  [4, false, (m) => `imul edx, dword ptr ${m}, 3`],
  [2, false, (m) => `bt word ptr ${m}, 3`],
  [4, true, (m) => `lock bts dword ptr ${m}, 3`],
  [4, true, (m) => `pop dword ptr ${m}`],
  [4, false, (m) => `push dword ptr ${m}`],
];
/** How the segment is named, and the operand that names it. */
const NAMES = [
  ["ds", "[esi]"],
  ["es", "es:[esi]"],
  ["fs", "fs:[esi]"],
  ["gs", "gs:[esi+edi]"],
  ["ss", "[ebp]"],
] as const;
const CODES = new Map(
  NAMES.map(([name, memory]) => {
    return [
      name,
      assembleAll(
        ACCESSES.map(([, , text]) => `${text(memory)}; ud2`),
        32,
      ),
    ];
  }),
);

/** Offsets at both ends, and whether an access of `bytes` bytes there is inside. */
function ends({ low, high }: Kind, bytes: number): (readonly [offset: number, inside: boolean])[] {
  const last = high - bytes + 1;
  const rows: (readonly [number, boolean])[] = [[low, last >= low]];
  if (last >= low) rows.push([last, true]);
  if (low > 0) rows.push([low - 1, false], [0, false]);
  if (last + 1 >= low && last + 1 <= 0xffff_ffff) rows.push([last + 1, false]);
  if (high < 0xffff_ffff) rows.push([high + 1, false], [0xffff_ffff, false]);
  return rows;
}

/** Data that an access of the memory at an offset would change. */
function fill(machine: TestMachine, offset: number): void {
  const at = (BASE + offset) % 0x1_0000_0000;
  if (at < 0xff_ff00) machine.write(at, new Array(16).fill(0));
}

describe.each(ENGINES)("%s", (engine) => {
  const machine = userMachine(engine);
  let free = USER_CODE;
  /** Puts code where none was before; returns its address. */
  const place = (bytes: Uint8Array): number => {
    const at = free;
    machine.write(at, bytes);
    free += 64;
    return at;
  };

  describe.each(NAMES)("%s", (name) => {
    it.each(Object.keys(KINDS))("%s", (kindName) => {
      const kind = KINDS[kindName]!;
      ACCESSES.forEach(([bytes, write, text], i) => {
        const at = place(CODES.get(name)![i]!);
        for (const [offset, inside] of ends(kind, bytes)) {
          // POP and PUSH with the segment under test as the stack are the stack's business.
          if (name === "ss" && /^p(op|ush)/.test(text(""))) continue;
          const allowed = inside && (write ? kind.write : kind.read);
          const what = `${text(kindName)} at ${offset.toString(16)}`;
          setSegments(machine, { [name]: kind.segment });
          machine.set({ rsp: 0x18_0000n, rdi: 0n, rcx: 0n, rax: 0n, rdx: 0n, rbx: 0n });
          machine.set({ rsi: BigInt(offset), rbp: BigInt(offset) });
          fill(machine, offset);
          const caught = runToFault(machine, at);
          if (allowed) expect(caught.vector, what).toBe(-1);
          else
            expect(caught, what).toMatchObject({ vector: name === "ss" ? 12 : 13, code: 0, rip: at, rsp: 0x18_0000 });
        }
      });
    });
  });

  it("checks no address that is not used", () => {
    setSegments(machine, { ds: KINDS["null"]!.segment });
    const text = "lea eax, [esi+8]; nop dword ptr [esi]; lea bx, [si+8]; ud2";
    machine.set({ rsi: 0x1_fffcn });
    expect(runToFault(machine, place(assemble(text, 32))).vector).toBe(-1);
    expect(machine.regs).toMatchObject({ rax: 0x2_0004n });
    expect(machine.regs.rbx & 0xffffn).toBe(4n);
  });

  it("wraps 16-bit addresses before it checks them", () => {
    setSegments(machine, { ds: KINDS["read and written"]!.segment });
    const at = place(assemble("mov ax, [bx+si+2]; mov cx, [bx+si+0x1ffe]; mov dx, [bx+si+0x2001]; ud2", 32));
    machine.setU32(BASE, 0x7777_5566);
    machine.setU32(BASE + 0x1ffc, 0x8899_0000);
    // bx + si is 0x1fffe, in 16 bits 0xfffe.
    machine.set({ rbx: 0x1_ffffn, rsi: 0x2_ffffn, rax: 0n, rcx: 0n });
    expect(runToFault(machine, at)).toMatchObject({ vector: 13, rip: at + 11 });
    expect(machine.regs).toMatchObject({ rax: 0x5566n, rcx: 0n });
  });

  it("checks the word that a bit string's bit is in", () => {
    setSegments(machine, { ds: KINDS["read and written"]!.segment });
    const texts = ["bt dword ptr [esi], eax; ud2", "bts dword ptr [esi], eax; ud2", "bts word ptr [si], ax; ud2"];
    const codes = assembleAll(texts, 32).map(place);
    /** instruction, esi, bit, faults. */
    const rows = [
      [0, 0x1ffc, 31, false],
      [0, 0x1ffc, 32, true],
      [0, 0x2ffc, -0x8000, false],
      [0, 0, -1, true],
      [1, 0x1ff8, 63, false],
      [1, 0x1ff9, 63, true],
      [2, 0x1ffe, 15, false],
      [2, 0x1ffe, 16, true],
      [2, 0xffff_fffe, 31, false],
    ] as const;
    for (const [which, esi, bit, faults] of rows) {
      machine.set({ rsi: BigInt(esi >>> 0), rax: BigInt(bit >>> 0) });
      setSegments(machine, { ds: KINDS["read and written"]!.segment });
      expect(runToFault(machine, codes[which]!).vector, `${texts[which]} ${esi} ${bit}`).toBe(faults ? 13 : -1);
    }
  });

  it("checks strings in their own segments, in the middle of a repetition too", () => {
    const texts = [
      "rep movsb; ud2",
      "rep stosd; ud2",
      "rep lodsw; ud2",
      "repe cmpsb; ud2",
      "repne scasw; ud2",
      "addr16 rep movsb; ud2",
      "xlat; ud2",
      "std; rep movsd; ud2",
    ];
    const codes = assembleAll(texts, 32).map(place);
    const inside = KINDS["read and written"]!.segment;
    /** instruction, segments, esi, edi, ecx; vector, and esi, edi, ecx after it. */
    const rows = [
      [0, { ds: inside, es: inside }, 0x1000, 0x1ffe, 4, 13, [0x1002, 0x2000, 2]],
      [0, { ds: inside, es: inside }, 0x1ffd, 0x10, 4, 13, [0x2000, 0x13, 1]],
      [0, { ds: inside, es: inside }, 0x1ffc, 0x10, 4, -1, [0x2000, 0x14, 0]],
      [0, { ds: inside, es: KINDS["read only"]!.segment }, 0, 0, 1, 13, [0, 0, 1]],
      [0, { ds: KINDS["code, execute only"]!.segment, es: inside }, 0, 0, 1, 13, [0, 0, 1]],
      // A count of zero accesses nothing.
      [0, { ds: KINDS["null"]!.segment, es: KINDS["null"]!.segment }, 0, 0, 0, -1, [0, 0, 0]],
      [1, { es: inside }, 0, 0x1ff6, 4, 13, [0, 0x1ffe, 2]],
      [2, { ds: inside }, 0x1ffe, 0, 2, 13, [0x2000, 0, 1]],
      [3, { ds: inside, es: inside }, 0x1000, 0x1fff, 2, 13, [0x1001, 0x2000, 1]],
      [4, { es: inside }, 0, 0x1ffe, 2, -1, [0, 0x2000, 1]],
      [5, { ds: inside, es: inside }, 0x1_0000, 0x1_1fff, 2, 13, [0x1_0001, 0x1_2000, 1]],
      [6, { ds: inside }, 0, 0, 0, -1, [0, 0, 0]],
      [7, { ds: inside, es: inside }, 0x1ffc, 4, 3, 13, [0x1ff4, 0xffff_fffc, 1]],
    ] as const;
    for (const [which, segments, esi, edi, ecx, vector, after] of rows) {
      machine.write(BASE, new Array(0x2000).fill(0));
      setSegments(machine, segments);
      machine.set({ rsi: BigInt(esi), rdi: BigInt(edi), rcx: BigInt(ecx), rax: 0n, rbx: 0x1fffn });
      const what = `${texts[which]} ${esi} ${edi} ${ecx}`;
      expect(runToFault(machine, codes[which]!).vector, what).toBe(vector);
      const { rsi, rdi, rcx } = machine.regs;
      expect([rsi, rdi, rcx].map(Number), what).toEqual(after);
    }
  });

  it("writes nothing where an instruction's second operand faults", () => {
    const inside = KINDS["read and written"]!.segment;
    setSegments(machine, { ds: inside, es: inside });
    const at = place(assemble("xadd dword ptr [esi], ebx; ud2", 32));
    machine.setU32(BASE + 0x1ffc, 0x1234_5678);
    machine.set({ rsi: 0x1ffdn, rbx: 5n });
    expect(runToFault(machine, at)).toMatchObject({ vector: 13, rip: at });
    expect(machine.u32(BASE + 0x1ffc)).toBe(0x1234_5678);
    expect(machine.regs.rbx).toBe(5n);
  });
});
