/**
 * The host's processor as the judge of floating-point functions: instructions in, registers and flags out.
 * Document: test/host/float.c, whose structures these are.
 * Left out: nothing.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../../../build/host-float", import.meta.url));
const REQUEST_SIZE = 120;
const RESULT_SIZE = 88;

export interface Request {
  readonly code: readonly number[];
  readonly mxcsr?: number;
  readonly fcw?: number;
  readonly rax?: bigint;
  readonly memory?: bigint;
  /** Low halves of XMM0 and XMM1. */
  readonly xmm?: readonly bigint[];
  /** ST(0), ST(1): 80 bits each. */
  readonly st?: readonly bigint[];
}

export interface Result {
  readonly rax: bigint;
  readonly eflags: number;
  readonly mxcsr: number;
  readonly fsw: number;
  readonly faulted: boolean;
  readonly memory: bigint;
  readonly xmm0: bigint;
  readonly st: readonly [bigint, bigint];
}

const ALL_MASKED = 0x1f80;
const MASK_64 = (1n << 64n) - 1n;

export function runHost(requests: readonly Request[]): Result[] {
  const input = new DataView(new ArrayBuffer(4 + requests.length * REQUEST_SIZE));
  input.setUint32(0, requests.length, true);
  const wide = (at: number, value: bigint): void => {
    input.setBigUint64(at, value & MASK_64, true);
    input.setBigUint64(at + 8, value >> 64n, true);
  };
  requests.forEach((request, i) => {
    const at = 4 + i * REQUEST_SIZE;
    request.code.forEach((byte, n) => {
      input.setUint8(at + n, byte);
    });
    input.setUint32(at + 16, request.code.length, true);
    input.setUint32(at + 20, request.mxcsr ?? ALL_MASKED, true);
    input.setUint32(at + 24, request.fcw ?? 0x37f, true);
    input.setUint32(at + 28, 2 ** (request.st?.length ?? 0) - 1, true);
    input.setBigUint64(at + 32, request.rax ?? 0n, true);
    wide(at + 40, request.memory ?? 0n);
    request.xmm?.forEach((value, n) => {
      wide(at + 56 + n * 16, value);
    });
    request.st?.forEach((value, n) => {
      wide(at + 88 + n * 16, value);
    });
  });
  const { status, stdout, stderr, error } = spawnSync(PROGRAM, {
    input: new Uint8Array(input.buffer),
    maxBuffer: requests.length * RESULT_SIZE + 65536,
  });
  if (error !== undefined) throw new Error(`${PROGRAM}: ${error.message}; "make build/host-float" builds it`);
  if (status !== 0) throw new Error(`${PROGRAM} failed with status ${status}: ${stderr}`);
  const output = new DataView(stdout.buffer, stdout.byteOffset, stdout.byteLength);
  return requests.map((_, i) => {
    const at = i * RESULT_SIZE;
    const slot = (offset: number): bigint =>
      output.getBigUint64(at + offset, true) | ((output.getBigUint64(at + offset + 8, true) & 0xffffn) << 64n);
    return {
      rax: output.getBigUint64(at, true),
      eflags: output.getUint32(at + 8, true),
      mxcsr: output.getUint32(at + 12, true),
      fsw: output.getUint32(at + 16, true),
      faulted: output.getUint32(at + 20, true) !== 0,
      memory: slot(24),
      xmm0: output.getBigUint64(at + 40, true),
      st: [slot(56), slot(72)],
    };
  });
}
