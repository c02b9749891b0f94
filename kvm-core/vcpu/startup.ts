/**
 * INIT and the start-up IPI, as the vCPU that they are for takes them.
 * Document: SDM volume 3, 9.4.3, 9.4.4.2 and table 10-1; KVM_MP_STATE_* of the KVM API.
 * As in KVM, INIT of vCPU 0, the bootstrap processor, lets it go on at the reset vector; a start-up IPI that is not awaited is lost.
 * Left out: choosing the bootstrap processor by a protocol (9.4.1): it is vCPU 0.
 */
import { KVM_MP_STATE } from "../../shared/ioctls.ts";
import { findCpuid } from "../cpu/cpuid.ts";
import { getRegs, getSregs, setRegs, setSregs } from "../cpu/regs.ts";
import { resetDebugRegisters } from "../cpu/reset.ts";
import { CPU } from "../cpu/state.ts";
import type { Lapic } from "../irqchip/lapic.ts";
import { EVENT, startupVector } from "../irqchip/lapic-page.ts";

/** Takes what was posted: the vCPU's new KVM_MP_STATE. */
export function takeStartup(memory: WebAssembly.Memory, lapic: Lapic, mpState: number): number {
  const events = lapic.page.takeEvents(EVENT.init | EVENT.startup);
  if (events === 0) return mpState;
  const { zone } = lapic.page;
  let state = mpState;
  if (events & EVENT.init) {
    // One that never ran is as reset left it.
    if (state === KVM_MP_STATE.RUNNABLE || state === KVM_MP_STATE.HALTED) initialise(memory, zone, lapic);
    state = lapic.page.vcpu === 0 ? KVM_MP_STATE.RUNNABLE : KVM_MP_STATE.INIT_RECEIVED;
  }
  if (events & EVENT.startup && state === KVM_MP_STATE.INIT_RECEIVED) {
    const vector = startupVector(events);
    const sregs = getSregs(memory, zone);
    setSregs(memory, zone, { ...sregs, cs: { ...sregs.cs, selector: vector << 8, base: BigInt(vector << 12) } });
    setRegs(memory, zone, { ...getRegs(memory, zone), rip: 0n });
    state = KVM_MP_STATE.RUNNABLE;
  }
  return state;
}

/** What INIT changes of the registers; MSRs, the FPU's and the caches' state stay. */
function initialise(memory: WebAssembly.Memory, zone: number, lapic: Lapic): void {
  const before = getSregs(memory, zone);
  const segment = { base: 0n, limit: 0xffff, selector: 0, present: 1, dpl: 0, db: 0, l: 0, g: 0, avl: 0, unusable: 0 };
  const data = { ...segment, type: 3, s: 1 };
  const table = { base: 0n, limit: 0xffff };
  setSregs(memory, zone, {
    cs: { ...data, type: 11, selector: 0xf000, base: 0xffff_0000n },
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: { ...segment, type: 11, s: 0 },
    ldt: { ...segment, type: 2, s: 0 },
    gdt: table,
    idt: table,
    cr0: (before.cr0 & 0x6000_0000n) | 0x10n,
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    cr8: 0n,
    efer: 0n,
    apic_base: before.apic_base,
    interrupt_bitmap: [0n, 0n, 0n, 0n],
  });
  const regs = getRegs(memory, zone);
  const zeros = Object.fromEntries(Object.keys(regs).map((name) => [name, 0n])) as typeof regs;
  const u32 = new Uint32Array(memory.buffer);
  // EDX: family, model and stepping, from CPUID's leaf 1; without one as Linux has it.
  const leaf = findCpuid(u32, zone, 1, 0) >>> 2;
  setRegs(memory, zone, { ...zeros, rdx: BigInt(leaf === 0 ? 0x600 : u32[leaf]!), rip: 0xfff0n, rflags: 2n });
  resetDebugRegisters(new DataView(memory.buffer), zone);
  u32[(zone + CPU.nmiBlocked) >>> 2] = 0;
  lapic.page.takeEvents(EVENT.nmi);
  lapic.resetRegisters();
}
