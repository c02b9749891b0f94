/**
 * Typed WebAssembly expressions as small trees, with constants folded where that is cheap.
 * Document: WebAssembly core specification, 5.4 (instructions); threads proposal (atomic loads, compare-and-exchange).
 * Left out: operations on v128, which are in simd.ts.
 */

export type ValType = "i32" | "i64" | "f32" | "f64" | "v128";

/** A value. Trees may share nodes, so a node must be free of effects; a call is a statement (Code.call). */
export interface Expr {
  readonly type: ValType;
  readonly kind: "const" | "local" | "global" | "op" | "load" | "select";
  /** Opcode; 0xfe00 | n and 0xfc00 | n for those prefixes; SIMD_OP + n for the prefix of v128. */
  readonly op: number;
  readonly args: readonly Expr[];
  /** const: its value. local, global: its index. load: its offset. */
  readonly value: number | bigint;
  /** load: log2 of the alignment. */
  readonly align: number;
  /** Bytes behind the opcode: lane numbers, the bytes of a v128 constant. */
  readonly bytes: readonly number[];
}

/** Beyond all other opcodes. */
export const SIMD_OP = 0x1_0000;
const NO_BYTES: readonly number[] = [];

/** A node of any kind, for the tables of operations here and in simd.ts. */
export const node = (
  type: ValType,
  kind: Expr["kind"],
  op: number,
  args: readonly Expr[],
  value: number | bigint = 0,
  align = 0,
  bytes: readonly number[] = NO_BYTES,
): Expr => {
  return { type, kind, op, args, value, align, bytes };
};

export function local(type: ValType, index: number): Expr {
  return node(type, "local", 0x20, [], index);
}

export function global(type: ValType, index: number): Expr {
  return node(type, "global", 0x23, [], index);
}

/** `condition` (i32) ? a : b; both are evaluated. */
export function select(condition: Expr, a: Expr, b: Expr): Expr {
  return node(a.type, "select", 0x1b, [a, b, condition]);
}

const isConst = (e: Expr, value?: number): boolean =>
  e.kind === "const" && (value === undefined || Number(e.value) === value);

type Fold = (a: bigint, b: bigint) => bigint;
const FOLD: Record<string, Fold> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};
/** x op 0 == x. */
const NEUTRAL_ZERO: ReadonlySet<string> = new Set(["add", "sub", "or", "xor", "shl", "shrs", "shru", "rotl", "rotr"]);

type Binary = (a: Expr, b: Expr) => Expr;
type Unary = (a: Expr) => Expr;
type Load = (address: Expr, offset?: number) => Expr;

function ops<B extends string, C extends string, U extends string, L extends string>(
  type: ValType,
  constOp: number,
  binary: Record<B, number>,
  compare: Record<C, number>,
  unary: Record<U, readonly [number, ValType?]>,
  loads: Record<L, readonly [op: number, align: number]>,
): { const: (value: number | bigint) => Expr } & Record<B | C, Binary> & Record<U, Unary> & Record<L, Load> {
  // A number beyond 32 bits signed is that number in an i64, and a bit pattern in an i32.
  const exact = (value: number | bigint): number | bigint =>
    type === "i64" && typeof value === "number" && value !== (value | 0) ? BigInt(value) : value;
  const made: Record<string, unknown> = {
    const: (value: number | bigint) => node(type, "const", constOp, [], exact(value)),
  };
  const width = type === "i32" ? 32 : 64;
  for (const [name, op] of Object.entries<number>(binary)) {
    const fold = FOLD[name];
    made[name] = (a: Expr, b: Expr): Expr => {
      if (a.type !== type || b.type !== type) throw new Error(`${type}.${name} of ${a.type} and ${b.type}`);
      if (type === "i32" || type === "i64") {
        if (isConst(b, 0) && NEUTRAL_ZERO.has(name)) return a;
        if (fold && isConst(a) && isConst(b)) {
          const value = BigInt.asIntN(width, fold(BigInt(a.value), BigInt(b.value)));
          return node(type, "const", constOp, [], width === 32 ? Number(value) : value);
        }
      }
      return node(type, "op", op, [a, b]);
    };
  }
  for (const [name, op] of Object.entries<number>(compare)) {
    made[name] = (a: Expr, b: Expr): Expr => {
      if (a.type !== type || b.type !== type) throw new Error(`${type}.${name} of ${a.type} and ${b.type}`);
      return node("i32", "op", op, [a, b]);
    };
  }
  for (const [name, [op, result = type]] of Object.entries<readonly [number, ValType?]>(unary)) {
    made[name] = (a: Expr): Expr => node(result, "op", op, [a]);
  }
  for (const [name, [op, align]] of Object.entries<readonly [number, number]>(loads)) {
    made[name] = (address: Expr, offset = 0): Expr => node(type, "load", op, [address], offset, align);
  }
  return made as ReturnType<typeof ops<B, C, U, L>>;
}

// Loads and stores of guest memory may be misaligned, and the format's alignment is a hint: 0 everywhere but for atomics.
export const i32 = ops(
  "i32",
  0x41,
  {
    add: 0x6a,
    sub: 0x6b,
    mul: 0x6c,
    and: 0x71,
    or: 0x72,
    xor: 0x73,
    shl: 0x74,
    shrs: 0x75,
    shru: 0x76,
    rotl: 0x77,
    rotr: 0x78,
  },
  {
    eq: 0x46,
    ne: 0x47,
    lts: 0x48,
    ltu: 0x49,
    gts: 0x4a,
    gtu: 0x4b,
    les: 0x4c,
    leu: 0x4d,
    ges: 0x4e,
    geu: 0x4f,
  },
  {
    eqz: [0x45],
    clz: [0x67],
    ctz: [0x68],
    popcnt: [0x69],
    extend8s: [0xc0],
    extend16s: [0xc1],
    toI64s: [0xac, "i64"],
    toI64u: [0xad, "i64"],
    toF32s: [0xb2, "f32"],
    toF64s: [0xb7, "f64"],
    toF64u: [0xb8, "f64"],
    asF32: [0xbe, "f32"],
  },
  {
    load: [0x28, 0],
    load8s: [0x2c, 0],
    load8u: [0x2d, 0],
    load16s: [0x2e, 0],
    load16u: [0x2f, 0],
    atomicLoad: [0xfe10, 2],
  },
);

export const i64 = ops(
  "i64",
  0x42,
  {
    add: 0x7c,
    sub: 0x7d,
    mul: 0x7e,
    divs: 0x7f,
    divu: 0x80,
    rems: 0x81,
    remu: 0x82,
    and: 0x83,
    or: 0x84,
    xor: 0x85,
    shl: 0x86,
    shrs: 0x87,
    shru: 0x88,
    rotl: 0x89,
    rotr: 0x8a,
  },
  {
    eq: 0x51,
    ne: 0x52,
    lts: 0x53,
    ltu: 0x54,
    gts: 0x55,
    gtu: 0x56,
    les: 0x57,
    leu: 0x58,
    ges: 0x59,
    geu: 0x5a,
  },
  {
    eqz: [0x50, "i32"],
    clz: [0x79],
    ctz: [0x7a],
    popcnt: [0x7b],
    extend8s: [0xc2],
    extend16s: [0xc3],
    extend32s: [0xc4],
    toI32: [0xa7, "i32"],
    toF32s: [0xb4, "f32"],
    toF64s: [0xb9, "f64"],
    asF64: [0xbf, "f64"],
  },
  {
    load: [0x29, 0],
    load8s: [0x30, 0],
    load8u: [0x31, 0],
    load16s: [0x32, 0],
    load16u: [0x33, 0],
    load32s: [0x34, 0],
    load32u: [0x35, 0],
    atomicLoad: [0xfe11, 3],
  },
);

export const f32 = ops(
  "f32",
  0x43,
  { add: 0x92, sub: 0x93, mul: 0x94, div: 0x95, min: 0x96, max: 0x97 },
  { eq: 0x5b, ne: 0x5c, lt: 0x5d, gt: 0x5e, le: 0x5f, ge: 0x60 },
  {
    abs: [0x8b],
    neg: [0x8c],
    ceil: [0x8d],
    floor: [0x8e],
    trunc: [0x8f],
    nearest: [0x90],
    sqrt: [0x91],
    bits: [0xbc, "i32"],
    toF64: [0xbb, "f64"],
    // Saturating: out of range gives the nearest number that there is, NaN gives 0.
    toI32s: [0xfc00, "i32"],
    toI64s: [0xfc04, "i64"],
  },
  { load: [0x2a, 0] },
);

export const f64 = ops(
  "f64",
  0x44,
  { add: 0xa0, sub: 0xa1, mul: 0xa2, div: 0xa3, min: 0xa4, max: 0xa5 },
  { eq: 0x61, ne: 0x62, lt: 0x63, gt: 0x64, le: 0x65, ge: 0x66 },
  {
    abs: [0x99],
    neg: [0x9a],
    ceil: [0x9b],
    floor: [0x9c],
    trunc: [0x9d],
    nearest: [0x9e],
    sqrt: [0x9f],
    bits: [0xbd, "i64"],
    toF32: [0xb6, "f32"],
    toI32s: [0xfc02, "i32"],
    toI64s: [0xfc06, "i64"],
  },
  { load: [0x2b, 0] },
);

/** Opcodes of the stores, for Code.store. */
export const STORE = {
  i32: 0x36,
  i64: 0x37,
  f32: 0x38,
  f64: 0x39,
  i32as8: 0x3a,
  i32as16: 0x3b,
  i64as8: 0x3c,
  i64as16: 0x3d,
  i64as32: 0x3e,
  v128: SIMD_OP + 0x0b,
} as const;
export type Store = keyof typeof STORE;

/** Opcodes (after the atomic prefix) of compare-and-exchange and log2 of their width, for Code.compareExchange. */
export const COMPARE_EXCHANGE = {
  i32: [0x48, 2],
  i64: [0x49, 3],
  i64as8: [0x4c, 0],
  i64as16: [0x4d, 1],
  i64as32: [0x4e, 2],
} as const;
export type CompareExchange = keyof typeof COMPARE_EXCHANGE;
