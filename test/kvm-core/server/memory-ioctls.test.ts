/**
 * Guest memory by request: KVM_SET_USER_MEMORY_REGION with every bad case, SPLITVM_READ_GUEST, WRITE_GUEST and GET_MEMORY.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { CODE_MAP_BYTES } from "../../../shared/code-map.ts";
import type { IoctlName } from "../../../shared/ioctls.ts";
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  getSeals,
  memfdCreate,
  SEALS_FIXED,
} from "../../../shared/native.ts";
import { type Client, sealed, useServer } from "./support.ts";

const MiB = 2n ** 20n;
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

describe("memory slots", () => {
  const slot = (fields: object) => ({
    slot: 0,
    flags: 0,
    guest_phys_addr: 0n,
    memory_size: MiB,
    memfd: 0,
    memfd_offset: 0n,
    ...fields,
  });
  const read = (address: bigint, length: number) =>
    ok("SPLITVM_READ_GUEST", vm, { address, length }) as Promise<{ data: Uint8Array }>;
  const write = (address: bigint, ...data: number[]) =>
    ok("SPLITVM_WRITE_GUEST", vm, { address, data: Uint8Array.from(data) });
  const set = (fields: object) => ok("KVM_SET_USER_MEMORY_REGION", vm, slot(fields));
  const fails = (fields: object) => refused("KVM_SET_USER_MEMORY_REGION", vm, slot(fields));

  test("RAM reads and writes, also across two slots that meet", async () => {
    const [a, b] = [await client.pass(sealed(Number(MiB))), await client.pass(sealed(Number(2n * MiB)))];
    await set({ slot: 1, guest_phys_addr: MiB, memfd: b, memfd_offset: MiB });
    await set({ memfd: a });
    await write(MiB - 2n, 1, 2, 3, 4);
    expect([...(await read(MiB - 3n, 6)).data]).toEqual([0, 1, 2, 3, 4, 0]);
  });

  test("a slot at the very top of the 4 GiB, and one of two ends at 3.75 GiB of RAM", async () => {
    const memfd = await client.pass(sealed(4096));
    await set({ guest_phys_addr: 2n ** 32n - 4096n, memory_size: 4096n, memfd });
    await write(2n ** 32n - 1n, 9);
    expect([...(await read(2n ** 32n - 1n, 1)).data]).toEqual([9]);
    const large = await client.pass(sealed(3840 * 2 ** 20));
    expect(await fails({ slot: 1, memory_size: 3840n * MiB, memfd: large })).toBe("EINVAL"); // together too much
    await set({ memory_size: 0n });
    await set({ slot: 1, memory_size: 3840n * MiB, memfd: large });
  });

  test.each<[string, object, string]>([
    ["over 3.75 GiB", { memory_size: 3840n * MiB + 4096n }, "EINVAL"],
    ["beyond 4 GiB", { guest_phys_addr: 2n ** 32n - MiB + 4096n }, "EINVAL"],
    ["wrapping at 2^64", { guest_phys_addr: 2n ** 64n - 4096n }, "EINVAL"],
    ["2^64 - 4096 bytes", { memory_size: 2n ** 64n - 4096n }, "EINVAL"],
    ["a misaligned address", { guest_phys_addr: 1n }, "EINVAL"],
    ["a misaligned size", { memory_size: 4095n }, "EINVAL"],
    ["a misaligned offset", { memfd_offset: 2048n }, "EINVAL"],
    ["an offset of 2^64 - 4096", { memfd_offset: 2n ** 64n - 4096n }, "EINVAL"],
    ["a memfd that is too short", { memfd_offset: 4096n }, "EINVAL"],
    ["slot 64", { slot: 64 }, "EINVAL"],
    ["an unknown flag", { flags: 4 }, "EINVAL"],
    ["an unknown descriptor", { memfd: 77 }, "EBADF"],
    ["no descriptor", { memfd: 0 }, "EBADF"],
    ["deleting a slot that does not exist", { memory_size: 0n }, "EINVAL"],
  ])("%s, and no slot was made", async (_what, fields, errno) => {
    const memfd = await client.pass(sealed(Number(MiB)));
    expect(await fails({ memfd, ...fields })).toBe(errno);
    expect(await ok("SPLITVM_GET_MEMORY", vm, {})).toEqual({ slots: [] });
    expect(await refused("SPLITVM_READ_GUEST", vm, { address: 0n, length: 1 })).toBe("EFAULT");
  });

  test.each<[string, () => number]>([
    ["without seals", () => memfdCreate("test", Number(MiB))],
    ["without F_SEAL_SHRINK", () => sealed(Number(MiB), F_SEAL_GROW | F_SEAL_SEAL)],
    ["without F_SEAL_GROW", () => sealed(Number(MiB), F_SEAL_SHRINK | F_SEAL_SEAL)],
    ["without F_SEAL_SEAL", () => sealed(Number(MiB), F_SEAL_SHRINK | F_SEAL_GROW)],
    ["sealed against writing", () => sealed(Number(MiB), SEALS_FIXED | F_SEAL_WRITE)],
    ["sealed against future writing", () => sealed(Number(MiB), SEALS_FIXED | F_SEAL_FUTURE_WRITE)],
    [
      "open for reading only",
      () => {
        const fd = sealed(Number(MiB));
        const readOnly = openSync(`/proc/self/fd/${fd}`, "r");
        closeSync(fd);
        return readOnly;
      },
    ],
    ["that is a device", () => openSync("/dev/zero", "r+")],
    ["that is a file", () => openSync("/proc/self/exe", "r")],
  ])("a descriptor %s: EINVAL, as RAM, as server area and as journal", async (_what, make) => {
    const memfd = await client.pass(make());
    expect(await fails({ memfd })).toBe("EINVAL");
    expect(await refused("SPLITVM_SET_SERVER_AREA", vm, { memfd })).toBe("EINVAL");
    expect(await ok("SPLITVM_GET_MEMORY", vm, {})).toEqual({ slots: [] });
  });

  test("overlap: EEXIST, at either end, inside and around; neighbours are none", async () => {
    const memfd = await client.pass(sealed(Number(8n * MiB)));
    await set({ slot: 0, guest_phys_addr: 4n * MiB, memory_size: 2n * MiB, memfd });
    for (const [from, to] of [
      [3n, 5n],
      [5n, 7n],
      [4n, 5n],
      [3n, 7n],
      [4n, 6n],
    ] as const)
      expect(await fails({ slot: 1, guest_phys_addr: from * MiB, memory_size: (to - from) * MiB, memfd })).toBe(
        "EEXIST",
      );
    await set({ slot: 1, guest_phys_addr: 3n * MiB, memory_size: MiB, memfd });
    await set({ slot: 2, guest_phys_addr: 6n * MiB, memory_size: MiB, memfd });
  });

  test("a slot's size and place are fixed: EINVAL until it is deleted", async () => {
    const memfd = await client.pass(sealed(Number(2n * MiB)));
    await set({ memfd });
    expect(await fails({ memfd, memory_size: 2n * MiB })).toBe("EINVAL");
    expect(await fails({ memfd, guest_phys_addr: 8n * MiB })).toBe("EINVAL");
    await set({ memory_size: 0n });
    expect(await refused("SPLITVM_READ_GUEST", vm, { address: 0n, length: 1 })).toBe("EFAULT");
    await set({ memfd, memory_size: 2n * MiB });
  });

  test("the linear memory of deleted slots is used again, with a vCPU that never ran too", async () => {
    await ok("KVM_CREATE_VCPU", vm, { id: 0 });
    const memfd = await client.pass(sealed(2 ** 30));
    for (let round = 0; round < 12; round++) {
      await set({ memfd, memory_size: 1024n * MiB });
      await set({ memory_size: 0n });
    }
  });

  test("dirty logging is switched by the same slot with another flag, and by nothing else", async () => {
    const memfd = await client.pass(sealed(Number(2n * MiB)));
    const other = await client.pass(sealed(Number(2n * MiB)));
    const log = () => ok("KVM_GET_DIRTY_LOG", vm, { slot: 0 }) as Promise<{ dirty_bitmap: Uint8Array }>;
    await set({ memfd });
    expect(await refused("KVM_GET_DIRTY_LOG", vm, { slot: 0 })).toBe("ENOENT");
    await set({ memfd, flags: 1 });
    await set({ memfd, flags: 1 });
    await write(4096n * 9n - 1n, 1, 2);
    expect([...(await log()).dirty_bitmap]).toEqual([0, 3, ...new Array<number>(30).fill(0)]);
    for (const fields of [{ memfd: other }, { memfd_offset: 4096n }, { flags: 2 }, { memory_size: 4096n }])
      expect(await fails({ memfd, ...fields })).toBe("EINVAL");
    await write(0n, 1);
    expect((await log()).dirty_bitmap[0]).toBe(1);
    await write(0n, 1);
    await set({ memfd });
    await set({ memfd, flags: 1 });
    expect((await log()).dirty_bitmap[0]).toBe(0);
  });

  test("KVM_GET_DIRTY_LOG counts from the slot's first page, in whole 64-bit words", async () => {
    const memfd = await client.pass(sealed(Number(MiB)));
    await set({ memfd, flags: 1, guest_phys_addr: 4096n * 37n, memory_size: 4096n * 65n });
    await write(4096n * 37n, 1);
    await write(4096n * 101n, 1);
    const { dirty_bitmap } = (await ok("KVM_GET_DIRTY_LOG", vm, { slot: 0 })) as { dirty_bitmap: Uint8Array };
    expect([...dirty_bitmap]).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
  });

  test.each<[string, number, string]>([
    ["a slot that does not exist", 1, "ENOENT"],
    ["slot 64", 64, "EINVAL"],
  ])("KVM_GET_DIRTY_LOG of %s", async (_what, slot, errno) => {
    expect(await refused("KVM_GET_DIRTY_LOG", vm, { slot })).toBe(errno);
  });

  test("SPLITVM_GET_CODE_MAP gives a memfd of the map's size, fixed, and the same id each time", async () => {
    const first = (await ok("SPLITVM_GET_CODE_MAP", vm, {})) as { memfd: number };
    expect(await ok("SPLITVM_GET_CODE_MAP", vm, {})).toEqual(first);
    const fd = await client.fetch(first.memfd);
    expect(fstatSync(fd).size).toBe(CODE_MAP_BYTES);
    expect(getSeals(fd) & SEALS_FIXED).toBe(SEALS_FIXED);
    closeSync(fd);
  });

  test("a read-only slot is not written", async () => {
    const memfd = await client.pass(sealed(4096));
    await set({ flags: 2, memory_size: 4096n, memfd });
    expect(await refused("SPLITVM_WRITE_GUEST", vm, { address: 0n, data: Uint8Array.of(1) })).toBe("EFAULT");
    expect([...(await read(0n, 1)).data]).toEqual([0]);
  });

  test("SPLITVM_WRITE_GUEST that ends outside of RAM writes nothing of it", async () => {
    const memfd = await client.pass(sealed(4096));
    await set({ memory_size: 4096n, memfd });
    expect(await refused("SPLITVM_WRITE_GUEST", vm, { address: 4090n, data: new Uint8Array(10).fill(1) })).toBe(
      "EFAULT",
    );
    expect([...(await read(4090n, 6)).data]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test.each<[string, bigint, number, string]>([
    ["nothing, anywhere below 4 GiB", 2n ** 32n, 0, ""],
    ["a byte at 4 GiB", 2n ** 32n, 1, "EFAULT"],
    ["a byte at 2^64 - 1", 2n ** 64n - 1n, 1, "EFAULT"],
    ["wrapping", 2n ** 64n - 1n, 2, "EFAULT"],
    ["more than a frame carries", 0n, 256 * 1024 + 1, "E2BIG"],
    ["4 GiB - 1", 0n, 0xffff_ffff, "E2BIG"],
  ])("SPLITVM_READ_GUEST of %s", async (_what, address, length, errno) => {
    expect(await refused("SPLITVM_READ_GUEST", vm, { address, length })).toBe(errno);
  });

  test("SPLITVM_GET_MEMORY gives descriptors of the same memory, the same ids each time", async () => {
    const fd = sealed(Number(MiB));
    const { ino } = fstatSync(fd);
    const memfd = await client.pass(fd);
    await set({ guest_phys_addr: 3n * MiB, memfd });
    const first = (await ok("SPLITVM_GET_MEMORY", vm, {})) as { slots: { memfd: number }[] };
    expect(first.slots).toMatchObject([{ guest_phys_addr: 3n * MiB, memory_size: MiB, memfd_offset: 0n }]);
    expect(await ok("SPLITVM_GET_MEMORY", vm, {})).toEqual(first);
    const fetched = await client.fetch(first.slots[0]!.memfd);
    expect(fstatSync(fetched).ino).toBe(ino);
    closeSync(fetched);
  });
});
