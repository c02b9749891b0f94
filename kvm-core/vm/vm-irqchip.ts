/**
 * A VM's interrupt controllers and PIT as its main thread sees them: their creation, state, lines, routes and messages.
 * Each request is KVM's of that name; the errors are those of the KVM API document or of Linux's code.
 * Leaves out: what the vCPUs' threads do with the same state (irqchip/).
 */
import { KvmError } from "../../shared/errno.ts";
import {
  type Arg,
  KVM_PIT_FLAGS,
  KVM_PIT_SPEAKER_DUMMY,
  type KvmIrqchip,
  type KvmPitState2,
} from "../../shared/ioctls.ts";
import { IOAPIC_PINS, IRQCHIP } from "../../shared/irq-routes.ts";
import { MAILBOX_GSIS } from "../../shared/mailbox.ts";
import { clockMonotonic } from "../../shared/native.ts";
import type { Delivery } from "../irqchip/delivery.ts";
import { IoApic } from "../irqchip/ioapic.ts";
import { IrqchipLock } from "../irqchip/lock.ts";
import { Pic } from "../irqchip/pic.ts";
import { LOST_TICKS, Pit } from "../irqchip/pit.ts";
import { Routes, validateRoutes } from "../irqchip/routing.ts";
import { IRQCHIP_MODE, MAX_GSIS, VM_STATE } from "./vm-state.ts";

/** The fields of an 8259 in KVM_GET_IRQCHIP of chip 2. */
const NO_PIC = {
  ...{ chip_id: IRQCHIP.ioapic, last_irr: 0, irr: 0, imr: 0, isr: 0, priority_add: 0, irq_base: 0, read_reg_select: 0 },
  ...{ poll: 0, special_mask: 0, init_state: 0, auto_eoi: 0, rotate_on_auto_eoi: 0, special_fully_nested_mode: 0 },
  ...{ init4: 0, elcr: 0, elcr_mask: 0 },
} as const;

/** Where there are no local APICs. */
const NOWHERE: Delivery = { send: () => false, message: () => false };

export class VmIrqchip {
  readonly #memory: WebAssembly.Memory;
  readonly #words: Int32Array;
  readonly #lock: IrqchipLock;
  /** vCPU 0 has to look at the lines and at the PIT. */
  readonly changed: () => void;
  /** The local APICs, if the VM has them. */
  delivery: Delivery | undefined;

  constructor(memory: WebAssembly.Memory, changed: () => void) {
    this.#memory = memory;
    this.#words = new Int32Array(memory.buffer);
    this.#lock = new IrqchipLock(memory);
    this.changed = changed;
  }

  /** There are local APICs. */
  get exists(): boolean {
    return this.mode !== IRQCHIP_MODE.none;
  }

  /** 8259s and IOAPIC are here, too. */
  get whole(): boolean {
    return this.mode === IRQCHIP_MODE.kernel;
  }

  /** IRQCHIP_MODE. */
  get mode(): number {
    return Atomics.load(this.#words, VM_STATE.irqchip >> 2);
  }

  /** KVM_CREATE_IRQCHIP: the two 8259s, the IOAPIC and the default routes. EEXIST: they exist. */
  create(): void {
    if (this.exists) throw new KvmError("EEXIST", "the irqchip exists");
    new Pic(this.#memory).reset();
    this.#ioapic().reset();
    new Routes(this.#memory).reset();
    Atomics.store(this.#words, VM_STATE.irqchip >> 2, IRQCHIP_MODE.kernel);
  }

  /**
   * KVM_CAP_SPLIT_IRQCHIP: local APICs alone, no routes, the first `reserved` of which the user's IOAPIC will have.
   * EINVAL: more than there are; EEXIST: an irqchip, or vCPUs.
   */
  split(reserved: bigint, vcpus: number): void {
    if (reserved > MAX_GSIS) throw new KvmError("EINVAL", `args[0]: at most ${MAX_GSIS} routes can be reserved`);
    if (this.exists) throw new KvmError("EEXIST", "the irqchip exists");
    if (vcpus > 0) throw new KvmError("EEXIST", "KVM_CAP_SPLIT_IRQCHIP comes before the first KVM_CREATE_VCPU");
    new Routes(this.#memory).clear();
    this.#words[VM_STATE.reservedRoutes >> 2] = Number(reserved);
    Atomics.store(this.#words, VM_STATE.irqchip >> 2, IRQCHIP_MODE.split);
  }

  /** KVM_GET_IRQCHIP. ENXIO without these chips, EINVAL for a chip that there is none of. */
  save(chip: number): KvmIrqchip {
    this.#check(chip);
    return this.#locked(() =>
      chip === IRQCHIP.ioapic
        ? { ...NO_PIC, ioapic: [this.#ioapic().save()] }
        : { ...new Pic(this.#memory).save(chip), ioapic: [] },
    );
  }

  /** KVM_SET_IRQCHIP; `ioapic` is for chip 2 alone and its only field. */
  load(state: KvmIrqchip): void {
    const chip = state.chip_id;
    this.#check(chip);
    const [ioapic] = state.ioapic;
    if (chip !== IRQCHIP.ioapic && ioapic) throw new KvmError("EINVAL", `chip ${chip} is no IOAPIC`);
    if (chip === IRQCHIP.ioapic && ioapic?.redirtbl.length !== IOAPIC_PINS)
      throw new KvmError("EINVAL", `ioapic: one state, with ${IOAPIC_PINS} entries in redirtbl`);
    this.#locked(() => {
      if (ioapic) this.#ioapic().load(ioapic);
      else new Pic(this.#memory).load(chip, state);
    });
    this.changed();
  }

  /**
   * KVM_IRQ_LINE. ENXIO without local APICs, EINVAL for a GSI that has no line. One that is a message is sent by every
   * call with a level, as in Linux: the user's IOAPIC sends a level-triggered interrupt again so, and never lowers it.
   */
  setLine(gsi: number, level: boolean): void {
    if (!this.exists) throw new KvmError("ENXIO", "there is no irqchip: KVM_CREATE_IRQCHIP comes first");
    const routes = new Routes(this.#memory);
    // A look between level and rise would take them for two edges: no vCPU looks while this has the lock.
    this.#locked(() => {
      if (gsi < MAX_GSIS && routes.isMessage(gsi)) {
        if (level) this.#sendMessage(routes, gsi);
      } else if (gsi < MAILBOX_GSIS) {
        this.#driveLine(gsi, level);
      } else {
        throw new KvmError("EINVAL", `GSI ${gsi}: 0 to ${MAILBOX_GSIS - 1} have lines`);
      }
    });
    this.changed();
  }

  #sendMessage(routes: Routes, gsi: number): void {
    (this.delivery ?? NOWHERE).message(routes.addressLow(gsi), routes.addressHigh(gsi), routes.data(gsi));
  }

  #driveLine(gsi: number, level: boolean): void {
    const bit = 1 << (gsi & 31);
    const levels = (VM_STATE.lineLevels >> 2) + (gsi >> 5);
    const before = level ? Atomics.or(this.#words, levels, bit) : Atomics.and(this.#words, levels, ~bit);
    if (level && (before & bit) === 0) Atomics.or(this.#words, (VM_STATE.lineRises >> 2) + (gsi >> 5), bit);
  }

  /** KVM_SET_GSI_ROUTING: all or nothing. EINVAL: no irqchip, flags, or see validateRoutes(). */
  setRouting({ flags, entries }: Arg<"KVM_SET_GSI_ROUTING">): void {
    if (!this.exists) throw new KvmError("EINVAL", "there is no irqchip: KVM_CREATE_IRQCHIP comes first");
    if (flags !== 0) throw new KvmError("EINVAL", `flags ${flags}`);
    validateRoutes(entries, this.whole);
    this.#locked(() => new Routes(this.#memory).set(entries));
    this.changed();
  }

  /** KVM_SIGNAL_MSI: 1 if a local APIC took it, else 0. EINVAL: no irqchip, or flags. */
  signalMsi({ address_lo, address_hi, data, flags }: Arg<"KVM_SIGNAL_MSI">): number {
    if (!this.exists) throw new KvmError("EINVAL", "there is no irqchip: KVM_CREATE_IRQCHIP comes first");
    if (flags !== 0) throw new KvmError("EINVAL", `flags ${flags}`);
    return (this.delivery ?? NOWHERE).message(address_lo, address_hi, data) ? 1 : 0;
  }

  /** KVM_CREATE_PIT2. EEXIST: there is one; ENOENT: there is no irqchip; EINVAL: flags. */
  createPit(flags: number): void {
    if (this.#pit().exists) throw new KvmError("EEXIST", "the PIT exists");
    if (!this.whole) throw new KvmError("ENOENT", "there is no irqchip with 8259s: KVM_CREATE_IRQCHIP comes first");
    if (flags & ~KVM_PIT_SPEAKER_DUMMY) throw new KvmError("EINVAL", `flags ${flags}`);
    this.#locked(() => this.#pit().create((flags & KVM_PIT_SPEAKER_DUMMY) !== 0));
  }

  /** KVM_GET_PIT2. ENXIO: there is none. */
  savePit(): KvmPitState2 {
    return this.#withPit((pit) => pit.save(clockMonotonic()));
  }

  /** KVM_SET_PIT2. ENXIO: there is none; EINVAL: not three channels, or flags. */
  loadPit(state: KvmPitState2): void {
    if (state.channels.length !== 3) throw new KvmError("EINVAL", "channels: the PIT has three");
    if (state.flags & ~(KVM_PIT_FLAGS.HPET_LEGACY | KVM_PIT_FLAGS.SPEAKER_DATA_ON))
      throw new KvmError("EINVAL", `flags ${state.flags}`);
    this.#withPit((pit) => pit.load(state, clockMonotonic()));
    this.changed();
  }

  /** KVM_REINJECT_CONTROL. ENXIO: there is no PIT. */
  reinject(on: boolean): void {
    this.#withPit((pit) => {
      pit.policy = on ? LOST_TICKS.catchup : LOST_TICKS.discard;
    });
    this.changed();
  }

  #withPit<T>(work: (pit: Pit) => T): T {
    const pit = this.#pit();
    if (!pit.exists) throw new KvmError("ENXIO", "there is no PIT: KVM_CREATE_PIT2 comes first");
    return this.#locked(() => work(pit));
  }

  #pit(): Pit {
    return new Pit(this.#memory, () => {});
  }

  #ioapic(): IoApic {
    return new IoApic(this.#memory, this.delivery ?? NOWHERE);
  }

  #check(chip: number): void {
    if (!this.whole) throw new KvmError("ENXIO", "there are no 8259s and no IOAPIC: KVM_CREATE_IRQCHIP comes first");
    if (chip > IRQCHIP.ioapic) throw new KvmError("EINVAL", `chip ${chip}: 0 and 1 are the 8259s, 2 the IOAPIC`);
  }

  #locked<T>(work: () => T): T {
    this.#lock.take();
    try {
      return work();
    } finally {
      this.#lock.give();
    }
  }
}
