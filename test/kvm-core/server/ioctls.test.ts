/**
 * Every request that needs no running vCPU: what it does, and its errno in every bad case. Order and names follow the
 * IOCTLS table (shared/ioctls.ts), meaning the KVM API document.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { MAX_HANDLES } from "../../../kvm-core/server/handles.ts";
import { MAX_LINGER } from "../../../kvm-core/vm/vm.ts";
import { CAPABILITIES } from "../../../shared/capabilities.ts";
import { IOCTLS, type IoctlName } from "../../../shared/ioctls.ts";
import { JOURNAL_BYTES } from "../../../shared/journal.ts";
import { mapFixed, PROT_READ, PROT_WRITE } from "../../../shared/native.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";
import { STATS_BYTES } from "../../../shared/stats-page.ts";
import { type Client, sealed, until, useServer } from "./support.ts";

const server = useServer();
let client: Client;
let vm: number;

beforeEach(async () => {
  client = await server.connect();
  vm = await client.createVm("it");
});

/** The whole answer of a request that succeeds. */
const ok = (name: IoctlName, handle: number, arg: unknown) => client.request(name, handle, arg as never);
const refused = (name: IoctlName, handle: number, arg: unknown) => client.refusal(name, handle, arg);

describe("system", () => {
  test("KVM_GET_API_VERSION is 12", async () => {
    expect(await ok("KVM_GET_API_VERSION", 0, {})).toEqual({ version: 12 });
  });

  test("KVM_CHECK_EXTENSION: the table's values, 0 for what nobody knows", async () => {
    for (const { nr, value } of Object.values(CAPABILITIES))
      expect(await ok("KVM_CHECK_EXTENSION", 0, { cap: nr })).toEqual({ value });
    expect(await ok("KVM_CHECK_EXTENSION", 0, { cap: 0xffff_ffff })).toEqual({ value: 0 });
  });

  test("KVM_GET_MSR_INDEX_LIST and KVM_GET_SUPPORTED_CPUID fit their types", async () => {
    const { indices } = (await ok("KVM_GET_MSR_INDEX_LIST", 0, {})) as { indices: number[] };
    expect(indices).toContain(0xc000_0080); // EFER
    const { entries } = (await ok("KVM_GET_SUPPORTED_CPUID", 0, {})) as { entries: { function: number }[] };
    expect(entries.map((entry) => entry.function)).toEqual(expect.arrayContaining([0, 1, 0x8000_0000, 0x8000_0001]));
  });

  describe("KVM_CREATE_VM", () => {
    test.each([
      ["another type", { type: 1, name: "x" }, "EINVAL"],
      ["no name", { type: 0, name: "" }, "EINVAL"],
      ["a name with a slash", { type: 0, name: "a/b" }, "EINVAL"],
      ["a name with a line end", { type: 0, name: "a\n" }, "EINVAL"],
      ["a long name", { type: 0, name: "x".repeat(65) }, "EINVAL"],
      ["a name that exists", { type: 0, name: "it" }, "EEXIST"],
    ])("%s", async (_what, arg, errno) => {
      expect(await refused("KVM_CREATE_VM", 0, arg)).toBe(errno);
      expect(server.server.vms.size).toBe(1);
    });

    test("the name is free again when the VM has ended", async () => {
      await ok("SPLITVM_DESTROY_VM", vm, {});
      expect(await client.createVm("it")).not.toBe(vm);
    });
  });

  test("SPLITVM_LIST_VMS", async () => {
    await ok("KVM_CREATE_VCPU", vm, { id: 5 });
    await client.createVm("two");
    expect(await ok("SPLITVM_LIST_VMS", 0, {})).toEqual({
      vms: [
        { name: "it", state: 0, vcpus: 1, owner_pid: process.pid },
        { name: "two", state: 0, vcpus: 0, owner_pid: process.pid },
      ],
    });
  });

  describe("SPLITVM_OPEN_VM", () => {
    test("gives a handle of the right that was asked for", async () => {
      const other = await server.connect();
      const viewer = (await other.request("SPLITVM_OPEN_VM", 0, { name: "it", right: 0 })).vm;
      const device = (await other.request("SPLITVM_OPEN_VM", 0, { name: "it", right: 1 })).vm;
      expect(await other.refusal("SPLITVM_GET_MEMORY", viewer, {})).toBe("EPERM");
      expect(await other.refusal("SPLITVM_GET_MEMORY", device, {})).toBe("");
      for (const handle of [viewer, device]) {
        expect(await other.refusal("KVM_CREATE_VCPU", handle, { id: 0 })).toBe("EPERM");
        expect(await other.refusal("SPLITVM_DESTROY_VM", handle, {})).toBe("EPERM");
      }
      other.close();
    });

    test.each([
      ["a VM that there is none of", { name: "none", right: 0 }, "ENOENT"],
      ["a right that there is none of", { name: "it", right: 3 }, "EINVAL"],
      ["as owner, while it has one", { name: "it", right: 2 }, "EBUSY"],
    ])("%s", async (_what, arg, errno) => {
      expect(await refused("SPLITVM_OPEN_VM", 0, arg)).toBe(errno);
    });

    test("as owner, while the owner's process lives without its connection: EBUSY, and nothing changed", async () => {
      const owner = await server.connect();
      const kept = await owner.createVm("kept");
      await owner.request("SPLITVM_KEEP_VM", kept, { linger: 1 });
      owner.close();
      await until(() => server.server.vms.get("kept")!.parked, "the VM to be parked");
      expect(await refused("SPLITVM_OPEN_VM", 0, { name: "kept", right: 2 })).toBe("EBUSY");
      expect(server.server.vms.get("kept")!.parked).toBe(true);
      await until(() => !server.server.vms.has("kept"), "the second to pass");
      server.reports.splice(0); // that it was parked, and that it was destroyed
    });
  });

  describe("handles", () => {
    test("SPLITVM_CLOSE: the handle is dead, with the last one the owner's VM ends", async () => {
      const second = ((await ok("KVM_CREATE_VCPU", vm, { id: 0 })) as { vcpu: number }).vcpu;
      await ok("SPLITVM_CLOSE", 0, { handle: vm });
      expect(await refused("KVM_CREATE_IRQCHIP", vm, {})).toBe("EBADF");
      expect(server.server.vms.size).toBe(1); // the vCPU's handle holds it
      await ok("SPLITVM_CLOSE", 0, { handle: second });
      await until(() => server.server.vms.size === 0, "the VM to end");
    });

    test.each([0, 99])("SPLITVM_CLOSE of %i: EBADF", async (handle) => {
      expect(await refused("SPLITVM_CLOSE", 0, { handle })).toBe("EBADF");
    });

    test("of a destroyed VM are dead: EBADF, the vCPUs' too and those of other sessions", async () => {
      const { vcpu } = (await ok("KVM_CREATE_VCPU", vm, { id: 0 })) as { vcpu: number };
      const other = await server.connect();
      const viewer = (await other.request("SPLITVM_OPEN_VM", 0, { name: "it", right: 0 })).vm;
      await ok("SPLITVM_DESTROY_VM", vm, {});
      expect(await refused("KVM_CREATE_IRQCHIP", vm, {})).toBe("EBADF");
      expect(await refused("KVM_GET_REGS", vcpu, {})).toBe("EBADF");
      expect(await other.refusal("KVM_GET_STATS_FD", viewer, { id: 0 })).toBe("EBADF");
      expect(await other.refusal("SPLITVM_OPEN_VM", 0, { name: "it", right: 0 })).toBe("ENOENT");
      other.close();
    });

    test("of one session are none of another's", async () => {
      const other = await server.connect();
      expect(await other.refusal("KVM_CREATE_IRQCHIP", vm, {})).toBe("EBADF");
      other.close();
    });

    test("of another kind: ENOTTY", async () => {
      const { vcpu } = (await ok("KVM_CREATE_VCPU", vm, { id: 0 })) as { vcpu: number };
      expect(await refused("KVM_GET_REGS", vm, {})).toBe("ENOTTY");
      expect(await refused("KVM_CREATE_IRQCHIP", vcpu, {})).toBe("ENOTTY");
      expect(await refused("KVM_GET_API_VERSION", vm, {})).toBe("ENOTTY");
      expect(await refused("KVM_CREATE_IRQCHIP", 0, {})).toBe("ENOTTY");
    });

    test("are bounded: ENFILE, and nothing was made that nobody could name", async () => {
      const viewer = { name: "it", right: 0 };
      for (let i = 1; i < MAX_HANDLES; i++) await ok("SPLITVM_OPEN_VM", 0, viewer);
      expect(await refused("SPLITVM_OPEN_VM", 0, viewer)).toBe("ENFILE");
      expect(await refused("KVM_CREATE_VM", 0, { type: 0, name: "lost" })).toBe("ENFILE");
      expect(await refused("KVM_CREATE_VCPU", vm, { id: 0 })).toBe("ENFILE");
      expect([...server.server.vms.keys()]).toEqual(["it"]);
      expect(server.server.vms.get("it")!.vcpus.size).toBe(0);
    });

    test("of dead VMs make room for new ones", async () => {
      for (let i = 1; i < MAX_HANDLES; i++) await ok("SPLITVM_OPEN_VM", 0, { name: "it", right: 0 });
      await ok("SPLITVM_DESTROY_VM", vm, {});
      expect(await client.createVm("next")).toBeGreaterThan(vm);
    });
  });
});

describe("interrupts", () => {
  test("KVM_CREATE_IRQCHIP: once (EEXIST), and before the first vCPU (EINVAL)", async () => {
    await ok("KVM_CREATE_IRQCHIP", vm, {});
    expect(await refused("KVM_CREATE_IRQCHIP", vm, {})).toBe("EEXIST");
    const second = await client.createVm("late");
    await ok("KVM_CREATE_VCPU", second, { id: 0 });
    expect(await refused("KVM_CREATE_IRQCHIP", second, {})).toBe("EINVAL");
  });

  test("KVM_GET_IRQCHIP and KVM_SET_IRQCHIP", async () => {
    expect(await refused("KVM_GET_IRQCHIP", vm, { chip_id: 0 })).toBe("ENXIO");
    await ok("KVM_CREATE_IRQCHIP", vm, {});
    await ok("KVM_CREATE_VCPU", vm, { id: 0 });
    const state = (await ok("KVM_GET_IRQCHIP", vm, { chip_id: 1 })) as { elcr: number };
    expect(state).toMatchObject({ chip_id: 1, irr: 0, imr: 0, isr: 0, elcr: 0, elcr_mask: 0xde });
    await ok("KVM_SET_IRQCHIP", vm, { ...state, imr: 0xfe, elcr: 0xff });
    expect(await ok("KVM_GET_IRQCHIP", vm, { chip_id: 1 })).toMatchObject({ imr: 0xfe, elcr: 0xde });
    expect(await ok("KVM_GET_IRQCHIP", vm, { chip_id: 0 })).toMatchObject({ imr: 0, elcr: 0 });
    expect(await refused("KVM_GET_IRQCHIP", vm, { chip_id: 3 })).toBe("EINVAL");
    expect(await refused("KVM_SET_IRQCHIP", vm, { ...state, chip_id: 2 })).toBe("EINVAL"); // without an IOAPIC's state
    expect(await refused("KVM_SET_IRQCHIP", vm, { ...state, imr: 256 })).toBe("EINVAL");
  });

  test("KVM_IRQ_LINE", async () => {
    expect(await refused("KVM_IRQ_LINE", vm, { irq: 0, level: 1 })).toBe("ENXIO");
    await ok("KVM_CREATE_IRQCHIP", vm, {});
    await ok("KVM_IRQ_LINE", vm, { irq: 15, level: 1 });
    expect(await refused("KVM_IRQ_LINE", vm, { irq: 64, level: 1 })).toBe("EINVAL");
  });

  test("KVM_IRQFD", async () => {
    const tie = { event: 7, gsi: 5, flags: 0, resample_event: 0 };
    expect(await refused("KVM_IRQFD", vm, tie)).toBe("EINVAL");
    await ok("KVM_CREATE_IRQCHIP", vm, {});
    await ok("KVM_IRQFD", vm, tie);
    for (const [change, errno] of [
      [{}, "EBUSY"],
      [{ gsi: 6 }, "EBUSY"],
      [{ event: 1024 }, "EINVAL"],
      [{ event: 8, gsi: 1024 }, "EINVAL"],
      [{ event: 8, flags: 4 }, "EINVAL"],
      [{ event: 8, gsi: 64, flags: 2 }, "EINVAL"], // no line
      [{ event: 8, flags: 2, resample_event: 1024 }, "EINVAL"],
      [{ gsi: 6, flags: 1 }, "ENOENT"],
      [{ event: 9, flags: 1 }, "ENOENT"],
    ] as const)
      expect([change, await refused("KVM_IRQFD", vm, { ...tie, ...change })]).toEqual([change, errno]);
    await ok("KVM_IRQFD", vm, { ...tie, flags: 1 });
    await ok("KVM_IRQFD", vm, { ...tie, gsi: 6 });
  });

  test("KVM_IRQFD with KVM_IRQFD_FLAG_RESAMPLE", async () => {
    const tie = { event: 7, gsi: 5, flags: 2, resample_event: 9 };
    await ok("KVM_CREATE_IRQCHIP", vm, {});
    await ok("KVM_IRQFD", vm, tie);
    expect(await refused("KVM_IRQFD", vm, { ...tie, flags: 0 })).toBe("EBUSY");
    expect(await refused("KVM_IRQFD", vm, { ...tie, gsi: 6, flags: 1 })).toBe("ENOENT");
    await ok("KVM_IRQFD", vm, { ...tie, flags: 1 });
    for (let event = 0; event < 256; event++) await ok("KVM_IRQFD", vm, { ...tie, event, gsi: event % 24 });
    expect(await refused("KVM_IRQFD", vm, { ...tie, event: 256 })).toBe("ENOSPC");
    await ok("KVM_IRQFD", vm, { ...tie, event: 256, flags: 0 });
    await ok("KVM_IRQFD", vm, { ...tie, event: 0, gsi: 0, flags: 1 });
    await ok("KVM_IRQFD", vm, { ...tie, event: 0 });
    const split = await client.createVm("split");
    await ok("KVM_ENABLE_CAP", split, { cap: 121, flags: 0, args: [24n] });
    expect(await refused("KVM_IRQFD", split, tie)).toBe("EINVAL");
    await ok("KVM_IRQFD", split, { ...tie, flags: 0 });
  });
});

describe("regions and posted writes", () => {
  const region = { space: 0, address: 0x3f8n, length: 8n, name: "serial" };

  test("SPLITVM_REGISTER_REGION: ids, reuse, and every bad case", async () => {
    expect(await ok("SPLITVM_REGISTER_REGION", vm, region)).toEqual({ region: 0 });
    expect(await ok("SPLITVM_REGISTER_REGION", vm, { ...region, space: 1 })).toEqual({ region: 1 });
    for (const [change, errno] of [
      [{}, "EEXIST"],
      [{ address: 0x3ffn, length: 1n }, "EEXIST"],
      [{ length: 0n, address: 0n }, "EINVAL"],
      [{ address: 0xffffn, length: 2n }, "EINVAL"],
      [{ address: 2n ** 64n - 1n, length: 2n }, "EINVAL"],
      [{ space: 1, address: 2n ** 52n - 1n, length: 2n }, "EINVAL"],
      [{ space: 2 }, "EINVAL"],
    ] as const)
      expect([change, await refused("SPLITVM_REGISTER_REGION", vm, { ...region, ...change })]).toEqual([change, errno]);
    await ok("SPLITVM_UNREGISTER_REGION", vm, { region: 0 });
    expect(await refused("SPLITVM_UNREGISTER_REGION", vm, { region: 0 })).toBe("ENOENT");
    expect(await ok("SPLITVM_REGISTER_REGION", vm, { ...region, address: 0n })).toEqual({ region: 0 });
  });

  test("another server's region is not mine to end", async () => {
    await ok("SPLITVM_REGISTER_REGION", vm, region);
    const other = await server.connect();
    const device = (await other.request("SPLITVM_OPEN_VM", 0, { name: "it", right: 1 })).vm;
    expect(await other.refusal("SPLITVM_UNREGISTER_REGION", device, { region: 0 })).toBe("ENOENT");
    expect((await other.request("SPLITVM_REGISTER_REGION", device, { ...region, address: 0x2f8n })).region).toBe(1);
    other.close();
    await until(() => server.reports.length > 0, "the report that a device server is gone");
    server.reports.splice(0);
  });

  test("the table of regions and posted writes is bounded: ENOSPC", async () => {
    for (let i = 0; i < 256; i++)
      await ok("SPLITVM_REGISTER_REGION", vm, { ...region, address: BigInt(i), length: 1n });
    expect(await refused("SPLITVM_REGISTER_REGION", vm, { ...region, address: 0x1000n })).toBe("ENOSPC");
    const post = { datamatch: 0n, addr: 0n, len: 4, event: 1, flags: 0 };
    expect(await refused("KVM_IOEVENTFD", vm, post)).toBe("ENOSPC");
  });

  test("KVM_IOEVENTFD", async () => {
    const post = { datamatch: 0n, addr: 0xfebc_0000n, len: 4, event: 1, flags: 0 };
    const match = (datamatch: bigint) => ({ datamatch, flags: 1 });
    await ok("KVM_IOEVENTFD", vm, { ...post, ...match(1n) });
    await ok("KVM_IOEVENTFD", vm, { ...post, ...match(2n) });
    await ok("KVM_IOEVENTFD", vm, { ...post, len: 2 });
    await ok("KVM_IOEVENTFD", vm, { ...post, addr: 0x510n, flags: 2 }); // a port is another space
    for (const [change, errno] of [
      [match(1n), "EEXIST"],
      [match(2n ** 32n + 1n), "EEXIST"], // a 4-byte write carries no more than 4 bytes
      [{}, "EEXIST"], // any value: would take those of the other two
      [{ len: 0 }, "EEXIST"],
      [{ len: 3 }, "EINVAL"],
      [{ len: 16 }, "EINVAL"],
      [{ len: 0, addr: 0n, flags: 1 }, "EINVAL"],
      [{ flags: 8 }, "EINVAL"],
      [{ addr: 2n ** 64n - 2n }, "EINVAL"],
      [{ flags: 2 }, "EINVAL"], // no such port
      [{ ...match(3n), flags: 5 }, "ENOENT"],
      [{ ...match(1n), flags: 5, event: 9 }, "ENOENT"],
      [{ ...match(1n), flags: 5, len: 0xffff_ffff }, "EINVAL"], // and no number of that many bytes is made
    ] as const)
      expect([change, await refused("KVM_IOEVENTFD", vm, { ...post, ...change })]).toEqual([change, errno]);
    await ok("KVM_IOEVENTFD", vm, { ...post, datamatch: 1n, flags: 5 });
    await ok("KVM_IOEVENTFD", vm, { ...post, ...match(1n) });
  });

  test("KVM_REGISTER_COALESCED_MMIO and its end", async () => {
    const zone = { addr: 0xfebc_0000n, size: 8, pio: 0 };
    await ok("KVM_REGISTER_COALESCED_MMIO", vm, zone);
    await ok("KVM_REGISTER_COALESCED_MMIO", vm, { ...zone, addr: 0x100n, pio: 1 });
    for (const [change, errno] of [
      [{}, "EEXIST"],
      [{ addr: zone.addr + 7n }, "EEXIST"],
      [{ size: 0 }, "EINVAL"],
      [{ addr: 2n ** 64n - 1n }, "EINVAL"],
      [{ pio: 1 }, "EINVAL"],
    ] as const)
      expect([change, await refused("KVM_REGISTER_COALESCED_MMIO", vm, { ...zone, ...change })]).toEqual([
        change,
        errno,
      ]);
    expect(await refused("KVM_UNREGISTER_COALESCED_MMIO", vm, { ...zone, size: 4 })).toBe("ENOENT");
    await ok("KVM_UNREGISTER_COALESCED_MMIO", vm, zone);
    expect(await refused("KVM_UNREGISTER_COALESCED_MMIO", vm, zone)).toBe("ENOENT");
  });
});

describe("device servers", () => {
  const area = () => client.pass(sealed(AREA_BYTES));

  test("SPLITVM_SET_SERVER_AREA: the owner is server 0, once (EEXIST); the memfd of the right size", async () => {
    const short = await client.pass(sealed(AREA_BYTES - 4096));
    expect(await refused("SPLITVM_SET_SERVER_AREA", vm, { memfd: short })).toBe("EINVAL");
    expect(await refused("SPLITVM_SET_SERVER_AREA", vm, { memfd: 99 })).toBe("EBADF");
    expect(await ok("SPLITVM_SET_SERVER_AREA", vm, { memfd: await area() })).toEqual({ server: 0 });
    expect(await refused("SPLITVM_SET_SERVER_AREA", vm, { memfd: await area() })).toBe("EEXIST");
  });

  test("attached servers get places of their own, fifteen of them: ENOSPC", async () => {
    const attached: Client[] = [];
    for (let place = 1; place <= 16; place++) {
      const other = await server.connect();
      attached.push(other);
      const handle = (await other.request("SPLITVM_OPEN_VM", 0, { name: "it", right: 1 })).vm;
      const request = { memfd: await other.pass(sealed(AREA_BYTES)) };
      if (place === 16) expect(await other.refusal("SPLITVM_SET_SERVER_AREA", handle, request)).toBe("ENOSPC");
      else expect(await other.request("SPLITVM_SET_SERVER_AREA", handle, request)).toEqual({ server: place });
    }
    await ok("SPLITVM_DESTROY_VM", vm, {});
    for (const other of attached) other.close();
  });

  test("SPLITVM_SET_JOURNAL", async () => {
    const [short, right] = [await client.pass(sealed(4096)), await client.pass(sealed(JOURNAL_BYTES))];
    expect(await refused("SPLITVM_SET_JOURNAL", vm, { memfd: short })).toBe("EINVAL");
    expect(await refused("SPLITVM_SET_JOURNAL", vm, { memfd: 99 })).toBe("EBADF");
    await ok("SPLITVM_SET_JOURNAL", vm, { memfd: right });
    await ok("SPLITVM_SET_JOURNAL", vm, { memfd: right });
  });

  test("SPLITVM_TAKE_OVER: what it refuses, and the owner's own place", async () => {
    expect(await refused("SPLITVM_TAKE_OVER", vm, { server: 5 })).toBe("ENOENT");
    expect(await refused("SPLITVM_TAKE_OVER", vm, { server: 0xffff_ffff })).toBe("ENOENT");
    expect(await refused("SPLITVM_TAKE_OVER", vm, { server: 0 })).toBe("ENOENT"); // not in page mode
    await ok("SPLITVM_SET_SERVER_AREA", vm, { memfd: await area() });
    const memfd = await client.pass(sealed(4096));
    const slot = { slot: 3, flags: 0, guest_phys_addr: 0n, memory_size: 4096n, memfd_offset: 0n };
    await ok("KVM_SET_USER_MEMORY_REGION", vm, { ...slot, memfd });
    await ok("KVM_CREATE_VCPU", vm, { id: 2 });
    expect(await ok("SPLITVM_TAKE_OVER", vm, { server: 0 })).toMatchObject({ journal: 0, slots: [slot], vcpus: [2] });

    const other = await server.connect();
    const device = (await other.request("SPLITVM_OPEN_VM", 0, { name: "it", right: 1 })).vm;
    expect(await other.refusal("SPLITVM_TAKE_OVER", device, { server: 0 })).toBe("EPERM");
    await other.request("SPLITVM_SET_SERVER_AREA", device, { memfd: await other.pass(sealed(AREA_BYTES)) });
    expect(await refused("SPLITVM_TAKE_OVER", vm, { server: 1 })).toBe("EBUSY"); // its session is open
    other.close();
    await until(() => server.reports.length > 0, "the report that a device server is gone");
    server.reports.splice(0);
    expect(await refused("SPLITVM_TAKE_OVER", vm, { server: 1 })).toBe("EBUSY"); // its process lives
    expect(await ok("SPLITVM_TAKE_OVER", vm, { server: 0 })).toMatchObject({ vcpus: [2] }); // and mine is still mine
  });

  test("SPLITVM_GET_KICK and KVM_GET_STATS_FD", async () => {
    expect(await refused("SPLITVM_GET_KICK", vm, { id: 0 })).toBe("ENOENT");
    expect(await refused("KVM_GET_STATS_FD", vm, { id: 0 })).toBe("ENOENT");
    await ok("KVM_CREATE_VCPU", vm, { id: 0 });
    const kick = (await ok("SPLITVM_GET_KICK", vm, { id: 0 })) as { memfd: number };
    const stats = (await ok("KVM_GET_STATS_FD", vm, { id: 0 })) as { memfd: number };
    expect(await ok("KVM_GET_STATS_FD", vm, { id: 0 })).toEqual(stats); // no new descriptor at each look
    const fds = [await client.fetch(kick.memfd), await client.fetch(stats.memfd)];
    expect(fds.map((fd) => fstatSync(fd).size)).toEqual([4096, STATS_BYTES]);
    fds.push(openSync(`/proc/self/fd/${fds[1]}`, "r+")); // the seal, not the descriptor, is what protects the page
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }).buffer);
    expect(() => mapFixed(memory, 0, 4096, fds[2]!, 0, PROT_READ | PROT_WRITE)).toThrow(/EPERM/);
    for (const fd of fds) closeSync(fd);
  });

  test("the statistics cannot be written by who fetched them, nor serve as RAM", async () => {
    await ok("KVM_CREATE_VCPU", vm, { id: 0 });
    const { memfd } = (await ok("KVM_GET_STATS_FD", vm, { id: 0 })) as { memfd: number };
    const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: 4096n, memfd, memfd_offset: 0n };
    expect(await refused("KVM_SET_USER_MEMORY_REGION", vm, slot)).toBe("EINVAL");
  });
});

describe("a VM's life", () => {
  test("SPLITVM_KEEP_VM: a day at most, and the VM outlives its owner's connection for so long", async () => {
    expect(await refused("SPLITVM_KEEP_VM", vm, { linger: MAX_LINGER + 1 })).toBe("EINVAL");
    expect(await refused("SPLITVM_KEEP_VM", vm, { linger: 0xffff_ffff })).toBe("EINVAL");
    await ok("SPLITVM_KEEP_VM", vm, { linger: MAX_LINGER });
    await ok("SPLITVM_KEEP_VM", vm, { linger: 1 });
    client.close();
    await until(() => server.server.vms.get("it")?.parked === true, "the VM to be parked");
    const other = await server.connect();
    expect((await other.request("SPLITVM_LIST_VMS", 0, {})).vms).toMatchObject([{ name: "it", state: 1 }]);
    await until(() => server.server.vms.size === 0, "the second to pass");
    expect(server.reports).toHaveLength(2);
    server.reports.splice(0);
    other.close();
  });

  test("SPLITVM_DESTROY_VM ends it with its vCPUs, for everyone", async () => {
    for (const id of [0, 3, 7]) await ok("KVM_CREATE_VCPU", vm, { id });
    await ok("SPLITVM_DESTROY_VM", vm, {});
    expect(server.server.vms.size).toBe(0);
  });

  test("a VM's linear memory comes back empty to the next", async () => {
    const memfd = await client.pass(sealed(4096));
    const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: 4096n, memfd, memfd_offset: 0n };
    await ok("KVM_SET_USER_MEMORY_REGION", vm, slot);
    await ok("KVM_CREATE_IRQCHIP", vm, {});
    await ok("SPLITVM_REGISTER_REGION", vm, { space: 0, address: 0n, length: 1n, name: "x" });
    await ok("SPLITVM_SET_SERVER_AREA", vm, { memfd: await client.pass(sealed(AREA_BYTES)) });
    const { memory } = server.server.vms.get("it")!;
    await ok("SPLITVM_DESTROY_VM", vm, {});
    vm = await client.createVm("it");
    expect(server.server.vms.get("it")!.memory).toBe(memory);
    expect(await refused("SPLITVM_READ_GUEST", vm, { address: 0n, length: 1 })).toBe("EFAULT");
    expect(await refused("KVM_IRQ_LINE", vm, { irq: 1, level: 1 })).toBe("ENXIO");
    expect(await ok("SPLITVM_REGISTER_REGION", vm, { space: 0, address: 0n, length: 1n, name: "x" })).toEqual({
      region: 0,
    });
    await ok("KVM_SET_USER_MEMORY_REGION", vm, slot);
  });
});

test("every request of the table is refused on a dead handle, with an argument of the wrong shape, with a field too many", async () => {
  const { vcpu } = (await ok("KVM_CREATE_VCPU", vm, { id: 0 })) as { vcpu: number };
  const handles = { system: 0, vm, vcpu };
  for (const [name, row] of Object.entries(IOCTLS) as [IoctlName, (typeof IOCTLS)[IoctlName]][]) {
    expect([name, await refused(name, 4711, {})]).toEqual([name, "EBADF"]);
    expect([name, await refused(name, handles[row.on], [])]).toEqual([name, "EINVAL"]);
    expect([name, await refused(name, handles[row.on], { nonsense: 1 })]).toEqual([name, "EINVAL"]);
  }
});
