/**
 * `snapshot=on`: what the guest writes goes to a temporary file, cluster by cluster, and is gone at the end.
 * Follows: QEMU's -snapshot, which puts a qcow2 overlay of 64 KiB clusters over the image.
 * Left out: `commit`, and any metadata on disk: the map of clusters is in memory, the file is unlinked.
 *
 * A cluster is either the base's, whole, or the overlay's, whole. It becomes the overlay's when all of it is there: a
 * write that fails for want of space leaves the disk as it was.
 */
import { type BlockImage, type BlockRequest, type BlockResult, OP, sliceBuffers } from "./block.ts";
import { type FileCalls, HostFile } from "./host-file.ts";

export const CLUSTER = 64 * 1024;

export class OverlayImage implements BlockImage {
  readonly #base: HostFile;
  readonly #top: HostFile;
  readonly #size: number;
  /** One bit a cluster: set where it is the overlay's. 2 MiB for a disk of 1 TiB. */
  readonly #map: Uint8Array;
  readonly #scratch = new Uint8Array(CLUSTER);

  /** `top` is an empty file. Both descriptors stay the caller's to close. */
  constructor(base: number, top: number, size: number, calls?: FileCalls) {
    this.#base = new HostFile(base, calls);
    this.#top = new HostFile(top, calls);
    this.#size = size;
    this.#map = new Uint8Array(Math.ceil(Math.ceil(size / CLUSTER) / 8));
  }

  run({ op, offset, length, buffers }: BlockRequest): BlockResult {
    switch (op) {
      case OP.read:
        return this.#read(offset, length, buffers);
      case OP.write:
        return this.#write(offset, length, buffers);
      case OP.writeZeroes:
        return this.#writeZeroes(offset, length);
      default:
        return 0; // nothing outlives this process: no flush is needed, and a discard may do nothing
    }
  }

  /** Neighbours of the same owner in one call. */
  #read(offset: number, length: number, buffers: readonly Uint8Array[]): BlockResult {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const ours = this.#has(at);
      let next = Math.min(end, nextCluster(at));
      while (next < end && this.#has(next) === ours) next = Math.min(end, nextCluster(next));
      const pieces = sliceBuffers(buffers, at - offset, next - at);
      const error = (ours ? this.#top : this.#base).read(pieces, at);
      if (error !== 0) return error;
      at = next;
    }
    return 0;
  }

  #write(offset: number, length: number, buffers: readonly Uint8Array[]): BlockResult {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const next = Math.min(end, nextCluster(at));
      const error = this.#copy(at, next) || this.#top.write(sliceBuffers(buffers, at - offset, next - at), at);
      if (error !== 0) return error;
      this.#take(at);
      at = next;
    }
    return 0;
  }

  /** Whole clusters become holes of the overlay. */
  #writeZeroes(offset: number, length: number): BlockResult {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const next = Math.min(end, nextCluster(at));
      const error = this.#copy(at, next) || this.#top.writeZeroes(at, next - at, true);
      if (error !== 0) return error;
      this.#take(at);
      at = next;
    }
    return 0;
  }

  /** The base's cluster into the overlay, unless it is there or [at, next) replaces all of it. */
  #copy(at: number, next: number): BlockResult {
    const start = at - (at % CLUSTER);
    const bytes = Math.min(CLUSTER, this.#size - start);
    if (this.#has(at) || (at === start && next - at === bytes)) return 0;
    const cluster = [this.#scratch.subarray(0, bytes)];
    return this.#base.read(cluster, start) || this.#top.write(cluster, start);
  }

  #has(at: number): boolean {
    const cluster = Math.floor(at / CLUSTER);
    return (this.#map[Math.floor(cluster / 8)]! & (1 << (cluster % 8))) !== 0;
  }

  #take(at: number): void {
    const cluster = Math.floor(at / CLUSTER);
    this.#map[Math.floor(cluster / 8)]! |= 1 << (cluster % 8);
  }
}

/** Where the cluster after the one of `at` begins. */
function nextCluster(at: number): number {
  return at - (at % CLUSTER) + CLUSTER;
}
