/**
 * Requests on a vCPU's handle: state in and out, the errno of every bad case, and the vCPU's mutex: a request waits for
 * the KVM_RUN under way, and takes effect in its turn. What exits mean is test/kvm-core/vcpu/run.test.ts's.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { EXIT } from "../../../shared/exits.ts";
import type { IoctlName, KvmRegs, KvmSregs, Ret } from "../../../shared/ioctls.ts";
import { type Client, codeOf, sealed, until, useServer } from "./support.ts";

const CODE = 0x1000n;
const RAM = 1 << 20;
const server = useServer();
let client: Client;
let vm: number;
let vcpu: number;

const refused = (name: IoctlName, arg: unknown, handle = vcpu) => client.refusal(name, handle, arg);
const run = (fields: object = {}) =>
  client.request("KVM_RUN", vcpu, {
    immediate_exit: 0,
    request_interrupt_window: 0,
    data: new Uint8Array(0),
    ...fields,
  });
const regs = () => client.request("KVM_GET_REGS", vcpu, {});

/** A VM with a vCPU in 32-bit flat protected mode that stands before `code`. */
async function make(code: readonly number[], irqchip = false): Promise<void> {
  client = await server.connect();
  vm = await client.createVm("it");
  const memfd = await client.pass(sealed(RAM));
  const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: BigInt(RAM), memfd, memfd_offset: 0n };
  await client.request("KVM_SET_USER_MEMORY_REGION", vm, slot);
  await client.request("SPLITVM_WRITE_GUEST", vm, { address: CODE, data: Uint8Array.from(code) });
  if (irqchip) await client.request("KVM_CREATE_IRQCHIP", vm, {});
  vcpu = (await client.request("KVM_CREATE_VCPU", vm, { id: 0 })).vcpu;
  await client.request("KVM_SET_SREGS", vcpu, {
    ...(await client.request("KVM_GET_SREGS", vcpu, {})),
    ...FLAT_PROTECTED_MODE,
  });
  await client.request("KVM_SET_REGS", vcpu, { ...(await regs()), rip: CODE, rsp: 0x8000n, rflags: 2n });
}

describe("state", () => {
  beforeEach(() => make([0xf4]));

  test("KVM_CREATE_VCPU and SPLITVM_OPEN_VCPU", async () => {
    expect(await refused("KVM_CREATE_VCPU", { id: 0 }, vm)).toBe("EEXIST");
    expect(await refused("KVM_CREATE_VCPU", { id: 8 }, vm)).toBe("EINVAL");
    expect(await refused("KVM_CREATE_VCPU", { id: 0xffff_ffff }, vm)).toBe("EINVAL");
    expect(await refused("SPLITVM_OPEN_VCPU", { id: 1 }, vm)).toBe("ENOENT");
    const second = (await client.request("SPLITVM_OPEN_VCPU", vm, { id: 0 })).vcpu;
    expect(second).not.toBe(vcpu);
    expect(await client.request("KVM_GET_REGS", second, {})).toEqual(await regs());
  });

  test("registers come back as they were set, all 64 bits", async () => {
    const set = await regs();
    let value = 0xfedc_ba98_7654_3210n;
    for (const name of Object.keys(set) as (keyof KvmRegs)[]) {
      if (name === "rflags") continue;
      set[name] = value;
      value = BigInt.asUintN(64, value * 3n + 1n);
    }
    await client.request("KVM_SET_REGS", vcpu, set);
    expect(await regs()).toEqual(set);
  });

  test("KVM_SET_SREGS: a bitmap of another length, and a state that cannot be", async () => {
    const sregs = await client.request("KVM_GET_SREGS", vcpu, {});
    await client.request("KVM_SET_SREGS", vcpu, sregs);
    expect(await client.request("KVM_GET_SREGS", vcpu, {})).toEqual(sregs);
    const bad: [Partial<KvmSregs>, string][] = [
      [{ interrupt_bitmap: [0n, 0n, 0n] }, "EINVAL"],
      [{ interrupt_bitmap: [0n, 0n, 0n, 0n, 0n] }, "E2BIG"],
      [{ cr0: 0x8000_0000n }, "EINVAL"], // paging without protection
    ];
    for (const [change, errno] of bad) expect(await refused("KVM_SET_SREGS", { ...sregs, ...change })).toBe(errno);
    const { cs, ...without } = sregs;
    expect(cs).toBeDefined();
    expect(await refused("KVM_SET_SREGS", without)).toBe("EINVAL");
    expect(await refused("KVM_SET_SREGS", { ...sregs, cs: { ...cs, base: "0" } })).toBe("EINVAL");
    expect(await client.request("KVM_GET_SREGS", vcpu, {})).toEqual(sregs);
  });

  test("MSRs: up to the first that does not exist", async () => {
    const EFER = 0xc000_0080;
    const { entries } = await client.request("KVM_GET_MSRS", vcpu, { indices: [EFER, 0xdead_beef, EFER] });
    expect(entries.map((entry) => entry.index)).toEqual([EFER]);
    const nonsense = { index: 0xdead_beef, data: 0n };
    expect(await client.request("KVM_SET_MSRS", vcpu, { entries: [entries[0]!, nonsense, entries[0]!] })).toEqual({
      count: 1,
    });
    expect(await refused("KVM_GET_MSRS", { indices: Array(257).fill(EFER) })).toBe("E2BIG");
  });

  test("CPUID: what was set is what there is; too much is E2BIG", async () => {
    const { entries } = await client.request("KVM_GET_SUPPORTED_CPUID", 0, {});
    await client.request("KVM_SET_CPUID2", vcpu, { entries });
    expect(await client.request("KVM_GET_CPUID2", vcpu, {})).toEqual({ entries });
    expect(await refused("KVM_SET_CPUID2", { entries: Array(257).fill(entries[0]) })).toBe("E2BIG");
    expect(await client.request("KVM_GET_CPUID2", vcpu, {})).toEqual({ entries });
  });

  test("KVM_GET_FPU and KVM_SET_FPU: registers come back, sizes and MXCSR are checked", async () => {
    const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff);
    // Registers of x87 have 80 bits in 16 bytes.
    const fpr = bytes(128).map((byte, i) => (i % 16 < 10 ? byte : 0));
    const fpu = {
      ...{ fpr, fcw: 0x37e, fsw: 0x3944, ftwx: 0xa5, last_opcode: 0x7ab },
      ...{ last_ip: 0xffff_8000_1234_5678n, last_dp: 0x7fff_0000_0000_0001n, xmm: bytes(256), mxcsr: 0x9fc3 },
    };
    await client.request("KVM_SET_FPU", vcpu, fpu);
    const { fpr: gotFpr, xmm, ...rest } = await client.request("KVM_GET_FPU", vcpu, {});
    expect([...gotFpr]).toEqual([...fpr]);
    expect([...xmm]).toEqual([...fpu.xmm]);
    const { fpr: _fpr, xmm: _xmm, ...expected } = fpu;
    expect(rest).toEqual(expected);
    for (const change of [{ fpr: bytes(127) }, { xmm: bytes(257) }, { mxcsr: 0x1_0000 }, { ftwx: 256 }])
      expect(await refused("KVM_SET_FPU", { ...fpu, ...change })).toBe("EINVAL");
    expect((await client.request("KVM_GET_FPU", vcpu, {})).mxcsr).toBe(0x9fc3);
  });

  test("KVM_GET_XSAVE and KVM_SET_XSAVE: an area in the standard format", async () => {
    const { region } = await client.request("KVM_GET_XSAVE", vcpu, {});
    expect(region.length).toBe(4096);
    const change = (offset: number, value: number): Uint8Array => {
      const copy = Uint8Array.from(region);
      new DataView(copy.buffer).setUint32(offset, value, true);
      return copy;
    };
    // After power-up all registers of x87 are valid, which is not how FNINIT leaves them.
    expect(region[512]).toBe(1);
    await client.request("KVM_SET_XSAVE", vcpu, { region: change(512, 0) });
    expect(await client.request("KVM_GET_FPU", vcpu, {})).toMatchObject({ fcw: 0x37f, ftwx: 0, mxcsr: 0x1f80 });
    await client.request("KVM_SET_XSAVE", vcpu, { region });
    expect([...(await client.request("KVM_GET_XSAVE", vcpu, {})).region]).toEqual([...region]);
    const bad: Uint8Array[] = [change(512, 8), change(516, 1), change(524, 0x8000_0000), change(572, 1)];
    const reserved = change(24, 0x1_0000);
    reserved[512] = 3;
    for (const wrong of [...bad, reserved, region.subarray(0, 575), new Uint8Array(4097)])
      expect(await refused("KVM_SET_XSAVE", { region: wrong })).toBe("EINVAL");
    expect([...(await client.request("KVM_GET_XSAVE", vcpu, {})).region]).toEqual([...region]);
  });

  test("KVM_GET_XCRS and KVM_SET_XCRS", async () => {
    expect(await client.request("KVM_GET_XCRS", vcpu, {})).toEqual({ flags: 0, xcrs: [{ xcr: 0, value: 1n }] });
    const both = { flags: 0, xcrs: [{ xcr: 0, value: 3n }] };
    await client.request("KVM_SET_XCRS", vcpu, both);
    for (const value of [0n, 2n, 1n << 63n, 0x1_0000_0003n])
      expect(await refused("KVM_SET_XCRS", { flags: 0, xcrs: [{ xcr: 0, value }] })).toBe("EINVAL");
    expect(await refused("KVM_SET_XCRS", { ...both, flags: 1 })).toBe("EINVAL");
    expect(await refused("KVM_SET_XCRS", { flags: 0, xcrs: Array(17).fill(both.xcrs[0]) })).toBe("E2BIG");
    await client.request("KVM_SET_XCRS", vcpu, { flags: 0, xcrs: [{ xcr: 1, value: 9n }] });
    expect(await client.request("KVM_GET_XCRS", vcpu, {})).toEqual(both);
  });

  test("KVM_GET_MP_STATE and KVM_SET_MP_STATE", async () => {
    expect(await client.request("KVM_GET_MP_STATE", vcpu, {})).toEqual({ mp_state: 0 });
    await client.request("KVM_SET_MP_STATE", vcpu, { mp_state: 3 });
    expect(await client.request("KVM_GET_MP_STATE", vcpu, {})).toEqual({ mp_state: 3 });
    for (const mp_state of [1, 2, 4, 0xffff_ffff])
      expect(await refused("KVM_SET_MP_STATE", { mp_state })).toBe("EINVAL");
  });

  test("KVM_INTERRUPT: one at a time, vectors below 256", async () => {
    expect(await refused("KVM_INTERRUPT", { irq: 256 })).toBe("EINVAL");
    await client.request("KVM_INTERRUPT", vcpu, { irq: 0x20 });
    expect(await refused("KVM_INTERRUPT", { irq: 0x21 })).toBe("EEXIST");
  });

  test("SPLITVM_SET_ENGINE and SPLITVM_SET_TRACE", async () => {
    for (const engine of ["interp", "patch", "wasm"]) await client.request("SPLITVM_SET_ENGINE", vcpu, { engine });
    for (const engine of ["tcg", "", "toString"])
      expect(await refused("SPLITVM_SET_ENGINE", { engine })).toBe("EINVAL");
    await client.request("SPLITVM_SET_TRACE", vcpu, { mask: 1 });
    expect(await refused("SPLITVM_SET_TRACE", { mask: 2 })).toBe("EINVAL");
  });
});

test("KVM_INTERRUPT with an irqchip: ENXIO", async () => {
  await make([0xf4], true);
  expect(await refused("KVM_INTERRUPT", { irq: 0x20 })).toBe("ENXIO");
});

// in al, 0x60 four times; hlt
const FOUR_INPUTS = [0xe4, 0x60, 0xe4, 0x60, 0xe4, 0x60, 0xe4, 0x60, 0xf4];
const FOREVER = [0xeb, 0xfe];

describe("KVM_RUN and the mutex", () => {
  test("more than eight bytes complete nothing: EINVAL", async () => {
    await make(FOUR_INPUTS);
    expect(await codeOf(run({ data: new Uint8Array(9) }))).toBe("EINVAL");
    expect((await run()).reason).toBe(EXIT.KVM_EXIT_IO);
  });

  test("immediate_exit and a kick before it: EINTR, and nothing was run", async () => {
    await make(FOUR_INPUTS);
    expect(await codeOf(run({ immediate_exit: 1 }))).toBe("EINTR");
    await client.request("SPLITVM_KICK", vcpu, {});
    expect(await codeOf(run())).toBe("EINTR");
    expect((await regs()).rip).toBe(CODE);
    expect((await run()).reason).toBe(EXIT.KVM_EXIT_IO);
  });

  test("requests sent at once take effect in their order, each KVM_RUN with a reply of its own", async () => {
    await make(FOUR_INPUTS);
    const data = (byte: number) => ({ data: Uint8Array.of(byte) });
    const [a, r1, b, c, r2, d] = await Promise.all([run(), regs(), run(data(1)), run(data(2)), regs(), run(data(3))]);
    expect([a, b, c, d].map((exit) => exit.reason)).toEqual(Array(4).fill(EXIT.KVM_EXIT_IO));
    expect(r1.rax & 0xffn).toBe(0n); // an input that waits for its completion has not happened yet
    expect(r2.rax & 0xffn).toBe(2n);
    expect((await run({ data: Uint8Array.of(4) })).reason).toBe(EXIT.KVM_EXIT_HLT);
    expect(await regs()).toMatchObject({ rax: 4n, rip: CODE + 9n });
  });

  test("a request waits while the guest loops, until a kick", async () => {
    await make(FOREVER);
    const running = codeOf(run());
    let answered = false;
    const waiting = regs().then((value) => {
      answered = true;
      return value;
    });
    await client.request("KVM_GET_API_VERSION", 0, {}); // other requests do not wait
    expect(answered).toBe(false);
    await client.request("SPLITVM_KICK", vcpu, {});
    expect(await running).toBe("EINTR");
    expect((await waiting).rip).toBe(CODE);
  });

  test("a loop ends with its VM: ENODEV for the KVM_RUN under way and for what waits behind it", async () => {
    await make(FOREVER);
    const all = [codeOf(run()), codeOf(run()), codeOf(regs())];
    await client.request("SPLITVM_DESTROY_VM", vm, {});
    expect(await Promise.all(all)).toEqual(["ENODEV", "ENODEV", "ENODEV"]);
  });

  test("a loop ends with its owner's connection, and what waited behind it is not done", async () => {
    await make(FOREVER);
    void codeOf(run());
    void codeOf(run());
    await client.request("KVM_GET_API_VERSION", 0, {});
    client.close(); // afterEach waits for the VM's end
  });

  test("64 requests that wait stop the reading, and the client's end is noticed all the same", async () => {
    await make(FOREVER);
    for (let i = 0; i < 100; i++) void codeOf(run());
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.socket.destroy();
  });

  test("closing the owner's handles in mid-KVM_RUN answers it", async () => {
    await make(FOREVER);
    const running = codeOf(run());
    await client.request("SPLITVM_CLOSE", 0, { handle: vm });
    await client.request("SPLITVM_CLOSE", 0, { handle: vcpu });
    expect(await running).toBe("EBADF");
  });

  test("KVM_GET_IRQCHIP waits too", async () => {
    await make(FOREVER, true);
    const running = codeOf(run());
    const chip = client.request("KVM_GET_IRQCHIP", vm, { chip_id: 0 });
    await client.request("SPLITVM_KICK", vcpu, {});
    expect(await running).toBe("EINTR");
    expect((await chip).chip_id).toBe(0);
  });

  test("a slot's linear memory is not used again while the guest may still reach it", async () => {
    await make(FOREVER);
    const running = codeOf(run());
    const memfd = await client.pass(sealed(2 ** 30));
    const slot = { slot: 1, flags: 0, guest_phys_addr: 2n ** 30n, memory_size: 2n ** 30n, memfd, memfd_offset: 0n };
    const remove = { ...slot, memory_size: 0n };
    // 3.75 GiB hold three of them: from the fourth on the guest must have flushed, and it does so while it runs.
    for (let round = 0; round < 8; round++) {
      await expect.poll(() => refused("KVM_SET_USER_MEMORY_REGION", slot, vm)).toBe("");
      await client.request("KVM_SET_USER_MEMORY_REGION", vm, remove);
    }
    await client.request("SPLITVM_KICK", vcpu, {});
    expect(await running).toBe("EINTR");
  });
});

test("in_asm comes as notices, one line an instruction or block", async () => {
  await make(FOUR_INPUTS);
  const lines: string[] = [];
  client.channel.onNotice = (kind, value) => void (kind === "in_asm" && lines.push(String(value)));
  await client.request("SPLITVM_SET_TRACE", vcpu, { mask: 1 });
  const exit: Ret<"KVM_RUN"> = await run();
  expect(exit.reason).toBe(EXIT.KVM_EXIT_IO);
  await until(() => lines.length > 0, "a line of in_asm");
  expect(lines.join("\n")).toMatch(/in\s+al/i);
});
