/**
 * `-rtc [base=utc|localtime|DATETIME][,clock=host|vm]`.
 * Follows: QEMU's spellings; DATETIME is 2006-06-17T16:01:21 or 2006-06-17.
 * Left out: driftfix, clock=rt.
 */
import { DEFAULT_RTC, type RtcOption } from "../machine/rtc-clock.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

const DATETIME = /^(\d{4})-(\d\d?)-(\d\d?)(?:T(\d\d?):(\d\d?):(\d\d?))?$/;
const KEYS = ["base", "clock"];

/** Throws a UsageError. */
export function parseRtc(text: string): RtcOption {
  let option = DEFAULT_RTC;
  for (const setting of text.split(",")) {
    const equals = setting.indexOf("=");
    const key = equals < 0 ? setting : setting.slice(0, equals);
    const value = equals < 0 ? "" : setting.slice(equals + 1);
    if (key === "driftfix") throw new UsageError("-rtc driftfix is not built yet; base and clock are");
    if (!KEYS.includes(key)) throw unknownWord("-rtc", key, KEYS);
    option = key === "base" ? { ...option, base: parseBase(value) } : { ...option, clock: parseClock(value) };
  }
  return option;
}

function parseBase(text: string): RtcOption["base"] {
  if (text === "utc" || text === "localtime") return text;
  const match = DATETIME.exec(text);
  if (match !== null) {
    const [year, month, day, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0)) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const date = new Date(0);
    date.setUTCFullYear(year, month - 1, day);
    date.setUTCHours(hours, minutes, seconds);
    // A field that is too large would have run over into the next.
    const kept = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hours < 24;
    if (kept && minutes < 60 && seconds < 60) return date.getTime();
  }
  throw new UsageError(`-rtc base=${text} is not utc, localtime, or a time such as 2006-06-17T16:01:21`);
}

function parseClock(text: string): RtcOption["clock"] {
  if (text === "host" || text === "vm") return text;
  if (text === "rt") throw new UsageError("-rtc clock=rt is not built yet; host and vm are");
  throw unknownWord("-rtc clock", text, ["host", "vm"]);
}
