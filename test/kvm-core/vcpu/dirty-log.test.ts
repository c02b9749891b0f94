/**
 * Dirty logging under running vCPUs: exactly the pages that were written, and a copy by the log alone is complete.
 * Document: KVM API document, KVM_GET_DIRTY_LOG and KVM_MEM_LOG_DIRTY_PAGES; kvm-core/mmu/dirty-log.ts.
 * Left out: bad requests: test/kvm-core/server/memory-ioctls.test.ts.
 */
import { closeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ENGINES } from "../../../kvm-core/vcpu/messages.ts";
import { DeviceMemory, sealedMemfd } from "../../../qemu-user/device/device-memory.ts";
import { Kvm, type Vcpu, type Vm } from "../../../qemu-user/kvm/kvm.ts";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { EXIT } from "../../../shared/exits.ts";
import { KVM_MEM_LOG_DIRTY_PAGES } from "../../../shared/ioctls.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";
import { type Core, startCore } from "../../support/core.ts";
import { assemble } from "../support/asm.ts";

const PAGE = 4096;
const RAM = 1 << 20;
const PAGES = RAM / PAGE;
/** vCPU i's code and, at the end of its page, its stack. */
const codeAt = (vcpu: number) => 0x1000 * (vcpu + 1);

let core: Core;
let kvm: Kvm;
let vm: Vm;
let fd: number;
let ram: Uint8Array;
let vcpus: Vcpu[];
let made = 0;

beforeAll(async () => {
  core = await startCore();
});
afterAll(async () => {
  expect(core.reports()).not.toContain("failed");
  expect(await core.stop()).toBe(0);
});
beforeEach(() => makeVm(false));

async function makeVm(irqchip: boolean): Promise<void> {
  kvm = Kvm.connect(core.path);
  vm = await kvm.createVm(`dirty-${made++}`);
  const memory = new DeviceMemory(RAM);
  fd = sealedMemfd("ram", RAM);
  memory.mapRam(fd);
  ram = new Uint8Array(memory.buffer, 0, RAM);
  await setSlot(KVM_MEM_LOG_DIRTY_PAGES);
  if (irqchip) await vm.request("KVM_CREATE_IRQCHIP", {});
  vcpus = [await vm.createVcpu(0), await vm.createVcpu(1)];
}
afterEach(() => kvm.close());

async function setSlot(flags: number): Promise<void> {
  const memfd = vm.session.pass([fd])[0]!;
  const place = { guest_phys_addr: 0n, memory_size: BigInt(RAM), memfd, memfd_offset: 0n };
  await vm.request("KVM_SET_USER_MEMORY_REGION", { slot: 0, flags, ...place });
}

async function begin(vcpu: number, engine: string, code: Uint8Array): Promise<void> {
  ram.set(code, codeAt(vcpu));
  const v = vcpus[vcpu]!;
  await v.request("SPLITVM_SET_ENGINE", { engine });
  await v.setSregs({ ...(await v.getSregs()), ...FLAT_PROTECTED_MODE });
  const rip = BigInt(codeAt(vcpu));
  await v.setRegs({ ...(await v.getRegs()), rip, rsp: rip + 0x1000n, rflags: 2n });
}

async function bitmap(): Promise<Uint8Array> {
  return (await vm.request("KVM_GET_DIRTY_LOG", { slot: 0 })).dirty_bitmap;
}

async function dirty(): Promise<number[]> {
  const bits = await bitmap();
  expect(bits.length).toBe(PAGES / 8);
  return Array.from({ length: PAGES }, (_, page) => page).filter((page) => (bits[page >> 3]! >> (page & 7)) & 1);
}

const range = (first: number, count: number, step = 1) => Array.from({ length: count }, (_, i) => first + i * step);
/** Writes one byte of `count` pages from page `first` on, each `step`th; halts. */
const writer = (first: number, count: number, step: number) =>
  assemble(
    `mov ecx, ${count}; mov edi, ${first * PAGE}; 1: inc byte ptr [edi+5]; add edi, ${step * PAGE}; loop 1b; hlt`,
    32,
  );

describe.each(ENGINES)("%s", (engine) => {
  it("has exactly the pages that two vCPUs wrote, once", async () => {
    await begin(0, engine, writer(16, 40, 2));
    await begin(1, engine, writer(17, 40, 2));
    expect(await dirty()).toEqual([]); // this process wrote the code, and knows that
    const exits = await Promise.all(vcpus.map((vcpu) => vcpu.run()));
    expect(exits.map((exit) => exit.reason)).toEqual([EXIT.KVM_EXIT_HLT, EXIT.KVM_EXIT_HLT]);
    expect(await dirty()).toEqual(range(16, 80));
    expect(await dirty()).toEqual([]);
  });

  it("has a page that is written again after each look", async () => {
    // A store, a push and a read-modify-write across two pages, then out; again and again.
    const code = "1: mov [0x20000], eax; push eax; pop eax; add dword ptr [0x30ffe], 1; out 0x80, al; jmp 1b";
    await begin(0, engine, assemble(code, 32));
    for (let round = 0; round < 5; round++) {
      expect((await vcpus[0]!.run()).reason).toBe(EXIT.KVM_EXIT_IO);
      expect(await dirty()).toEqual([1, 0x20, 0x30, 0x31]);
      expect(await dirty()).toEqual([]);
    }
  });

  it("has the page tables that the processor marks", async () => {
    // Page directory at page 8, page table at page 9, identity; the code reads page 0x20 and writes page 0x21.
    const view = new DataView(ram.buffer, 0, RAM);
    view.setUint32(8 * PAGE, 9 * PAGE + 3, true);
    for (let page = 0; page < PAGES; page++) view.setUint32(9 * PAGE + page * 4, page * PAGE + 3, true);
    const code =
      "mov eax, [0x20000]; out 0x80, al; mov eax, [0x20000]; out 0x80, al; mov [0x21000], eax; out 0x80, al; hlt";
    await begin(0, engine, assemble(code, 32));
    const v = vcpus[0]!;
    const sregs = await v.getSregs();
    await v.setSregs({ ...sregs, cr3: BigInt(8 * PAGE), cr0: sregs.cr0 | (1n << 31n) });
    await v.run();
    expect(await dirty()).toEqual([8, 9]);
    await v.run();
    expect(await dirty()).toEqual([]);
    await v.run();
    expect(await dirty()).toEqual([9, 0x21]);
  });

  it("counts SPLITVM_WRITE_GUEST, and logs nothing when it is off", async () => {
    await vm.request("SPLITVM_WRITE_GUEST", { address: 0x2_0ff0n, data: new Uint8Array(32) });
    expect(await dirty()).toEqual([0x20, 0x21]);
    await setSlot(0);
    await expect(bitmap()).rejects.toMatchObject({ code: "ENOENT" });
    await begin(0, engine, writer(16, 4, 1));
    await vcpus[0]!.run();
    await setSlot(KVM_MEM_LOG_DIRTY_PAGES);
    expect(await dirty()).toEqual([]);
    await begin(1, engine, writer(18, 4, 1));
    await vcpus[1]!.run();
    expect(await dirty()).toEqual(range(18, 4));
  });

  it("copies memory that two vCPUs write all the time", async () => {
    const scribble = (first: number, seed: number) =>
      assemble(
        `mov esi, ${seed}; mov ecx, 1; 1: imul esi, esi, 1103515245; add esi, 12345; mov eax, esi; shr eax, 8; and eax, 0x3fffc
         add [eax + ${first * PAGE}], ecx; inc ecx; jmp 1b`,
        32,
      );
    const kick = async () => {
      for (const vcpu of vcpus) await vcpu.kick();
    };
    await begin(0, engine, scribble(0x20, 1)); // pages 0x20 to 0x5f
    await begin(1, engine, scribble(0x40, 2)); // pages 0x40 to 0x7f: half of them are both's
    await bitmap();
    const copy = ram.slice();
    const runs = vcpus.map((vcpu) => vcpu.run().catch((error: { code: string }) => error.code));
    let copied = 0;
    const take = async () => {
      for (const page of await dirty()) {
        copy.set(ram.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
        copied++;
      }
    };
    while (copied < 100) await take();
    for (let round = 0; round < 40; round++) {
      await take();
      if (round % 4 === 0) await setTimeout(1);
    }
    await kick();
    expect(await Promise.all(runs)).toEqual(["EINTR", "EINTR"]);
    await take();
    expect(copied).toBeGreaterThan(100);
    for (let page = 0; page < PAGES; page++) {
      const [from, to] = [page * PAGE, (page + 1) * PAGE];
      expect(Buffer.compare(copy.subarray(from, to), ram.subarray(from, to)), `page ${page}`).toBe(0);
    }
    expect(await dirty()).toEqual([]);
  });
});

describe("KVM_GET_DIRTY_LOG waits for no vCPU that", () => {
  const write = "mov byte ptr [0x20000], 1;";

  /** The log while vCPU 0 does what `code` ends in; its KVM_RUN, if it lasts, is ended after that. */
  async function logDuring(code: string): Promise<number[]> {
    await begin(0, "patch", assemble(`${write} ${code}`, 32));
    const run = vcpus[0]!.run().catch((error: { code: string }) => error.code);
    let pages: number[] = [];
    for (const end = Date.now() + 20_000; pages.length === 0; pages = await dirty())
      if (Date.now() > end) throw new Error("the page does not become dirty");
    expect(await dirty()).toEqual([]);
    await vm.request("SPLITVM_DESTROY_VM", {});
    await run;
    return pages;
  }

  it("is in an exit", async () => {
    expect(await logDuring("in al, 0x60; hlt")).toEqual([0x20]);
  });

  it("waits for a device server that does not answer", async () => {
    const area = sealedMemfd("deaf", AREA_BYTES);
    const [memfd] = vm.session.pass([area]);
    closeSync(area);
    await vm.request("SPLITVM_SET_SERVER_AREA", { memfd: memfd! });
    expect(await logDuring("in al, 0x60; hlt")).toEqual([0x20]);
  });

  it("is halted", async () => {
    kvm.close();
    await makeVm(true);
    expect(await logDuring("cli; 1: hlt; jmp 1b")).toEqual([0x20]);
  });
});
