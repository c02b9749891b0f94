/**
 * Engine `interp`: fetch, decode, execute, every time. The reference; slow by nature.
 * Document: architecture.md section 5.
 * Left out: anything cached but translations of linear addresses.
 */

import { Machine } from "./machine.ts";

export class InterpEngine extends Machine {
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

  protected codeWritten(): void {}

  /** It enters nothing into the jump cache, but an engine that had the vCPU before it may have. */
  protected forgetAddresses(): void {
    this.forgetJumps();
  }
}
