/**
 * Stand-ins for what a device touches, and a board made of them.
 * Follows: qemu-user/bus/interfaces.ts.
 * Left out: anything that behaves by itself; a test moves every part by hand.
 */

import type { BlockBackend } from "../../../qemu-user/block/block.ts";
import type { CharBackend, CharFrontend, IrqLine, MsiSender, MsiVector } from "../../../qemu-user/bus/interfaces.ts";
import { TimerQueue } from "../../../qemu-user/device/timer-queue.ts";
import { type DeviceOption, defaultProperties } from "../../../qemu-user/machine/device-catalog.ts";
import { createPc, type Pc } from "../../../qemu-user/machine/pc.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";

/** An interrupt input that remembers: its level, and how often it rose. */
export class FakeLine implements IrqLine {
  level = false;
  edges = 0;

  set(level: boolean): void {
    if (level && !this.level) this.edges++;
    this.level = level;
  }
}

/** A back end that takes `room` bytes and gives what a test types. */
export class FakeBackend implements CharBackend {
  room = Number.POSITIVE_INFINITY;
  readonly output: number[] = [];
  readonly #input: number[] = [];
  #frontend: CharFrontend | undefined;

  attach(frontend: CharFrontend): void {
    this.#frontend = frontend;
  }

  write(byte: number): boolean {
    if (this.room === 0) return false;
    this.room--;
    this.output.push(byte);
    return true;
  }

  writeAll(byte: number): void {
    this.output.push(byte);
  }

  read(): number {
    return this.#input.shift() ?? -1;
  }

  /** The far end sends. */
  type(...bytes: number[]): void {
    this.#input.push(...bytes);
    this.#frontend?.inputReady();
  }

  /** The far end takes so many bytes more. */
  makeRoom(bytes: number): void {
    this.room = bytes;
    this.#frontend?.outputReady();
  }

  get pending(): number {
    return this.#input.length;
  }

  get text(): string {
    return String.fromCharCode(...this.output);
  }
}

/** Messages as they are sent: "fee01000 4041". With `hold` they stay owed until `release`. */
export class FakeMsi implements MsiSender {
  readonly sent: string[] = [];
  hold = false;
  readonly #owing: { owed: boolean; send(): void }[] = [];

  vector(): MsiVector {
    let message = "";
    const state = {
      owed: false,
      send: () => {
        state.owed = this.hold;
        if (!this.hold) this.sent.push(message);
      },
    };
    this.#owing.push(state);
    return {
      set: (low, high, data) => {
        message = `${high === 0 ? "" : `${high.toString(16)}:`}${low.toString(16)} ${data.toString(16)}`;
      },
      send: state.send,
      withdraw: () => {
        const { owed } = state;
        state.owed = false;
        return owed;
      },
    };
  }

  /** What was owed is sent now. */
  release(): void {
    this.hold = false;
    for (const state of this.#owing) if (state.owed) state.send();
  }
}

/** A clock that stands still until it is moved; timers that are due are then called, in the order of their times. */
export class FakeClock {
  readonly timers = new TimerQueue();
  #now = 0;

  now(): number {
    return this.#now;
  }

  /** Lets `ns` nanoseconds pass. */
  advance(ns: number): void {
    const end = this.#now + ns;
    while (this.timers.next <= end) {
      this.#now = Math.max(this.#now, this.timers.next);
      this.timers.run(this.#now);
    }
    this.#now = end;
  }
}

export interface TestBoard {
  readonly pc: Pc;
  readonly clock: FakeClock;
  readonly memory: GuestMemory;
  readonly serial: FakeBackend;
  readonly debugcon: FakeBackend;
  /** The back end that `chardev=char0` names. */
  readonly char0: FakeBackend;
  readonly lines: ReadonlyMap<number, FakeLine>;
  readonly log: readonly string[];
  readonly exits: readonly number[];
  readonly power: readonly string[];
  readonly msi: FakeMsi;
}

/** What the RTC of a test board shows when it is built. */
export const WALL_START = Date.UTC(2024, 1, 28, 23, 59, 57);

export const RAM_SIZE = 4 * 1024 * 1024;

/** A `-device` as the command line would give it. */
export function option(name: string, properties: DeviceOption["properties"] = {}, id?: string): DeviceOption {
  return { name, id, properties: { ...defaultProperties(name), ...properties } };
}

export function testBoard(...devices: DeviceOption[]): TestBoard {
  return testBoardWith({ devices });
}

/** The same with disks, or with memory of the test's own. */
export function testBoardWith({
  devices,
  drives = new Map(),
  memory = new GuestMemory(new ArrayBuffer(RAM_SIZE), [{ gpa: 0, size: RAM_SIZE, at: 0 }]),
  entropy,
}: {
  readonly devices: readonly DeviceOption[];
  readonly drives?: ReadonlyMap<string, BlockBackend>;
  readonly memory?: GuestMemory;
  readonly entropy?: (into: Uint8Array) => void;
}): TestBoard {
  const serial = new FakeBackend();
  const debugcon = new FakeBackend();
  const char0 = new FakeBackend();
  const lines = new Map<number, FakeLine>();
  const log: string[] = [];
  const exits: number[] = [];
  const power: string[] = [];
  const clock = new FakeClock();
  const msi = new FakeMsi();
  const pc = createPc({
    memory,
    irq: (gsi) => {
      const line = new FakeLine();
      lines.set(gsi, line);
      return line;
    },
    serial,
    debugcon,
    chars: (id) => (id === "char0" ? char0 : undefined),
    exit: (status) => exits.push(status),
    power: (what) => power.push(what),
    msi,
    wallClock: () => WALL_START + clock.now() / 1e6,
    clock,
    timers: clock.timers,
    runState: { stop: (reason) => log.push(reason), onContinue: () => {} },
    drives,
    entropy,
    devices,
    log: (line) => log.push(line),
    unclaimed: (line) => log.push(line),
  });
  return { pc, clock, memory, serial, debugcon, char0, lines, log, exits, power, msi };
}

/** A driver's view of PCI configuration space: mechanism 1, bus 0, function 0. */
export class PciDriver {
  readonly #pc: Pc;

  constructor(pc: Pc) {
    this.#pc = pc;
  }

  read(slot: number, register: number, width: 1 | 2 | 4 = 4): number {
    this.#select(slot, register);
    return this.#pc.ports.read(0xcfc + (register & 3), width);
  }

  write(slot: number, register: number, value: number, width: 1 | 2 | 4 = 4): void {
    this.#select(slot, register);
    this.#pc.ports.write(0xcfc + (register & 3), width, value);
  }

  #select(slot: number, register: number): void {
    this.#pc.ports.write(0xcf8, 4, (0x8000_0000 | (slot << 11) | (register & 0xfc)) >>> 0);
  }
}
