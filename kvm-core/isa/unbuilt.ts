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
  { map: 1, from: 0xc3, to: 0xc3, name: "movnti" },
  { map: 2, from: 0xf0, to: 0xff, name: "0F 38 F0 to FF" },
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
