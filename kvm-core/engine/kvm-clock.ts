/**
 * kvmclock: what the paravirtual clock's MSRs make kvm-core write into guest memory.
 * Document: Linux Documentation/virt/kvm/x86/msr.rst (MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME and their _NEW forms).
 * Left out: updates while the guest runs: the TSC counts nanoseconds at a constant rate, so what was written once stays
 * true until the TSC itself is written, and the stable bit says so. Steal time.
 */

import { clockMonotonic } from "../../shared/native.ts";
import { MSR_KVM, msrField, tscNow } from "../cpu/msr.ts";
import { CLOCK_BASE, PAGE_SIZE } from "../cpu/zones.ts";
import type { Machine } from "./machine.ts";

const ENABLED = 1n;
/** struct pvclock_vcpu_time_info. */
const TIME_INFO_SIZE = 32;
/** struct pvclock_wall_clock. */
const WALL_CLOCK_SIZE = 12;
/** (ticks << shift) * multiplier / 2^32: a tick is a nanosecond. */
const MULTIPLIER = 0x8000_0000;
const SHIFT = 1;
const PVCLOCK_TSC_STABLE_BIT = 1;

export class KvmClock {
  readonly #machine: Machine;
  #versions = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The guest wrote this MSR: true if it is about the clock. */
  written(index: number): void {
    switch (index) {
      case MSR_KVM.WALL_CLOCK:
      case MSR_KVM.WALL_CLOCK_NEW:
        this.#writeWallClock(this.#msr(index));
        break;
      case MSR_KVM.SYSTEM_TIME:
      case MSR_KVM.SYSTEM_TIME_NEW:
        this.#writeSystemTime(this.#msr(index));
        break;
      default:
        this.update();
    }
  }

  /** The TSC jumped: what the guest was told of it is wrong. */
  update(): void {
    this.#writeSystemTime(this.#msr(MSR_KVM.SYSTEM_TIME_NEW));
    this.#writeSystemTime(this.#msr(MSR_KVM.SYSTEM_TIME));
  }

  /** Nanoseconds since the VM was made, at a monotonic time. */
  #since(now: number): number {
    return now - this.#machine.state.view.getFloat64(CLOCK_BASE, true);
  }

  #msr(index: number): bigint {
    const { state } = this.#machine;
    return state.view.getBigUint64(state.zone + msrField(index)!, true);
  }

  #writeSystemTime(msr: bigint): void {
    if ((msr & ENABLED) === 0n) return;
    const { view, zone } = this.#machine.state;
    const info = new DataView(new ArrayBuffer(TIME_INFO_SIZE));
    const now = tscNow();
    info.setUint32(0, this.#nextVersion(), true);
    info.setBigUint64(8, BigInt.asUintN(64, now + view.getBigUint64(zone + msrField(0x10)!, true)), true);
    info.setBigUint64(16, BigInt(this.#since(Number(now))), true);
    info.setUint32(24, MULTIPLIER, true);
    info.setInt8(28, SHIFT);
    info.setUint8(29, PVCLOCK_TSC_STABLE_BIT);
    this.#store(Number(msr & ~ENABLED), info);
  }

  #writeWallClock(address: bigint): void {
    const info = new DataView(new ArrayBuffer(WALL_CLOCK_SIZE));
    const started = BigInt(Date.now()) * 1_000_000n - BigInt(Math.floor(this.#since(clockMonotonic())));
    info.setUint32(0, this.#nextVersion(), true);
    info.setUint32(4, Number(started / 1_000_000_000n), true);
    info.setUint32(8, Number(started % 1_000_000_000n), true);
    this.#store(Number(address), info);
  }

  /** Even: the guest may read. It cannot read in between, since it is the vCPU that wrote the MSR. */
  #nextVersion(): number {
    this.#versions = (this.#versions + 2) >>> 0;
    return this.#versions;
  }

  /** Bytes into guest RAM; what is no RAM, or read-only, swallows them, as it would in KVM. */
  #store(gpa: number, bytes: DataView): void {
    const { memory, state } = this.#machine;
    for (let done = 0; done < bytes.byteLength; ) {
      const size = Math.min(bytes.byteLength - done, PAGE_SIZE - ((gpa + done) % PAGE_SIZE));
      if (memory.physical(gpa + done)) {
        state.u8.set(new Uint8Array(bytes.buffer, done, size), memory.ram);
        memory.wrote(size);
      }
      done += size;
    }
  }
}
