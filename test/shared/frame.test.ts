/**
 * Frames: the codec, what is refused before msgpackr sees it, and the cutting of a stream (shared/frame.ts).
 * Bytes are written as in the MessagePack specification, "Formats".
 */
import { describe, expect, test } from "vitest";
import { decodeBody, encodeFrame, FrameReader, MAX_FRAME } from "../../shared/frame.ts";

const body = (value: unknown) => encodeFrame(value).subarray(4);
const bytes = (...list: number[]) => Uint8Array.from(list);

describe("values come back as they went", () => {
  test.each([
    [[1, 0x80, 0, {}]],
    [{ a: 1, b: [true, false, null], c: "text", d: -5 }],
    [["", "ü€😀", "x".repeat(300), "y".repeat(70_000)]],
    [new Map([["a", 1]]).size],
    [[0, 127, 128, 255, 256, 65535, 65536, 0xffff_ffff, -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31)]],
    [[1.5, -0.25, 1e300]],
  ])("%j", (value) => {
    expect(decodeBody(body(value))).toEqual(value);
  });

  test.each([2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -1n, -(2n ** 63n)])("%s is exact", (value) => {
    expect(decodeBody(body([value]))).toEqual([value]);
  });

  test("2^53 - 1 as a number", () => {
    expect(decodeBody(body([2 ** 53 - 1]))).toEqual([2 ** 53 - 1]);
  });

  test("bytes, also empty ones and long ones", () => {
    for (const length of [0, 1, 255, 256, 65_536]) {
      const sent = new Uint8Array(length).fill(7);
      const [got] = decodeBody(body([sent])) as [Uint8Array];
      expect(got).toBeInstanceOf(Uint8Array);
      expect(Buffer.compare(got, sent)).toBe(0);
    }
  });
});

describe("encodeFrame", () => {
  test("begins with the length, little endian", () => {
    expect([...encodeFrame([1])]).toEqual([2, 0, 0, 0, 0x91, 1]);
  });

  test("throws where a frame is too long, and where an integer has no encoding", () => {
    expect(() => encodeFrame(new Uint8Array(MAX_FRAME))).toThrow(RangeError);
    expect(() => encodeFrame(2n ** 64n)).toThrow(RangeError);
  });
});

describe("what is no plain MessagePack value is undefined", () => {
  const deep = (levels: number) => bytes(...Array<number>(levels).fill(0x91), 0);
  test.each<[string, Uint8Array]>([
    ["nothing", bytes()],
    ["bytes after the value", bytes(0, 0)],
    ["0xc1, never used", bytes(0xc1)],
    ["a map key without a value", bytes(0x81, 0xa1, 0x61)],
    ["an array cut short", bytes(0x92, 0)],
    ["a string cut short", bytes(0xa2, 0x61)],
    ["str 8 without a length", bytes(0xd9)],
    ["str 16 with half a length", bytes(0xda, 0)],
    ["str 32 longer than the frame", bytes(0xdb, 0xff, 0xff, 0xff, 0xff)],
    ["bin 8 longer than the frame", bytes(0xc4, 2, 0)],
    ["bin 16 longer than the frame", bytes(0xc5, 0xff, 0xff)],
    ["bin 32 longer than the frame", bytes(0xc6, 0x7f, 0xff, 0xff, 0xff)],
    ["array 16 of more items than bytes", bytes(0xdc, 0xff, 0xff)],
    ["array 32 of four thousand million items", bytes(0xdd, 0xff, 0xff, 0xff, 0xff, 0)],
    ["map 16 of more pairs than bytes", bytes(0xde, 0, 2, 0, 0)],
    ["map 32 of two thousand million pairs", bytes(0xdf, 0x80, 0, 0, 0, 0, 0)],
    ["float 64 cut short", bytes(0xcb, 0, 0, 0)],
    ["uint 64 cut short", bytes(0xcf, 0, 0, 0, 0, 0, 0, 0)],
    ["nine lists inside each other", deep(9)],
    ["a thousand lists inside each other", deep(1000)],
    ["eighty thousand maps inside each other", bytes(...Array<number>(80_000).fill(0x81))],
    ["fixext 1 (a record of msgpackr's)", bytes(0xd4, 0x72, 0x40)],
    ["fixext 2", bytes(0xd5, 1, 0, 0)],
    ["fixext 4 (a time stamp)", bytes(0xd6, 0xff, 0, 0, 0, 0)],
    ["fixext 8 (a time stamp)", bytes(0xd7, 0xff, 0, 0, 0, 0, 0, 0, 0, 0)],
    ["fixext 16", bytes(0xd8, 1, ...Array<number>(16).fill(0))],
    ["ext 8 (a RegExp of msgpackr's)", bytes(0xc7, 2, 0x78, 0x92, 0xa0)],
    ["ext 16", bytes(0xc8, 0, 1, 1, 0)],
    ["ext 32", bytes(0xc9, 0, 0, 0, 1, 1, 0)],
    ["an extension deep inside", bytes(0x91, 0x81, 0xa1, 0x61, 0xd6, 0xff, 0, 0, 0, 0)],
  ])("%s", (_what, value) => {
    expect(decodeBody(value)).toBeUndefined();
  });

  test("eight lists inside each other are not too deep", () => {
    expect(decodeBody(deep(8))).toEqual([[[[[[[[0]]]]]]]]);
  });

  test("0x40 to 0x7f are integers and no records", () => {
    expect(decodeBody(bytes(0x92, 0x40, 0x7f))).toEqual([0x40, 0x7f]);
  });

  test("a key __proto__ makes no prototype", () => {
    const value = decodeBody(bytes(0x81, 0xa9, ...Buffer.from("__proto__"), 0x81, 0xa1, 0x61, 1)) as { a?: number };
    expect(value.a).toBeUndefined();
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });
});

describe("FrameReader", () => {
  const frames = [[1], ["x".repeat(200)], {}, [2n ** 63n], new Uint8Array(5000)].map(encodeFrame);
  const stream = Buffer.concat(frames);

  test.each([1, 2, 3, 4, 5, 7, 64, 1000, stream.length])("frames in pieces of %i bytes", (size) => {
    const reader = new FrameReader();
    const got: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size)
      expect(reader.push(stream.subarray(at, at + size), (value) => got.push(Buffer.from(value)))).toBe(true);
    expect(got).toEqual(frames.map((frame) => frame.subarray(4)));
    expect(reader.pending).toBe(0);
  });

  test("a frame that is not whole is pending", () => {
    const reader = new FrameReader();
    reader.push(Buffer.from([2, 0]), () => expect.fail("no frame is whole"));
    expect(reader.pending).toBe(2);
    reader.push(Buffer.from([0, 0, 0x91]), () => expect.fail("no frame is whole"));
    expect(reader.pending).toBe(5);
  });

  test("an empty frame is one", () => {
    const got: number[] = [];
    new FrameReader().push(Buffer.alloc(8), (value) => got.push(value.length));
    expect(got).toEqual([0, 0]);
  });

  test("a length over the limit ends the stream, after the frames before it", () => {
    const got: unknown[] = [];
    const tooLong = Buffer.alloc(4);
    tooLong.writeUInt32LE(MAX_FRAME + 1);
    expect(new FrameReader().push(Buffer.concat([frames[0]!, tooLong]), (value) => got.push(decodeBody(value)))).toBe(
      false,
    );
    expect(got).toEqual([[1]]);
    expect(new FrameReader().push(Buffer.from([0xff, 0xff, 0xff, 0xff]), () => expect.fail("no frame"))).toBe(false);
  });

  test("the longest frame, byte by byte, is held in one buffer and not as a list of the pieces", () => {
    const longest = Buffer.alloc(4 + MAX_FRAME, 7);
    longest.writeUInt32LE(MAX_FRAME);
    const reader = new FrameReader();
    const got: Buffer[] = [];
    const piece = Buffer.alloc(1);
    for (let at = 0; at < longest.length; at++) {
      piece[0] = longest[at]!; // overwrites what a reader that kept the pieces would still need
      reader.push(piece, (value) => got.push(Buffer.from(value)));
    }
    expect(got).toEqual([longest.subarray(4)]);
  });
});
