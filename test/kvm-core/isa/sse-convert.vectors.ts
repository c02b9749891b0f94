/**
 * Vectors of SSE conversions: exact, inexact and out of range, in every mode that counts, and what becomes of the MMX state.
 * Document: SDM volume 2A, CVT*; volume 1, 11.5.2.1 (integer indefinite).
 * Left out: unmasked exceptions and random states: test/host.
 */

import { DE, f32, f64, fromBoth, IE, lanes32, MXCSR, memory, OE, PE, pd, pointer, ps, UE } from "./sse-values.ts";
import type { Row, State, Vectors } from "./vectors.ts";

const OLD = 0x1111_2222_3333_4444_5555_6666_7777_8888n;
const over32 = (low: bigint): bigint => (OLD & ~0xffff_ffffn) | low;
const over64 = (low: bigint): bigint => (OLD & ~0xffff_ffff_ffff_ffffn) | low;
const UP = MXCSR | 0x4000;
const INT32 = 0x8000_0000n;
const INT64 = 0x8000_0000_0000_0000n;

/** To a general register, which is EAX or RAX; a result of 32 bits is zero-extended. */
function toRegister(name: string, register: string, operand: bigint, rax: bigint, flags: number, mxcsr = MXCSR): Row[] {
  const after = { rax, mxcsr: mxcsr | flags };
  const bytes = name.includes("ss") ? 4 : 8;
  const rest = { rax: -1n, mxcsr };
  return [
    [{ ...rest, xmm2: operand }, `${name} ${register}, xmm2`, after],
    [{ ...rest, ...memory(operand) }, `${name} ${register}, ${pointer(bytes)}`, after],
  ];
}

function fromRegister(name: string, bits: 32 | 64, operand: bigint, xmm1: bigint, flags: number): Row[] {
  const after = { xmm1, mxcsr: MXCSR | flags };
  return [
    [{ xmm1: OLD, rax: operand }, `${name} xmm1, ${bits === 32 ? "eax" : "rax"}`, after],
    [{ xmm1: OLD, m: operand }, `${name} xmm1, ${pointer(bits / 8)}`, after],
  ];
}

/** With an MMX register all are valid and TOP is 0 afterwards; the x87 state before has TOP 5 and one register. */
const X87 = { fsw: 0x2800, mm3: 9n };
const VALID = { fsw: 0, tags: 0xff };
function toMmx(name: string, bytes: number, operand: bigint, mm1: bigint, flags: number): Row[] {
  const after: State = { mm1, mxcsr: MXCSR | flags, ...VALID };
  return [
    [{ ...X87, xmm2: operand }, `${name} mm1, xmm2`, after],
    [{ ...X87, ...memory(operand) }, `${name} mm1, ${pointer(bytes)}`, after],
  ];
}
function fromMmx(name: string, operand: bigint, xmm1: bigint, flags: number): Row[] {
  const after = { xmm1, mxcsr: MXCSR | flags };
  return [
    [{ xmm1: OLD, fsw: 0x2800, mm2: operand }, `${name} xmm1, mm2`, { ...after, ...VALID }],
    [{ xmm1: OLD, ...X87, m: operand }, `${name} xmm1, ${pointer(8)}`, { ...after, fsw: 0x2800, tags: 8 }],
  ];
}

const singles = ps(1.5, -2.5, 3e9, -1);

export const VECTORS: Vectors = {
  both: [
    ...fromBoth("cvtss2sd", 4, OLD, f32(1.5), { xmm1: over64(f64(1.5)), mxcsr: MXCSR }),
    ...fromBoth("cvtss2sd", 4, OLD, 1n, { xmm1: over64(f64(2 ** -149)), mxcsr: MXCSR | DE }),
    ...fromBoth("cvtss2sd", 4, OLD, 0xff80_0001n, { xmm1: over64(0xfff8_0000_2000_0000n), mxcsr: MXCSR | IE }),
    ...fromBoth("cvtsd2ss", 8, OLD, f64(-0.25), { xmm1: over32(f32(-0.25)), mxcsr: MXCSR }),
    ...fromBoth("cvtsd2ss", 8, OLD, f64(0.1), { xmm1: over32(0x3dcc_cccdn), mxcsr: MXCSR | PE }),
    ...fromBoth("cvtsd2ss", 8, OLD, f64(1e300), { xmm1: over32(0x7f80_0000n), mxcsr: MXCSR | OE | PE }),
    ...fromBoth("cvtsd2ss", 8, OLD, f64(-1e-300), { xmm1: over32(0x8000_0000n), mxcsr: MXCSR | UE | PE }),
    ...fromBoth("cvtsd2ss", 8, OLD, f64(-0), { xmm1: over32(f32(-0)), mxcsr: MXCSR | PE }, "", { mxcsr: MXCSR | PE }),
    ...fromBoth("cvtps2pd", 8, OLD, ps(1.5, -0), { xmm1: pd(1.5, -0), mxcsr: MXCSR }),
    [{ xmm2: ps(2, 4, 1n, 1n) }, "cvtps2pd xmm1, xmm2", { xmm1: pd(2, 4), mxcsr: MXCSR }],
    ...fromBoth("cvtpd2ps", 16, OLD, pd(1.5, 0.1), { xmm1: ps(1.5, 0x3dcc_cccdn), mxcsr: MXCSR | PE }),
    ...fromBoth("cvtpd2ps", 16, OLD, pd(0, -3), { xmm1: ps(0, -3), mxcsr: MXCSR | PE }, "", { mxcsr: MXCSR | PE }),

    ...fromRegister("cvtsi2ss", 32, -5n, over32(f32(-5)), 0),
    ...fromRegister("cvtsi2ss", 32, 0x100_0001n, over32(f32(0x100_0000)), PE),
    ...fromRegister("cvtsi2sd", 32, -5n, over64(f64(-5)), 0),
    ...fromBoth("cvtdq2ps", 16, OLD, lanes32(1n, -2n, 0x100_0001n, 0n), {
      xmm1: ps(1, -2, 0x100_0000, 0),
      mxcsr: MXCSR | PE,
    }),
    ...fromBoth("cvtdq2pd", 8, OLD, lanes32(7n, -0x8000_0000n), { xmm1: pd(7, -(2 ** 31)), mxcsr: MXCSR }),
    ...fromMmx("cvtpi2ps", lanes32(3n, -4n), over64(ps(3, -4)), 0),
    ...fromMmx("cvtpi2ps", lanes32(0x100_0001n, 0n), over64(ps(0x100_0000, 0)), PE),
    ...fromMmx("cvtpi2pd", lanes32(3n, -4n), pd(3, -4), 0),

    ...toRegister("cvtss2si", "eax", f32(2.5), 2n, PE),
    ...toRegister("cvtss2si", "eax", f32(2.5), 3n, PE, UP),
    ...toRegister("cvtss2si", "eax", f32(2.5), 2n, 0, MXCSR | PE),
    ...toRegister("cvtss2si", "eax", f32(2 ** 31), INT32, IE),
    ...toRegister("cvtsd2si", "eax", f64(-1.5), 0xffff_fffen, PE),
    ...toRegister("cvtsd2si", "eax", f64(2147483647.5), INT32, IE, MXCSR | PE),
    ...toRegister("cvtsd2si", "eax", f64(2147483647.25), 0x7fff_ffffn, PE),
    ...toRegister("cvtsd2si", "eax", 1n, 0n, PE),
    ...toRegister("cvttss2si", "eax", f32(-2.75), 0xffff_fffen, PE, UP),
    ...toRegister("cvttsd2si", "eax", f64(2147483647.5), 0x7fff_ffffn, PE),
    ...toRegister("cvttsd2si", "eax", f64(-2147483648.5), INT32, PE),
    ...toRegister("cvttsd2si", "eax", f64(Number.NaN), INT32, IE),

    ...fromBoth("cvtps2dq", 16, OLD, singles, { xmm1: lanes32(2n, -2n, INT32, -1n), mxcsr: MXCSR | IE | PE }),
    ...fromBoth("cvttps2dq", 16, OLD, singles, { xmm1: lanes32(1n, -2n, INT32, -1n), mxcsr: MXCSR | IE | PE }),
    ...fromBoth("cvtps2dq", 16, OLD, ps(1.5, 0, -1.5, 9), { xmm1: lanes32(2n, 0n, -2n, 9n) }, "", {
      mxcsr: MXCSR | PE,
    }),
    ...fromBoth("cvttps2dq", 16, OLD, ps(1.5, 0, -1.5, 9), { xmm1: lanes32(1n, 0n, -1n, 9n) }, "", {
      mxcsr: MXCSR | PE,
    }),
    ...fromBoth("cvtpd2dq", 16, OLD, pd(1.5, -7), { xmm1: lanes32(2n, -7n), mxcsr: MXCSR | PE }),
    ...fromBoth("cvtpd2dq", 16, OLD, pd(3.5, 1e10), { xmm1: lanes32(4n, INT32), mxcsr: MXCSR | IE | PE }),
    ...fromBoth("cvttpd2dq", 16, OLD, pd(1.5, -7), { xmm1: lanes32(1n, -7n), mxcsr: MXCSR | PE }),
    ...fromBoth("cvttpd2dq", 16, OLD, pd(3.5, -1), { xmm1: lanes32(3n, -1n) }, "", { mxcsr: MXCSR | PE }),
    ...toMmx("cvtps2pi", 8, ps(1.5, -2.5), lanes32(2n, -2n), PE),
    ...toMmx("cvttps2pi", 8, ps(1.5, -2.5), lanes32(1n, -2n), PE),
    ...toMmx("cvtpd2pi", 16, pd(1.5, 1e10), lanes32(2n, INT32), IE | PE),
    ...toMmx("cvttpd2pi", 16, pd(1.5, -2), lanes32(1n, -2n), PE),
  ],
  only64: [
    ...fromRegister("cvtsi2ss", 64, 1n << 40n, over32(f32(2 ** 40)), 0),
    ...fromRegister("cvtsi2ss", 64, (1n << 40n) + 1n, over32(f32(2 ** 40)), PE),
    ...fromRegister("cvtsi2sd", 64, -(1n << 40n), over64(f64(-(2 ** 40))), 0),
    ...fromRegister("cvtsi2sd", 64, (1n << 60n) + 1n, over64(f64(2 ** 60)), PE),
    ...toRegister("cvtss2si", "rax", f32(2 ** 40), 1n << 40n, 0),
    ...toRegister("cvtsd2si", "rax", f64(-0.5), 0n, PE),
    ...toRegister("cvtsd2si", "rax", f64(2 ** 63), INT64, IE),
    ...toRegister("cvtsd2si", "rax", f64(-(2 ** 63)), INT64, 0),
    ...toRegister("cvttss2si", "rax", f32(-1.75), -1n, PE),
    ...toRegister("cvttsd2si", "rax", f64(123456789012.9), 123456789012n, PE),
    ...toRegister("cvttsd2si", "rax", f64(123456789012.9), 123456789012n, 0, MXCSR | PE),
  ],
};
