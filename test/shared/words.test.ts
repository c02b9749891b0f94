/**
 * The words of page mode: what each function stores, and how it says what it found.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { RING } from "../../shared/ring-page.ts";
import { ASLEEP, NOTHING_NEXT, REFUSED, sharedWords, UNANSWERED, WAKE } from "../../shared/words.ts";

const [STATE, DOORBELL, PEER, HEAD] = [64, 128, 192, 256] as const;
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

it("sees a flag of the mask, and another version", () => {
  words.store(STATE, 4);
  expect(words.changed(STATE, 2, HEAD, 0)).toBe(0);
  expect(words.changed(STATE, 4, HEAD, 0)).not.toBe(0);
  expect(words.changed(STATE, 2, HEAD, 1)).not.toBe(0);
});

describe("exchange", () => {
  const exchange = () => words.exchange(STATE, EXIT, 7, 0x3fd, 1, 2, DOORBELL, PEER, HERE, TURNS);

  it("publishes, rings the doorbell and gives up after its turns", () => {
    words.store(DOORBELL, 6);
    expect(exchange()).toBe(UNANSWERED);
    expect([i32[STATE / 4], i32[DOORBELL / 4]]).toEqual([EXIT, 8]);
    const field = (at: number) => i32[(STATE + at) / 4];
    expect([field(RING.kind), field(RING.data), field(RING.data + 4)]).toEqual([7, 1, 2]);
    expect(new Float64Array(memory.buffer)[(STATE + RING.address) / 8]).toBe(0x3fd);
  });

  it("says that the server sleeps", () => {
    words.store(DOORBELL, 7);
    expect(exchange()).toBe(WAKE);
    expect([i32[STATE / 4], i32[DOORBELL / 4]]).toEqual([EXIT, 9]);
  });

  it.each([0, HERE, ELSEWHERE | ASLEEP])("does not spin where the peer's placement is %i", (placement) => {
    words.store(PEER, placement);
    // So many turns would last for minutes.
    expect(words.exchange(STATE, EXIT, 7, 0x3fd, 1, 2, DOORBELL, PEER, HERE, -1)).toBe(UNANSWERED);
  });

  it("takes no other state for the answer", () => {
    // The doorbell's word is the state: ringing it changes the state to another one than published + 1.
    expect(words.exchange(STATE, EXIT - 1, 7, 0x3fd, 1, 2, STATE, PEER, HERE, TURNS)).toBe(UNANSWERED);
    expect(words.load(STATE)).toBe(EXIT + 1);
  });
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
