/**
 * KVM_SET_GUEST_DEBUG and KVM_EXIT_DEBUG through the server, in message mode and in page mode, with both engines.
 * Document: KVM API, KVM_SET_GUEST_DEBUG.
 * Left out: what each flag does to instructions: engine/guest-debug.test.ts.
 */
import { describe, expect, test } from "vitest";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { CAPABILITIES } from "../../../shared/capabilities.ts";
import { EXIT } from "../../../shared/exits.ts";
import { KVM_GUESTDBG, KVM_GUESTDBG_ALL } from "../../../shared/ioctls.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";
import { type Client, codeOf, sealed, useServer } from "./support.ts";

const CODE = 0x1000n;
const RAM = 1 << 20;
const { ENABLE, SINGLESTEP, USE_SW_BP, USE_HW_BP } = KVM_GUESTDBG;
const NONE = new Array<bigint>(8).fill(0n);
const DR6_ONES = 0xffff_0ff0n;

const server = useServer();
let client: Client;
let vcpu: number;

const run = (fields: object = {}) =>
  client.request("KVM_RUN", vcpu, {
    immediate_exit: 0,
    request_interrupt_window: 0,
    data: new Uint8Array(0),
    ...fields,
  });
const regs = () => client.request("KVM_GET_REGS", vcpu, {});
const debug = (control: number, debugreg: bigint[] = NONE) =>
  client.request("KVM_SET_GUEST_DEBUG", vcpu, { control, debugreg });

/** A VM with a vCPU in 32-bit flat protected mode that stands before `code`; in page mode its owner has a server area. */
async function make(mode: "message" | "page", engine: string, code: readonly number[]): Promise<void> {
  client = await server.connect();
  const vm = await client.createVm("it");
  const memfd = await client.pass(sealed(RAM));
  const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: BigInt(RAM), memfd, memfd_offset: 0n };
  await client.request("KVM_SET_USER_MEMORY_REGION", vm, slot);
  await client.request("SPLITVM_WRITE_GUEST", vm, { address: CODE, data: Uint8Array.from(code) });
  if (mode === "page") {
    const area = await client.pass(sealed(AREA_BYTES));
    await client.request("SPLITVM_SET_SERVER_AREA", vm, { memfd: area });
  }
  vcpu = (await client.request("KVM_CREATE_VCPU", vm, { id: 0 })).vcpu;
  await client.request("SPLITVM_SET_ENGINE", vcpu, { engine });
  const sregs = await client.request("KVM_GET_SREGS", vcpu, {});
  await client.request("KVM_SET_SREGS", vcpu, { ...sregs, ...FLAT_PROTECTED_MODE });
  await client.request("KVM_SET_REGS", vcpu, { ...(await regs()), rip: CODE, rsp: 0x8000n, rflags: 2n });
}

describe.each(["message", "page"] as const)("%s mode", (mode) => {
  describe.each(["interp", "patch"])("%s", (engine) => {
    test("steps, one KVM_RUN an instruction", async () => {
      // inc eax; inc eax; jmp +0; hlt
      await make(mode, engine, [0x40, 0x40, 0xeb, 0, 0xf4]);
      await debug(ENABLE | SINGLESTEP);
      for (const at of [1n, 2n, 4n]) {
        const exit = await run();
        const expected = { reason: EXIT.KVM_EXIT_DEBUG, exception: 1, pc: CODE + at };
        expect(exit).toMatchObject({ ...expected, dr6: DR6_ONES | 0x4000n, dr7: 0x400n });
      }
      expect(await regs()).toMatchObject({ rax: 2n, rip: CODE + 4n });
      await debug(0);
      expect((await run()).reason).toBe(EXIT.KVM_EXIT_HLT);
    });

    test("stops at INT3 and at a hardware breakpoint", async () => {
      // inc eax; int3; inc eax; inc eax; hlt
      await make(mode, engine, [0x40, 0xcc, 0x40, 0x40, 0xf4]);
      await debug(ENABLE | USE_SW_BP | USE_HW_BP, [0n, CODE + 3n, 0n, 0n, 0n, 0n, 0n, 0x404n]);
      expect(await run()).toMatchObject({ reason: EXIT.KVM_EXIT_DEBUG, exception: 3, pc: CODE + 1n });
      await client.request("KVM_SET_REGS", vcpu, { ...(await regs()), rip: CODE + 2n });
      const exit = await run();
      expect(exit).toMatchObject({ reason: EXIT.KVM_EXIT_DEBUG, exception: 1, pc: CODE + 3n });
      expect(exit).toMatchObject({ dr6: DR6_ONES | 2n, dr7: 0x404n });
      expect(await regs()).toMatchObject({ rax: 2n, rip: CODE + 3n });
      await debug(ENABLE);
      expect((await run()).reason).toBe(EXIT.KVM_EXIT_HLT);
      expect((await regs()).rax).toBe(3n);
    });
  });
});

test("a step over an input ends behind its completion", async () => {
  await make("message", "patch", [0xe4, 0x60, 0xf4]);
  await debug(ENABLE | SINGLESTEP);
  expect((await run()).reason).toBe(EXIT.KVM_EXIT_IO);
  expect(await run({ data: Uint8Array.of(0x5a) })).toMatchObject({ reason: EXIT.KVM_EXIT_DEBUG, pc: CODE + 2n });
  expect((await regs()).rax).toBe(0x5an);
});

test("a step that is asked for in the middle of an input begins at the next branch", async () => {
  await make("message", "patch", [0xe4, 0x60, 0x90, 0xeb, 0xfe]);
  expect((await run()).reason).toBe(EXIT.KVM_EXIT_IO);
  await debug(ENABLE | SINGLESTEP);
  const exit = await run({ data: Uint8Array.of(0x5a) });
  expect(exit).toMatchObject({ reason: EXIT.KVM_EXIT_DEBUG, pc: CODE + 3n });
  expect((await regs()).rax).toBe(0x5an);
});

test("what it refuses, and what it says that it can do", async () => {
  await make("message", "patch", [0xf4]);
  const refused = (control: number, debugreg: bigint[]) => codeOf(debug(control, debugreg));
  expect(await refused(ENABLE | 0x10_0000, NONE)).toBe("EINVAL");
  expect(await refused(ENABLE, NONE.slice(1))).toBe("EINVAL");
  expect(await refused(ENABLE, [...NONE, 0n])).toBe("E2BIG");
  const value = async (cap: number) => (await client.request("KVM_CHECK_EXTENSION", 0, { cap })).value;
  expect(await value(CAPABILITIES.KVM_CAP_SET_GUEST_DEBUG.nr)).toBe(1);
  expect(await value(CAPABILITIES.KVM_CAP_SET_GUEST_DEBUG2.nr)).toBe(KVM_GUESTDBG_ALL);
});
