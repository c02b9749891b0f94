/**
 * DMA page registers, ports 0x80 to 0x8f: sixteen bytes. Firmware shows its progress in the first, and everybody writes
 * there to pass a microsecond.
 * Follows: IBM PC/AT Technical Reference, "DMA page registers" (a 74LS612); the PIIX3's data sheet says that all can be read.
 * Left out: the DMA controllers, for which there is no device on this board.
 */
import type { BusDevice, Device, DeviceState, Width } from "../bus/interfaces.ts";
import { expectList, expectVersion } from "../bus/state.ts";

const REGISTERS = 16;

export class DmaPage implements BusDevice, Device {
  readonly name = "dma-page";
  readonly #bytes = new Uint8Array(REGISTERS);

  read(offset: number, width: Width): number {
    let value = 0;
    for (let i = 0; i < width; i++) value |= this.#bytes[offset + i]! << (8 * i);
    return value >>> 0;
  }

  write(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) this.#bytes[offset + i] = value >>> (8 * i);
  }

  reset(): void {
    this.#bytes.fill(0);
  }

  save(): DeviceState {
    return { version: 1, bytes: [...this.#bytes] };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const bytes = expectList(this.name, "bytes", state["bytes"], REGISTERS, 0xff);
    this.#bytes.fill(0);
    this.#bytes.set(bytes);
  }
}
