/**
 * What a device is, and what it may be given: the only types that devices, board and back ends have in common.
 * Follows: the device model's rule that a device gets what it touches, never the machine.
 * Left out: any behaviour.
 */

/** Bytes of one access on a bus. Eight bytes are two accesses, or `read64`/`write64`. */
export type Width = 1 | 2 | 4;

/** What a read of nothing gives: a floating bus reads as ones. */
export const ALL_ONES = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff } as const satisfies Record<Width, number>;

/** Something that answers accesses to a region of a bus. Offsets count from the region's base; values are u32. */
export interface BusDevice {
  readonly name: string;
  read(offset: number, width: Width): number;
  write(offset: number, width: Width, value: number): void;
  /** Absent: the bus makes two 4-byte accesses, low half first. `out[0]` is the low half. */
  read64?(offset: number, out: Uint32Array): void;
  write64?(offset: number, lo: number, hi: number): void;
}

/** Writes of exactly this offset and size need no answer: kvm-core may post them (KVM_IOEVENTFD, KVM_REGISTER_COALESCED_*). */
export interface PostedRange {
  readonly offset: number;
  readonly size: Width;
  readonly kind: "ioeventfd" | "coalesced";
}

/** A device's wire to the interrupt controllers: a level, which an edge-triggered GSI sees rise and fall. */
export interface IrqLine {
  set(level: boolean): void;
}

/** Time since some fixed moment, in nanoseconds. Never goes backwards. */
export interface Clock {
  now(): number;
}

/** One alarm of a device. */
export interface Timer {
  /** Calls back once when the board's clock reaches `atNs`, or soon after; replaces the time before. */
  arm(atNs: number): void;
  disarm(): void;
}

/** Where a device gets its timers. They are called on the device's thread, between two accesses. */
export interface Timers {
  create(callback: () => void): Timer;
}

/** One finished line of text for the operator, without its newline. */
export type Log = (line: string) => void;

/** Ends the run with this process status, as QEMU's isa-debug-exit does. */
export type ExitRequest = (status: number) => void;

/** What a guest may ask of its power supply. The machine does it once the access is complete. */
export type PowerRequest = (what: "shutdown" | "reset") => void;

/** Whether the guest runs, for a device that the host keeps from going on. */
export interface RunState {
  /** Stops the guest, soon; the reason is for the operator, who lets it go on with `cont`. */
  stop(reason: string): void;
  /** Calls back, on the device's thread, whenever the guest goes on after such a stop. */
  onContinue(callback: () => void): void;
}

/** What a back end tells the device in front of it; all are called on the device's thread, from the back end's `poll`. */
export interface CharFrontend {
  /** `read` has something to give. */
  inputReady(): void;
  /** There is room again after `write` returned false. */
  outputReady(): void;
  /** The far end's screen has this size from now on; also called by `attach`, where it is known. */
  resize?(cols: number, rows: number): void;
}

/** The far end of a serial line or console, as its device sees it. None of these waits, except `writeAll`. */
export interface CharBackend {
  /** Takes one byte. False: full, nothing was taken; `outputReady` will be called. */
  write(byte: number): boolean;
  /** Takes one byte and waits for room; for devices that have no flow control. Drops it only if the back end was closed. */
  writeAll(byte: number): void;
  /** Next byte of input, or -1. */
  read(): number;
  attach(frontend: CharFrontend): void;
}

/** Versioned state of one device: JSON-like, so that snapshot, migration and hot reload can share it. */
export interface DeviceState {
  readonly version: number;
  readonly [field: string]: StateValue;
}
export type StateValue = number | boolean | string | readonly StateValue[] | { readonly [field: string]: StateValue };

/** A device whose state can leave and come back. `load` throws an Error naming the device on a state that it cannot take. */
export interface Stateful {
  /** To the state after power-on. */
  reset(): void;
  save(): DeviceState;
  load(state: DeviceState): void;
}

/** Every device of the board: it answers on a bus, or on several through its functions. */
export interface Device extends Stateful {
  readonly name: string;
}

/**
 * State that must change exactly once even if the device process dies between effect and answer. The journal belongs to
 * kvm-core; the owner of the journal calls these around each exit. `journalBytes` is fixed for the device's life.
 */
export interface Journalled {
  readonly journalBytes: number;
  writeJournal(view: DataView, at: number): void;
  readJournal(view: DataView, at: number): void;
}

/** A base address register, as the device describes it. */
export interface PciBar {
  readonly kind: "io" | "memory";
  /** A power of two: at least 4 for io, 16 for memory (PCI 3.0 section 6.2.5.1). */
  readonly size: number;
  readonly region: BusDevice;
  readonly posted?: readonly PostedRange[];
  /** The register that it is at; absent: the next that is free, that of MSI-X left out. */
  readonly at?: number;
  /** Memory with a 64-bit address, which takes the next register, too. */
  readonly wide?: boolean;
  /** Memory without side effects of reads. */
  readonly prefetchable?: boolean;
}

/** What a function's configuration header says of it (PCI 3.0 section 6.2.1). */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** 24 bits: base class, subclass, programming interface. */
  readonly classCode: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
  /** Uses INTA. */
  readonly interrupt: boolean;
  /** Command register bits that are always set; none unless said. */
  readonly command?: number;
  /** Status register bits that are always set; none unless said. */
  readonly status?: number;
}

/**
 * A capability of a function, as it lies in its configuration space: `id`, then the pointer to the next one, which the PCI
 * host writes, then `bytes`. They are read-only, unless the capability answers itself.
 */
export interface PciCapability {
  readonly id: number;
  /** What follows the first two bytes. */
  readonly bytes: Uint8Array;
  /** Absent: reads give `bytes`. Offsets count from the capability's first byte. */
  read?(offset: number, width: Width): number;
  /** Absent: writes are ignored. */
  write?(offset: number, width: Width, value: number): void;
}

/** A function on the PCI bus. Its header is kept by the PCI host, and so are MSI-X capability, table and pending bits. */
export interface PciDevice extends Device {
  readonly identity: PciIdentity;
  /** At most six registers, in their order. */
  readonly bars: readonly PciBar[];
  /** In the order of the list, from 0x40 on. The state of those that answer themselves is the device's. */
  readonly capabilities?: readonly PciCapability[];
  /** Configuration registers of the device's own, where there is no capability: offsets 0x40 to 0xff. Absent: zero. */
  readonly ownConfig?: Pick<BusDevice, "read" | "write">;
  /** MSI-X vectors; the host makes the table, in BAR `bar`, which the device leaves out of `bars`. */
  readonly msix?: { readonly vectors: number; readonly bar: number };
}

/** What the PCI host gives a function. */
export interface PciSlot {
  /** INTA, gated by Interrupt Disable of the command register. */
  readonly intx: IrqLine;
  /** Bus Master Enable of the command register. */
  busMaster(): boolean;
  /** MSI-X as the driver has set it up. */
  readonly msix: PciMsix;
}

/** A message-signalled interrupt on its way from a function to the local APICs. All of them are made with the board. */
export interface MsiVector {
  /** What `send` is to send from now on: a write of `data` to this address (Intel SDM volume 3, section 11.11). */
  set(addressLow: number, addressHigh: number, data: number): void;
  /** Sends it; never lost, but several may become one, as in an APIC's request register. Only after `set`. */
  send(): void;
  /** The driver masks it: takes back what was not sent yet. True if there was something. */
  withdraw(): boolean;
}

/** Where the PCI host gets its vectors. */
export interface MsiSender {
  vector(): MsiVector;
}

/** Message-signalled interrupts of a function (PCI 3.0 section 6.8.2). */
export interface PciMsix {
  /** MSI-X Enable: INTx is not to be used then. */
  readonly enabled: boolean;
  /** Sends the vector's message; a masked one becomes pending. A vector that the table does not have is ignored. */
  notify(vector: number): void;
}
