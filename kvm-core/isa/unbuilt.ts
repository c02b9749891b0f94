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
  { map: 1, from: 0x10, to: 0x17, name: "SSE moves" },
  { map: 1, from: 0x28, to: 0x2f, name: "SSE moves and conversions" },
  { map: 1, from: 0x50, to: 0x77, name: "MMX or SSE" },
  { map: 1, from: 0x7c, to: 0x7f, name: "MMX or SSE" },
  { map: 1, from: 0xae, to: 0xae, name: "group 15 (FXSAVE, XSAVE and their like)", regs: [0, 1, 2, 3, 4, 5, 6] },
  { map: 1, from: 0xc2, to: 0xc2, name: "SSE compare" },
  { map: 1, from: 0xc3, to: 0xc3, name: "movnti" },
  { map: 1, from: 0xc4, to: 0xc6, name: "SSE shuffle" },
  { map: 1, from: 0xd0, to: 0xfe, name: "MMX or SSE" },
  { map: 2, from: 0x00, to: 0xff, name: "0F 38 map" },
  { map: 3, from: 0x00, to: 0xff, name: "0F 3A map" },
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
