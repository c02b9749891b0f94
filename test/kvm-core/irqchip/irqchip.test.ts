/**
 * Two vCPUs' views of one machine's interrupt controllers (kvm-core/irqchip/irqchip.ts): what another thread does to the 8259s
 * while vCPU 0 is about to take their interrupt. Document: 8259A data sheet, "Interrupt Sequence" (spurious IR7).
 */
import { beforeEach, expect, test, vi } from "vitest";
import { VCPU_ZONE_COUNT, VCPU_ZONE_SIZE, VCPU_ZONES } from "../../../kvm-core/cpu/zones.ts";
import { Irqchip } from "../../../kvm-core/irqchip/irqchip.ts";
import { REG } from "../../../kvm-core/irqchip/lapic-page.ts";
import { Routes } from "../../../kvm-core/irqchip/routing.ts";
import { VmIrqchip } from "../../../kvm-core/vm/vm-irqchip.ts";
import { IRQCHIP_MODE, VM_STATE } from "../../../kvm-core/vm/vm-state.ts";

const PAGES = Math.ceil((VCPU_ZONES + VCPU_ZONE_COUNT * VCPU_ZONE_SIZE) / 65536);
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
const words = new Int32Array(memory.buffer);
const BASE = 0x20;
const GSI = 4;

let first: Irqchip;
let second: Irqchip;

beforeEach(() => {
  new Uint8Array(memory.buffer).fill(0);
  words[VM_STATE.irqchip >> 2] = IRQCHIP_MODE.kernel;
  new Routes(memory).reset();
  [first, second] = [0, 1].map((vcpu) => new Irqchip(memory, vcpu)) as [Irqchip, Irqchip];
  for (const { lapic } of [first, second]) lapic.reset();
  first.pic.reset();
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, BASE],
    [0x21, 4],
    [0x21, 1],
    [0x21, 0xff],
  ] as const)
    first.writePort(port, value);
  words[VM_STATE.lineLevels >> 2] = 1 << GSI;
  first.service(0);
});

test("vCPU 0 has to look when another one lets an interrupt of the 8259s through", () => {
  expect(first.pending()).toBe(false);
  expect(second.writePort(0x21, 0xff & ~(1 << 3))).toBe(false);
  expect(second.writePort(0x21, 0xff & ~(1 << GSI))).toBe(true);
  expect([first.pending(), second.pending()]).toEqual([true, false]);
  expect(first.acknowledge()).toBe(BASE + GSI);
  expect(first.writePort(0x21, 0)).toBe(false); // it looks anyhow
});

test("an interrupt of the 8259s that another vCPU masks before INTA is spurious, and harms nothing", () => {
  first.writePort(0x21, 0xff & ~(1 << GSI));
  expect(first.pending()).toBe(true);
  second.writePort(0x21, 0xff);
  const registers = first.lapic.save();
  expect(first.acknowledge()).toBe(BASE + 7);
  expect(first.lapic.save()).toEqual(registers);
  expect(first.pic.save(0).isr).toBe(0);
});

test("the local APIC's goes on meanwhile", () => {
  first.lapic.write(REG.svr, 0x1ff);
  first.writePort(0x21, 0xff & ~(1 << GSI));
  first.delivery.send(0, false, 0, 0x51, false);
  second.writePort(0x21, 0xff);
  expect(first.pending()).toBe(true);
  expect(first.acknowledge()).toBe(0x51);
});

test("KVM_IRQ_LINE's level and rise are one step to whoever looks", () => {
  const held: number[] = [];
  const original = Atomics.or;
  const spy = vi.spyOn(Atomics, "or").mockImplementation(((...args: Parameters<typeof original>) => {
    held.push(words[VM_STATE.irqchipLock >> 2]!);
    return original(...args);
  }) as typeof original);
  new VmIrqchip(memory, () => {}).setLine(GSI + 1, true);
  spy.mockRestore();
  expect(held).toEqual([1, 1]);
  expect(words[VM_STATE.irqchipLock >> 2]).toBe(0);
});
