/**
 * The two sides of the engine's interface: what it is given, what it offers.
 * Document: architecture.md sections 5 and 6; SDM volume 3.
 * Left out: making one: engine.ts.
 */

import type { TranslationOptions } from "./translator.ts";

/** IN and OUT as generated code calls them: the record, port and size in bytes; data in CPU.data; 0 goes on behind it. */
export interface PortHelpers {
  in(record: number, port: number, size: number): number;
  out(record: number, port: number, size: number): number;
}

/** RDMSR and WRMSR of what the engine has no row for. False is #GP. The data is at CPU.data, low word first. */
export interface HostMsrs {
  owns(index: number): boolean;
  read(index: number): boolean;
  write(index: number): boolean;
}

/** What the vCPU thread gives the engine. All are synchronous: they return when the exit is complete.
 *  Any of them may throw (LeaveGuest, a stop request): RIP is then still at the instruction. */
export interface EngineHost {
  /** Value read from an I/O port, u32. */
  portIn(port: number, size: 1 | 2 | 4): number;
  portOut(port: number, size: 1 | 2 | 4, value: number): void;
  /** The host puts the data, little endian, zero-extended to 8 bytes, at CPU.mmioData. */
  mmioRead(gpa: number, size: 1 | 2 | 4 | 8): void;
  /** Data at CPU.mmioData. An access that crosses a page is split by the engine. */
  mmioWrite(gpa: number, size: 1 | 2 | 4 | 8): void;
  /** Stand in the place of Engine.ports, which they call for the accesses that they do not do themselves. */
  readonly ports?: PortHelpers;
  /** MSRs that are kept outside the engine: the local APIC's, the paravirtual clock's. */
  readonly msrs?: HostMsrs;
  /** MOV CR8 has changed CPU.cr8: an interrupt that waits may be due. */
  taskPriorityChanged?(): void;
  /** in_asm text, only when CPU.traceMask bit 0 is set. */
  trace(line: string): void;
}

/** What an engine may be told when it is made. */
export interface EngineOptions {
  /**
   * Forget all records after so many blocks were made, though there is room. It changes nothing that a guest can see, and
   * finds code that relies on a record for longer than it may. Without it only a full cache is forgotten.
   */
  readonly evictEvery?: number;
  /** Not 0: the same at random, from this seed, and of single blocks and translations too. */
  readonly disturbance?: number;
  /** Of engine `wasm`. */
  readonly translation?: TranslationOptions;
}

/** Why run() returned. */
export const EngineExit = {
  /** `pending | kick` was non-zero at a block boundary, or the interrupt window that was asked for is open. */
  INTR: 1,
  /** HLT; RIP is after it. */
  HLT: 2,
  /** Triple fault. */
  SHUTDOWN: 3,
  /** Something that is not built; errorDetail names it. RIP is at the instruction. */
  INTERNAL_ERROR: 4,
  /** A breakpoint or a step of whoever debugs from outside; debugDetail says which. */
  DEBUG: 5,
} as const;

/** struct kvm_debug_exit_arch. */
export interface DebugExit {
  readonly exception: number;
  /** Linear address of the instruction. */
  readonly pc: bigint;
  readonly dr6: bigint;
  readonly dr7: bigint;
}

export interface Engine {
  /** Runs guest code until something for the vCPU thread happens; returns an EngineExit. RIP and flags are then exact. */
  run(): number;
  /** IF is set and no interrupt shadow is in force. */
  interruptible(): boolean;
  /** The next instruction stands behind STI, MOV SS or POP SS: as in KVM not even an NMI comes before it. */
  readonly inShadow: boolean;
  /** Asks run() to leave with INTR as soon as interruptible() is true; stays in force until taken back.
   *  For a vCPU that has an interrupt to deliver while IF is clear: `pending` alone would make it leave at once, for nothing. */
  interruptWindow(wanted: boolean): void;
  /** Delivers an external interrupt through the IDT. Call it only when interruptible(). */
  interrupt(vector: number): void;
  /** Forgets all cached translations of linear addresses: after the guest-physical page table changed. */
  flushTlb(): void;
  /** IN and OUT by way of the host's portIn and portOut. */
  readonly ports: PortHelpers;
  /** Does what other threads asked of the vCPU (cpu/requests.ts) but for PENDING_STOP and PENDING_EXIT. run() does so first;
   *  a halted vCPU's thread calls it itself. */
  serve(): void;
  /** For the host, around a wait that may last while the engine runs: leave() says that nobody has to wait for this vCPU. */
  readonly coherence: { leave(): void; enter(): void };
  /** While a host function is called: the record of the instruction, which tells its second access from another's first. */
  readonly current: number;
  /** After INTERNAL_ERROR: e.g. "not implemented: 0f a2 cpuid at 0x1000". */
  readonly errorDetail: string;
  /** After DEBUG. */
  readonly debugDetail: DebugExit;
}
