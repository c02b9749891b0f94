/**
 * What the real-time clock shows: the clock that `-rtc` asked for.
 * Follows: QEMU's -rtc base=, clock=.
 * Left out: clock=rt; driftfix.
 */
import { clockMonotonic } from "../../shared/native.ts";

export interface RtcOption {
  /** A number: ms since 1970, as the guest is to read them at its start. */
  readonly base: "utc" | "localtime" | number;
  /** host: follows steps of the host's clock; vm: runs steadily from the start on. */
  readonly clock: "host" | "vm";
}

export const DEFAULT_RTC: RtcOption = { base: "utc", clock: "host" };

/** Date.now() counts whole ms, and a difference of more means that somebody set the host's clock. */
const STEP_MS = 5;

/** Milliseconds since 1970 in the guest's time zone, with their fraction, from now on. */
export function rtcClock({ base, clock }: RtcOption): () => number {
  const steady = () => clockMonotonic() / 1e6;
  let ahead = Date.now() - steady();
  const host = () => {
    const now = steady();
    const difference = Date.now() - now;
    if (clock === "host" && Math.abs(difference - ahead) > STEP_MS) ahead = difference;
    return now + ahead;
  };
  const shift = typeof base === "number" ? base - host() : base === "localtime" ? localShift() : 0;
  return () => host() + shift;
}

/** Local time less UTC, in ms. */
function localShift(): number {
  return -new Date().getTimezoneOffset() * 60_000;
}
