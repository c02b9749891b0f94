/**
 * x87 functions other than the five of arithmetic.test.ts, against the host's processor.
 * Document: SDM volume 2, the instructions; volume 1, 8.5.
 * Left out: the stack, which is not theirs.
 */

import { describe, it } from "vitest";
import { type FloatFunction, RELATION } from "../../../kvm-core/float/functions.ts";
import type { Result } from "./host.ts";
import { FloatInstance, SLOTS } from "./instance.ts";
import { anyFcw, hex, judge, type Trial, x87Flags } from "./judge.ts";
import { ENCODING, edges, encode, pair, Random } from "./values.ts";

const instance = new FloatInstance();
const COUNT = 4000;
const EDGES = edges(ENCODING.x87);
const CONDITIONS = 0x4700;
/** C0, C2, C3. */
const COMPARED = 0x4500;
const CONDITIONS_OF: Readonly<Record<number, number>> = {
  [RELATION.less]: 0x100,
  [RELATION.equal]: 0x4000,
  [RELATION.greater]: 0,
  [RELATION.unordered]: 0x4500,
};
/** What a store finds in memory. */
const BEFORE = 0x1122_3344_5566_7788_99aan;

type Give = (a: bigint, b: bigint, fcw: number) => { ours: string; theirs: (r: Result) => string };

/** Every pair of edges, then what `make` makes. */
function compare(
  name: string,
  code: readonly number[],
  make: (random: Random) => readonly [bigint, bigint],
  give: Give,
) {
  const random = new Random(name.length * 256 + code[1]!);
  const pairs = EDGES.flatMap((a) => EDGES.map((b): readonly [bigint, bigint] => [a, b]));
  for (let i = 0; i < COUNT; i++) pairs.push(make(random));
  const trials = pairs.map(([a, b]): Trial => {
    const fcw = anyFcw(random);
    instance.fcw = fcw;
    instance.write(0, a);
    instance.write(1, b);
    const name_ = `${name} ${hex(a)}, ${hex(b)} fcw ${hex(fcw)}`;
    return { name: name_, request: { code, fcw, st: [a, b], memory: BEFORE }, ...give(a, b, fcw) };
  });
  judge(trials);
}

const any = (random: Random): readonly [bigint, bigint] => pair(random, ENCODING.x87, EDGES);

/** The second number is what scales: small, mostly. */
function scales(random: Random): readonly [bigint, bigint] {
  const [a, b] = any(random);
  const exponent = BigInt(16383 + random.below(18));
  return [a, random.below(4) === 0 ? b : encode(ENCODING.x87, random.bits(1), exponent, b & ((1n << 63n) - 1n))];
}

/** Numbers around integers, halves included. */
function nearIntegers(random: Random): readonly [bigint, bigint] {
  const [a, b] = any(random);
  const exponent = BigInt(16380 + random.below(70));
  return [encode(ENCODING.x87, random.bits(1), exponent, a & ((1n << 63n) - 1n)), b];
}

/** Exponents that are up to 200 apart, or much. */
function divisible(random: Random): readonly [bigint, bigint] {
  const [a, b] = any(random);
  const field = Number((b >> 64n) & 0x7fffn);
  const above = Math.min(0x7ffe, field + (random.below(3) === 0 ? random.below(2000) : random.below(200)) - 3);
  const first = encode(ENCODING.x87, random.bits(1), BigInt(Math.max(above, 0)), a & ((1n << 63n) - 1n));
  return random.below(8) === 0 ? [a, b] : [first, b];
}

describe("registers", () => {
  const result: Give = () => ({
    ours: `${hex(instance.read(0))} flags ${hex(instance.takeRaised())}`,
    theirs: (r) => `${hex(r.st[0])} flags ${hex(x87Flags(r.fsw))}`,
  });

  it("rounds to an integer", () => {
    compare("x87Round", [0xd9, 0xfc], nearIntegers, (...all) => {
      instance.functions.x87Round(SLOTS[0], SLOTS[0]);
      return result(...all);
    });
  });

  it("scales", () => {
    compare("x87Scale", [0xd9, 0xfd], scales, (...all) => {
      instance.functions.x87Scale(SLOTS[0], SLOTS[0], SLOTS[1]);
      return result(...all);
    });
  });

  it("extracts exponent and significand", () => {
    compare("x87Extract", [0xd9, 0xf4], any, (a, b) => {
      const done = instance.functions.x87Extract(SLOTS[0], SLOTS[2], SLOTS[0]);
      const [first, second] = done === 1 ? [instance.read(0), instance.read(2)] : [a, b];
      return {
        ours: `${hex(first)} ${hex(second)} flags ${hex(instance.takeRaised())}`,
        theirs: (r) => `${hex(r.st[0])} ${hex(r.st[1])} flags ${hex(x87Flags(r.fsw))}`,
      };
    });
  });

  it.each([
    ["x87Remainder", [0xd9, 0xf8]],
    ["x87RemainderNearest", [0xd9, 0xf5]],
  ] as const)("%s", (name, code) => {
    compare(name, code, divisible, () => {
      const conditions = (instance.functions[name](SLOTS[0], SLOTS[0], SLOTS[1]) as number) & ~1;
      return {
        ours: `${hex(instance.read(0))} flags ${hex(instance.takeRaised())} conditions ${hex(conditions)}`,
        theirs: (r) => `${hex(r.st[0])} flags ${hex(r.fsw & 0x3f)} conditions ${hex(r.fsw & CONDITIONS)}`,
      };
    });
  });

  it.each([
    ["x87Compare", [0xd8, 0xd1]],
    ["x87CompareQuiet", [0xdd, 0xe1]],
  ] as const)("%s", (name, code) => {
    compare(name, code, any, () => {
      const relation = instance.functions[name](SLOTS[0], SLOTS[1]) as number;
      const raised = instance.takeRaised();
      return {
        ours: `flags ${hex(raised)} conditions ${hex(CONDITIONS_OF[relation]!)}`,
        theirs: (r) => `flags ${hex(r.fsw & 0x3f)} conditions ${hex(r.fsw & COMPARED)}`,
      };
    });
  });

  it("examines", () => {
    compare("x87Examine", [0xd9, 0xe5], any, () => ({
      ours: hex(instance.functions.x87Examine(SLOTS[0]) as number),
      theirs: (r) => hex(r.fsw & COMPARED),
    }));
  });
});

describe("loads", () => {
  const FORMATS = [
    ["f32", "x87FromF32", [0xd9, 0x07]],
    ["f64", "x87FromF64", [0xdd, 0x07]],
  ] as const;

  it.each(FORMATS)("%s", (format, name, code) => {
    const random = new Random(7);
    const edge = edges(ENCODING[format]);
    const values = [...edge, ...Array.from({ length: COUNT }, () => pair(random, ENCODING[format], edge)[0])];
    const trials = values.map((value): Trial => {
      const fcw = anyFcw(random);
      instance.fcw = fcw;
      instance.write(0, 0n);
      instance.functions[name](SLOTS[0], value);
      return {
        name: `${name} ${hex(value)} fcw ${hex(fcw)}`,
        request: { code, fcw, memory: value },
        ours: `${hex(instance.read(0))} flags ${hex(instance.takeRaised())}`,
        theirs: (r) => `${hex(r.st[0])} flags ${hex(x87Flags(r.fsw))}`,
      };
    });
    judge(trials);
  });

  it("takes integers", () => {
    const random = new Random(8);
    const values = [0n, 1n, -1n, 1n << 62n, -(1n << 63n), (1n << 63n) - 1n];
    for (let i = 0; i < COUNT; i++) values.push(BigInt.asIntN(64, random.bits(64)) >> BigInt(random.below(64)));
    const trials = values.map((value): Trial => {
      instance.functions.x87FromI64(SLOTS[0], value);
      return {
        name: `x87FromI64 ${hex(value)}`,
        request: { code: [0xdf, 0x2f], memory: BigInt.asUintN(64, value) },
        ours: hex(instance.read(0)),
        theirs: (r) => hex(r.st[0]),
      };
    });
    judge(trials);
  });

  it("takes packed decimal", () => {
    const random = new Random(9);
    const trials = Array.from({ length: COUNT }, (_, i): Trial => {
      const digits =
        i < 10
          ? `${i}`.repeat(18)
          : random
              .bits(59)
              .toString()
              .slice(0, 1 + random.below(18));
      const value = BigInt(`0x${digits}`) | (random.bits(8) << 72n);
      instance.write(1, value);
      instance.functions.x87FromBcd(SLOTS[0], SLOTS[1]);
      return {
        name: `x87FromBcd ${hex(value)}`,
        request: { code: [0xdf, 0x27], memory: value },
        ours: hex(instance.read(0)),
        theirs: (r) => hex(r.st[0]),
      };
    });
    judge(trials);
  });
});

describe("memory operands of arithmetic", () => {
  const OPERATIONS = [
    ["x87Add", 0x07],
    ["x87Mul", 0x0f],
    ["x87Sub", 0x27],
    ["x87Div", 0x37],
    ["x87Compare", 0x17],
  ] as const;
  const rows = (["f32", "f64"] as const).flatMap((format) =>
    OPERATIONS.map(([name, modrm]) => [format, name, [format === "f32" ? 0xd8 : 0xdc, modrm]] as const),
  );
  it.each(rows)("%s, %s", (format, name, code) => {
    const random = new Random(10);
    const edge = edges(ENCODING[format]);
    const trials: Trial[] = [];
    const push = (a: bigint, b: bigint): void => {
      const fcw = anyFcw(random);
      instance.fcw = fcw;
      instance.write(0, a);
      instance.functions[format === "f32" ? "x87WidenF32" : "x87WidenF64"](SLOTS[1], b);
      const f = instance.functions[name as FloatFunction];
      const compares = name === "x87Compare";
      const relation = compares ? f(SLOTS[0], SLOTS[1]) : f(SLOTS[0], SLOTS[0], SLOTS[1]);
      const conditions = compares ? CONDITIONS_OF[Number(relation)]! : 0;
      const mask = compares ? 0x3f | COMPARED : 0x23f;
      trials.push({
        name: `${name} ${format} ${hex(a)}, ${hex(b)} fcw ${hex(fcw)}`,
        request: { code, fcw, st: [a], memory: b },
        ours: `${hex(instance.read(0))} flags ${hex(instance.takeRaised() | conditions)}`,
        theirs: (r) => `${hex(r.st[0])} flags ${hex(r.fsw & mask)}`,
      });
    };
    for (const a of EDGES) for (const b of edge) push(a, b);
    for (let i = 0; i < COUNT; i++) push(any(random)[0], pair(random, ENCODING[format], edge)[0]);
    judge(trials);
  });
});

describe("stores", () => {
  const ROWS = [
    ["x87ToF32", [0xd9, 0x17], 32],
    ["x87ToF64", [0xdd, 0x17], 64],
    ["x87ToI16", [0xdf, 0x17], 16],
    ["x87ToI32", [0xdb, 0x17], 32],
    ["x87ToI64", [0xdf, 0x3f], 64],
    ["x87ToI16Truncate", [0xdf, 0x0f], 16],
    ["x87ToI32Truncate", [0xdb, 0x0f], 32],
    ["x87ToI64Truncate", [0xdd, 0x0f], 64],
  ] as const;
  /** Around the ends of f32 and f64, and numbers with many bits behind theirs. */
  const narrowing = (random: Random): readonly [bigint, bigint] => {
    const [a, b] = any(random);
    const [end, bits] = random.pick([
      [127, 24],
      [-126, 24],
      [1023, 53],
      [-1022, 53],
    ] as const);
    const exponent = BigInt(16383 + end + random.below(2 * bits + 4) - bits - 2);
    const kept = (-1n << BigInt(62 - bits - random.below(3))) & ((1n << 63n) - 1n);
    const fraction = random.below(3) === 0 ? kept : random.below(2) === 0 ? a & kept : a & ((1n << 63n) - 1n);
    return [encode(ENCODING.x87, random.bits(1), exponent, fraction), b];
  };

  it.each(ROWS)("%s", (name, code, bits) => {
    const mask = (1n << BigInt(bits)) - 1n;
    compare(name, code, name.includes("I") ? nearIntegers : narrowing, (_a, _b, fcw) => {
      const value = BigInt.asUintN(64, instance.functions[name](SLOTS[0]) as bigint);
      const raised = instance.takeRaised();
      const stored = (raised & ~fcw & 0x1f) === 0 ? value : BEFORE & mask;
      return {
        ours: `${hex(stored)} flags ${hex(raised)}`,
        theirs: (r) => `${hex(r.memory & mask)} flags ${hex(x87Flags(r.fsw))}`,
      };
    });
  });

  it("writes packed decimal", () => {
    compare("x87ToBcd", [0xdf, 0x37], nearIntegers, (_a, _b, fcw) => {
      instance.functions.x87ToBcd(SLOTS[2], SLOTS[0]);
      const raised = instance.takeRaised();
      const stored = (raised & ~fcw & 0x1f) === 0 ? instance.read(2) : BEFORE;
      return {
        ours: `${hex(stored)} flags ${hex(raised)}`,
        theirs: (r) => `${hex(r.memory)} flags ${hex(x87Flags(r.fsw))}`,
      };
    });
  });
});
