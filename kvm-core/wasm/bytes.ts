/**
 * A growing byte buffer with the encodings of the WebAssembly binary format.
 * Document: WebAssembly core specification, 5.2 (LEB128) and 5.1 (vectors).
 * Left out: floating-point constants other than by their bytes.
 */

export class Bytes {
  #buffer = new Uint8Array(128);
  length = 0;

  #room(more: number): void {
    if (this.length + more <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.length + more));
    grown.set(this.#buffer.subarray(0, this.length));
    this.#buffer = grown;
  }

  byte(value: number): void {
    if (this.length === this.#buffer.length) this.#room(1);
    this.#buffer[this.length++] = value;
  }

  bytes(...values: readonly number[]): void {
    for (const value of values) this.byte(value);
  }

  append(other: Bytes | Uint8Array): void {
    const from = other instanceof Bytes ? other.view() : other;
    this.#room(from.length);
    this.#buffer.set(from, this.length);
    this.length += from.length;
  }

  /** Puts `other` before the bytes from `position` on. */
  insert(position: number, other: Bytes): void {
    this.#room(other.length);
    this.#buffer.copyWithin(position + other.length, position, this.length);
    this.#buffer.set(other.view(), position);
    this.length += other.length;
  }

  /** Unsigned LEB128 of a u32. */
  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128; a bigint where 32 bits do not do. */
  signed(value: number | bigint): void {
    if (typeof value === "number") {
      let rest = value | 0;
      for (;;) {
        const low = rest & 0x7f;
        rest >>= 7;
        const done = (rest === 0 && !(low & 0x40)) || (rest === -1 && (low & 0x40) !== 0);
        this.byte(done ? low : low | 0x80);
        if (done) return;
      }
    }
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      const done = (rest === 0n && !(low & 0x40)) || (rest === -1n && (low & 0x40) !== 0);
      this.byte(done ? low : low | 0x80);
      if (done) return;
    }
  }

  /** A name: its length in UTF-8 bytes, then they. */
  name(text: string): void {
    const utf8 = new TextEncoder().encode(text);
    this.unsigned(utf8.length);
    this.append(utf8);
  }

  /** The bytes so far; valid until the next write. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }
}
