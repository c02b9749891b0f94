/**
 * Code and memory that change under running vCPUs of a real kvm-core: SPLITVM_WRITE_GUEST, DMA of this process by way of the
 * code map, slots that go and come, another vCPU.
 * Document: KVM API document, KVM_SET_USER_MEMORY_REGION; SDM volume 3, 8.1.3; shared/code-map.ts.
 * Left out: what the engine does for it: test/kvm-core/engine.
 */
import { closeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ENGINES } from "../../../kvm-core/vcpu/messages.ts";
import { codeMapOf, DeviceMemory, sealedMemfd } from "../../../qemu-user/device/device-memory.ts";
import type { Vcpu, Vm } from "../../../qemu-user/kvm/kvm.ts";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { EXIT } from "../../../shared/exits.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { mapFixed, PROT_READ, PROT_WRITE } from "../../../shared/native.ts";
import { type Core, startCore } from "../../support/core.ts";
import { type TinyVm, tinyVm } from "../../support/tiny-vm.ts";
import { assemble } from "../support/asm.ts";

const SEED = (Number(process.env["SEED"]) || 20_261_124) >>> 0;
const RAM = 1 << 20;
const FUNCTION = 0x4000;
const OUT = 0x5000;
/** A slot of its own, beyond the RAM. */
const SLOT = 0x20_0000;

let core: Core;
beforeAll(async () => {
  core = await startCore();
});
afterAll(async () => {
  expect(core.reports()).not.toContain("failed");
  expect(await core.stop()).toBe(0);
});

let tiny: TinyVm;
let words: Int32Array;
afterEach(() => tiny.kvm.close());

const returns = (value: number) => Uint8Array.of(0xb8, value & 0xff, (value >> 8) & 0xff, 0, 0, 0xc3);
/** Calls the function at `target` for ever, and stores what it returned. */
const caller = (target: number, out = OUT) =>
  assemble(`1: mov edx, ${target}; call edx; mov [${out}], eax; jmp 1b`, 32);

async function make(engine: string, code: Uint8Array): Promise<void> {
  tiny = await tinyVm(core.path, [...code]);
  words = new Int32Array(tiny.memory.buffer);
  tiny.ram.set(returns(0), FUNCTION);
  await tiny.vcpu.request("SPLITVM_SET_ENGINE", { engine });
}

/** Another vCPU in the same state as the first. */
async function another(id: number, engine: string, rip: number, rsp: number): Promise<Vcpu> {
  const vcpu = await tiny.vm.createVcpu(id);
  await vcpu.setSregs({ ...(await vcpu.getSregs()), ...FLAT_PROTECTED_MODE });
  await vcpu.setRegs({ ...(await vcpu.getRegs()), rip: BigInt(rip), rsp: BigInt(rsp), rflags: 2n });
  await vcpu.request("SPLITVM_SET_ENGINE", { engine });
  return vcpu;
}

/** What a KVM_RUN ends with: its exit's reason, or an errno. */
const ending = (vcpu: Vcpu): Promise<unknown> =>
  vcpu.run().then(
    (exit) => exit.reason,
    (error: { code: string }) => error.code,
  );

async function seen(value: number, out = OUT): Promise<void> {
  for (const end = Date.now() + 20_000; Atomics.load(words, out >> 2) !== value; await setTimeout(0))
    if (Date.now() > end) throw new Error(`the vCPU still executes old code: ${value} does not come`);
}

/** This process as a device server: guest memory with the code map and the vCPUs' KICK pages. */
async function device(vcpus: number): Promise<GuestMemory> {
  const { vm, memory } = tiny;
  for (let id = 0; id < vcpus; id++) {
    const { memfd } = await vm.request("SPLITVM_GET_KICK", { id });
    vm.withDescriptor(memfd, (fd) => memory.mapKick(id, fd));
  }
  const { memfd } = await vm.request("SPLITVM_GET_CODE_MAP", {});
  vm.withDescriptor(memfd, (fd) => memory.mapCodeMap(fd));
  return new GuestMemory(memory.buffer, [{ gpa: 0, size: RAM, at: 0 }], codeMapOf(memory.buffer, memory.plan, vcpus));
}

/** Puts a slot of one page at SLOT whose function returns `value`. */
async function swapIn(vm: Vm, value: number): Promise<void> {
  const fd = sealedMemfd("slot", 4096);
  const memory = new DeviceMemory(65_536);
  const bytes = new Uint8Array(memory.buffer);
  mapFixed(bytes, 0, 4096, fd, 0, PROT_READ | PROT_WRITE);
  bytes.set(returns(value));
  await vm.setMemory(1, SLOT, 4096, fd);
  closeSync(fd);
}

function swapOut(vm: Vm): Promise<unknown> {
  const none = { guest_phys_addr: 0n, memory_size: 0n, memfd: 0, memfd_offset: 0n };
  return vm.request("KVM_SET_USER_MEMORY_REGION", { slot: 1, flags: 0, ...none });
}

describe.each(ENGINES)("%s", (engine) => {
  it("executes what SPLITVM_WRITE_GUEST wrote", async () => {
    await make(engine, caller(FUNCTION));
    const run = ending(tiny.vcpu);
    for (let value = 1; value <= 50; value++) {
      await tiny.vm.request("SPLITVM_WRITE_GUEST", { address: BigInt(FUNCTION), data: returns(value) });
      await seen(value);
    }
    await tiny.vcpu.kick();
    expect(await run).toBe("EINTR");
  });

  it("executes what this process wrote by DMA, on each vCPU", async () => {
    await make(engine, caller(FUNCTION));
    tiny.ram.set(caller(FUNCTION, OUT + 0x40), 0x2000);
    const second = await another(1, engine, 0x2000, 0x9000);
    const memory = await device(2);
    const runs = [ending(tiny.vcpu), ending(second)];
    for (let value = 1; value <= 50; value++) {
      memory.writeU16(FUNCTION + 1, value);
      await seen(value);
      await seen(value, OUT + 0x40);
    }
    await tiny.vcpu.kick();
    await second.kick();
    expect(await Promise.all(runs)).toEqual(["EINTR", "EINTR"]);
  });

  it("executes what another vCPU wrote and handed over", async () => {
    const rounds = 200;
    // vCPU 0 executes the function each time that vCPU 1 has rewritten it; both count in ECX.
    await make(
      engine,
      assemble(
        `mov ecx, 1; 1: cmp [${OUT}], ecx; pause; jne 1b; mov esi, ecx; xor eax, eax; cpuid; mov ecx, esi
         mov edx, ${FUNCTION}; call edx; cmp eax, ecx; jne 2f; mov [${OUT + 0x40}], ecx; inc ecx; cmp ecx, ${rounds}; jbe 1b; 2: hlt`,
        32,
      ),
    );
    tiny.ram.set(
      assemble(
        `mov ecx, 1; 1: mov [${FUNCTION + 1}], ecx; mov [${OUT}], ecx; 2: cmp [${OUT + 0x40}], ecx; pause; jne 2b
         inc ecx; cmp ecx, ${rounds}; jbe 1b; hlt`,
        32,
      ),
      0x2000,
    );
    const second = await another(1, engine, 0x2000, 0x9000);
    const writer = ending(second);
    const first = await ending(tiny.vcpu);
    if ((await tiny.vcpu.getRegs()).rcx <= BigInt(rounds)) await second.kick(); // it waits for an answer
    expect([first, await writer]).toEqual([EXIT.KVM_EXIT_HLT, EXIT.KVM_EXIT_HLT]);
    expect((await tiny.vcpu.getRegs()).rcx).toBe(BigInt(rounds + 1));
  });

  it(`executes what whoever wrote last, in any order (seed ${SEED})`, async () => {
    // vCPU 0 calls the function, and rewrites it itself when SELF is set; vCPU 1 does when OTHER is.
    const rewrite = (word: number) =>
      `mov eax, [${word}]; test eax, eax; jz 2f; mov dword ptr [${word}], 0; mov [${FUNCTION + 1}], eax; 2:`;
    const [self, other] = [OUT + 0x80, OUT + 0xc0];
    await make(engine, assemble(`1: ${rewrite(self)} mov edx, ${FUNCTION}; call edx; mov [${OUT}], eax; jmp 1b`, 32));
    tiny.ram.set(assemble(`1: pause; ${rewrite(other)} jmp 1b`, 32), 0x2000);
    const second = await another(1, engine, 0x2000, 0x9000);
    const memory = await device(2);
    const runs = [ending(tiny.vcpu), ending(second)];
    const writers: readonly ((value: number) => unknown)[] = [
      (value) => tiny.vm.request("SPLITVM_WRITE_GUEST", { address: BigInt(FUNCTION), data: returns(value) }),
      (value) => memory.writeU32(FUNCTION + 1, value),
      (value) => memory.write(FUNCTION, returns(value)),
      (value) => Atomics.store(words, self >> 2, value),
      (value) => Atomics.store(words, other >> 2, value),
    ];
    let random = SEED;
    for (let value = 1; value <= 60; value++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      await writers[(random >>> 16) % writers.length]!(value);
      await seen(value);
    }
    await tiny.vcpu.kick();
    await second.kick();
    expect(await Promise.all(runs)).toEqual(["EINTR", "EINTR"]);
  });

  it("executes the code of the slot that is there, whatever was there before", async () => {
    await make(engine, caller(SLOT));
    for (let value = 1; value <= 10; value++) {
      await swapIn(tiny.vm, value);
      const run = ending(tiny.vcpu);
      await seen(value);
      await tiny.vcpu.kick();
      expect(await run).toBe("EINTR");
      await swapOut(tiny.vm);
    }
  });

  it("uses a slot no more when it is gone, also one that two running vCPUs read", async () => {
    await make(engine, assemble(`1: mov eax, [${SLOT}]; mov [${OUT}], eax; jmp 1b`, 32));
    tiny.ram.set(assemble(`1: mov eax, [${SLOT}]; mov [${OUT + 0x40}], eax; jmp 1b`, 32), 0x2000);
    const second = await another(1, engine, 0x2000, 0x9000);
    for (let value = 1; value <= 10; value++) {
      await swapIn(tiny.vm, value);
      const runs = [ending(tiny.vcpu), ending(second)];
      const word = (value << 8) | 0xb8;
      await seen(word);
      await seen(word, OUT + 0x40);
      await swapOut(tiny.vm);
      expect(await Promise.all(runs)).toEqual([EXIT.KVM_EXIT_MMIO, EXIT.KVM_EXIT_MMIO]);
    }
  });

  it("lets one vCPU make records while the other waits in an exit, halts, or does not run at all", async () => {
    await make(engine, assemble("1: in al, 0x60; jmp 1b", 32));
    // Calls functions in many pages, each of which vCPU 0 has written before.
    tiny.ram.set(assemble(`mov ecx, 100; mov edx, 0x20000; 1: call edx; add edx, 0x1000; loop 1b; hlt`, 32), 0x2000);
    for (let page = 0; page < 100; page++) tiny.ram.set(returns(page), 0x2_0000 + page * 0x1000);
    const second = await another(1, engine, 0x2000, 0x9000);
    expect(await ending(tiny.vcpu)).toBe(EXIT.KVM_EXIT_IO);
    expect(await ending(second)).toBe(EXIT.KVM_EXIT_HLT);
    expect((await second.getRegs()).rax).toBe(99n);
  });
});

describe("vCPUs that make records and rewrite each other's code all the time", () => {
  /** Rewrites the functions at `theirs` and calls those at `mine`, in 32 pages each; no hand-over, so any value is right. */
  const churn = (mine: number, theirs: number) =>
    assemble(
      `1: mov ecx, 32; mov esi, ${mine}; mov edi, ${theirs}
       2: inc dword ptr [edi+1]; call esi; add esi, 0x1000; add edi, 0x1000; loop 2b; jmp 1b`,
      32,
    );

  it("are kicked, and end with their VM", async () => {
    for (let round = 0; round < 6; round++) {
      await make("patch", churn(0x2_0000, 0x4_0000));
      tiny.ram.set(churn(0x4_0000, 0x2_0000), 0x2000);
      for (let page = 0x2_0000; page < 0x6_0000; page += 0x1000) tiny.ram.set(returns(0), page);
      const second = await another(1, "patch", 0x2000, 0x9000);
      const vcpus = [tiny.vcpu, second];
      let runs = vcpus.map(ending);
      await setTimeout(30);
      for (const vcpu of vcpus) await vcpu.kick();
      expect(await Promise.all(runs)).toEqual(["EINTR", "EINTR"]);
      runs = vcpus.map(ending);
      await setTimeout(30);
      await tiny.vm.request("SPLITVM_DESTROY_VM", {});
      expect(await Promise.all(runs)).toEqual(["ENODEV", "ENODEV"]);
      tiny.kvm.close();
    }
  });
});

describe("a code map", () => {
  it("is the VM's, the same for all", async () => {
    await make("patch", Uint8Array.of(0xf4));
    const first = await tiny.vm.request("SPLITVM_GET_CODE_MAP", {});
    expect(await tiny.vm.request("SPLITVM_GET_CODE_MAP", {})).toEqual(first);
  });
});
