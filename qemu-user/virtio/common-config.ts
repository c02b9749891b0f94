/**
 * The common configuration structure: features, device status, and one bank of registers for each queue.
 * Follows: VIRTIO 1.2 section 4.1.4.3 "Common configuration structure layout", rows in its order.
 * Left out: queue_notify_data and queue_reset, whose features are not offered. What the status does is pci.ts's.
 *
 * The registers of the selected queue lie in `regs`; each write also goes to the queue's own bank, from which selecting
 * it brings them back.
 */
import type { StateValue, Width } from "../bus/interfaces.ts";
import { type Reg, type RegisterDevice, regmap } from "../bus/regmap.ts";
import { expectList, expectUnsigned } from "../bus/state.ts";
import { STATUS } from "./features.ts";
import { COMMON_SIZE } from "./pci-capabilities.ts";

/** VIRTIO_MSI_NO_VECTOR. */
export const NO_VECTOR = 0xffff;

const ALL = 0xffff_ffff;

const half = (at: number): Reg<CommonConfig> => ({ at, width: 4, write: (c, v, old) => c.writeBank(v, old) });

const REGS = regmap<CommonConfig>("virtio-common", COMMON_SIZE, {
  DEVICE_FEATURE_SELECT: { at: 0x00, width: 4 },
  DEVICE_FEATURE: { at: 0x04, width: 4, ro: ALL, read: (c) => c.deviceFeature() },
  DRIVER_FEATURE_SELECT: { at: 0x08, width: 4 },
  DRIVER_FEATURE: { at: 0x0c, width: 4, read: (c) => c.driverFeature(), write: (c, v) => c.writeDriverFeature(v) },
  CONFIG_MSIX_VECTOR: { at: 0x10, width: 2, reset: NO_VECTOR, write: (c, v) => c.writeConfigVector(v) },
  NUM_QUEUES: { at: 0x12, width: 2, ro: 0xffff, read: (c) => c.banks.length },
  DEVICE_STATUS: { at: 0x14, write: (c, v, old) => c.writeStatus(v, old) },
  CONFIG_GENERATION: { at: 0x15, ro: 0xff },
  QUEUE_SELECT: { at: 0x16, width: 2, write: (c) => c.selectQueue() },
  // The bank.
  QUEUE_SIZE: { at: 0x18, width: 2, write: (c, v, old) => c.writeBank(v, old) },
  QUEUE_MSIX_VECTOR: { at: 0x1a, width: 2, write: (c, v) => c.writeQueueVector(v) },
  QUEUE_ENABLE: { at: 0x1c, width: 2, write: (c, v, old) => c.writeEnable(v, old) },
  QUEUE_DESC_LO: half(0x20),
  QUEUE_DESC_HI: half(0x24),
  QUEUE_DRIVER_LO: half(0x28),
  QUEUE_DRIVER_HI: half(0x2c),
  QUEUE_DEVICE_LO: half(0x30),
  QUEUE_DEVICE_HI: half(0x34),
  // Not of the bank: it follows from the queue's number.
  QUEUE_NOTIFY_OFF: { at: 0x1e, width: 2, ro: 0xffff, read: (c) => c.notifyOffset() },
});

/** The registers' table, for the test of all maps and for documentation. */
export const VIRTIO_COMMON_REGISTERS = REGS;

const AT = {
  DEVICE_FEATURE_SELECT: REGS.index("DEVICE_FEATURE_SELECT"),
  DRIVER_FEATURE_SELECT: REGS.index("DRIVER_FEATURE_SELECT"),
  CONFIG_MSIX_VECTOR: REGS.index("CONFIG_MSIX_VECTOR"),
  DEVICE_STATUS: REGS.index("DEVICE_STATUS"),
  CONFIG_GENERATION: REGS.index("CONFIG_GENERATION"),
  QUEUE_SELECT: REGS.index("QUEUE_SELECT"),
  BANK: REGS.index("QUEUE_SIZE"),
} as const;
/** A bank's words: QUEUE_SIZE to QUEUE_DEVICE_HI. */
export const BANK = { SIZE: 0, VECTOR: 1, ENABLE: 2, DESC: 3, DRIVER: 5, DEVICE: 7, WORDS: 9 } as const;

/** What stands behind the registers. */
export interface CommonConfigOwner {
  /** All features on offer. */
  readonly offered: bigint;
  readonly queueSizes: readonly number[];
  /** The status is to become this: the registers then hold what the owner stores by `status`. */
  statusWritten(value: number, old: number): void;
}

export class CommonConfig implements RegisterDevice {
  readonly regs: Uint32Array = REGS.storage();
  trace?: ((line: string) => void) | undefined;
  readonly banks: readonly Uint32Array[];
  readonly #owner: CommonConfigOwner;
  #accepted = 0n;

  constructor(owner: CommonConfigOwner) {
    this.#owner = owner;
    this.banks = owner.queueSizes.map(() => new Uint32Array(BANK.WORDS));
    this.reset();
  }

  get status(): number {
    return this.regs[AT.DEVICE_STATUS]!;
  }

  set status(value: number) {
    this.regs[AT.DEVICE_STATUS] = value;
  }

  /** Features that the driver has written. */
  get accepted(): bigint {
    return this.#accepted;
  }

  get configVector(): number {
    return this.regs[AT.CONFIG_MSIX_VECTOR]!;
  }

  /** The device-specific configuration changed. */
  nextGeneration(): void {
    this.regs[AT.CONFIG_GENERATION] = (this.regs[AT.CONFIG_GENERATION]! + 1) & 0xff;
  }

  read(offset: number, width: Width): number {
    return REGS.read(this, offset, width);
  }

  write(offset: number, width: Width, value: number): void {
    REGS.write(this, offset, width, value);
  }

  deviceFeature(): number {
    return featureWord(this.#owner.offered, this.regs[AT.DEVICE_FEATURE_SELECT]!);
  }

  driverFeature(): number {
    return featureWord(this.#accepted, this.regs[AT.DRIVER_FEATURE_SELECT]!);
  }

  /** DRIVER_FEATURE. They stand once FEATURES_OK is set. A bit that this device knows no word of makes that fail. */
  writeDriverFeature(value: number): void {
    if ((this.status & STATUS.FEATURES_OK) !== 0) return;
    const select = this.regs[AT.DRIVER_FEATURE_SELECT]!;
    if (select > 3) return;
    const shift = BigInt(32 * select);
    this.#accepted = (this.#accepted & ~(0xffff_ffffn << shift)) | (BigInt(value) << shift);
  }

  writeConfigVector(value: number): void {
    this.regs[AT.CONFIG_MSIX_VECTOR] = this.#vector(value);
  }

  writeStatus(value: number, old: number): void {
    this.regs[AT.DEVICE_STATUS] = old;
    this.#owner.statusWritten(value, old);
  }

  /** QUEUE_SELECT: the bank of a queue that there is not reads zero, its size included. */
  selectQueue(): void {
    const bank = this.#selected();
    if (bank === undefined) this.regs.fill(0, AT.BANK, AT.BANK + BANK.WORDS);
    else this.regs.set(bank, AT.BANK);
  }

  /** Size and addresses stand once the queue is enabled. */
  writeBank(value: number, old: number): void {
    if (value === old) return;
    const bank = this.#selected();
    if (bank !== undefined && bank[BANK.ENABLE] === 0) bank.set(this.regs.subarray(AT.BANK, AT.BANK + BANK.WORDS));
    else this.selectQueue();
  }

  writeQueueVector(value: number): void {
    const bank = this.#selected();
    if (bank !== undefined) bank[BANK.VECTOR] = this.#vector(value);
    this.selectQueue();
  }

  /** QUEUE_ENABLE. Only a reset disables a queue; and once the device runs, none is added. */
  writeEnable(value: number, _old: number): void {
    const bank = this.#selected();
    if (bank !== undefined && value === 1 && (this.status & STATUS.DRIVER_OK) === 0) bank[BANK.ENABLE] = 1;
    this.selectQueue();
  }

  notifyOffset(): number {
    const select = this.regs[AT.QUEUE_SELECT]!;
    return select < this.banks.length ? select : 0;
  }

  reset(): void {
    REGS.reset(this);
    this.#accepted = 0n;
    for (const [n, bank] of this.banks.entries()) {
      bank.fill(0);
      bank[BANK.SIZE] = this.#owner.queueSizes[n]!;
      bank[BANK.VECTOR] = NO_VECTOR;
    }
    this.selectQueue();
  }

  save(): StateValue {
    const words = [0, 1, 2, 3].map((select) => featureWord(this.#accepted, select));
    return { regs: REGS.save(this), accepted: words, banks: this.banks.map((bank) => [...bank]) };
  }

  /** Throws an Error on what it cannot take; then nothing changed. */
  load(name: string, state: StateValue | undefined): void {
    const saved = (state ?? {}) as Readonly<Record<string, StateValue>>;
    const accepted = expectList(name, "features", saved["accepted"], 4, ALL);
    const banks = saved["banks"];
    if (!Array.isArray(banks) || banks.length !== this.banks.length) {
      throw new Error(`${name}: the saved device has another number of queues`);
    }
    const words = banks.map((bank: StateValue) => {
      const list = expectList(name, "queue", bank, BANK.WORDS, ALL);
      expectUnsigned(name, "queue enable", list[BANK.ENABLE], 1);
      if (list.length !== BANK.WORDS) throw new Error(`${name}: a saved queue is not complete`);
      return list;
    });
    REGS.load(this, saved["regs"]);
    this.#accepted = accepted.reduce((sum, word, i) => sum | (BigInt(word) << BigInt(32 * i)), 0n);
    for (const [n, bank] of this.banks.entries()) bank.set(words[n]!);
  }

  #selected(): Uint32Array | undefined {
    return this.banks[this.regs[AT.QUEUE_SELECT]!];
  }

  /** Reads back as NO_VECTOR if there is no such vector (section 4.1.5.1.2.1). */
  #vector(value: number): number {
    return value <= this.banks.length ? value : NO_VECTOR;
  }
}

function featureWord(features: bigint, select: number): number {
  return select > 3 ? 0 : Number((features >> BigInt(32 * select)) & 0xffff_ffffn);
}

/** The address that a bank holds in two words from `at` on. */
export function bankAddress(bank: Uint32Array, at: number): number {
  return bank[at + 1]! * 2 ** 32 + bank[at]!;
}
