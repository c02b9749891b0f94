/**
 * Requests on a VM's IOAPIC, routes and PIT: what they do without a running vCPU, and their errno in every bad case.
 * Meaning: the KVM API document.
 */
import { beforeEach, describe, expect, test } from "vitest";
import type { KvmIrqchip, KvmPitState2 } from "../../../shared/ioctls.ts";
import { type Client, useServer } from "./support.ts";

const server = useServer();
let client: Client;
let vm: number;

beforeEach(async () => {
  client = await server.connect();
  vm = await client.createVm("it");
});

const irqchip = () => client.request("KVM_CREATE_IRQCHIP", vm, {});
const route = { gsi: 40, type: 1, flags: 0, irqchip: 2, pin: 5, address_lo: 0, address_hi: 0, data: 0 };

/** The IOAPIC's inputs that are high: KVM_GET_IRQCHIP's IRR. */
async function ioapic(): Promise<KvmIrqchip> {
  return await client.request("KVM_GET_IRQCHIP", vm, { chip_id: 2 });
}

test("KVM_GET_IRQCHIP and KVM_SET_IRQCHIP of the IOAPIC", async () => {
  expect(await client.refusal("KVM_GET_IRQCHIP", vm, { chip_id: 2 })).toBe("ENXIO");
  await irqchip();
  const state = await ioapic();
  expect(state).toMatchObject({ chip_id: 2, imr: 0, ioapic: [{ base_address: 0xfec0_0000n, id: 0, irr: 0 }] });
  expect(state.ioapic[0]!.redirtbl).toEqual(Array(24).fill(0x1_0000n));
  state.ioapic[0]!.redirtbl[3] = 0x0100_0000_0001_8033n;
  state.ioapic[0]!.id = 9;
  await client.request("KVM_SET_IRQCHIP", vm, state);
  expect(await ioapic()).toEqual(state);
  const master = await client.request("KVM_GET_IRQCHIP", vm, { chip_id: 0 });
  expect(master.ioapic).toEqual([]);
  const short = { ...state.ioapic[0]!, redirtbl: [0n] };
  for (const wrong of [
    { ...state, ioapic: [] },
    { ...state, ioapic: [short] },
    { ...state, ioapic: [state.ioapic[0]!, state.ioapic[0]!] },
    { ...master, ioapic: state.ioapic },
    { ...state, chip_id: 3 },
  ])
    expect(await client.refusal("KVM_SET_IRQCHIP", vm, wrong)).toMatch(/^(EINVAL|E2BIG)$/);
  expect(await ioapic()).toEqual(state);
});

test("KVM_IRQ_LINE and KVM_IRQFD reach beyond the 8259s' GSIs", async () => {
  await irqchip();
  for (const irq of [16, 23, 63]) await client.request("KVM_IRQ_LINE", vm, { irq, level: 1 });
  expect(await client.refusal("KVM_IRQ_LINE", vm, { irq: 64, level: 1 })).toBe("EINVAL");
  await client.request("KVM_IRQFD", vm, { event: 0, gsi: 1023, flags: 0, resample_event: 0 });
  expect(await client.refusal("KVM_IRQFD", vm, { event: 1, gsi: 1024, flags: 0, resample_event: 0 })).toBe("EINVAL");
});

describe("KVM_SET_GSI_ROUTING", () => {
  const set = (...entries: unknown[]) => client.refusal("KVM_SET_GSI_ROUTING", vm, { flags: 0, entries });

  test("wants an irqchip (EINVAL), no flags (EINVAL), and a table in bounds (E2BIG)", async () => {
    expect(await set(route)).toBe("EINVAL");
    await irqchip();
    expect(await set(route)).toBe("");
    expect(await client.refusal("KVM_SET_GSI_ROUTING", vm, { flags: 1, entries: [] })).toBe("EINVAL");
    expect(await set(...Array(4097).fill(route))).toBe("E2BIG");
    expect(await set()).toBe("");
  });

  test("with one wrong entry changes nothing (EINVAL)", async () => {
    await irqchip();
    expect(await set(route)).toBe("");
    const { buffer } = server.server.vms.get("it")!.memory;
    const table = () => new Uint8Array(buffer).slice(0x2_0000, 0x2_4000);
    const before = table();
    for (const wrong of [{ gsi: 1024 }, { flags: 1 }, { type: 0 }, { irqchip: 3 }, { pin: 24 }, { gsi: 1 }])
      expect(await set({ ...route, gsi: 1, pin: 1 }, { ...route, ...wrong })).toBe("EINVAL");
    expect(table()).toEqual(before);
  });
});

test("KVM_SIGNAL_MSI", async () => {
  const msi = { address_lo: 0xfee0_1000, address_hi: 0, data: 0x4041, flags: 0 };
  expect(await client.refusal("KVM_SIGNAL_MSI", vm, msi)).toBe("EINVAL");
  await irqchip();
  expect(await client.refusal("KVM_SIGNAL_MSI", vm, { ...msi, flags: 1 })).toBe("EINVAL");
  const sent: number[][] = [];
  server.server.vms.get("it")!.irqchip.delivery = {
    send: () => false,
    message: (...message) => sent.push(message) === 1,
  };
  expect(await client.request("KVM_SIGNAL_MSI", vm, msi)).toEqual({ delivered: 1 });
  expect(await client.request("KVM_SIGNAL_MSI", vm, msi)).toEqual({ delivered: 0 });
  expect(sent[0]).toEqual([0xfee0_1000, 0, 0x4041]);
});

describe("the PIT", () => {
  test("KVM_CREATE_PIT2: after the irqchip (ENOENT), once (EEXIST), no flags but one (EINVAL)", async () => {
    const create = (flags: number) => client.refusal("KVM_CREATE_PIT2", vm, { flags });
    expect(await create(0)).toBe("ENOENT");
    await irqchip();
    expect(await create(2)).toBe("EINVAL");
    expect(await create(1)).toBe("");
    expect(await create(1)).toBe("EEXIST");
  });

  test("KVM_GET_PIT2, KVM_SET_PIT2 and KVM_REINJECT_CONTROL: ENXIO without one, EINVAL for what is no state", async () => {
    await irqchip();
    expect(await client.refusal("KVM_GET_PIT2", vm, {})).toBe("ENXIO");
    expect(await client.refusal("KVM_REINJECT_CONTROL", vm, { pit_reinject: 1 })).toBe("ENXIO");
    await client.request("KVM_CREATE_PIT2", vm, { flags: 0 });
    await client.request("KVM_REINJECT_CONTROL", vm, { pit_reinject: 0 });
    const state: KvmPitState2 = await client.request("KVM_GET_PIT2", vm, {});
    expect(state.channels.map(({ gate }) => gate)).toEqual([1, 1, 0]);
    Object.assign(state.channels[0]!, { count: 1000, mode: 2, count_load_time: 1n });
    await client.request("KVM_SET_PIT2", vm, { ...state, flags: 2 });
    expect(await client.request("KVM_GET_PIT2", vm, {})).toEqual({ ...state, flags: 2 });
    expect(await client.refusal("KVM_SET_PIT2", vm, { ...state, flags: 4 })).toBe("EINVAL");
    expect(await client.refusal("KVM_SET_PIT2", vm, { ...state, channels: [] })).toBe("EINVAL");
    const other = await client.createVm("other");
    expect(await client.refusal("KVM_SET_PIT2", other, state)).toBe("ENXIO");
  });
});
