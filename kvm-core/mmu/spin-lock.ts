/**
 * A lock word in linear memory, for sections of a few stores: 0 free, 1 taken.
 * Document: none; it is the posted ring's lock with a rest for a holder that lost its CPU.
 * Left out: fairness. A thread must not stop while it holds one.
 */
import { futexWait } from "../../shared/native.ts";

const TURNS_A_NAP = 1024;
const NAP_NS = 50_000;

export function tryLock(words: Int32Array, index: number): boolean {
  return Atomics.compareExchange(words, index, 0, 1) === 0;
}

export function lock(words: Int32Array, index: number): void {
  for (let turn = 1; !tryLock(words, index); turn++) rest(words, index, 1, turn);
}

export function unlock(words: Int32Array, index: number): void {
  Atomics.store(words, index, 0);
}

/** One turn of a wait for another value than `seen`: mostly a pause, now and then a nap, so that the other side runs. */
export function rest(words: Int32Array, index: number, seen: number, turn: number): void {
  if (turn % TURNS_A_NAP === 0) futexWait(words, index, seen, NAP_NS);
  else Atomics.pause();
}
