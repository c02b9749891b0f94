/**
 * A raw image: byte n of the disk is byte n of the file.
 * Follows: QEMU's `raw` format over its `file` protocol.
 * Left out: block devices of the host, files that grow, O_DIRECT.
 */
import { type BlockImage, type BlockRequest, type BlockResult, FLAG, OP } from "./block.ts";
import { type FileCalls, HostFile, isUnsupported } from "./host-file.ts";

export interface RawOptions {
  /** discard=unmap */
  readonly discard: boolean;
  /** cache=unsafe: flushes are not passed on. */
  readonly noFlush: boolean;
}

export class RawImage implements BlockImage {
  readonly #file: HostFile;
  readonly #o: RawOptions;

  /** The descriptor stays the caller's to close. */
  constructor(fd: number, options: RawOptions, calls?: FileCalls) {
    this.#file = new HostFile(fd, calls);
    this.#o = options;
  }

  run(request: BlockRequest): BlockResult {
    const { op, flags, offset, length } = request;
    let result: BlockResult;
    switch (op) {
      case OP.read:
        return this.#file.read(request.buffers, offset);
      case OP.flush:
        return this.#flush();
      case OP.write:
        result = this.#file.write(request.buffers, offset);
        break;
      case OP.writeZeroes:
        result = this.#file.writeZeroes(offset, length, this.#o.discard && (flags & FLAG.UNMAP) !== 0);
        break;
      default:
        return this.#discard(offset, length);
    }
    return result === 0 && (flags & FLAG.FUA) !== 0 ? this.#flush() : result;
  }

  #flush(): BlockResult {
    return this.#o.noFlush ? 0 : this.#file.sync();
  }

  /** A hint: a file system that cannot make holes is no error of the guest's. */
  #discard(offset: number, length: number): BlockResult {
    if (!this.#o.discard) return 0;
    const result = this.#file.punchHole(offset, length);
    return isUnsupported(result) ? 0 : result;
  }
}
