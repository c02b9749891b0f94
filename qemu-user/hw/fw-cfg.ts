/**
 * fw_cfg: what the machine tells firmware and kernels about itself, as numbered and named items.
 * Follows: QEMU's docs/specs/fw_cfg.rst, with its DMA interface.
 * Left out: items that a guest may write. A DMA write is answered with the error bit.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { BusDevice, Device, DeviceState, Width } from "../bus/interfaces.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

/** Selectors of the items that have no name. */
export const FW_CFG = {
  SIGNATURE: 0x00,
  ID: 0x01,
  UUID: 0x02,
  RAM_SIZE: 0x03,
  NOGRAPHIC: 0x04,
  NB_CPUS: 0x05,
  MAX_CPUS: 0x0f,
  CMDLINE_SIZE: 0x14,
  CMDLINE_DATA: 0x15,
  IRQ0_OVERRIDE: 0x8002,
} as const;
/** Ports that it takes. */
export const FW_CFG_SIZE = 12;
const FILE_DIR = 0x19;
const FILE_FIRST = 0x20;
/** Bytes of a row of the directory, and of the name in it. */
const DIR_ROW = 64;
const NAME_SIZE = 56;
const ID_TRADITIONAL_AND_DMA = 3;
const DMA_SIGNATURE = [0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47] as const; // "QEMU CFG"
const DMA = { ERROR: 1, READ: 2, SKIP: 4, SELECT: 8, WRITE: 16 } as const;
const NOTHING = new Uint8Array(0);

export interface FwCfgFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

function swap(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

/** One region: selector at 0, data at 1, DMA address at 4 (high half) and 8 (low half), both big endian. */
export class FwCfg implements BusDevice, Device {
  readonly name = "fw_cfg";
  readonly #memory: GuestMemory;
  readonly #items = new Map<number, Uint8Array>();
  #selected = 0;
  #offset = 0;
  #dmaHigh = 0;

  /** Throws an Error on a name that is too long or given twice. */
  constructor(memory: GuestMemory, items: ReadonlyMap<number, Uint8Array>, files: readonly FwCfgFile[]) {
    this.#memory = memory;
    for (const [key, bytes] of items) this.#items.set(key, bytes);
    this.#items.set(FW_CFG.SIGNATURE, Uint8Array.from(DMA_SIGNATURE.filter((_, i) => i < 4)));
    this.#items.set(FW_CFG.ID, Uint8Array.of(ID_TRADITIONAL_AND_DMA, 0, 0, 0));
    const directory = new Uint8Array(4 + files.length * DIR_ROW);
    const view = new DataView(directory.buffer);
    view.setUint32(0, files.length);
    const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
    sorted.forEach(({ name, bytes }, i) => {
      if (name.length >= NAME_SIZE) throw new Error(`fw_cfg: "${name}" has more than ${NAME_SIZE - 1} letters`);
      if (name === sorted[i + 1]?.name) throw new Error(`fw_cfg: "${name}" is there twice`);
      view.setUint32(4 + i * DIR_ROW, bytes.length);
      view.setUint16(8 + i * DIR_ROW, FILE_FIRST + i);
      directory.set(Buffer.from(name, "latin1"), 12 + i * DIR_ROW);
      this.#items.set(FILE_FIRST + i, bytes);
    });
    this.#items.set(FILE_DIR, directory);
  }

  read(offset: number, width: Width): number {
    if (offset === 1 && width === 1) {
      const item = this.#item();
      return this.#offset < item.length ? item[this.#offset++]! : 0;
    }
    if (offset < 4) return 0;
    let value = 0;
    for (let i = 0; i < width; i++) value |= (DMA_SIGNATURE[offset - 4 + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, width: Width, value: number): void {
    if (offset === 0 && width === 2) this.#select(value);
    else if (offset === 4 && width === 4) this.#dmaHigh = swap(value);
    else if (offset === 8 && width === 4) {
      const high = this.#dmaHigh;
      this.#dmaHigh = 0;
      this.#dma(high * 2 ** 32 + swap(value));
    }
  }

  reset(): void {
    this.#select(0);
    this.#dmaHigh = 0;
  }

  save(): DeviceState {
    return { version: 1, selected: this.#selected, offset: this.#offset, dmaHigh: this.#dmaHigh };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const selected = expectUnsigned(this.name, "selected", state["selected"], 0xffff);
    const offset = expectUnsigned(this.name, "offset", state["offset"], Number.MAX_SAFE_INTEGER);
    this.#dmaHigh = expectUnsigned(this.name, "dmaHigh", state["dmaHigh"], 0xffff_ffff);
    this.#selected = selected;
    this.#offset = offset;
  }

  #select(key: number): void {
    this.#selected = key;
    this.#offset = 0;
  }

  #item(): Uint8Array {
    return this.#items.get(this.#selected) ?? NOTHING;
  }

  /** One descriptor: control, length, address, big endian. What lies behind an item reads as zeros. */
  #dma(at: number): void {
    const memory = this.#memory;
    if (!memory.contains(at, 16)) return;
    const control = swap(memory.readU32(at));
    const length = swap(memory.readU32(at + 4));
    const address = swap(memory.readU32(at + 8)) * 2 ** 32 + swap(memory.readU32(at + 12));
    if ((control & DMA.SELECT) !== 0) this.#select(control >>> 16);
    let failed = false;
    if ((control & DMA.READ) !== 0) failed = !this.#copy(address, length);
    else if ((control & DMA.WRITE) !== 0) failed = true;
    else if ((control & DMA.SKIP) !== 0) this.#advance(length);
    memory.writeU32(at, failed ? swap(DMA.ERROR) : 0);
  }

  /** The range is checked before anything is copied, so a length of 4 GiB costs nothing. */
  #copy(address: number, length: number): boolean {
    if (!this.#memory.contains(address, length)) return false;
    const piece = this.#item().subarray(this.#offset, this.#offset + length);
    this.#memory.write(address, piece);
    this.#memory.fill(address + piece.length, length - piece.length, 0);
    this.#advance(length);
    return true;
  }

  #advance(length: number): void {
    this.#offset = Math.min(this.#offset + length, this.#item().length);
  }
}
