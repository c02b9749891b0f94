/**
 * QEMU's pci-testdev: BARs on which a guest measures writes to memory and to ports, and those that kvm-core posts.
 * Follows: QEMU's docs/specs/pci-testdev; names, offsets and data of the tests are those of its device.
 * Left out: BAR2 (membar=). Writes of the eventfd tests count as the others do, for nobody takes them from the device
 * before it counts; those tests differ in that kvm-core may post the writes.
 */
import type { BusDevice, DeviceState, PciBar, PciDevice, PciIdentity, PostedRange, Width } from "../bus/interfaces.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

/** The header: test, width, offset, data, count, name. */
const HEADER = { TEST: 0, WIDTH: 1, OFFSET: 4, DATA: 8, COUNT: 12, NAME: 16 } as const;
const TESTS = ["no-eventfd", "wildcard-eventfd", "datamatch-eventfd"] as const;
const WILDCARD = 1;
const ACCESS_WIDTH = 1;
const DATA = { match: 0xfa, other: 0xce } as const;

/** Bytes up to the places that are written to: after them each BAR has as many again. */
const HALF = { mmio: 2048, portio: 128 } as const;
type Kind = keyof typeof HALF;

/** The tests are numbered through, memory first, and each has a byte of its own. */
const testOffset = (kind: Kind, test: number) => HALF[kind] + (kind === "mmio" ? 0 : TESTS.length) + test;

const NONE = -1;

export class PciTestdev implements PciDevice {
  readonly name: string;
  readonly identity: PciIdentity = {
    vendor: 0x1b36,
    device: 0x0005,
    revision: 0,
    classCode: 0xff_0000,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    interrupt: false,
  };
  readonly bars: readonly PciBar[];

  readonly #headers: Readonly<Record<Kind, readonly Uint8Array[]>> = {
    mmio: headers("mmio"),
    portio: headers("portio"),
  };
  /** The test that was started last, on either BAR. */
  #kind: Kind = "mmio";
  #test = NONE;
  #count = 0;

  constructor(name: string) {
    this.name = name;
    this.bars = [
      { kind: "memory", size: 2 * HALF.mmio, region: this.#region("mmio"), posted: posted("mmio") },
      { kind: "io", size: 2 * HALF.portio, region: this.#region("portio"), posted: posted("portio") },
    ];
  }

  reset(): void {
    this.#kind = "mmio";
    this.#test = NONE;
    this.#count = 0;
  }

  save(): DeviceState {
    return { version: 1, ports: this.#kind === "portio" ? 1 : 0, test: this.#test + 1, count: this.#count };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const ports = expectUnsigned(this.name, "ports", state["ports"], 1);
    const test = expectUnsigned(this.name, "test", state["test"], TESTS.length);
    const count = expectUnsigned(this.name, "count", state["count"], 0xffff_ffff);
    this.#kind = ports === 1 ? "portio" : "mmio";
    this.#test = test - 1;
    this.#count = count;
  }

  #region(kind: Kind): BusDevice {
    return {
      name: `${this.name}.${kind}`,
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => {
        for (let i = 0; i < width; i++) this.#write(kind, offset + i, (value >>> (8 * i)) & 0xff);
      },
    };
  }

  /** Either BAR shows the header of the test under way. */
  #read(offset: number, width: Width): number {
    const header = this.#headers[this.#kind][this.#test];
    if (header === undefined) return 0;
    let value = 0;
    for (let i = 0; i < width; i++) value |= this.#byte(header, offset + i) << (8 * i);
    return value >>> 0;
  }

  #byte(header: Uint8Array, at: number): number {
    if (at >= HEADER.COUNT && at < HEADER.NAME) return (this.#count >>> (8 * (at - HEADER.COUNT))) & 0xff;
    return header[at] ?? 0;
  }

  #write(kind: Kind, offset: number, value: number): void {
    if (offset === HEADER.TEST) {
      this.#kind = kind;
      this.#test = value < TESTS.length ? value : NONE;
      this.#count = 0;
      return;
    }
    const header = this.#headers[this.#kind][this.#test];
    if (header === undefined || offset !== testOffset(this.#kind, this.#test)) return;
    if (this.#test === WILDCARD || value === header[HEADER.DATA]) this.#count = (this.#count + 1) >>> 0;
  }
}

function headers(kind: Kind): readonly Uint8Array[] {
  return TESTS.map((name, test) => {
    const text = `${kind}-${name}\0`;
    const header = new Uint8Array(HEADER.NAME + text.length);
    header[HEADER.TEST] = test + (kind === "mmio" ? 0 : TESTS.length);
    header[HEADER.WIDTH] = ACCESS_WIDTH;
    new DataView(header.buffer).setUint32(HEADER.OFFSET, testOffset(kind, test), true);
    header[HEADER.DATA] = test === WILDCARD ? DATA.other : DATA.match;
    header.set(Buffer.from(text, "latin1"), HEADER.NAME);
    return header;
  });
}

/** The places of the tests with an eventfd. */
function posted(kind: Kind): readonly PostedRange[] {
  return [1, 2].map((test) => ({ offset: testOffset(kind, test), size: ACCESS_WIDTH, kind: "ioeventfd" }));
}
