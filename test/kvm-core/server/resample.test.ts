/**
 * KVM_IRQFD_FLAG_RESAMPLE from a server's mailbox to a guest's handler and back, through the IOAPIC and through the 8259s.
 * Meaning: the KVM API document, KVM_IRQFD. What each controller's EOI means in every mode: irqchip/resamplers.test.ts.
 */
import { expect, test } from "vitest";
import { vcpuZone, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { serverAreaAt } from "../../../kvm-core/vm/vm-state.ts";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { Mailbox } from "../../../shared/mailbox.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";
import { type Client, codeOf, sealed, until, useServer } from "./support.ts";

const RAM = 1 << 20;
const GSI = 11;
const VECTOR = 0x3b;
const EVENT = 3;
const RESAMPLE = 70;
const server = useServer();
let client: Client;

const long = (value: number) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
const store = (address: number, value: number) => [0xc7, 0x05, ...long(address), ...long(value)];
const out = (port: number, value: number) => [0xb0, value, 0xe6, port];
const COUNT = [0xfe, 0x05, ...long(0x5000)];
const IRET = 0xcf;
const STI_SPIN = [0xfb, 0xeb, 0xfe];

const IOAPIC = {
  setUp: [
    ...[...out(0x21, 0xff), ...out(0xa1, 0xff)], // the GSI leads to both
    ...store(0xfee0_00f0, 0x1ff),
    ...store(0xfec0_0000, 0x10 + 2 * GSI),
    ...store(0xfec0_0010, 0x8000 | VECTOR), // level-triggered
  ],
  eoi: store(0xfee0_00b0, 0),
};
const PICS = {
  setUp: [
    ...[...out(0x20, 0x11), ...out(0x21, 0x30), ...out(0x21, 4), ...out(0x21, 1), ...out(0x21, 0xfb)],
    ...[...out(0xa0, 0x11), ...out(0xa1, 0x38), ...out(0xa1, 2), ...out(0xa1, 1), ...out(0xa1, 0xf7)],
  ],
  eoi: [...out(0xa0, 0x20), ...out(0x20, 0x20)],
};

test.each([
  ["the IOAPIC", IOAPIC],
  ["the 8259s", PICS],
])("through %s", async (_what, { setUp, eoi }) => {
  client = await server.connect();
  const vm = await client.createVm("it");
  const memfd = await client.pass(sealed(RAM));
  const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: BigInt(RAM), memfd, memfd_offset: 0n };
  await client.request("KVM_SET_USER_MEMORY_REGION", vm, slot);
  const put = (address: number, ...data: number[]) =>
    client.request("SPLITVM_WRITE_GUEST", vm, { address: BigInt(address), data: Uint8Array.from(data) });
  await put(0x1000, ...setUp, ...COUNT, ...STI_SPIN);
  await put(0x2000, ...COUNT, ...eoi, IRET);
  await put(0x3000 + 8 * VECTOR, 0, 0x20, 8, 0, 0, 0x8e, 0, 0);
  await put(0x4008, 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0);
  await client.request("KVM_CREATE_IRQCHIP", vm, {});
  await client.request("SPLITVM_SET_SERVER_AREA", vm, { memfd: await client.pass(sealed(AREA_BYTES)) });
  const { vcpu } = await client.request("KVM_CREATE_VCPU", vm, { id: 0 });
  const tables = { gdt: { base: 0x4000n, limit: 0x17 }, idt: { base: 0x3000n, limit: 0x7ff } };
  const sregs = await client.request("KVM_GET_SREGS", vcpu, {});
  await client.request("KVM_SET_SREGS", vcpu, { ...sregs, ...FLAT_PROTECTED_MODE, ...tables });
  const regs = await client.request("KVM_GET_REGS", vcpu, {});
  await client.request("KVM_SET_REGS", vcpu, { ...regs, rip: 0x1000n, rsp: 0x8000n, rflags: 2n });

  await client.request("KVM_IRQFD", vm, { event: EVENT, gsi: GSI, flags: 2, resample_event: RESAMPLE });
  const { buffer } = server.server.vms.get("it")!.memory;
  const box = new Mailbox(buffer, serverAreaAt(0), buffer, vcpuZone(0) + ZONE.kick);
  const ended = codeOf(
    client.request("KVM_RUN", vcpu, { immediate_exit: 0, request_interrupt_window: 0, data: new Uint8Array(0) }),
  );
  const count = async () => (await client.request("SPLITVM_READ_GUEST", vm, { address: 0x5000n, length: 1 })).data[0]!;
  for (const end = Date.now() + 10_000; (await count()) === 0 && Date.now() < end; );
  for (let n = 1; n <= 3; n++) {
    box.signal(EVENT);
    const heard: number[] = [];
    await until(() => {
      box.takeResamples((event) => heard.push(event));
      return heard.length > 0;
    }, "the end of the interrupt");
    expect(heard).toEqual([RESAMPLE]);
    expect(await count()).toBe(1 + n);
  }
  await client.request("SPLITVM_KICK", vcpu, {});
  expect(await ended).toBe("EINTR");
});
