/**
 * PCI test device: ports, memory, a doorbell, DMA and an interrupt, for guests that test the machine itself.
 * Follows: this file's table; in the manner of QEMU's pci-testdev and edu devices.
 * Left out: MSI, 64-bit BARs. DMA is done by the time the command's write is.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type {
  BusDevice,
  Device,
  DeviceState,
  Journalled,
  PciBar,
  PciDevice,
  PciIdentity,
  PciSlot,
  PostedRange,
} from "../bus/interfaces.ts";
import type { PropertyTable } from "../bus/property.ts";
import { type RegisterDevice, regmap } from "../bus/regmap.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

export const SPLITVM_TEST_PROPERTIES = {
  journal: { kind: "bool", default: true, help: "COUNTER counts exactly even if the device process dies" },
} as const satisfies PropertyTable;

const ID = 0x544d_5653; // "SVMT"
/** A bound on the time that one guest write can take. */
const DMA_MAX = 1024 * 1024;
/** DMA goes through a buffer of this many bytes: a multiple of the pattern's four. */
const DMA_CHUNK = 4096;

const DMA_COMMAND = { FILL: 1, SUM: 2, FILL_IRQ: 3 } as const;
const DMA_STATUS = { OK: 0, OUTSIDE_RAM: 1, TOO_LONG: 2, UNKNOWN_COMMAND: 3, NO_BUS_MASTER: 4 } as const;
/** The bit that FILL_IRQ raises. */
const IRQ_DMA_DONE = 1;

const ALL = 0xffff_ffff;

const REGS = regmap<SplitvmTest>("splitvm-test", 0x40, {
  ID: { at: 0x00, width: 4, reset: ID, ro: ALL },
  SCRATCH: { at: 0x04, width: 4 },
  COUNTER: { at: 0x08, width: 4, ro: ALL, read: (t, v) => t.count(v) },
  IRQ_STATUS: { at: 0x0c, width: 4, w1c: ALL, write: (t) => t.updateIrq() },
  IRQ_RAISE: { at: 0x10, width: 4, wo: true, write: (t, v) => t.raise(v) },
  DMA_ADDR_LO: { at: 0x14, width: 4 },
  DMA_ADDR_HI: { at: 0x18, width: 4 },
  DMA_LEN: { at: 0x1c, width: 4 },
  DMA_PATTERN: { at: 0x20, width: 4 },
  DMA_COMMAND: { at: 0x24, width: 4, wo: true, write: (t, v) => t.runDma(v) },
  DMA_RESULT: { at: 0x28, width: 4, ro: ALL },
  DMA_STATUS: { at: 0x2c, width: 4, ro: ALL },
  DOORBELLS: { at: 0x30, width: 4, ro: ALL },
  EXITS: { at: 0x34, width: 4, ro: ALL, read: (t) => t.exits() },
  DOORBELL_LAST: { at: 0x38, width: 4, ro: ALL },
});

/** The registers' table, for the test of all maps and for documentation. */
export const SPLITVM_TEST_REGISTERS = REGS;

const AT = {
  COUNTER: REGS.index("COUNTER"),
  IRQ_STATUS: REGS.index("IRQ_STATUS"),
  DMA_ADDR_LO: REGS.index("DMA_ADDR_LO"),
  DMA_ADDR_HI: REGS.index("DMA_ADDR_HI"),
  DMA_LEN: REGS.index("DMA_LEN"),
  DMA_PATTERN: REGS.index("DMA_PATTERN"),
  DMA_RESULT: REGS.index("DMA_RESULT"),
  DMA_STATUS: REGS.index("DMA_STATUS"),
  DOORBELLS: REGS.index("DOORBELLS"),
  DOORBELL_LAST: REGS.index("DOORBELL_LAST"),
} as const;

/** BAR2: a doorbell and a data word, both of which kvm-core may post. */
const DOORBELL_AT = 0;
const DATA_AT = 4;
const POSTED: readonly PostedRange[] = [
  { offset: DOORBELL_AT, size: 4, kind: "ioeventfd" },
  { offset: DATA_AT, size: 4, kind: "coalesced" },
];

/** What the device touches. */
export interface SplitvmTestEnv {
  /** This one's name on its board. */
  readonly name: string;
  readonly slot: PciSlot;
  readonly memory: GuestMemory;
  /** Exits that the device server has served for this VM so far. */
  readonly exits: () => number;
  readonly journal: boolean;
}

export class SplitvmTest implements Device, PciDevice, RegisterDevice, Journalled {
  readonly name: string;
  readonly identity: PciIdentity = {
    vendor: 0x1234,
    device: 0x5356,
    revision: 1,
    classCode: 0xff_0000,
    subsystemVendor: 0x1234,
    subsystem: 0x5356,
    interrupt: true,
  };
  readonly bars: readonly PciBar[];
  readonly regs: Uint32Array = REGS.storage();
  trace?: ((line: string) => void) | undefined;
  /** COUNTER as one u32; nothing with `journal=off`. */
  readonly journalBytes: number;

  readonly #env: SplitvmTestEnv;
  readonly #chunk = new Uint8Array(DMA_CHUNK);
  #dataWrites = 0;
  #dataLast = 0;

  constructor(env: SplitvmTestEnv) {
    this.name = env.name;
    this.#env = env;
    this.journalBytes = env.journal ? 4 : 0;
    this.bars = [
      { kind: "io", size: 64, region: this.#registers("bar0") },
      { kind: "memory", size: 4096, region: this.#registers("bar1") },
      { kind: "memory", size: 4096, region: this.#doorbell("bar2"), posted: POSTED },
    ];
  }

  /** Writes to the coalesced word: how many, and the last. The guest cannot read these. */
  get dataWrites(): number {
    return this.#dataWrites;
  }

  get dataLast(): number {
    return this.#dataLast;
  }

  /** COUNTER: the read gives the value and then counts it up. */
  count(value: number): number {
    this.regs[AT.COUNTER] = value + 1; // wraps at 2^32
    return value;
  }

  raise(bits: number): void {
    this.regs[AT.IRQ_STATUS]! |= bits;
    this.updateIrq();
  }

  updateIrq(): void {
    this.#env.slot.intx.set(this.regs[AT.IRQ_STATUS] !== 0);
  }

  exits(): number {
    return this.#env.exits() >>> 0;
  }

  /** DMA_COMMAND. FILL_IRQ raises its interrupt also when the fill failed: DMA_STATUS says which. */
  runDma(command: number): void {
    this.regs[AT.DMA_STATUS] = this.#dma(command);
    if (command === DMA_COMMAND.FILL_IRQ) this.raise(IRQ_DMA_DONE);
  }

  reset(): void {
    REGS.reset(this);
    this.#dataWrites = 0;
    this.#dataLast = 0;
    this.updateIrq();
  }

  save(): DeviceState {
    return { version: 1, regs: REGS.save(this), dataWrites: this.#dataWrites, dataLast: this.#dataLast };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const dataWrites = expectUnsigned(this.name, "dataWrites", state["dataWrites"], ALL);
    const dataLast = expectUnsigned(this.name, "dataLast", state["dataLast"], ALL);
    REGS.load(this, state["regs"]);
    this.#dataWrites = dataWrites;
    this.#dataLast = dataLast;
    this.updateIrq();
  }

  writeJournal(view: DataView, at: number): void {
    view.setUint32(at, this.regs[AT.COUNTER]!, true);
  }

  readJournal(view: DataView, at: number): void {
    this.regs[AT.COUNTER] = view.getUint32(at, true);
  }

  #dma(command: number): number {
    const { slot, memory } = this.#env;
    const gpa = this.regs[AT.DMA_ADDR_HI]! * 2 ** 32 + this.regs[AT.DMA_ADDR_LO]!;
    const length = this.regs[AT.DMA_LEN]!;
    const known = command === DMA_COMMAND.FILL || command === DMA_COMMAND.SUM || command === DMA_COMMAND.FILL_IRQ;
    if (!known) return DMA_STATUS.UNKNOWN_COMMAND;
    if (!slot.busMaster()) return DMA_STATUS.NO_BUS_MASTER;
    if (length > DMA_MAX) return DMA_STATUS.TOO_LONG;
    if (!memory.contains(gpa, length)) return DMA_STATUS.OUTSIDE_RAM;
    if (command === DMA_COMMAND.SUM) this.regs[AT.DMA_RESULT] = this.#sum(gpa, length);
    else this.#fill(gpa, length, this.regs[AT.DMA_PATTERN]!);
    return DMA_STATUS.OK;
  }

  #fill(gpa: number, length: number, pattern: number): void {
    const chunk = this.#chunk;
    for (let i = 0; i < DMA_CHUNK; i++) chunk[i] = pattern >>> (8 * (i & 3));
    for (let done = 0; done < length; done += DMA_CHUNK) {
      this.#env.memory.write(gpa + done, chunk.subarray(0, Math.min(DMA_CHUNK, length - done)));
    }
  }

  #sum(gpa: number, length: number): number {
    let sum = 0;
    for (let done = 0; done < length; done += DMA_CHUNK) {
      const piece = this.#chunk.subarray(0, Math.min(DMA_CHUNK, length - done));
      this.#env.memory.read(gpa + done, piece);
      for (let i = 0; i < piece.length; i++) sum = (sum + piece[i]!) >>> 0;
    }
    return sum;
  }

  #registers(bar: string): BusDevice {
    return {
      name: `${this.name}.${bar}`,
      read: (offset, width) => REGS.read(this, offset, width),
      write: (offset, width, value) => REGS.write(this, offset, width, value),
    };
  }

  /** Takes 32-bit writes at its two words, and nothing else. */
  #doorbell(bar: string): BusDevice {
    return {
      name: `${this.name}.${bar}`,
      read: () => 0,
      write: (offset, width, value) => {
        if (width !== 4) return;
        if (offset === DOORBELL_AT) {
          this.regs[AT.DOORBELLS]! += 1;
          this.regs[AT.DOORBELL_LAST] = value;
        } else if (offset === DATA_AT) {
          this.#dataWrites = (this.#dataWrites + 1) >>> 0;
          this.#dataLast = value;
        }
      },
    };
  }
}
