/**
 * The fuzzer of devices: each case is a board of its own, to which a guest does what no guest should. What must hold:
 * nothing is thrown, every access ends after bounded work and gives a value of its width, RAM that nobody gave away stays,
 * state saved is state loaded, messages are few, and a driver that then does it right is served.
 * Left out: threads, and the host's failures: those have tests of their own.
 */
import { VirtioPci } from "../../qemu-user/virtio/pci.ts";
import { AREA, NOTIFY_MULTIPLIER } from "../../qemu-user/virtio/pci-capabilities.ts";
import { PciDriver } from "../qemu-user/support/fakes.ts";
import { Finding } from "./connection.ts";
import { Accesses } from "./device-accesses.ts";
import { type FuzzBoard, FuzzFiles, type FuzzPlan, fuzzBoard, fuzzPlan, WatchedMemory } from "./device-board.ts";
import { VirtioFunction } from "./device-driver.ts";
import { type Random, random } from "./generator.ts";

export interface DeviceFuzzOptions {
  readonly count: number;
  readonly seed: number;
  /** Only this one. */
  readonly only?: number;
  readonly log: (line: string) => void;
  /** Told of each case as it begins. */
  readonly onCase?: (number: number) => void;
}

export interface DeviceFuzzResult {
  readonly cases: number;
  /** Of them, those whose state was loaded and compared. */
  readonly compared: number;
  readonly served: number;
  /** Of what the last case's guest read. */
  readonly digest: number;
}

const STEPS = 60;
/** Some guests go on for longer: what grows without bound shows. */
const MANY_STEPS = 2500;
/** A guest must not fill a disk: 64 addresses of each bus, 16 mistakes of each virtio device, and a few more. */
const LOG_LINES = 2 * 65 + 3 * 16 + 8;
/** What answers in kvm-core, over which nothing may be decoded. */
const CORE_MEMORY = [
  { gpa: 0xfec0_0000, size: 0x1000 },
  { gpa: 0xfee0_0000, size: 0x10_0000 },
] as const;
const COMMAND_ALL = 7;
const BARS = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24] as const;
const SLOTS = Array.from({ length: 32 }, (_, slot) => slot);

/** Throws a Finding that says which case it was, and what the guest did last. */
export function fuzzDevices({ count, seed, only, log, onCase }: DeviceFuzzOptions): DeviceFuzzResult {
  const files = new FuzzFiles();
  const memory = new WatchedMemory();
  let [compared, served, digest] = [0, 0, 0];
  try {
    for (let number = only ?? 0; number < (only === undefined ? count : only + 1); number++) {
      onCase?.(number);
      const fuzzCase = new Case(random(seed * 1_000_003 + number), files, memory);
      try {
        fuzzCase.run(only !== undefined);
      } catch (error) {
        const what = error instanceof Finding ? error.message : String((error as Error).stack);
        const last = fuzzCase.trail.map((line) => `  ${line}`).join("\n");
        throw new Finding(`case ${number}: ${what}\nthe last accesses:\n${last}`, { cause: error });
      }
      if (fuzzCase.compared) compared++;
      served += fuzzCase.served;
      digest = fuzzCase.digest;
      if ((number + 1) % 10_000 === 0) log(`${number + 1} cases`);
    }
  } finally {
    files.close();
  }
  return { cases: only === undefined ? count : 1, compared, served, digest };
}

class Case {
  readonly #chance: Random;
  readonly #plan: FuzzPlan;
  readonly #board: FuzzBoard;
  readonly #accesses: Accesses;
  readonly #functions: VirtioFunction[];
  readonly #pci: PciDriver;
  /** BARs where firmware put them. */
  readonly #bars: readonly (readonly number[])[];
  /** Regions that are no BARs. */
  readonly #fixed: ReadonlySet<string>;
  compared = false;
  served = 0;

  constructor(chance: Random, files: FuzzFiles, memory: WatchedMemory) {
    this.#chance = chance;
    memory.restore();
    memory.steps = 0;
    this.#plan = fuzzPlan(chance, files);
    this.#board = fuzzBoard(this.#plan, memory, chance);
    this.#accesses = new Accesses(this.#board, chance);
    this.#functions = VirtioFunction.all(this.#board, this.#accesses, chance);
    this.#pci = new PciDriver(this.#board.pc);
    const regions = [this.#board.pc.ports, this.#board.pc.mmio].flatMap((bus) =>
      bus.regions().map(({ base, device }) => ({ key: `${bus.name} ${base} ${device.name}`, name: device.name })),
    );
    const isBar = /\.(bar\d|msix|mmio|portio)$/;
    this.#fixed = new Set(regions.filter(({ name }) => !isBar.test(name)).map(({ key }) => key));
    this.#bars = SLOTS.map((slot) => BARS.map((register) => this.#pci.read(slot, register)));
  }

  get digest(): number {
    return this.#accesses.digest;
  }

  get trail(): readonly string[] {
    return this.#accesses.trail;
  }

  run(exact: boolean): void {
    const chance = this.#chance;
    this.#accesses.exact = exact;
    const virtio = chance(3) !== 0;
    const chosen = this.#functions[chance(this.#functions.length)]!;
    this.#fillLowRam();
    if (virtio) chosen.begin();
    const steps = chance(128) === 0 ? MANY_STEPS : STEPS;
    for (let step = 0; step < steps; step++) {
      const kind = chance(64);
      if (kind === 0) this.#outside();
      else if (virtio && kind === 1) this.#functions[chance(this.#functions.length)]!.begin();
      else if (virtio && kind < 48) chosen.step();
      else this.#accesses.any();
    }
    this.#board.memory.check();
    this.#checkLog();
    this.#checkRegions();
    this.#checkState();
    this.#rescue();
    for (const each of this.#functions) each.serve();
    this.served += this.#functions.length;
    this.#board.memory.check();
  }

  /** DMA that random registers start finds something, of either byte order. */
  #fillLowRam(): void {
    const word = new DataView(new ArrayBuffer(4));
    for (let at = 0; at < 256; at += 4) {
      word.setUint32(0, this.#accesses.value(), this.#chance(2) === 0);
      this.#board.memory.writeU32(at, word.getUint32(0));
    }
  }

  /** What comes from elsewhere: time, input, room for output, a reset, the power button. */
  #outside(): void {
    const chance = this.#chance;
    const { pc, clock, serial, char0, msi, disk } = this.#board;
    this.#board.memory.steps = 0;
    const kind = chance(8);
    if (kind < 2) clock.advance(chance(50_000_000));
    else if (kind === 2) serial.type(chance(256), chance(256));
    else if (kind === 3) char0.type(chance(256), chance(256));
    else if (kind === 4) {
      pc.reset();
      if (disk.underWay > 0) throw new Finding("requests are under way after a reset");
    } else if (kind === 5) pc.powerButton();
    else if (kind === 6) disk.finish(chance);
    else if (msi.hold) msi.release();
    else msi.hold = true;
  }

  /** BARs answer where their registers say, and nowhere over RAM or what is kvm-core's. */
  #checkRegions(): void {
    const { pc, memory } = this.#board;
    const decoded = SLOTS.flatMap((slot) => {
      const command = this.#pci.read(slot, 4, 2);
      const bars = BARS.map((register) => this.#pci.read(slot, register));
      return bars.flatMap((bar) => {
        if ((bar & 1) !== 0) return (command & 1) !== 0 ? [`port ${(bar & ~3) >>> 0}`] : [];
        return (command & 2) !== 0 ? [`memory ${(bar & ~0xf) >>> 0}`] : [];
      });
    });
    for (const bus of [pc.ports, pc.mmio]) {
      for (const { base, size, device } of bus.regions()) {
        const what = `${device.name} at 0x${base.toString(16)} of the ${bus.name} bus`;
        const firmwares = this.#fixed.has(`${bus.name} ${base} ${device.name}`);
        if (!firmwares && !decoded.includes(`${bus.name} ${base}`)) throw new Finding(`no BAR says ${what}`);
        const under = [...memory.slots, ...CORE_MEMORY].find(
          (slot) => base < slot.gpa + slot.size && slot.gpa < base + size,
        );
        if (bus === pc.mmio && under !== undefined) throw new Finding(`${what} lies over 0x${under.gpa.toString(16)}`);
      }
    }
  }

  #checkLog(): void {
    const { log } = this.#board;
    if (log.length > LOG_LINES) throw new Finding(`${log.length} lines are logged: ${log.at(-1)}`);
    const long = log.find((line) => line.length > 200 || line.includes("\n"));
    if (long !== undefined) throw new Finding(`this is logged as one line: ${long}`);
  }

  /** A board like this one takes the state, and gives it again; unless it then had work to do. */
  #checkState(): void {
    const { pc, memory, disk, serial, char0, clock, msi } = this.#board;
    if (this.#chance(4) !== 0) return;
    msi.release();
    serial.makeRoom(Number.POSITIVE_INFINITY);
    char0.makeRoom(Number.POSITIVE_INFINITY);
    disk.keeps = false;
    memory.steps = 0;
    for (const device of pc.devices.values()) if (device instanceof VirtioPci) notifyAll(device);
    const state = JSON.stringify(pc.save());
    const before = memory.copy();
    const other = fuzzBoard(this.#plan, memory, this.#chance);
    other.clock.advance(clock.now());
    memory.steps = 0;
    other.pc.load(JSON.parse(state));
    const worked = !memory.holds(before) || other.char0.output.length > 0 || other.log.length > 0;
    const again = JSON.stringify(other.pc.save());
    if (worked) return;
    this.compared = true;
    const places = ({ pc: { ports, mmio } }: FuzzBoard) =>
      [ports, mmio].flatMap((bus) => bus.regions().map(({ base, device }) => `${device.name} at ${base}`)).join();
    if (places(other) !== places(this.#board)) throw new Finding("BARs answer elsewhere when they are loaded");
    if (again === state) return;
    throw new Finding(`state changes when it is loaded: ${firstDifference(state, again)}`);
  }

  /** As firmware would: decoding off, BARs back to their places, on again. */
  #rescue(): void {
    const { memory, disk, char0 } = this.#board;
    memory.steps = 0;
    disk.keeps = false;
    char0.makeRoom(Number.POSITIVE_INFINITY);
    for (const slot of SLOTS) this.#pci.write(slot, 4, 0, 2);
    for (const slot of SLOTS) for (const [n, at] of BARS.entries()) this.#pci.write(slot, at, this.#bars[slot]![n]!);
    for (const slot of SLOTS) this.#pci.write(slot, 4, COMMAND_ALL, 2);
  }
}

/** What a driver made available without saying so would be found when the state is loaded. */
function notifyAll(device: VirtioPci): void {
  const { region } = device.bars[0]!;
  for (const n of device.queueSizes.keys()) region.write(AREA.NOTIFY + NOTIFY_MULTIPLIER * n, 2, n);
}

function firstDifference(a: string, b: string): string {
  let at = 0;
  while (a[at] === b[at]) at++;
  const around = (text: string) => text.slice(Math.max(0, at - 120), at + 60);
  return `\n  ${around(a)}\n  ${around(b)}`;
}
