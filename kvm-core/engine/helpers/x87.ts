/**
 * Helpers of x87 instructions: environments and saved states.
 * Document: SDM volume 1, 8.1.10 (figures 8-9 to 8-12: layouts by mode and operand size), 8.1.7 (tag word); volume 2, FLDENV
 * FSTENV FSAVE FRSTOR.
 * Left out: FXSAVE and what came after it.
 */

import { ACCESS } from "../../cpu/access.ts";
import { CR0 } from "../../cpu/control.ts";
import { RFLAGS } from "../../cpu/flags.ts";
import { FCW, FPU, FPU_SLOT, FSW } from "../../cpu/fpu-state.ts";
import { CPU } from "../../cpu/state.ts";
import { PAGE_SIZE } from "../../cpu/zones.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";
import { x87FunctionHelper } from "./x87-function.ts";
import { X87Stack } from "./x87-stack.ts";

type Name = "x87Function" | "fldenv" | "frstor" | "fnstenv" | "fnsave";

/** Bytes of a register in memory, and of all of them. */
const REGISTER = 10;
const REGISTERS = 80;
/** Bytes that the memory unit moves at once. */
const PIECE = 16;
/** Two bits of the tag word. */
const TAG = { valid: 0, zero: 1, special: 2, empty: 3 } as const;

export function x87Helpers(c: HelperContext): Record<Name, Helper> {
  const { machine: m } = c;
  const { state } = m;
  const { view, zone } = state;
  const image = new DataView(new ArrayBuffer(28 + REGISTERS));
  const bytes = new Uint8Array(image.buffer);
  const stack = new X87Stack(state);

  /** Real-address and virtual-8086 mode have linear addresses in place of segment and offset. */
  const isReal = (): boolean => !(state.get(CPU.cr0) & CR0.PE) || (state.get(CPU.eflags) & RFLAGS.VM) !== 0;

  /** Reads `size` bytes at the address in data() into the image; false on a fault. */
  function read(ip: number, size: number): boolean {
    m.current = ip;
    let [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
    for (let at = 0; at < size; at += PIECE) {
      const n = Math.min(PIECE, size - at);
      if (!m.memory.readBytes(lo, hi, n, m.memory.dataAccess)) return false;
      for (let i = 0; i < n; i++) bytes[at + i] = state.u8[zone + CPU.bounce + i]!;
      ({ lo, hi } = m.memory.next(lo, hi, n));
    }
    return true;
  }

  /** Writes the image's first `size` bytes, all or nothing. */
  function write(ip: number, size: number): boolean {
    m.current = ip;
    let [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
    const access = m.memory.dataAccess;
    if (!m.memory.translate(lo, hi, access | ACCESS.write)) return false;
    const second = PAGE_SIZE - (lo & (PAGE_SIZE - 1));
    if (second < size) {
      const next = m.memory.next(lo, hi, second);
      if (!m.memory.translate(next.lo, next.hi, access | ACCESS.write)) return false;
    }
    for (let at = 0; at < size; at += PIECE) {
      const n = Math.min(PIECE, size - at);
      for (let i = 0; i < n; i++) state.u8[zone + CPU.bounce + i] = bytes[at + i]!;
      if (!m.memory.writeBytes(lo, hi, n, access)) return false;
      ({ lo, hi } = m.memory.next(lo, hi, n));
    }
    return true;
  }

  /** What the full tag word says of physical register `i`. */
  function tag(i: number): number {
    if (!(state.get(FPU.tags) & (1 << i))) return TAG.empty;
    const at = zone + FPU.st + i * FPU_SLOT;
    const exponent = view.getUint16(at + 8, true) & 0x7fff;
    const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    if (exponent === 0) return (low | high) === 0 ? TAG.zero : TAG.special;
    return exponent === 0x7fff || high >>> 31 === 0 ? TAG.special : TAG.valid;
  }

  /** The environment in `size` bytes: 14, or 28, whose unused halves are all ones. */
  function putEnvironment(size: number): void {
    const narrow = size === 14;
    const put = (i: number, value: number): void => {
      if (narrow) image.setUint16(i * 2, value, true);
      else image.setUint32(i * 4, value, true);
    };
    const word = (i: number, value: number): void => put(i, value | 0xffff_0000);
    let tags = 0;
    for (let i = 0; i < 8; i++) tags |= tag(i) << (2 * i);
    word(0, state.get(FPU.fcw));
    word(1, state.get(FPU.fsw) | (state.get(FPU.top) << FSW.topShift));
    word(2, tags);
    const [fip, fdp] = [state.get(FPU.fip), state.get(FPU.fdp)];
    const [fcs, fds, fop] = [state.get(FPU.fcs), state.get(FPU.fds), state.get(FPU.fop) & 0x7ff];
    if (!isReal()) {
      put(3, fip);
      put(4, narrow ? fcs : fcs | (fop << 16));
      put(5, fdp);
      word(6, fds);
      return;
    }
    const [code, data] = [fip + fcs * 16, fdp + fds * 16];
    word(3, code & 0xffff);
    word(5, data & 0xffff);
    if (narrow) {
      put(4, ((code >>> 4) & 0xf000) | fop);
      put(6, (data >>> 4) & 0xf000);
    } else {
      put(4, ((code >>> 4) & 0x0fff_f000) | fop);
      put(6, (data >>> 4) & 0x0fff_f000);
    }
  }

  function takeEnvironment(size: number): void {
    const narrow = size === 14;
    const get = (i: number): number => (narrow ? image.getUint16(i * 2, true) : image.getUint32(i * 4, true));
    const word = (i: number): number => get(i) & 0xffff;
    const status = word(1);
    let tags = 0;
    for (let i = 0; i < 8; i++) if (((word(2) >>> (2 * i)) & 3) !== TAG.empty) tags |= 1 << i;
    state.set(FPU.fcw, (word(0) & FCW.writable) | FCW.set);
    state.set(FPU.top, (status >>> FSW.topShift) & 7);
    state.set(FPU.fsw, status & ~(7 << FSW.topShift));
    state.set(FPU.tags, tags);
    if (!isReal()) {
      state.set64(FPU.fip, get(3), 0);
      state.set(FPU.fcs, word(4));
      if (!narrow) state.set(FPU.fop, (get(4) >>> 16) & 0x7ff);
      state.set64(FPU.fdp, get(5), 0);
      state.set(FPU.fds, word(6));
    } else {
      const high = narrow ? 0xf000 : 0x0fff_f000;
      state.set64(FPU.fip, (word(3) | ((get(4) & high) << 4)) >>> 0, 0);
      state.set64(FPU.fdp, (word(5) | ((get(6) & high) << 4)) >>> 0, 0);
      state.set(FPU.fop, get(4) & 0x7ff);
      state.set(FPU.fcs, 0);
      state.set(FPU.fds, 0);
    }
    stack.summary();
  }

  return {
    ...x87FunctionHelper(c),

    fldenv(ip, size) {
      if (!read(ip, size)) return c.operandFault(ip);
      takeEnvironment(size);
      return NEXT;
    },

    frstor(ip, size) {
      if (!read(ip, size)) return c.operandFault(ip);
      takeEnvironment(size - REGISTERS);
      for (let i = 0; i < 8; i++) {
        const [at, to] = [size - REGISTERS + i * REGISTER, stack.slot(i)];
        view.setBigUint64(to, image.getBigUint64(at, true), true);
        view.setBigUint64(to + 8, BigInt(image.getUint16(at + 8, true)), true);
      }
      return NEXT;
    },

    /** All exceptions are masked afterwards. */
    fnstenv(ip, size) {
      putEnvironment(size);
      if (!write(ip, size)) return c.operandFault(ip);
      state.set(FPU.fcw, state.get(FPU.fcw) | FSW.exceptions);
      stack.summary();
      return NEXT;
    },

    /** Afterwards as after FNINIT. */
    fnsave(ip, size) {
      putEnvironment(size - REGISTERS);
      for (let i = 0; i < 8; i++) {
        const [at, from] = [size - REGISTERS + i * REGISTER, stack.slot(i)];
        image.setBigUint64(at, view.getBigUint64(from, true), true);
        image.setUint16(at + 8, view.getUint16(from + 8, true), true);
      }
      if (!write(ip, size)) return c.operandFault(ip);
      state.set(FPU.fcw, FCW.initial);
      for (const field of [FPU.fsw, FPU.top, FPU.tags, FPU.fop, FPU.fcs, FPU.fds]) state.set(field, 0);
      state.set64(FPU.fip, 0, 0);
      state.set64(FPU.fdp, 0, 0);
      stack.summary();
      return NEXT;
    },
  };
}
