/** Claims at a kvm-core that refuses some: the others go on, and the operator reads of a few only. */
import { expect, test } from "vitest";
import type { RegionReport } from "../../../qemu-user/device/messages.ts";
import { Claims } from "../../../qemu-user/kvm/claims.ts";
import type { Vm } from "../../../qemu-user/kvm/kvm.ts";
import { KvmError } from "../../../shared/errno.ts";

const region = (base: number): RegionReport => ({ space: 1, base, size: 0x1000, name: "bar", posted: [] });

function made(refuses: (base: number) => boolean, error: Error = new Error("ENOSPC")) {
  const requests: string[] = [];
  let id = 0;
  const vm = {
    request(name: string, arg: { readonly address?: bigint; readonly region?: number }) {
      requests.push(`${name} ${arg.address ?? arg.region}`);
      if (arg.address !== undefined && refuses(Number(arg.address))) return Promise.reject(error);
      return Promise.resolve({ region: id++ });
    },
  };
  return { requests, claims: new Claims(vm as unknown as Vm, true) };
}

test("a claim that is refused does not end the others", async () => {
  const { requests, claims } = made((base) => base === 2);
  await claims.change("map", region(1));
  await expect(claims.change("map", region(2))).rejects.toThrow("ENOSPC");
  await claims.change("map", region(3));
  await claims.change("unmap", region(2)); // was never claimed
  await claims.change("unmap", region(3));
  expect(requests).toEqual([
    "SPLITVM_REGISTER_REGION 1",
    "SPLITVM_REGISTER_REGION 2",
    "SPLITVM_REGISTER_REGION 3",
    "SPLITVM_UNREGISTER_REGION 1",
  ]);
});

test("a guest cannot have refusals reported without end", async () => {
  const { claims } = made(() => true);
  let refused = 0;
  for (let i = 0; i < 100; i++) await claims.change("map", region(i)).catch(() => refused++);
  expect(refused).toBe(16);
});

test("what is under way when kvm-core ends is no error of its own", async () => {
  for (const code of ["ECONNRESET", "EPIPE", "EBADF"] as const) {
    const { claims } = made(() => true, new KvmError(code, "kvm-core"));
    await expect(claims.change("map", region(1))).resolves.toBeUndefined();
  }
});
