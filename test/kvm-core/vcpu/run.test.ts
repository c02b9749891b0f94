/**
 * KVM_RUN in message mode, which defines what exits mean (KVM API document, KVM_RUN and struct kvm_run).
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { EXIT, IO_IN, IO_OUT } from "../../../shared/exits.ts";
import { type Core, startCore } from "../../support/core.ts";
import { CODE, type TinyVm, tinyVm } from "../../support/tiny-vm.ts";

let core: Core;
beforeAll(async () => {
  core = await startCore();
});
afterAll(async () => {
  expect(await core.stop()).toBe(0);
});

let tiny: TinyVm;
afterEach(() => tiny.kvm.close());

async function make(code: readonly number[], engine: string, irqchip = false): Promise<void> {
  tiny = await tinyVm(core.path, code, { irqchip });
  await tiny.vcpu.request("SPLITVM_SET_ENGINE", { engine });
}

describe.each(["interp", "patch"])("%s", (engine) => {
  it("IN is an exit, and the next KVM_RUN completes it", async () => {
    // in al, 0x60; in eax, dx; hlt
    await make([0xe4, 0x60, 0x66, 0xba, 0x34, 0x12, 0xed, 0xf4], engine);
    expect(await tiny.vcpu.run()).toMatchObject({
      reason: EXIT.KVM_EXIT_IO,
      direction: IO_IN,
      size: 1,
      count: 1,
      address: 0x60n,
    });
    expect(await tiny.vcpu.run(Uint8Array.of(0xab))).toMatchObject({
      reason: EXIT.KVM_EXIT_IO,
      size: 4,
      address: 0x1234n,
    });
    expect((await tiny.vcpu.getRegs()).rax & 0xffn).toBe(0xabn);
    expect(await tiny.vcpu.run(Uint8Array.of(1, 2, 3, 4))).toMatchObject({ reason: EXIT.KVM_EXIT_HLT });
    const regs = await tiny.vcpu.getRegs();
    expect(regs.rax).toBe(0x04030201n);
    expect(regs.rip).toBe(BigInt(CODE + 8));
  });

  it("OUT carries the data", async () => {
    // mov eax, 0x11223344; out 0x80, ax; hlt
    await make([0xb8, 0x44, 0x33, 0x22, 0x11, 0x66, 0xe7, 0x80, 0xf4], engine);
    const exit = await tiny.vcpu.run();
    expect(exit).toMatchObject({ reason: EXIT.KVM_EXIT_IO, direction: IO_OUT, size: 2, address: 0x80n });
    expect([...exit.data]).toEqual([0x44, 0x33]);
    expect(await tiny.vcpu.run()).toMatchObject({ reason: EXIT.KVM_EXIT_HLT });
  });

  it("MMIO reads and writes, and a read-modify-write is both", async () => {
    // mov eax, [0xd0000000]; add dword [0xd0000010], 5; hlt
    await make([0xa1, 0, 0, 0, 0xd0, 0x83, 0x05, 0x10, 0, 0, 0xd0, 5, 0xf4], engine);
    expect(await tiny.vcpu.run()).toMatchObject({
      reason: EXIT.KVM_EXIT_MMIO,
      direction: IO_IN,
      size: 4,
      address: 0xd000_0000n,
    });
    expect(await tiny.vcpu.run(Uint8Array.of(9, 0, 0, 0))).toMatchObject({ direction: IO_IN, address: 0xd000_0010n });
    const write = await tiny.vcpu.run(Uint8Array.of(7, 0, 0, 0));
    expect(write).toMatchObject({ reason: EXIT.KVM_EXIT_MMIO, direction: IO_OUT, size: 4, address: 0xd000_0010n });
    expect([...write.data]).toEqual([12, 0, 0, 0]);
    expect(await tiny.vcpu.run()).toMatchObject({ reason: EXIT.KVM_EXIT_HLT });
    expect((await tiny.vcpu.getRegs()).rax).toBe(9n);
  });

  it("immediate_exit completes the access first, then gives EINTR", async () => {
    // in al, 0x60; inc ebx; in al, 0x61; hlt
    await make([0xe4, 0x60, 0x43, 0xe4, 0x61, 0xf4], engine);
    await tiny.vcpu.run();
    const data = Uint8Array.of(0x5a);
    await expect(
      tiny.vcpu.request("KVM_RUN", { immediate_exit: 1, request_interrupt_window: 0, data }),
    ).rejects.toMatchObject({ code: "EINTR" });
    const regs = await tiny.vcpu.getRegs();
    expect(regs.rax & 0xffn).toBe(0x5an);
    expect(regs.rip).toBeGreaterThanOrEqual(BigInt(CODE + 2));
    expect(regs.rip).toBeLessThanOrEqual(BigInt(CODE + 3));
    expect(await tiny.vcpu.run()).toMatchObject({ reason: EXIT.KVM_EXIT_IO, address: 0x61n });
  });

  it("immediate_exit between the two accesses of one instruction waits for the second", async () => {
    // add dword [0xd0000010], 5; in al, 0x61; hlt
    await make([0x83, 0x05, 0x10, 0, 0, 0xd0, 5, 0xe4, 0x61, 0xf4], engine);
    expect(await tiny.vcpu.run()).toMatchObject({ direction: IO_IN, address: 0xd000_0010n });
    const leave = { immediate_exit: 1, request_interrupt_window: 0 };
    const write = await tiny.vcpu.request("KVM_RUN", { ...leave, data: Uint8Array.of(7, 0, 0, 0) });
    expect(write).toMatchObject({ reason: EXIT.KVM_EXIT_MMIO, direction: IO_OUT, address: 0xd000_0010n });
    expect([...write.data]).toEqual([12, 0, 0, 0]);
    const data = new Uint8Array(0);
    await expect(tiny.vcpu.request("KVM_RUN", { ...leave, data })).rejects.toMatchObject({ code: "EINTR" });
    expect(await tiny.vcpu.run()).toMatchObject({ reason: EXIT.KVM_EXIT_IO, address: 0x61n });
  });

  it("immediate_exit without an access under way gives EINTR and runs nothing", async () => {
    await make([0x43, 0xf4], engine);
    const data = new Uint8Array(0);
    await expect(
      tiny.vcpu.request("KVM_RUN", { immediate_exit: 1, request_interrupt_window: 0, data }),
    ).rejects.toMatchObject({ code: "EINTR" });
    expect((await tiny.vcpu.getRegs()).rip).toBe(BigInt(CODE));
    expect(await tiny.vcpu.run()).toMatchObject({ reason: EXIT.KVM_EXIT_HLT });
  });

  it("KVM_EXIT_IRQ_WINDOW_OPEN when the guest takes interrupts", async () => {
    // nop; sti; nop; jmp .
    await make([0x90, 0xfb, 0x90, 0xeb, 0xfe], engine);
    const data = new Uint8Array(0);
    const exit = await tiny.vcpu.request("KVM_RUN", { immediate_exit: 0, request_interrupt_window: 1, data });
    expect(exit).toMatchObject({ reason: EXIT.KVM_EXIT_IRQ_WINDOW_OPEN, if_flag: 1, ready_for_interrupt_injection: 1 });
  });

  it("a triple fault is KVM_EXIT_SHUTDOWN", async () => {
    await make([0x0f, 0x0b], engine); // ud2 with an empty IDT
    expect(await tiny.vcpu.run()).toMatchObject({ reason: EXIT.KVM_EXIT_SHUTDOWN });
  });

  it("KVM_GET_REGS waits for the end of KVM_RUN", async () => {
    await make([0xeb, 0xfe], engine);
    const run = tiny.vcpu.run().catch((error: { code: string }) => error.code);
    let read = false;
    const regs = tiny.vcpu.getRegs().then((value) => {
      read = true;
      return value;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(read).toBe(false);
    await tiny.vcpu.kick();
    expect(await run).toBe("EINTR");
    expect((await regs).rip).toBe(BigInt(CODE));
  });
});
