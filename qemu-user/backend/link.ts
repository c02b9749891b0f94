/**
 * A back end with somebody at the other end, who comes and goes: a socket or a pseudo terminal.
 * Follows: QEMU, where output that nobody is connected to see is dropped. One who is connected and reads nothing holds the
 * guest up for a bounded time only; then output is dropped as well, until it reads again.
 * Left out: telling the device of comings and goings.
 */
import type { ByteSink, CharPump } from "./char-pump.ts";

/** Where input goes: a CharPump, or what stands before it. */
export type InputTarget = Pick<CharPump, "feed" | "onRoom" | "backlog">;

export interface CharLink extends ByteSink {
  /** Input goes there from now on. */
  start(input: InputTarget): void;
}

/** Somebody who took nothing for so long is not waited for, in ms: a guest must not stand still because of a forgotten client. */
export const STALL_MS = 5_000;
