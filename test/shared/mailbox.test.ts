/**
 * The interrupt mailbox, the server's end: which words change, in which order they are readable, and the kick
 * (shared/mailbox.ts). The other end is test/kvm-core/irqchip/lines.test.ts.
 */
import { describe, expect, test } from "vitest";
import { KICK_SLEEPING, KICKED, MAILBOX, MAILBOX_EVENTS, MAILBOX_GSIS, Mailbox } from "../../shared/mailbox.ts";
import { AREA_BYTES, AREA_MAILBOX, AREA_POSTED, PAGE } from "../../shared/server-area.ts";
import { inWorker } from "./native/support.ts";

const AREA = 8192;

function mailbox() {
  const buffer = new SharedArrayBuffer(AREA + AREA_BYTES);
  const kick = new Int32Array(new SharedArrayBuffer(2 * PAGE));
  const words = new Int32Array(buffer);
  const word = (field: keyof typeof MAILBOX, index = 0) =>
    words[((AREA + AREA_MAILBOX + MAILBOX[field]) >> 2) + index]!;
  const clear = () => {
    words.fill(0, (AREA + AREA_MAILBOX + MAILBOX.summary) >> 2, ((AREA + AREA_MAILBOX + MAILBOX.summary) >> 2) + 1);
    words.fill(0, (AREA + AREA_MAILBOX + MAILBOX.rises) >> 2, ((AREA + AREA_MAILBOX + MAILBOX.rises) >> 2) + 2);
    kick[PAGE >> 2] = 0;
  };
  return { box: new Mailbox(buffer, AREA, kick.buffer, PAGE), word, clear, kick: () => kick[PAGE >> 2]!, kicks: kick };
}

test("the mailbox fits its page", () => {
  expect(MAILBOX.size).toBeLessThanOrEqual(AREA_POSTED - AREA_MAILBOX);
  expect(MAILBOX.levels).toBe(MAILBOX.edges + MAILBOX_EVENTS / 8);
  expect(MAILBOX.rises).toBe(MAILBOX.levels + MAILBOX_GSIS / 8);
});

test.each([0, 1, 31, 32, 1023])("event %i sets its bit, the summary and the kick", (event) => {
  const { box, word, kick } = mailbox();
  box.signal(event);
  expect(word("edges", event >> 5)).toBe(1 << (event & 31));
  expect(word("summary")).toBe(1);
  expect(kick()).toBe(KICKED);
});

describe("a level", () => {
  test.each([0, 10, 31, 32, 63])("GSI %i rises: level, rise, summary, kick", (gsi) => {
    const { box, word, kick } = mailbox();
    box.setLevel(gsi, true);
    expect(word("levels", gsi >> 5)).toBe(1 << (gsi & 31));
    expect(word("rises", gsi >> 5)).toBe(1 << (gsi & 31));
    expect(word("summary")).toBe(1);
    expect(kick()).toBe(KICKED);
  });

  test("falls: the level goes, no rise, but the core is told", () => {
    const { box, word, kick, clear } = mailbox();
    box.setLevel(5, true);
    box.setLevel(6, true);
    clear();
    box.setLevel(5, false);
    expect(word("levels")).toBe(1 << 6);
    expect(word("rises")).toBe(0);
    expect(word("summary")).toBe(1);
    expect(kick()).toBe(KICKED);
  });

  test("that does not change tells nobody", () => {
    const { box, word, kick, clear } = mailbox();
    box.setLevel(5, false);
    expect([word("summary"), kick()]).toEqual([0, 0]);
    box.setLevel(31, true); // bit 31: the sign of the word
    clear();
    box.setLevel(31, true);
    expect([word("summary"), word("rises"), kick()]).toEqual([0, 0, 0]);
  });

  test("that fell and rose between two looks has its rise noted", () => {
    const { box, word, clear } = mailbox();
    box.setLevel(5, true);
    clear();
    box.setLevel(5, false);
    box.setLevel(5, true);
    expect(word("levels")).toBe(1 << 5);
    expect(word("rises")).toBe(1 << 5);
  });
});

test("a vCPU that sleeps on the KICK word is woken", async () => {
  const { box, kicks } = mailbox();
  kicks[PAGE >> 2] = KICK_SLEEPING;
  const slept = inWorker(
    `const { kicks, at, sleeping } = data;
     const result = native.futexWait(kicks, at, sleeping, 30e9);
     if (result !== 0 && result !== native.EAGAIN) throw new Error("not woken: " + result);`,
    { kicks, at: PAGE >> 2, sleeping: KICK_SLEEPING },
  );
  const timer = setTimeout(() => box.signal(3), 200); // by then it sleeps, mostly; EAGAIN where it does not
  await slept;
  clearTimeout(timer);
  expect(kicks[PAGE >> 2]).toBe(KICK_SLEEPING | KICKED);
});
