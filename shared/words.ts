/**
 * Words of shared memory that two processes spin on, as WebAssembly functions: the hot path of page mode.
 * V8 calls a builtin for each Atomics operation on a typed array, 13 to 17 ns apiece; in WebAssembly each is one
 * instruction of the machine, and a call from JavaScript costs a few ns. An exit has some fifteen of them.
 * The vCPU's side of an exit is WebAssembly as a whole: kvm-core/vcpu/fast-exit.ts.
 * Addresses are byte offsets in the memory. Every operation is sequentially consistent, as Atomics' are.
 * Document: protocol.md, "One exit in page mode". Leaves out: sleeping and waking (native.ts), and everything that is
 * not hot: use Atomics there.
 */
import { RING } from "./ring-page.ts";

export interface Words {
  load(at: number): number;
  store(at: number, value: number): void;
  /** The value before; it was replaced if that is `expected`. */
  compareExchange(at: number, expected: number, replacement: number): number;
  /** Looks at most `turns` times; non-zero as soon as the word at `a` is not `x` or the one at `b` is not `y`. */
  spin(a: number, x: number, b: number, y: number, turns: number): number;
  /**
   * The server's answer: writes the data, puts `done` in the place of `seen` at `state`, and waits for the next state,
   * which it returns.
   * REFUSED, if another state than `seen` was there; NOTHING_NEXT, if there is none after `turns` looks or the
   * placement forbids to spin, or if the word at `head` is not `taken`. Neither has the phase of an exit.
   */
  answer(
    state: number,
    seen: number,
    done: number,
    low: number,
    high: number,
    head: number,
    taken: number,
    peer: number,
    cpu: number,
    turns: number,
  ): number;
}
export const REFUSED = 0;
export const NOTHING_NEXT = 2;

/** In a placement word (wait.ts): that side sleeps. */
export const ASLEEP = 0x4000_0000;

// WebAssembly core specification, section 5 (binary format), and the threads proposal (0xfe: atomics).
const I32 = 0x7f;
const get = (local: number) => [0x20, local];
const i32 = (value: number) => [0x41, ...signed(value)];
const SUB = [0x6b];
const OR = [0x72];
const AND = [0x71];
const EQZ = [0x45];
const EQ = [0x46];
const NE = [0x47];
const RETURN = [0x0f];
const ALIGN_4 = [2, 0];
const LOAD = [0xfe, 0x10, ...ALIGN_4];
const STORE = [0xfe, 0x17, ...ALIGN_4];
/** Plain stores, ordered by the atomic one that follows them. */
const STORE_I32 = (offset: number) => [0x36, 2, ...u(offset)];
const RMW_CMPXCHG = [0xfe, 0x48, ...ALIGN_4];
const VOID = 0x40;
const when = (body: number[]) => [0x04, VOID, ...body, 0x0b];
const loop = (body: number[]) => [0x03, VOID, ...body, 0x0b];
const AGAIN_IF = [0x0d, 0];
const tee = (local: number) => [0x22, local];

/** Signed LEB128. */
function signed(value: number): number[] {
  const last = value >= -64 && value < 64;
  return last ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

const giveBack = (value: number) => [...i32(value), ...RETURN];
/** Counts local `turns` down and goes round the loop again until it is 0. */
const nextTurn = (turns: number) => [...get(turns), ...i32(1), ...SUB, ...tee(turns), ...AGAIN_IF];
/** Whether the peer is unknown, asleep or on CPU `cpu`; leaves its placement in `scratch`. */
const together = (peer: number, cpu: number, scratch: number) => [
  ...[...get(peer), ...LOAD, ...tee(scratch), ...EQZ],
  ...[...get(scratch), ...get(cpu), ...EQ, ...OR],
  ...[...get(scratch), ...i32(ASLEEP), ...AND, ...OR],
];

/** Name, numbers of parameters and of results, all i32, body. A parameter that was used up serves as scratch. */
const FUNCTIONS: readonly (readonly [keyof Words, number, number, number[]])[] = [
  ["load", 1, 1, [...get(0), ...LOAD]],
  ["store", 2, 0, [...get(0), ...get(1), ...STORE]],
  ["compareExchange", 3, 1, [...get(0), ...get(1), ...get(2), ...RMW_CMPXCHG]],
  [
    "spin",
    5,
    1,
    [
      ...loop([
        ...[...get(0), ...LOAD, ...get(1), ...NE],
        ...[...get(2), ...LOAD, ...get(3), ...NE],
        ...[...OR, ...when(giveBack(1))],
        ...nextTurn(4),
      ]),
      ...i32(0),
    ],
  ],
  [
    "answer",
    10,
    1,
    [
      ...[...get(0), ...get(3), ...STORE_I32(RING.data)],
      ...[...get(0), ...get(4), ...STORE_I32(RING.data + 4)],
      ...[...get(0), ...get(1), ...get(2), ...RMW_CMPXCHG, ...get(1), ...NE, ...when(giveBack(REFUSED))],
      ...[...together(7, 8, 1), ...when(giveBack(NOTHING_NEXT))],
      ...loop([
        ...[...get(0), ...LOAD, ...tee(1), ...get(2), ...NE],
        ...when([
          ...[...get(5), ...LOAD, ...get(6), ...NE, ...when(giveBack(NOTHING_NEXT))],
          ...[...get(1), ...RETURN],
        ]),
        ...nextTurn(9),
      ]),
      ...i32(NOTHING_NEXT),
    ],
  ],
];

const PAGES_MAX = 65536;

/** Unsigned LEB128. */
function u(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...u(value >>> 7)];
}
const list = (items: readonly number[][]) => [...u(items.length), ...items.flat()];
const sized = (bytes: readonly number[]) => [...u(bytes.length), ...bytes];
const section = (id: number, items: readonly number[][]) => [id, ...sized(list(items))];
const i32s = (count: number) => list(Array<number[]>(count).fill([I32]));
const name = (text: string) => sized([...new TextEncoder().encode(text)]);

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const SHARED = 3; // with a maximum
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      FUNCTIONS.map(([, parameters, results]) => [0x60, ...i32s(parameters), ...i32s(results)]),
    ),
    ...section(2, [[...name("shared"), ...name("memory"), 0x02, SHARED, ...u(1), ...u(PAGES_MAX)]]),
    ...section(
      3,
      FUNCTIONS.map((_, type) => u(type)),
    ),
    ...section(
      7,
      FUNCTIONS.map(([exported], index) => [...name(exported), 0x00, ...u(index)]),
    ),
    ...section(
      10,
      FUNCTIONS.map(([, , , body]) => sized([0, ...body, 0x0b])),
    ),
  ]);
}

let compiled: WebAssembly.Module | undefined;

/** The functions on one shared memory. */
export function sharedWords(memory: WebAssembly.Memory): Words {
  compiled ??= new WebAssembly.Module(moduleBytes());
  return new WebAssembly.Instance(compiled, { shared: { memory } }).exports as unknown as Words;
}
