/**
 * What becomes of a request that the host failed: reported, ignored, or kept while the machine is stopped, and repeated
 * when it goes on.
 * Follows: QEMU's werror= and rerror= (blk_get_error_action).
 * Left out: events for a manager; the operator reads why the machine stopped.
 */

import { getSystemErrorMap } from "node:util";
import { ERRNO } from "../../shared/errno.ts";
import { type BlockInfo, type BlockOp, type BlockResult, OP } from "../block/block.ts";
import type { RunState } from "../bus/interfaces.ts";

/** `wait`: the request is kept here. */
export type FailureAction = "report" | "ignore" | "wait";

const VERBS = ["read", "write", "flush", "discard", "write-zeroes"] as const;

export class Failures<R extends { readonly op: BlockOp }> {
  readonly #name: string;
  readonly #info: BlockInfo;
  readonly #runState: RunState;
  #kept: R[] = [];

  /** `repeat` submits requests again when the machine goes on. */
  constructor(name: string, info: BlockInfo, runState: RunState, repeat: (requests: readonly R[]) => void) {
    this.#name = name;
    this.#info = info;
    this.#runState = runState;
    runState.onContinue(() => {
      const kept = this.#kept;
      this.#kept = [];
      if (kept.length > 0) repeat(kept);
    });
  }

  get waiting(): number {
    return this.#kept.length;
  }

  meet(request: R, errno: BlockResult): FailureAction {
    const policy = request.op === OP.read ? this.#info.readErrors : this.#info.writeErrors;
    if (policy === "ignore" || policy === "report") return policy;
    if (policy === "enospc" && errno !== ERRNO.ENOSPC) return "report";
    this.#kept.push(request);
    // Told once: what else fails until the machine has stopped has the same reason.
    if (this.#kept.length === 1) this.#runState.stop(`${this.#name}: ${VERBS[request.op]} failed: ${describe(errno)}`);
    return "wait";
  }

  /** At a reset: the driver has given them up. */
  forget(): void {
    this.#kept = [];
  }
}

function describe(errno: number): string {
  if (errno === ERRNO.ENOSPC) return "no space left on the host";
  const [name, message] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, "unknown error"];
  return `${name}: ${message}`;
}
