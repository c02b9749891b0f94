/**
 * Frames: a u32 length (little endian) and that many bytes of MessagePack.
 *   request [id u32, number u32, handle u32, argument map]
 *   reply   [id u32, errno name or "", message or result map]
 *   notice  [0, kind text, value]            from the server, unasked
 * What arrives is scanned before msgpackr sees it: every length lies within the frame, depth is bounded, extension
 * types (msgpackr would build objects from them) are refused. So a decode allocates no more than the frame is long.
 * Leaves out: what the fields mean (fields.ts, ioctls.ts).
 */
import { Packr } from "msgpackr";
import { MAX_BYTES } from "./fields.ts";

/** Longest frame body; a guest-memory transfer and its envelope fit. */
export const MAX_FRAME = MAX_BYTES + 4096;
/** Lists and maps inside each other: request, argument, list, struct, and room for a few more. */
const MAX_DEPTH = 8;
const HEADER = 4;

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false });

/** The frame of one value; throws RangeError when it is longer than MAX_FRAME. */
export function encodeFrame(value: unknown): Buffer {
  const body = packr.pack(value);
  if (body.length > MAX_FRAME) throw new RangeError(`a frame of ${body.length} bytes is over ${MAX_FRAME}`);
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame.writeUInt32LE(body.length, 0);
  body.copy(frame, HEADER);
  return frame;
}

/** The value of a frame's body, or undefined if it is not one whole MessagePack value of the plain types. */
export function decodeBody(body: Uint8Array): unknown {
  if (scan(body, 0, 0) !== body.length) return undefined;
  try {
    return packr.unpack(body as Buffer);
  } catch {
    return undefined;
  }
}

/** Bytes of payload after the type byte of fixed-size scalars 0xc0..0xd3; -1: not accepted or handled apart. */
const FIXED: readonly number[] = [0, -1, 0, 0, -1, -1, -1, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8];

/** The offset after the value at `at`, or -1 if it is malformed, too deep or of a refused type. */
function scan(b: Uint8Array, at: number, depth: number): number {
  if (at >= b.length || depth > MAX_DEPTH) return -1;
  const type = b[at]!;
  if (type <= 0x7f || type >= 0xe0) return at + 1;
  if (type <= 0x8f) return items(b, at + 1, (type & 15) * 2, depth);
  if (type <= 0x9f) return items(b, at + 1, type & 15, depth);
  if (type <= 0xbf) return bytes(b, at + 1, type & 31);
  if (type <= 0xd3 && FIXED[type - 0xc0]! >= 0) return bytes(b, at + 1, FIXED[type - 0xc0]!);
  switch (type) {
    case 0xc4:
    case 0xd9:
      return bytes(b, at + 2, length(b, at + 1, 1));
    case 0xc5:
    case 0xda:
      return bytes(b, at + 3, length(b, at + 1, 2));
    case 0xc6:
    case 0xdb:
      return bytes(b, at + 5, length(b, at + 1, 4));
    case 0xdc:
      return items(b, at + 3, length(b, at + 1, 2), depth);
    case 0xdd:
      return items(b, at + 5, length(b, at + 1, 4), depth);
    case 0xde:
      return items(b, at + 3, length(b, at + 1, 2) * 2, depth);
    case 0xdf:
      return items(b, at + 5, length(b, at + 1, 4) * 2, depth);
    default:
      return -1;
  }
}

function length(b: Uint8Array, at: number, size: number): number {
  if (at + size > b.length) return -1;
  let n = 0;
  for (let i = 0; i < size; i++) n = n * 256 + b[at + i]!;
  return n;
}

function bytes(b: Uint8Array, at: number, count: number): number {
  return count < 0 || at + count > b.length ? -1 : at + count;
}

function items(b: Uint8Array, at: number, count: number, depth: number): number {
  if (count < 0 || count > b.length - at) return -1;
  let next = at;
  for (let i = 0; i < count && next >= 0; i++) next = scan(b, next, depth + 1);
  return next;
}

/**
 * Cuts a stream into frames. A length over MAX_FRAME cannot be resynchronised: push() then returns false.
 * Holds at most one unfinished frame, in one buffer of its size, however small the pieces are that it comes in.
 */
export class FrameReader {
  readonly #header = Buffer.alloc(HEADER);
  #body = Buffer.alloc(0);
  #have = 0;

  /** Takes the next bytes and calls `each` with the body of every frame that they complete, in order. */
  push(chunk: Buffer, each: (body: Uint8Array) => void): boolean {
    for (let at = 0; at < chunk.length; ) {
      if (this.#have < HEADER) {
        const taken = chunk.copy(this.#header, this.#have, at, at + HEADER - this.#have);
        at += taken;
        this.#have += taken;
        if (this.#have < HEADER) break;
        const size = this.#header.readUInt32LE(0);
        if (size > MAX_FRAME) return false;
        if (chunk.length - at >= size) {
          this.#have = 0;
          each(chunk.subarray(at, at + size));
          at += size;
          continue;
        }
        this.#body = Buffer.allocUnsafe(size);
      }
      const taken = chunk.copy(this.#body, this.#have - HEADER, at);
      at += taken;
      this.#have += taken;
      if (this.#have < HEADER + this.#body.length) break;
      const body = this.#body;
      this.#body = Buffer.alloc(0);
      this.#have = 0;
      each(body);
    }
    return true;
  }

  /** Bytes of a frame that has begun and not ended: non-zero at the end of a stream means it was truncated. */
  get pending(): number {
    return this.#have;
  }
}
