/**
 * Test device of kvm-unit-tests: ports and memory that hold what is written, and a port for each interrupt line.
 * Follows: QEMU's hw/misc/pc-testdev.c.
 * Left out: what a write to the flush port does there, taking a page from the guest and giving it back: here no mapping
 * of the host's lies behind a page. Of that port there is one byte: the debug console has the next.
 */
import type { BusDevice, Device, DeviceState, IrqLine, Width } from "../bus/interfaces.ts";
import { expectList, expectUnsigned, expectVersion } from "../bus/state.ts";

const PORTS = 4;
const MEMORY_SIZE = 0x1_0000;
export const TESTDEV_LINES = 24;

export class PcTestdev implements Device {
  readonly name = "pc-testdev";
  /** Four bytes, from 0xe0 in QEMU; those from 0xe4 are the same ones. */
  readonly ports: BusDevice = this.#holds("pc-testdev-ioport", () => this.#bytes);
  readonly flush: BusDevice = { name: "pc-testdev-flush-page", read: () => 0, write() {} };
  /** One port a line; from 0x2000 in QEMU. */
  readonly irqs: BusDevice = {
    name: "pc-testdev-irq-line",
    read: () => 0,
    write: (offset, width, value) => this.#writeLines(offset, width, value),
  };
  readonly memory: BusDevice = this.#holds("pc-testdev-iomem", () => this.#memory);
  readonly #bytes = new Uint8Array(PORTS);
  readonly #memory = new Uint8Array(MEMORY_SIZE);
  readonly #lines: readonly IrqLine[];
  #levels = 0;

  /** `line` gives each of TESTDEV_LINES interrupt inputs. */
  constructor(line: (gsi: number) => IrqLine) {
    this.#lines = Array.from({ length: TESTDEV_LINES }, (_, gsi) => line(gsi));
  }

  reset(): void {
    this.#bytes.fill(0);
    this.#memory.fill(0);
    this.#setLevels(0);
  }

  save(): DeviceState {
    // Trailing zeros go without saying: a test writes a few bytes of the memory.
    const used = this.#memory.findLastIndex((byte) => byte !== 0) + 1;
    return { version: 1, bytes: [...this.#bytes], memory: [...this.#memory.subarray(0, used)], levels: this.#levels };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const bytes = expectList(this.name, "bytes", state["bytes"], PORTS, 0xff);
    const memory = expectList(this.name, "memory", state["memory"], MEMORY_SIZE, 0xff);
    const levels = expectUnsigned(this.name, "levels", state["levels"], 2 ** TESTDEV_LINES - 1);
    this.#bytes.fill(0);
    this.#bytes.set(bytes);
    this.#memory.fill(0);
    this.#memory.set(memory);
    this.#setLevels(levels);
  }

  /** The bus lets no access past the region's end. */
  #holds(name: string, bytes: () => Uint8Array): BusDevice {
    return {
      name,
      read(offset, width) {
        let value = 0;
        for (let i = 0; i < width; i++) value |= bytes()[offset + i]! << (8 * i);
        return value >>> 0;
      },
      write(offset, width, value) {
        for (let i = 0; i < width; i++) bytes()[offset + i] = value >>> (8 * i);
      },
    };
  }

  /** A byte is a line's level; a wider write is one of several bytes. */
  #writeLines(offset: number, width: Width, value: number): void {
    let levels = this.#levels;
    for (let i = 0; i < width; i++) {
      const bit = 1 << (offset + i);
      levels = ((value >>> (8 * i)) & 0xff) !== 0 ? levels | bit : levels & ~bit;
    }
    this.#setLevels(levels);
  }

  #setLevels(levels: number): void {
    this.#levels = levels;
    for (let gsi = 0; gsi < TESTDEV_LINES; gsi++) this.#lines[gsi]!.set(((levels >>> gsi) & 1) !== 0);
  }
}
