/**
 * What a reset of the machine brings back in kvm-core: the state that vCPU and interrupt controllers had before anything ran.
 * Follows: QEMU's order in kvm_arch_put_registers: MSRs before what they give meaning to, the vCPU's own registers last.
 * Left out: debug registers, for which there is no request; devices (the device thread's) and what the loader sets.
 */
import { KVM_MP_STATE, type KvmSregs, type Ret } from "../../shared/ioctls.ts";
import type { Kvm, Vcpu, Vm } from "../kvm/kvm.ts";

const CHIPS = [0, 1, 2] as const;

type MsrEntry = Ret<"KVM_GET_MSRS">["entries"][number];

export class PowerOnState {
  readonly #vm: Vm;
  readonly #vcpu: Vcpu;
  readonly #msrs: readonly MsrEntry[];
  readonly #chips: readonly Ret<"KVM_GET_IRQCHIP">[];
  readonly #lapic: Ret<"KVM_GET_LAPIC">;
  readonly #pit: Ret<"KVM_GET_PIT2">;
  readonly #events: Ret<"KVM_GET_VCPU_EVENTS">;
  readonly #xsave: Ret<"KVM_GET_XSAVE">;
  readonly #xcrs: Ret<"KVM_GET_XCRS">;
  readonly regs: Ret<"KVM_GET_REGS">;
  readonly sregs: KvmSregs;

  private constructor(
    vm: Vm,
    vcpu: Vcpu,
    msrs: readonly MsrEntry[],
    chips: readonly Ret<"KVM_GET_IRQCHIP">[],
    lapic: Ret<"KVM_GET_LAPIC">,
    pit: Ret<"KVM_GET_PIT2">,
    events: Ret<"KVM_GET_VCPU_EVENTS">,
    xsave: Ret<"KVM_GET_XSAVE">,
    xcrs: Ret<"KVM_GET_XCRS">,
    regs: Ret<"KVM_GET_REGS">,
    sregs: KvmSregs,
  ) {
    this.#vm = vm;
    this.#vcpu = vcpu;
    this.#msrs = msrs;
    this.#chips = chips;
    this.#lapic = lapic;
    this.#pit = pit;
    this.#events = events;
    this.#xsave = xsave;
    this.#xcrs = xcrs;
    this.regs = regs;
    this.sregs = sregs;
  }

  /** Of a VM that has not run yet. */
  static async read(kvm: Kvm, vm: Vm, vcpu: Vcpu): Promise<PowerOnState> {
    const { entries } = await vcpu.request("KVM_GET_MSRS", await kvm.request("KVM_GET_MSR_INDEX_LIST", {}));
    const chips = [];
    for (const chip_id of CHIPS) chips.push(await vm.request("KVM_GET_IRQCHIP", { chip_id }));
    return new PowerOnState(
      vm,
      vcpu,
      entries,
      chips,
      await vcpu.request("KVM_GET_LAPIC", {}),
      await vm.request("KVM_GET_PIT2", {}),
      await vcpu.request("KVM_GET_VCPU_EVENTS", {}),
      await vcpu.request("KVM_GET_XSAVE", {}),
      await vcpu.request("KVM_GET_XCRS", {}),
      await vcpu.getRegs(),
      await vcpu.getSregs(),
    );
  }

  /** Puts it back; the vCPU must not run. General and segment registers are the loader's to set, from `regs` and `sregs`. */
  async restore(): Promise<void> {
    const vcpu = this.#vcpu;
    await this.#restoreMsrs();
    await vcpu.request("KVM_SET_LAPIC", this.#lapic);
    for (const chip of this.#chips) await this.#vm.request("KVM_SET_IRQCHIP", chip);
    await this.#vm.request("KVM_SET_PIT2", this.#pit);
    await vcpu.request("KVM_SET_XCRS", this.#xcrs);
    await vcpu.request("KVM_SET_XSAVE", this.#xsave);
    await vcpu.request("KVM_SET_VCPU_EVENTS", this.#events);
    await vcpu.request("KVM_SET_MP_STATE", { mp_state: KVM_MP_STATE.RUNNABLE });
  }

  /** Those that changed since. */
  async #restoreMsrs(): Promise<void> {
    const indices = this.#msrs.map(({ index }) => index);
    const { entries } = await this.#vcpu.request("KVM_GET_MSRS", { indices });
    const now = new Map(entries.map(({ index, data }) => [index, data]));
    const changed = this.#msrs.filter(({ index, data }) => now.get(index) !== data);
    const { count } = await this.#vcpu.request("KVM_SET_MSRS", { entries: [...changed] });
    if (count < changed.length)
      throw new Error(`kvm-core does not take MSR 0x${changed[count]!.index.toString(16)} back at a reset`);
  }
}
