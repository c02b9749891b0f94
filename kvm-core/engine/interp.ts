/**
 * Engine `interp`: fetch, decode, execute, every time. The reference; slow by nature.
 * Document: architecture.md section 5.
 * Left out: anything cached but translations of linear addresses.
 */

import { BlockTable } from "./blocks.ts";
import { forgetJumps } from "./jump-cache.ts";
import { Machine } from "./machine.ts";

export class InterpEngine extends Machine {
  /** Blocks that `patch` left in the zone, which a vCPU may run again after this engine. */
  readonly #blocks = new BlockTable(this.state.u32, this.state.zone);

  protected recordAt(_gpa: number): number {
    return this.stepRecord();
  }

  protected lookup(): number {
    return this.enter();
  }

  protected linked(_ip: number): number {
    return this.enter();
  }

  protected stale(_ip: number): number {
    throw new Error("interp keeps no records, so none can be stale");
  }

  protected codeWritten(gpa: number, size: number): void {
    this.#blocks.invalidate(gpa, size);
  }

  /** It enters nothing into the jump cache, but an engine that had the vCPU before it may have. */
  protected forgetAddresses(): void {
    forgetJumps(this.state);
  }

  protected forgetBlocks(): void {}
}
