/**
 * The local APIC through requests: KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_NMI, its MSRs, and a guest whose timer ends its HLT.
 */
import { expect, test } from "vitest";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { EXIT } from "../../../shared/exits.ts";
import { type Client, sealed, useServer } from "./support.ts";

const RAM = 1 << 20;
const server = useServer();
let client: Client;
let vm: number;
let vcpu: number;

/** A VM in flat protected mode with a GDT, and an IDT whose vectors 2 and 30h lead to OUT 80h. */
async function make(code: readonly number[], irqchip = true): Promise<void> {
  client = await server.connect();
  vm = await client.createVm("it");
  const memfd = await client.pass(sealed(RAM));
  const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: BigInt(RAM), memfd, memfd_offset: 0n };
  await client.request("KVM_SET_USER_MEMORY_REGION", vm, slot);
  const put = (address: bigint, ...data: number[]) =>
    client.request("SPLITVM_WRITE_GUEST", vm, { address, data: Uint8Array.from(data) });
  await put(0x1000n, ...code);
  await put(0x2000n, 0xe6, 0x80);
  const gate = [0x00, 0x20, 0x08, 0, 0, 0x8e, 0, 0];
  await put(0x3000n + 2n * 8n, ...gate);
  await put(0x3000n + 0x30n * 8n, ...gate);
  await put(0x4008n, 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0);
  if (irqchip) await client.request("KVM_CREATE_IRQCHIP", vm, {});
  vcpu = (await client.request("KVM_CREATE_VCPU", vm, { id: 0 })).vcpu;
  await client.request("KVM_SET_SREGS", vcpu, {
    ...(await client.request("KVM_GET_SREGS", vcpu, {})),
    ...FLAT_PROTECTED_MODE,
    gdt: { base: 0x4000n, limit: 0x17 },
    idt: { base: 0x3000n, limit: 0x7ff },
  });
  const regs = await client.request("KVM_GET_REGS", vcpu, {});
  await client.request("KVM_SET_REGS", vcpu, { ...regs, rip: 0x1000n, rsp: 0x8000n, rflags: 2n });
}
const run = () =>
  client.request("KVM_RUN", vcpu, { immediate_exit: 0, request_interrupt_window: 0, data: new Uint8Array(0) });
const store = (register: number, value: number): number[] => {
  const bytes = Buffer.alloc(10);
  bytes.set([0xc7, 0x05]);
  bytes.writeUInt32LE(0xfee0_0000 + register, 2);
  bytes.writeUInt32LE(value, 6);
  return [...bytes];
};

test("the timer ends a HLT", async () => {
  await make([...store(0xf0, 0x1ff), ...store(0x320, 0x30), ...store(0x380, 20_000_000), 0xfb, 0xf4, 0xeb, 0xfd]);
  const exit = await run();
  expect([exit.reason, exit.address]).toEqual([EXIT.KVM_EXIT_IO, 0x80n]);
});

test("KVM_NMI ends a HLT with IF clear", async () => {
  await make([0xf4, 0xeb, 0xfd]);
  const exit = run();
  await client.request("KVM_NMI", vcpu, {});
  expect((await exit).reason).toBe(EXIT.KVM_EXIT_IO);
});

test("registers and MSRs", async () => {
  await make([0xf4]);
  const { regs } = await client.request("KVM_GET_LAPIC", vcpu, {});
  expect(regs.length).toBe(1024);
  regs[0x80] = 0x50;
  await client.request("KVM_SET_LAPIC", vcpu, { regs });
  expect((await client.request("KVM_GET_SREGS", vcpu, {})).cr8).toBe(5n);
  expect(await client.refusal("KVM_SET_LAPIC", vcpu, { regs: new Uint8Array(1023) })).toBe("EINVAL");
  const { entries } = await client.request("KVM_GET_MSRS", vcpu, { indices: [0x1b, 0x6e0] });
  expect(entries.map(({ data }) => data)).toEqual([0xfee0_0900n, 0n]);
  const set = { entries: [{ index: 0x6e0, data: 77n }] };
  expect(await client.request("KVM_SET_MSRS", vcpu, set)).toEqual({ count: 1 });
});

test("the ID takes the form of the mode that the host sets", async () => {
  await make([0xf4]);
  const { vcpu: other } = await client.request("KVM_CREATE_VCPU", vm, { id: 1 });
  const ids = async () => {
    const { regs } = await client.request("KVM_GET_LAPIC", other, {});
    return [0x20, 0xd0].map((at) => Buffer.from(regs).readUInt32LE(at));
  };
  expect(await ids()).toEqual([1 << 24, 0]);
  await client.request("KVM_SET_MSRS", other, { entries: [{ index: 0x1b, data: 0xfee0_0c00n }] });
  expect(await ids()).toEqual([1, 2]);
  const sregs = await client.request("KVM_GET_SREGS", other, {});
  await client.request("KVM_SET_SREGS", other, { ...sregs, apic_base: 0xfee0_0800n });
  expect(await ids()).toEqual([1 << 24, 0]);
});

test("without an irqchip there is none", async () => {
  await make([0xf4], false);
  for (const name of ["KVM_GET_LAPIC", "KVM_NMI"] as const) expect(await client.refusal(name, vcpu, {})).toBe("EINVAL");
});
