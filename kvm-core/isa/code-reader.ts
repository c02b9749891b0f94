/**
 * The bytes that the decoder reads, little endian, up to an end that an instruction may run into.
 * Document: SDM volume 2A, chapter 2.
 * Left out: what the bytes mean: decode.ts.
 */

export class CodeReader {
  protected bytes: Uint8Array = new Uint8Array(0);
  protected at = 0;
  protected end = 0;
  /** Somebody wanted a byte that is not there; what was read is 0. */
  protected short = false;

  protected u8(): number {
    if (this.at >= this.end) {
      this.short = true;
      return 0;
    }
    return this.bytes[this.at++]!;
  }
  protected s8(): number {
    return (this.u8() << 24) >> 24;
  }
  protected u16(): number {
    return this.u8() | (this.u8() << 8);
  }
  protected s16(): number {
    return (this.u16() << 16) >> 16;
  }
  protected s32(): number {
    return this.u16() | (this.u16() << 16);
  }
  /** The next byte, which stays the next; 0 if there is none. */
  protected peek(): number {
    return this.at < this.end ? this.bytes[this.at]! : 0;
  }
}
