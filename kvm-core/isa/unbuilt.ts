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
  { map: 0, from: 0x9b, to: 0x9b, name: "wait" },
  { map: 0, from: 0xd8, to: 0xdf, name: "x87" },
  { map: 1, from: 0x01, to: 0x01, name: "group 7", regs: [0, 1, 2, 3, 7] },
  { map: 1, from: 0x05, to: 0x05, name: "syscall" },
  { map: 1, from: 0x07, to: 0x07, name: "sysret" },
  { map: 1, from: 0x10, to: 0x17, name: "SSE moves" },
  { map: 1, from: 0x28, to: 0x2f, name: "SSE moves and conversions" },
  { map: 1, from: 0x33, to: 0x33, name: "rdpmc" },
  { map: 1, from: 0x34, to: 0x35, name: "sysenter, sysexit" },
  { map: 1, from: 0x50, to: 0x7f, name: "MMX or SSE" },
  { map: 1, from: 0xaa, to: 0xaa, name: "rsm" },
  { map: 1, from: 0xae, to: 0xae, name: "group 15" },
  { map: 1, from: 0xc2, to: 0xc2, name: "SSE compare" },
  { map: 1, from: 0xc4, to: 0xc6, name: "SSE shuffle" },
  { map: 1, from: 0xc7, to: 0xc7, name: "group 9 (rdrand, rdseed, VMX)", regs: [6, 7] },
  { map: 1, from: 0xd0, to: 0xfe, name: "MMX or SSE" },
  { map: 2, from: 0x00, to: 0x0b, name: "SSSE3" },
  { map: 2, from: 0x10, to: 0x17, name: "SSE4.1" },
  { map: 2, from: 0x1c, to: 0x1e, name: "SSSE3" },
  { map: 2, from: 0x20, to: 0x2b, name: "SSE4.1" },
  { map: 2, from: 0x30, to: 0x41, name: "SSE4.1" },
  { map: 2, from: 0xc8, to: 0xcd, name: "SHA" },
  { map: 2, from: 0xdb, to: 0xdf, name: "AES" },
  { map: 3, from: 0x08, to: 0x0f, name: "SSE4.1" },
  { map: 3, from: 0x14, to: 0x17, name: "SSE4.1" },
  { map: 3, from: 0x20, to: 0x22, name: "SSE4.1" },
  { map: 3, from: 0x40, to: 0x44, name: "SSE4.1" },
  { map: 3, from: 0x60, to: 0x63, name: "SSE4.2" },
  { map: 3, from: 0xcc, to: 0xcc, name: "SHA" },
  { map: 3, from: 0xdf, to: 0xdf, name: "AES" },
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
