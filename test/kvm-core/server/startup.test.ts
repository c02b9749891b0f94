/**
 * Processors that start others: INIT, start-up IPI and NMI from one vCPU to another, KVM_GET_MP_STATE and KVM_SET_MP_STATE meanwhile.
 * Document: SDM volume 3, 9.4, 11.6.1 and 6.7.1; KVM API document, KVM_GET_MP_STATE.
 */
import { describe, expect, test } from "vitest";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { EXIT } from "../../../shared/exits.ts";
import { KVM_MP_STATE } from "../../../shared/ioctls.ts";
import { type Client, sealed, until, useServer } from "./support.ts";

const { RUNNABLE, HALTED, UNINITIALIZED, INIT_RECEIVED, SIPI_RECEIVED } = KVM_MP_STATE;
const RAM = 1 << 20;
const ROM = 0x1_0000;
const ROM_BASE = 0xffff_0000;
const server = useServer();
let client: Client;
let vm: number;
/** Handles of vCPU 0, in flat protected mode with code at 1000h, and of vCPU 1, as KVM_CREATE_VCPU leaves it. */
let bsp: number;
let ap: number;

const put = (address: number, ...data: number[]) =>
  client.request("SPLITVM_WRITE_GUEST", vm, { address: BigInt(address), data: Uint8Array.from(data) });

async function slot(number: number, gpa: number, size: number): Promise<void> {
  const memfd = await client.pass(sealed(size));
  const where = { slot: number, flags: 0, guest_phys_addr: BigInt(gpa), memory_size: BigInt(size) };
  await client.request("KVM_SET_USER_MEMORY_REGION", vm, { ...where, memfd, memfd_offset: 0n });
}

/** Flat protected mode at `rip`, whose vector 2 leads to 2000h. */
async function protectedMode(vcpu: number, rip: number): Promise<void> {
  const sregs = await client.request("KVM_GET_SREGS", vcpu, {});
  const tables = { gdt: { base: 0x4000n, limit: 0x17 }, idt: { base: 0x3000n, limit: 0x7ff } };
  await client.request("KVM_SET_SREGS", vcpu, { ...sregs, ...FLAT_PROTECTED_MODE, ...tables });
  const regs = await client.request("KVM_GET_REGS", vcpu, {});
  await client.request("KVM_SET_REGS", vcpu, { ...regs, rip: BigInt(rip), rsp: BigInt(rip + 0x7000), rflags: 2n });
}

async function make(...code: readonly (readonly number[])[]): Promise<void> {
  client = await server.connect();
  vm = await client.createVm("it");
  await slot(0, 0, RAM);
  await slot(1, ROM_BASE, ROM);
  await put(0x1000, ...code.flat(), ...SPIN);
  await put(0x3010, 0, 0x20, 8, 0, 0, 0x8e, 0, 0);
  await put(0x4008, 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0);
  await client.request("KVM_CREATE_IRQCHIP", vm, {});
  bsp = (await client.request("KVM_CREATE_VCPU", vm, { id: 0 })).vcpu;
  ap = (await client.request("KVM_CREATE_VCPU", vm, { id: 1 })).vcpu;
  await protectedMode(bsp, 0x1000);
}

const run = (vcpu: number) =>
  client.request("KVM_RUN", vcpu, { immediate_exit: 0, request_interrupt_window: 0, data: new Uint8Array(0) });
/** The port of the OUT that ends KVM_RUN. */
async function port(exit: ReturnType<typeof run>): Promise<bigint> {
  const { reason, address, detail } = await exit;
  expect([reason, detail]).toEqual([EXIT.KVM_EXIT_IO, ""]);
  return address;
}
const debugRegister = (number: number) =>
  new DataView(server.server.vms.get("it")!.memory.buffer).getUint32(vcpuZone(1) + CPU.dr + number * 8, true);
const mpState = async (vcpu: number) => (await client.request("KVM_GET_MP_STATE", vcpu, {})).mp_state;
const setMpState = (vcpu: number, mp_state: number) => client.refusal("KVM_SET_MP_STATE", vcpu, { mp_state });

const store = (register: number, value: number) => {
  const bytes = Buffer.alloc(10);
  bytes.set([0xc7, 0x05]);
  bytes.writeUInt32LE(0xfee0_0000 + register, 2);
  bytes.writeUInt32LE(value, 6);
  return [...bytes];
};
const ipi = (destination: number, low: number) => [...store(0x310, destination << 24), ...store(0x300, low)];
const INIT = 0x4500;
const sipi = (vector: number) => 0x4600 | vector;
const NMI = 0x4400;
const OTHERS = 0xc_0000;
const out = (port: number) => [0xe6, port];
const SPIN = [0xeb, 0xfe];
const HLT = 0xf4;

describe("INIT and start-up IPI", () => {
  test("start a processor in real mode at the vector's page", async () => {
    await make(ipi(1, INIT), out(0x80), ipi(1, sipi(0x8)), out(0x81));
    await put(0x8000, 0x8c, 0xc8, 0xe7, 0x82, HLT); // mov ax, cs; out 82h, ax
    expect(await mpState(ap)).toBe(UNINITIALIZED);
    const waiting = run(ap);
    expect(await port(run(bsp))).toBe(0x80n);
    await client.request("SPLITVM_KICK", ap, {});
    await expect(waiting).rejects.toMatchObject({ code: "EINTR" });
    expect(await mpState(ap)).toBe(INIT_RECEIVED);
    const started = run(ap);
    expect(await port(run(bsp))).toBe(0x81n);
    const exit = await started;
    expect([exit.reason, exit.address, ...exit.data]).toEqual([EXIT.KVM_EXIT_IO, 0x82n, 0x00, 0x08]);
    expect(await mpState(ap)).toBe(RUNNABLE);
    const { cs, cr0 } = await client.request("KVM_GET_SREGS", ap, {});
    expect([cs.selector, cs.base, cr0 & 1n]).toEqual([0x800, 0x8000n, 0n]);
  });

  test("are seen by KVM_GET_MP_STATE though the vCPU does not run; a second start-up IPI is lost", async () => {
    await make(ipi(1, sipi(0x7)), out(0x80), ipi(1, INIT), out(0x81), ipi(1, sipi(0x8)), ipi(1, sipi(0x9)), out(0x82));
    const states: number[] = [];
    for (const address of [0x80n, 0x81n]) {
      expect(await port(run(bsp))).toBe(address);
      states.push(await mpState(ap));
    }
    expect(states).toEqual([UNINITIALIZED, INIT_RECEIVED]);
    await put(0x8000, ...out(0x83));
    await put(0x9000, ...out(0x84));
    const started = run(ap);
    expect(await port(run(bsp))).toBe(0x82n);
    // Both may have come before the vCPU looked: then the later vector counts, as in KVM.
    expect([0x83n, 0x84n]).toContain(await port(started));
    expect(await mpState(ap)).toBe(RUNNABLE);
  });

  test("take a running processor out of protected mode, with its local APIC", async () => {
    await make(ipi(1, INIT), ipi(1, sipi(0x9)), out(0x80));
    await put(0x9000, ...out(0x83));
    const debugged = [0xb8, 0x78, 0x56, 0, 0, 0x0f, 0x23, 0xd8, 0xb0, 0x55, 0x0f, 0x23, 0xf8]; // DR3 = 5678h, DR7 = 5655h
    await put(0x1800, ...debugged, ...store(0xf0, 0x1ff), ...out(0x84), ...SPIN);
    await protectedMode(ap, 0x1800);
    expect(await setMpState(ap, RUNNABLE)).toBe("");
    expect(await port(run(ap))).toBe(0x84n);
    const again = run(ap);
    expect(await port(run(bsp))).toBe(0x80n);
    expect(await port(again)).toBe(0x83n);
    const { cs, cr0, idt } = await client.request("KVM_GET_SREGS", ap, {});
    expect([cs.base, cr0 & 1n, idt.limit]).toEqual([0x9000n, 0n, 0xffff]);
    const { regs } = await client.request("KVM_GET_LAPIC", ap, {});
    expect([regs[0xf0], regs[0xf1]]).toEqual([0xff, 0]);
    expect([debugRegister(3), debugRegister(7)]).toEqual([0, 0x400]);
  });

  test("INIT leaves the signature of the vCPU's own CPUID in EDX", async () => {
    await make(ipi(1, INIT), out(0x80));
    const { entries } = await client.request("KVM_GET_CPUID2", ap, {});
    const signed = entries.map((entry) => (entry.function === 1 ? { ...entry, eax: 0xf61 } : entry));
    await client.request("KVM_SET_CPUID2", ap, { entries: signed });
    await setMpState(ap, RUNNABLE);
    expect(await port(run(bsp))).toBe(0x80n);
    expect(await mpState(ap)).toBe(INIT_RECEIVED);
    expect((await client.request("KVM_GET_REGS", ap, {})).rdx).toBe(0xf61n);
  });

  test("of the others leave the sender alone; INIT level de-assert does nothing", async () => {
    await make(ipi(0, OTHERS | 0x8500), out(0x80), ipi(0, OTHERS | INIT), ipi(0, OTHERS | sipi(0x8)), out(0x81));
    await put(0x8000, ...out(0x83));
    expect(await port(run(bsp))).toBe(0x80n);
    expect(await mpState(ap)).toBe(UNINITIALIZED);
    expect(await port(run(bsp))).toBe(0x81n);
    expect(await port(run(ap))).toBe(0x83n);
  });

  test("INIT of the bootstrap processor: the reset vector", async () => {
    await make(ipi(0, INIT), SPIN);
    await put(0xffff_fff0, ...out(0x85));
    expect(await port(run(bsp))).toBe(0x85n);
    expect(await mpState(bsp)).toBe(RUNNABLE);
    expect((await client.request("KVM_GET_SREGS", bsp, {})).cs).toMatchObject({ selector: 0xf000, base: 0xffff_0000n });
  });

  test("KVM_SET_MP_STATE takes a processor through them", async () => {
    await make();
    for (const state of [UNINITIALIZED, INIT_RECEIVED]) {
      expect(await setMpState(ap, state)).toBe("");
      expect(await mpState(ap)).toBe(state);
    }
    expect(await setMpState(ap, SIPI_RECEIVED)).toBe("");
    expect(await mpState(ap)).toBe(RUNNABLE);
    expect((await client.request("KVM_GET_SREGS", ap, {})).cs).toMatchObject({ selector: 0, base: 0n });
    expect((await client.request("KVM_GET_REGS", ap, {})).rip).toBe(0n);
    expect(await setMpState(ap, 5)).toBe("EINVAL");
  });
});

describe("KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS", () => {
  const get = (vcpu: number) => client.request("KVM_GET_VCPU_EVENTS", vcpu, {});

  test("an NMI that waits, and its blocking", async () => {
    await make(out(0x80));
    await put(0x2000, ...out(0x84), 0xcf);
    const none = await get(bsp);
    expect(Object.values(none)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    await client.request("KVM_NMI", bsp, {});
    expect(await get(bsp)).toEqual({ ...none, nmi_pending: 1 });
    await client.request("KVM_SET_VCPU_EVENTS", bsp, { ...none, nmi_pending: 1, nmi_masked: 1 });
    expect(await port(run(bsp))).toBe(0x80n);
    expect(await get(bsp)).toEqual({ ...none, nmi_pending: 1, nmi_masked: 1 });
    await client.request("KVM_SET_VCPU_EVENTS", bsp, { ...none, nmi_pending: 1 });
    expect(await port(run(bsp))).toBe(0x84n);
    expect(await get(bsp)).toEqual({ ...none, nmi_masked: 1 });
    await client.request("KVM_SET_VCPU_EVENTS", bsp, none);
    expect(await get(bsp)).toEqual(none);
  });

  test("the interrupt shadow, and the start-up vector", async () => {
    await make();
    const none = await get(ap);
    for (const interrupt_shadow of [1, 2, 0]) {
      await client.request("KVM_SET_VCPU_EVENTS", ap, { ...none, interrupt_shadow });
      expect((await get(ap)).interrupt_shadow).toBe(interrupt_shadow);
    }
    await client.request("KVM_SET_VCPU_EVENTS", ap, { ...none, sipi_vector: 0x12, flags: 2 });
    expect(await setMpState(ap, SIPI_RECEIVED)).toBe("");
    expect(await mpState(ap)).toBe(RUNNABLE);
    expect((await client.request("KVM_GET_SREGS", ap, {})).cs.base).toBe(0x1_2000n);
  });

  test("refuse what is no state here (EINVAL)", async () => {
    await make();
    const none = await get(ap);
    for (const wrong of [
      { flags: 8 },
      { exception_injected: 1 },
      { nmi_injected: 1 },
      { interrupt_injected: 1 },
      { interrupt_shadow: 3 },
    ])
      expect(await client.refusal("KVM_SET_VCPU_EVENTS", ap, { ...none, ...wrong })).toBe("EINVAL");
    const bare = await client.createVm("bare");
    const { vcpu } = await client.request("KVM_CREATE_VCPU", bare, { id: 0 });
    await client.request("KVM_INTERRUPT", vcpu, { irq: 0x20 });
    expect(await get(vcpu)).toMatchObject({ interrupt_injected: 1, interrupt_nr: 0x20 });
    await client.request("KVM_SET_VCPU_EVENTS", vcpu, none);
    expect((await get(vcpu)).interrupt_injected).toBe(0);
    expect(await client.refusal("KVM_SET_VCPU_EVENTS", vcpu, { ...none, nmi_pending: 1 })).toBe("EINVAL");
  });
});

describe.each(["interp", "patch", "wasm"])("NMI: %s", (engine) => {
  test("by IPI it ends a HLT, and blocks the next one until IRET", async () => {
    await make(ipi(1, NMI), out(0x80));
    await put(0x1800, HLT, ...out(0x86), ...SPIN);
    await put(0x2000, ...out(0x84), ...out(0x85), 0xcf);
    await protectedMode(ap, 0x1800);
    await client.request("SPLITVM_SET_ENGINE", ap, { engine });
    await setMpState(ap, RUNNABLE);
    const handler = run(ap);
    await until(() => server.server.vms.get("it")!.vcpus.get(1)!.mpState === HALTED, "its HLT");
    expect(await port(run(bsp))).toBe(0x80n);
    expect(await port(handler)).toBe(0x84n);
    for (let n = 0; n < 2; n++) await client.request("KVM_NMI", ap, {}); // one of them is kept
    for (const address of [0x85n, 0x84n, 0x85n, 0x86n]) expect(await port(run(ap))).toBe(address);
  });

  test.each([
    ["MOV SS", 1],
    ["STI", 2],
  ])("waits for the instruction behind %s", async (_what, interrupt_shadow) => {
    await make([0x40], out(0x80)); // inc eax
    await put(0x2000, ...out(0x84), 0xcf);
    await client.request("SPLITVM_SET_ENGINE", bsp, { engine });
    const events = await client.request("KVM_GET_VCPU_EVENTS", bsp, {});
    await client.request("KVM_SET_VCPU_EVENTS", bsp, { ...events, interrupt_shadow, nmi_pending: 1 });
    const { rax } = await client.request("KVM_GET_REGS", bsp, {});
    let exit = await port(run(bsp));
    if (exit === 0x80n) exit = await port(run(bsp)); // the engine looks at a block's end only
    expect(exit).toBe(0x84n);
    expect((await client.request("KVM_GET_REGS", bsp, {})).rax).toBe(rax + 1n);
  });
});
