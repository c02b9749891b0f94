/**
 * The words of page mode: what each function stores, and how it says what it found.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { RING } from "../../shared/ring-page.ts";
import { ASLEEP, NOTHING_NEXT, REFUSED, sharedWords } from "../../shared/words.ts";

const [STATE, PEER, HEAD] = [64, 192, 256] as const;
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const i32 = new Int32Array(memory.buffer);
const words = sharedWords(memory);
/** seq 5 in phases EXIT, DONE and, with the next seq, EXIT again. */
const [EXIT, DONE, NEXT] = [(5 << 3) | 1, (5 << 3) | 2, (6 << 3) | 1] as const;
const [HERE, ELSEWHERE] = [1, 2] as const;
const TURNS = 10;

beforeEach(() => {
  i32.fill(0);
  words.store(PEER, ELSEWHERE);
});

it("loads, stores and exchanges", () => {
  words.store(STATE, -5);
  expect(words.load(STATE)).toBe(-5);
  expect(words.compareExchange(STATE, 1, 2)).toBe(-5);
  expect(words.compareExchange(STATE, -5, 2)).toBe(-5);
  expect(i32[STATE / 4]).toBe(2);
});

describe("answer", () => {
  const answer = (taken = 0) => words.answer(STATE, EXIT, DONE, 3, 4, HEAD, taken, PEER, HERE, TURNS);

  it("puts DONE in the place of the exit, and finds nothing next", () => {
    words.store(STATE, EXIT);
    expect(answer()).toBe(NOTHING_NEXT);
    expect(words.load(STATE)).toBe(DONE);
    expect([i32[(STATE + RING.data) / 4], i32[(STATE + RING.data + 4) / 4]]).toEqual([3, 4]);
  });

  it.each([NEXT, EXIT | 4, EXIT + 2])("is refused where the state is %i", (state) => {
    words.store(STATE, state);
    expect(answer()).toBe(REFUSED);
    expect(words.load(STATE)).toBe(state);
  });

  it.each([0, HERE, ELSEWHERE | ASLEEP])("does not spin where the peer's placement is %i", (placement) => {
    words.store(STATE, EXIT);
    words.store(PEER, placement);
    expect(words.answer(STATE, EXIT, DONE, 3, 4, HEAD, 0, PEER, HERE, -1)).toBe(NOTHING_NEXT);
    expect(words.load(STATE)).toBe(DONE);
  });
});
