/**
 * Memory slots (KVM_SET_USER_MEMORY_REGION): guest-physical ranges on passed memfds, mapped into the VM's linear
 * memory and entered in the guest-physical page table.
 * A deleted slot's linear range gets fresh anonymous pages at once, so that a vCPU with a stale TLB entry hits zeros
 * and never a fault; the range is used again only when every vCPU has flushed.
 * A page that comes, goes or is written here while it holds decoded code is told to the vCPUs (mmu/code-pages.ts); its
 * entry keeps GPA_CODE without RAM too, so entries change by locked operations alone.
 * Leaves out: moving a slot (KVM_MR_MOVE): EINVAL; waiting for the vCPUs (vm.ts).
 */
import { fstatSync } from "node:fs";
import { KvmError } from "../../shared/errno.ts";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../../shared/ioctls.ts";
import { mapAnonymous } from "../../shared/native.ts";
import { PENDING_PROTECT, PENDING_TLB } from "../cpu/requests.ts";
import { GPA_CODE, GPA_LOGGED, GPA_PRESENT, GPA_READONLY, GPA_TABLE, GUEST_RAM } from "../cpu/zones.ts";
import { CodePages } from "../mmu/code-pages.ts";
import { DirtyLog } from "../mmu/dirty-log.ts";
import type { Descriptor } from "./descriptor.ts";

const PAGE = 4096;
const LINEAR_END = 2 ** 32;
/** Guest-physical space that the page table covers. */
const GUEST_END = 2 ** 32;
/** All slots of a VM together: 4 GiB of linear memory less kvm-core's part. */
export const MAX_GUEST_RAM = LINEAR_END - GUEST_RAM;
const MAX_SLOTS = 64;
/** No vCPU wrote it: all are told. */
const NOBODY = 0;

export type Slot = {
  readonly slot: number;
  /** KVM_MEM_*; dirty logging may be switched on and off. */
  flags: number;
  readonly gpa: number;
  readonly size: number;
  readonly memfd: Descriptor;
  readonly offset: number;
  /** Byte address in linear memory. */
  readonly at: number;
};

export class MemSlots {
  readonly #memory: Uint8Array;
  readonly #table: Int32Array;
  readonly #slots = new Map<number, Slot>();
  readonly #code: CodePages;
  readonly #log: DirtyLog;
  /** Linear ranges of deleted slots that a vCPU's TLB may still point to. */
  #quarantine: { readonly at: number; readonly size: number }[] = [];

  constructor(memory: WebAssembly.Memory) {
    this.#memory = new Uint8Array(memory.buffer);
    this.#table = new Int32Array(memory.buffer, GPA_TABLE, GUEST_END / PAGE);
    this.#code = new CodePages(memory);
    this.#log = new DirtyLog(memory);
  }

  get slots(): IterableIterator<Slot> {
    return this.#slots.values();
  }

  get count(): number {
    return this.#slots.size;
  }

  /**
   * Makes a slot, or with size 0 deletes it, or switches its dirty logging. EINVAL: misaligned, wrapping, over the limits,
   * a size, place or memfd that changes, or an unsealed memfd; EEXIST: overlaps another slot. The request that every vCPU
   * has to answer before the change is in force (cpu/requests.ts), or 0.
   */
  set(
    slot: number,
    flags: number,
    gpaBig: bigint,
    sizeBig: bigint,
    memfd: Descriptor | undefined,
    offsetBig: bigint,
  ): number {
    if (slot >= MAX_SLOTS) throw new KvmError("EINVAL", `slot ${slot}: at most ${MAX_SLOTS} slots`);
    const old = this.#slots.get(slot);
    if (sizeBig === 0n) {
      if (!old) throw new KvmError("EINVAL", `slot ${slot} does not exist`);
      this.#remove(old);
      return PENDING_TLB;
    }
    if ((flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES)) !== 0)
      throw new KvmError("EINVAL", `flags ${flags} of slot ${slot} are not built`);
    if (gpaBig + sizeBig > BigInt(GUEST_END) || sizeBig > BigInt(MAX_GUEST_RAM))
      throw new KvmError("EINVAL", `slot ${slot} ends beyond 4 GiB, or guest RAM exceeds 3.75 GiB`);
    if (offsetBig + sizeBig > BigInt(Number.MAX_SAFE_INTEGER))
      throw new KvmError("EINVAL", "memfd_offset is too large");
    const [gpa, size, offset] = [Number(gpaBig), Number(sizeBig), Number(offsetBig)];
    if (gpa % PAGE !== 0 || size % PAGE !== 0 || offset % PAGE !== 0)
      throw new KvmError("EINVAL", `slot ${slot} is not aligned to ${PAGE} bytes`);
    if (!old) {
      for (const other of this.#slots.values())
        if (gpa < other.gpa + other.size && other.gpa < gpa + size)
          throw new KvmError("EEXIST", `slot ${slot} overlaps slot ${other.slot}`);
    }
    if (!memfd) throw new KvmError("EBADF", `slot ${slot}: no such descriptor`);
    if (!old) {
      this.#make(slot, flags, gpa, size, memfd, offset);
      return 0;
    }
    const same = gpa === old.gpa && size === old.size && offset === old.offset && sameFile(memfd, old.memfd);
    if (!same || (flags ^ old.flags) & KVM_MEM_READONLY)
      throw new KvmError("EINVAL", `slot ${slot} exists: delete it first, only its dirty logging can be changed`);
    return this.#switchLog(old, flags);
  }

  /** KVM_GET_DIRTY_LOG; the vCPUs have to answer PENDING_PROTECT before it goes out. EINVAL, ENOENT as in Linux. */
  dirtyLog(slot: number): Uint8Array {
    if (slot >= MAX_SLOTS) throw new KvmError("EINVAL", `slot ${slot}: at most ${MAX_SLOTS} slots`);
    const found = this.#slots.get(slot);
    if (!found || !(found.flags & KVM_MEM_LOG_DIRTY_PAGES))
      throw new KvmError("ENOENT", `slot ${slot} does not log dirty pages`);
    return this.#log.take(found.gpa, found.size);
  }

  /** Every vCPU has flushed its TLB since the last delete: those ranges may be used again. */
  flushed(): void {
    this.#quarantine = [];
  }

  /**
   * Copies guest memory out of or into slots. EFAULT, and nothing copied, where any byte is no RAM (or read-only, for
   * a write).
   */
  copy(gpaBig: bigint, bytes: Uint8Array, write: boolean): void {
    const end = gpaBig + BigInt(bytes.length);
    if (end > BigInt(GUEST_END)) throw new KvmError("EFAULT", "the range ends beyond 4 GiB");
    const start = Number(gpaBig);
    for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) {
      const entry = this.#table[page]!;
      if (!(entry & GPA_PRESENT) || (write && entry & GPA_READONLY))
        throw new KvmError(
          "EFAULT",
          `0x${(page * PAGE).toString(16)} is ${entry & GPA_PRESENT ? "read-only" : "no RAM"}`,
        );
    }
    for (let done = 0; done < bytes.length; ) {
      const gpa = start + done;
      const chunk = Math.min(PAGE - (gpa % PAGE), bytes.length - done);
      const at = ((this.#table[Math.floor(gpa / PAGE)]! & ~(PAGE - 1)) >>> 0) + (gpa % PAGE);
      if (write) {
        this.#memory.set(bytes.subarray(done, done + chunk), at);
        this.#written(gpa, chunk);
      } else bytes.set(this.#memory.subarray(at, at + chunk), done);
      done += chunk;
    }
  }

  releaseAll(): void {
    for (const slot of this.#slots.values()) slot.memfd.release();
    this.#slots.clear();
  }

  #make(slot: number, flags: number, gpa: number, size: number, memfd: Descriptor, offset: number): void {
    const at = this.#place(size);
    memfd.map(this.#memory, at, size, offset, `the memory of slot ${slot}`);
    this.#slots.set(slot, { slot, flags, gpa, size, memfd: memfd.hold(), offset, at });
    const logged = (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
    if (logged) this.#log.clear(gpa, size);
    const bits = GPA_PRESENT | (flags & KVM_MEM_READONLY ? GPA_READONLY : 0) | (logged ? GPA_LOGGED : 0);
    for (let page = 0; page < size; page += PAGE) {
      const entry = Atomics.or(this.#table, (gpa + page) / PAGE, (at + page) | bits);
      if (entry & GPA_CODE) this.#code.tell(gpa + page, PAGE, NOBODY);
    }
  }

  #remove(slot: Slot): void {
    for (let page = 0; page < slot.size; page += PAGE) {
      const entry = Atomics.and(this.#table, (slot.gpa + page) / PAGE, GPA_CODE);
      if (entry & GPA_CODE) this.#code.tell(slot.gpa + page, PAGE, NOBODY);
    }
    mapAnonymous(this.#memory, slot.at, slot.size);
    this.#slots.delete(slot.slot);
    this.#quarantine.push({ at: slot.at, size: slot.size });
    slot.memfd.release();
  }

  #switchLog(slot: Slot, flags: number): number {
    if (slot.flags === flags) return 0;
    const on = (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
    this.#log.log(slot.gpa, slot.size, on);
    slot.flags = flags;
    return on ? PENDING_PROTECT : 0;
  }

  /** Bytes of one page were written. */
  #written(gpa: number, size: number): void {
    const page = Math.floor(gpa / PAGE);
    // A locked read: the bytes before the flag that a vCPU sets before it reads them.
    const flags = Atomics.or(this.#table, page, 0);
    if (flags & GPA_LOGGED) this.#log.note(gpa);
    if (flags & GPA_CODE) this.#code.tell(gpa, size, NOBODY);
  }

  /** First fit among the linear ranges that are neither a slot's nor in quarantine. */
  #place(size: number): number {
    const taken = [...this.#slots.values(), ...this.#quarantine].sort((a, b) => a.at - b.at);
    let at = GUEST_RAM;
    for (const range of taken) {
      if (at + size <= range.at) return at;
      at = range.at + range.size;
    }
    if (at + size > LINEAR_END)
      throw new KvmError(
        "EINVAL",
        `guest RAM exceeds ${MAX_GUEST_RAM / 2 ** 20} MiB (or deleted slots are not flushed yet)`,
      );
    return at;
  }
}

function sameFile(a: Descriptor, b: Descriptor): boolean {
  const [one, other] = [fstatSync(a.fd), fstatSync(b.fd)];
  return one.ino === other.ino && one.dev === other.dev;
}
