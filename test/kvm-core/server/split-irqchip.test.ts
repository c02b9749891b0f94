/**
 * KVM_CAP_SPLIT_IRQCHIP: local APICs in kvm-core, 8259s, IOAPIC and PIT the user's. Errno of every order, EOIs that the user's
 * IOAPIC hears of, interrupts of the user's 8259s, in both modes. Meaning: the KVM API document and Linux's code.
 */
import { describe, expect, test } from "vitest";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { CAPABILITIES } from "../../../shared/capabilities.ts";
import { EXIT } from "../../../shared/exits.ts";
import type { Ret } from "../../../shared/ioctls.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";
import { type Client, sealed, useServer } from "./support.ts";

const SPLIT = CAPABILITIES.KVM_CAP_SPLIT_IRQCHIP.nr;
const RAM = 1 << 20;
const VECTOR = 0x31;
const server = useServer();
let client: Client;
let vm: number;
let vcpu: number;

async function open(): Promise<void> {
  client = await server.connect();
  vm = await client.createVm("it");
}
const split = (reserved = 24n) => client.refusal("KVM_ENABLE_CAP", vm, { cap: SPLIT, flags: 0, args: [reserved] });
const message = {
  type: 2,
  flags: 0,
  irqchip: 0,
  pin: 0,
  address_lo: 0xfee0_0000,
  address_hi: 0,
  data: 0x8000 | VECTOR,
};

describe("the requests", () => {
  test("KVM_ENABLE_CAP: flags, another capability, too many routes (EINVAL); twice, or after a vCPU (EEXIST)", async () => {
    await open();
    const enable = (cap: number, flags: number, ...args: bigint[]) =>
      client.refusal("KVM_ENABLE_CAP", vm, { cap, flags, args });
    expect(await client.request("KVM_CHECK_EXTENSION", 0, { cap: SPLIT })).toEqual({ value: 1 });
    expect(await enable(SPLIT, 1, 24n)).toBe("EINVAL");
    expect(await enable(0, 0)).toBe("EINVAL");
    expect(await enable(SPLIT, 0, 1025n)).toBe("EINVAL");
    expect(await enable(SPLIT, 0, 1n, 2n, 3n, 4n, 5n)).toBe("E2BIG");
    expect(await split()).toBe("");
    expect(await split()).toBe("EEXIST");
    expect(await split(1025n)).toBe("EINVAL");
    expect(await client.refusal("KVM_CREATE_IRQCHIP", vm, {})).toBe("EEXIST");
    const other = await client.createVm("other");
    await client.request("KVM_CREATE_VCPU", other, { id: 0 });
    expect(await client.refusal("KVM_ENABLE_CAP", other, { cap: SPLIT, flags: 0, args: [] })).toBe("EEXIST");
    const whole = await client.createVm("whole");
    await client.request("KVM_CREATE_IRQCHIP", whole, {});
    expect(await client.refusal("KVM_ENABLE_CAP", whole, { cap: SPLIT, flags: 0, args: [] })).toBe("EEXIST");
  });

  test("there are no 8259s, no IOAPIC, no PIT, and no routes to them", async () => {
    await open();
    await split();
    expect(await client.refusal("KVM_GET_IRQCHIP", vm, { chip_id: 2 })).toBe("ENXIO");
    expect(await client.refusal("KVM_CREATE_PIT2", vm, { flags: 0 })).toBe("ENOENT");
    expect(await client.refusal("KVM_GET_PIT2", vm, {})).toBe("ENXIO");
    const set = (...entries: unknown[]) => client.refusal("KVM_SET_GSI_ROUTING", vm, { flags: 0, entries });
    expect(await set({ ...message, gsi: 0, type: 1 })).toBe("EINVAL");
    expect(await set({ ...message, gsi: 0, type: 1, irqchip: 2 })).toBe("EINVAL");
    expect(await set({ ...message, gsi: 0 }, { ...message, gsi: 1023 })).toBe("");
  });

  test("KVM_IRQ_LINE sends a GSI's message with every level, KVM_SIGNAL_MSI any", async () => {
    await open();
    await split();
    const sent: number[][] = [];
    server.server.vms.get("it")!.irqchip.delivery = {
      send: () => false,
      message: (...parts) => sent.push(parts) > 0,
    };
    await client.request("KVM_SET_GSI_ROUTING", vm, { flags: 0, entries: [{ ...message, gsi: 70 }] });
    for (const level of [1, 1, 0]) await client.request("KVM_IRQ_LINE", vm, { irq: 70, level });
    expect(sent).toEqual(Array(2).fill([0xfee0_0000, 0, 0x8000 | VECTOR]));
    const msi = { address_lo: 0xfee0_0000, address_hi: 0, data: 0x40, flags: 0 };
    expect(await client.request("KVM_SIGNAL_MSI", vm, msi)).toEqual({ delivered: 1 });
  });

  test("local APICs are there, and KVM_INTERRUPT's vectors wait one at a time (EEXIST)", async () => {
    await open();
    await split();
    ({ vcpu } = await client.request("KVM_CREATE_VCPU", vm, { id: 0 }));
    expect((await client.request("KVM_GET_LAPIC", vcpu, {})).regs.length).toBe(1024);
    expect(await client.refusal("KVM_INTERRUPT", vcpu, { irq: 256 })).toBe("EINVAL");
    expect(await client.refusal("KVM_INTERRUPT", vcpu, { irq: 0x20 })).toBe("");
    expect(await client.refusal("KVM_INTERRUPT", vcpu, { irq: 0x21 })).toBe("EEXIST");
    const events = await client.request("KVM_GET_VCPU_EVENTS", vcpu, {});
    expect(events).toMatchObject({ interrupt_injected: 1, interrupt_nr: 0x20 });
    const set = (changes: object) => client.refusal("KVM_SET_VCPU_EVENTS", vcpu, { ...events, ...changes });
    expect(await set({ interrupt_injected: 0 })).toBe("");
    expect((await client.request("KVM_GET_VCPU_EVENTS", vcpu, {})).interrupt_injected).toBe(0);
    expect(await set({})).toBe("");
    expect(await client.request("KVM_GET_VCPU_EVENTS", vcpu, {})).toEqual(events);
  });
});

const long = (value: number) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
/** Stores a double word in the local APIC. */
const store = (register: number, value: number): number[] => [
  ...[0xc7, 0x05],
  ...long(0xfee0_0000 + register),
  ...long(value),
];
const EOI = store(0xb0, 0);
const COUNT = [0xfe, 0x05, 0x00, 0x50, 0, 0];
const [STI, NOP, HLT, IRET] = [0xfb, 0x90, 0xf4, 0xcf];
const BACK = [0xeb, 0xfe];

describe.each(["message mode", "page mode"])("%s", (mode) => {
  /** A VM in flat protected mode whose vectors 30h to 33h lead to `handler`, with the routes of GSIs 0 to 3 to these vectors. */
  async function make(code: readonly number[], handler: readonly number[], reserved = 24n): Promise<void> {
    await open();
    const memfd = await client.pass(sealed(RAM));
    const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: BigInt(RAM), memfd, memfd_offset: 0n };
    await client.request("KVM_SET_USER_MEMORY_REGION", vm, slot);
    const put = (address: bigint, ...data: number[]) =>
      client.request("SPLITVM_WRITE_GUEST", vm, { address, data: Uint8Array.from(data) });
    await put(0x1000n, ...code);
    await put(0x2000n, ...handler);
    for (let vector = 0x30n; vector < 0x34n; vector++) await put(0x3000n + vector * 8n, 0, 0x20, 8, 0, 0, 0x8e, 0, 0);
    await put(0x4008n, 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0);
    expect(await split(reserved)).toBe("");
    if (mode === "page mode") {
      const area = await client.pass(sealed(AREA_BYTES));
      await client.request("SPLITVM_SET_SERVER_AREA", vm, { memfd: area });
    }
    const entries = [0, 1, 2, 3].map((gsi) => ({ ...message, gsi, data: 0x8030 + gsi }));
    entries[3]!.data = 0x33; // edge-triggered
    await client.request("KVM_SET_GSI_ROUTING", vm, { flags: 0, entries });
    vcpu = (await client.request("KVM_CREATE_VCPU", vm, { id: 0 })).vcpu;
    const { regs: lapic } = await client.request("KVM_GET_LAPIC", vcpu, {});
    lapic.set([0xff, 1], 0xf0); // enabled: what is raised before the guest runs is not lost
    await client.request("KVM_SET_LAPIC", vcpu, { regs: lapic });
    const sregs = await client.request("KVM_GET_SREGS", vcpu, {});
    const tables = { gdt: { base: 0x4000n, limit: 0x17 }, idt: { base: 0x3000n, limit: 0x7ff } };
    await client.request("KVM_SET_SREGS", vcpu, { ...sregs, ...FLAT_PROTECTED_MODE, ...tables });
    const regs = await client.request("KVM_GET_REGS", vcpu, {});
    await client.request("KVM_SET_REGS", vcpu, { ...regs, rip: 0x1000n, rsp: 0x8000n, rflags: 2n });
  }
  const run = (window = 0): Promise<Ret<"KVM_RUN">> =>
    client.request("KVM_RUN", vcpu, { immediate_exit: 0, request_interrupt_window: window, data: new Uint8Array(0) });
  const raise = (irq: number) => client.request("KVM_IRQ_LINE", vm, { irq, level: 1 });
  /** The byte that the guest counts in. */
  const count = async () => (await client.request("SPLITVM_READ_GUEST", vm, { address: 0x5000n, length: 1 })).data[0]!;
  /** Runs until the guest has counted to `n`. */
  async function runUntil(n: number, window = 0): Promise<void> {
    const exit = run(window).then(
      ({ reason }) => reason,
      (error: unknown) => error,
    );
    for (const end = Date.now() + 10_000; (await count()) < n && Date.now() < end; );
    await client.request("SPLITVM_KICK", vcpu, {});
    expect(await exit).toMatchObject({ code: "EINTR" });
    expect(await count()).toBe(n);
  }

  test("an EOI is told at once, and the interrupt can come again", async () => {
    await make([STI, ...BACK], [0x40, ...EOI, ...COUNT, IRET]); // inc eax; EOI; count; iret
    const exit = run();
    await raise(1);
    expect(await exit).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: VECTOR, if_flag: 0 });
    expect(await count()).toBe(0);
    await raise(1); // the user's IOAPIC: the line is still high
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: VECTOR });
    expect(await count()).toBe(1);
    await runUntil(2);
    expect((await client.request("KVM_GET_REGS", vcpu, {})).rax).toBe(2n);
  });

  test("two EOIs in a row are two exits", async () => {
    await make([...EOI, ...EOI, ...COUNT, ...BACK], []);
    const { regs } = await client.request("KVM_GET_LAPIC", vcpu, {});
    for (const first of [0x110, 0x190]) regs[first + 2] = 3; // 30h and 31h in service, level-triggered
    await client.request("KVM_SET_LAPIC", vcpu, { regs });
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: 0x31 });
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: 0x30 });
    await runUntil(1);
  });

  test("in x2APIC mode, too", async () => {
    const wrmsr = (index: number, value: number) => [
      0xb9,
      ...long(index),
      0xb8,
      ...long(value),
      0x31,
      0xd2,
      0x0f,
      0x30,
    ];
    await make([...wrmsr(0x1b, 0xfee0_0d00), ...wrmsr(0x80b, 0), ...COUNT, ...BACK], []);
    const { regs } = await client.request("KVM_GET_LAPIC", vcpu, {});
    for (const first of [0x110, 0x190]) regs[first + 2] = 1;
    await client.request("KVM_SET_LAPIC", vcpu, { regs });
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: 0x30 });
    await runUntil(1);
  });

  test("an edge, and a GSI beyond the reserved ones, are not told", async () => {
    await make([STI, ...BACK], [...EOI, ...COUNT, IRET], 2n);
    await raise(3);
    await runUntil(1);
    await raise(2);
    await runUntil(2);
    await raise(0);
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: 0x30 });
  });

  test("suppressed by bit 12 of the SVR they are not told", async () => {
    await make([...store(0xf0, 0x11ff), ...EOI, ...store(0xf0, 0x1ff), ...EOI, ...COUNT, ...BACK], []);
    const { regs } = await client.request("KVM_GET_LAPIC", vcpu, {});
    expect(regs[0x33]! & 1).toBe(1); // the version says that there is the bit
    for (const first of [0x110, 0x190]) regs[first + 2] = 3;
    await client.request("KVM_SET_LAPIC", vcpu, { regs });
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IOAPIC_EOI, vector: 0x30 });
    await runUntil(1);
  });

  test("immediate_exit after the EOI's exit ends KVM_RUN behind the EOI", async () => {
    await make([STI, ...BACK], [...EOI, ...BACK]);
    const exit = run();
    await raise(1);
    expect((await exit).reason).toBe(EXIT.KVM_EXIT_IOAPIC_EOI);
    const arg = { immediate_exit: 1, request_interrupt_window: 0, data: new Uint8Array(0) };
    expect(await client.refusal("KVM_RUN", vcpu, arg)).toBe("EINTR");
    expect((await client.request("KVM_GET_REGS", vcpu, {})).rip).toBe(0x200an);
  });

  test("the window opens with IF, and KVM_INTERRUPT ends a HLT", async () => {
    await make([STI, HLT, ...BACK], [...COUNT, ...BACK]);
    expect(await run(1)).toMatchObject({
      reason: EXIT.KVM_EXIT_IRQ_WINDOW_OPEN,
      if_flag: 1,
      ready_for_interrupt_injection: 1,
    });
    await client.request("KVM_INTERRUPT", vcpu, { irq: 0x30 });
    await runUntil(1, 1);
  });

  test("no window while LINT0 is masked, and the vector waits for it", async () => {
    await make([...store(0x350, 0x1_0700), STI, NOP, ...COUNT, ...BACK], [...COUNT, ...BACK]);
    await runUntil(1, 1);
    await client.request("KVM_INTERRUPT", vcpu, { irq: 0x30 });
    await runUntil(1, 1);
    const { regs } = await client.request("KVM_GET_LAPIC", vcpu, {});
    regs.set([0, 7, 0, 0], 0x350);
    await client.request("KVM_SET_LAPIC", vcpu, { regs });
    await runUntil(2);
  });

  test.runIf(mode === "message mode")("8259s, PIT and IOAPIC are exits", async () => {
    await make([0xe6, 0x21, 0xe6, 0x43, 0xa1, ...long(0xfec0_0010)], []);
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IO, address: 0x21n, ready_for_interrupt_injection: 0 });
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_IO, address: 0x43n });
    expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_MMIO, address: 0xfec0_0010n });
  });
});
