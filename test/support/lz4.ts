/**
 * Unpacks LZ4 in its legacy frame, which is how Debian's 64-bit cloud kernels are compressed.
 * Document: lz4_Block_format.md, lz4_Frame_format.md ("Legacy frame") of the LZ4 project.
 * Leaves out: other frames, checksums, damaged input beyond what would run out of its buffer.
 */

const LEGACY_MAGIC = 0x184c_2102;
const BLOCK_MAX = 8 << 20;
const LENGTH_MORE = 15;
const MATCH_MIN = 4;

/** The blocks of a frame, up to the first that cannot be one: what Linux appends to its payload. */
export function unlz4(frame: Buffer): Buffer {
  if (frame.readUInt32LE(0) !== LEGACY_MAGIC) throw new Error("not LZ4 in a legacy frame");
  const blocks: Buffer[] = [];
  for (let at = 4; at + 4 < frame.length; ) {
    const size = frame.readUInt32LE(at);
    blocks.push(unpackBlock(frame.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  return Buffer.concat(blocks);
}

function unpackBlock(block: Buffer): Buffer {
  const out = Buffer.alloc(BLOCK_MAX);
  let from = 0;
  let to = 0;
  const length = (nibble: number): number => {
    let sum = nibble;
    for (let more = nibble === LENGTH_MORE ? 255 : 0; more === 255; sum += more) more = block.readUInt8(from++);
    return sum;
  };
  while (from < block.length) {
    const token = block.readUInt8(from++);
    const literals = length(token >> 4);
    block.copy(out, to, from, from + literals);
    from += literals;
    to += literals;
    if (from >= block.length) break; // the last sequence is literals alone
    const distance = block.readUInt16LE(from);
    from += 2;
    // It may reach into what it writes: byte by byte.
    for (let left = length(token & 15) + MATCH_MIN; left > 0; left--, to++) out[to] = out[to - distance]!;
  }
  return out.subarray(0, to);
}
