/**
 * The picture of a session: well-formed, every piece shown when it was, and nothing of the text read as markup.
 * Leaves out: how a browser plays it.
 */
import { describe, expect, test } from "vitest";
import { Screen } from "../support/screen.ts";
import { animatedSvg, type Frame } from "./svg.ts";
import { Timeline } from "./timeline.ts";

const LENGTH = 1_000;

/** A frame for each piece of output, 100 ms apart. */
async function picture(...output: readonly string[]): Promise<string> {
  const screen = new Screen(40, 3);
  const frames: Frame[] = [];
  for (const [i, bytes] of output.entries()) {
    await screen.write(bytes);
    frames.push({ at: 100 * i, rows: screen.runs(), cursor: screen.cursor() });
  }
  return animatedSvg({ title: "a <b>", columns: 40, frames, ticks: [{ at: 0, text: "0 s" }], length: LENGTH });
}

/** Throws an Error where an element is not closed, or closed by another's end, and at an `&` that begins no entity. */
function wellFormed(xml: string): boolean {
  const open: string[] = [];
  for (const [tag, end, name = "", self] of xml.matchAll(/<(\/?)([a-z]+)(?:\s[\w:-]+="[^"<]*")*(\/?)>|</g)) {
    if (name === "") throw new Error(`not a tag: ${tag}`);
    if (end === "" && self === "") open.push(name);
    else if (end !== "" && open.pop() !== name) throw new Error(`</${name}> ends another element`);
  }
  const entity = /&(?!(amp|lt|gt|quot);)/.exec(xml);
  if (entity !== null) throw new Error(`not an entity at ${entity.index}`);
  return open.length === 0;
}

/** The keyframes of the group that holds this text. */
function timesOf(svg: string, text: string): string {
  const name = new RegExp(`animation-name:(k\\d+)">(?:(?!</g>).)*>${text}</text>`).exec(svg)?.[1];
  return new RegExp(`@keyframes ${name}(\\{.*\\})$`, "m").exec(svg)?.[1] ?? `no keyframes of ${text}`;
}

describe("an animated SVG", () => {
  test("is well-formed, with the text escaped", async () => {
    const svg = await picture('<text> & "quotes" ]]>\r\n', "\x1b[1;34m&amp;\x1b[0m");
    expect(wellFormed(svg)).toBe(true);
    expect(svg).toContain(">&lt;text&gt; &amp; &quot;quotes&quot; ]]&gt;</text>");
    expect(svg).toContain(">&amp;amp;</text>");
    expect(svg).toContain("<title>a &lt;b&gt;</title>");
    expect(svg).not.toMatch(/\p{Cc}(?<!\n)/u);
  });

  test("shows a row from when it was written until it changed", async () => {
    const svg = await picture("$ ", "l", "s", "\r\nfile\r\n");
    expect(timesOf(svg, "\\$ l")).toBe("{10%{visibility:visible}20%{visibility:hidden}}");
    expect(timesOf(svg, "\\$ ls")).toBe("{0%{visibility:hidden}20%{visibility:visible}}");
    expect(timesOf(svg, "file")).toBe("{0%{visibility:hidden}30%{visibility:visible}}");
    expect(timesOf(svg, "0 s")).toBe("{0%{visibility:visible}}");
  });

  test("scrolls", async () => {
    const svg = await picture("one\r\ntwo\r\nthree", "\r\nfour");
    expect(timesOf(svg, "one")).toBe("{0%{visibility:visible}10%{visibility:hidden}}");
    expect(svg.match(/>two<\/text>/g)).toHaveLength(2);
  });

  test("colours, bold ones brighter, and keeps to the grid", async () => {
    const svg = await picture("a \x1b[31mred\x1b[1mbold\x1b[0m");
    expect(svg).toMatch(/<text x="28.8" y="\d+" textLength="25.2" style="fill:#e06c75">red</);
    expect(svg).toMatch(/<text x="54" y="\d+" textLength="33.6" class="b" style="fill:#ff7b86">bold</);
  });
});

describe("its time", () => {
  test("is the session's, with long pauses shortened and time going faster in them", () => {
    const timeline = new Timeline([500, 600, 8_600, 8_700]);
    expect([500, 600, 8_600, 8_700].map((time) => timeline.at(time))).toEqual([0, 100, 2_100, 2_200]);
    expect(timeline.at(4_600)).toBe(1_100);
    expect(timeline.seconds().map(({ at }) => at)).toEqual([0, 325, 575, 825, 1_075, 1_325, 1_575, 1_825, 2_075]);
  });
});
