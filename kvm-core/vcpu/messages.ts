/**
 * What the main thread of kvm-core and a vCPU's thread tell each other apart from shared memory: how the thread
 * begins, and why a KVM_RUN ends. Exits in page mode send nothing.
 */
import type { RunResult } from "../../shared/exits.ts";

/** Engines by the number that stands in the control block. */
export const ENGINES = ["interp", "patch", "wasm"] as const;

export type ThreadStart = {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly vcpu: number;
};

export type FromThread =
  /** KVM_RUN's reply; `pending` when its completion is due with the next KVM_RUN (an IO or MMIO exit). */
  | { readonly kind: "exit"; readonly result: RunResult; readonly pending: boolean }
  /** KVM_RUN ends with EINTR. */
  | { readonly kind: "interrupted" }
  | { readonly kind: "trace"; readonly line: string };
