/**
 * Generated functions of integer instructions that take a loop: PDEP, PEXT, CRC32.
 * Document: SDM volume 2, the instructions of the names; RFC 3720, 12.1 (CRC32C).
 * Left out: faster ways: tables, and steps by powers of two.
 */

import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";

const BITS: FuncType = { params: ["i32", "i64", "i64"], results: ["i64"] };

/** By name; the first parameter of each is $cpu. */
export const BIT_FUNCTION_TYPES: Readonly<Record<string, FuncType>> = {
  /** (source, mask) */
  pdep: BITS,
  pext: BITS,
  /** (CRC so far, data, bits of data) */
  crc32: { params: ["i32", "i64", "i64", "i32"], results: ["i64"] },
};

/** The polynomial 11EDC6F41h, bits reflected. */
const CRC32C = 0x82f6_3b78n;
const ONE = i64.const(1);
const ZERO = i64.const(0);

/** Goes over the mask's bits from the lowest one: `each` gets the bit, and the number that counts them as a bit. */
function overMask(code: Code, mask: Expr, each: (bit: Expr, counted: Expr) => void): void {
  const rest = code.local("i64");
  const counted = code.local("i64");
  const bit = code.local("i64");
  code.set(rest, mask);
  code.set(counted, ONE);
  code.block((done) => {
    code.loop((head) => {
      code.brIf(done, i64.eqz(rest));
      code.set(bit, i64.and(rest, i64.sub(ZERO, rest)));
      each(bit, counted);
      code.set(rest, i64.xor(rest, bit));
      code.set(counted, i64.shl(counted, ONE));
      code.br(head);
    });
  });
}

const isSet = (value: Expr, bit: Expr): Expr => i64.ne(i64.and(value, bit), ZERO);

const BODIES: Readonly<Record<string, (code: Code) => Expr>> = {
  pdep(code) {
    const result = code.local("i64");
    overMask(code, code.param(2), (bit, counted) =>
      code.set(result, i64.or(result, select(isSet(code.param(1), counted), bit, ZERO))),
    );
    return result;
  },
  pext(code) {
    const result = code.local("i64");
    overMask(code, code.param(2), (bit, counted) =>
      code.set(result, i64.or(result, select(isSet(code.param(1), bit), counted, ZERO))),
    );
    return result;
  },
  crc32(code) {
    const [crc, left] = [code.local("i64"), code.local("i32")];
    code.set(left, code.param(3));
    code.set(crc, i64.xor(code.param(1), code.param(2)));
    code.loop((head) => {
      const odd = i64.sub(ZERO, i64.and(crc, ONE));
      code.set(crc, i64.xor(i64.shru(crc, ONE), i64.and(odd, i64.const(CRC32C))));
      code.set(left, i32.sub(left, i32.const(1)));
      code.brIf(head, left);
    });
    return crc;
  },
};

/** Defines and exports them; returns their indices. */
export function defineBitFunctions(module: ModuleBuilder): Record<string, number> {
  const indices: Record<string, number> = {};
  for (const [name, type] of Object.entries(BIT_FUNCTION_TYPES)) {
    const code = module.define(name, type);
    code.return(BODIES[name]!(code));
    indices[name] = module.indexOf(code);
  }
  return indices;
}
