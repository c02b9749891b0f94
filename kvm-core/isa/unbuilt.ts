/**
 * Opcodes that the manual defines and that nobody described yet: a guest that meets one gets a clear end, not #UD.
 * Document: SDM volume 2D, appendix A (opcode maps).
 * Left out: nothing; a row goes away when its instruction comes.
 */

interface Unbuilt {
  /** As in Form.map. */
  readonly map: number;
  readonly from: number;
  readonly to: number;
  readonly name: string;
  /** ModRM.reg values that are defined; all if absent. */
  readonly regs?: readonly number[];
  /** Legacy modes only. */
  readonly i64?: true;
}

const ROWS: readonly Unbuilt[] = [
  { map: 1, from: 0x01, to: 0x01, name: "group 7", regs: [0, 1, 2, 3, 7] },
  { map: 1, from: 0x05, to: 0x05, name: "syscall" },
  { map: 1, from: 0x07, to: 0x07, name: "sysret" },
  { map: 1, from: 0x2a, to: 0x2a, name: "SSE conversions" },
  { map: 1, from: 0x2c, to: 0x2f, name: "SSE conversions and comparisons" },
  { map: 1, from: 0x33, to: 0x33, name: "rdpmc" },
  { map: 1, from: 0x34, to: 0x35, name: "sysenter, sysexit" },
  { map: 1, from: 0x51, to: 0x5f, name: "SSE arithmetic" },
  { map: 1, from: 0x7c, to: 0x7d, name: "SSE3 arithmetic" },
  { map: 1, from: 0xaa, to: 0xaa, name: "rsm" },
  { map: 1, from: 0xae, to: 0xae, name: "group 15" },
  { map: 1, from: 0xc2, to: 0xc2, name: "SSE compare" },
  { map: 1, from: 0xc3, to: 0xc3, name: "movnti" },
  { map: 1, from: 0xc7, to: 0xc7, name: "group 9 (rdrand, rdseed, VMX)", regs: [6, 7] },
  { map: 1, from: 0xd0, to: 0xd0, name: "SSE3 arithmetic" },
  { map: 1, from: 0xe6, to: 0xe6, name: "SSE conversions" },
  { map: 2, from: 0x80, to: 0xff, name: "0F 38 map" },
  { map: 3, from: 0x08, to: 0x0b, name: "SSE4.1 rounding" },
  { map: 3, from: 0x40, to: 0x41, name: "SSE4.1 dot products" },
  { map: 3, from: 0x44, to: 0xff, name: "0F 3A map" },
];

/** Name of a defined but unbuilt opcode; "" if the manual leaves it undefined. */
export function unbuiltName(map: number, opcode: number, modrm: number, long: boolean): string {
  const row = ROWS.find(
    (r) =>
      r.map === map &&
      opcode >= r.from &&
      opcode <= r.to &&
      !(r.i64 && long) &&
      (r.regs === undefined || r.regs.includes((modrm >> 3) & 7)),
  );
  return row?.name ?? "";
}
