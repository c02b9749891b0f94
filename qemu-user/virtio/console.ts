/**
 * virtio console with one port: bytes between a driver's buffers and a character back end, and the size of its screen.
 * Follows: VIRTIO 1.2 section 5.3 "Console Device".
 * Left out: several ports (VIRTIO_CONSOLE_F_MULTIPORT), and so ports' names, and opening and closing.
 */
import type { CharBackend, CharFrontend, StateValue, Width } from "../bus/interfaces.ts";
import { expectUnsigned } from "../bus/state.ts";
import type { Chain, VirtioDevice, VirtioHost, Virtqueue } from "./virtio.ts";

const F = { SIZE: 1n << 0n, EMERG_WRITE: 1n << 2n } as const;
const [RECEIVE, TRANSMIT] = [0, 1] as const;
const QUEUE_SIZE = 128;
/** struct virtio_console_config: cols, rows (16 bits), max_nr_ports, emerg_wr. */
const CONFIG = { COLS: 0, ROWS: 2, EMERG_WR: 8, SIZE: 12 } as const;

export class VirtioConsole implements VirtioDevice, CharFrontend {
  readonly name: string;
  readonly deviceId = 3;
  readonly classCode = 0x07_8000;
  readonly features = F.SIZE | F.EMERG_WRITE;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE];
  readonly configSize = CONFIG.SIZE;

  readonly #host: VirtioHost;
  readonly #backend: CharBackend | null;
  readonly #config = new DataView(new ArrayBuffer(CONFIG.SIZE));
  #sized = false;
  /** The driver has been told of the size that there was when it began. */
  #told = false;
  #receive: Virtqueue | undefined;
  #transmit: Virtqueue | undefined;
  /** A buffer that waits for input. */
  #input: Chain | undefined;
  /** Output that the back end has not taken all of, and how many bytes it has. */
  #output: Chain | undefined;
  #sent = 0;

  /** `backend` null: output vanishes. */
  constructor(name: string, host: VirtioHost, backend: CharBackend | null) {
    this.name = name;
    this.#host = host;
    this.#backend = backend;
    backend?.attach(this);
  }

  /** The far end's screen has this size from now on. 0 by 0, as at first: nobody knows. */
  resize(cols: number, rows: number): void {
    this.#config.setUint16(CONFIG.COLS, cols, true);
    this.#config.setUint16(CONFIG.ROWS, rows, true);
    if (this.#sized) this.#host.configChanged();
  }

  readConfig(offset: number, width: Width): number {
    let value = 0;
    for (let i = 0; i < width; i++) value |= this.#config.getUint8(offset + i) << (8 * i);
    return value >>> 0;
  }

  /** emerg_wr: a byte of output without queues, also before the driver runs. All else is read-only. */
  writeConfig(offset: number, _width: Width, value: number): void {
    if (offset === CONFIG.EMERG_WR) this.#backend?.writeAll(value & 0xff);
  }

  start(features: bigint, queues: readonly Virtqueue[]): void {
    this.#sized = (features & F.SIZE) !== 0n;
    this.#receive = queues[RECEIVE];
    this.#transmit = queues[TRANSMIT];
  }

  notify(queue: number): void {
    if (queue === RECEIVE) this.inputReady();
    else this.outputReady();
  }

  /** Fills buffers as long as there are both. Input that has none stays with the back end. */
  inputReady(): void {
    const queue = this.#receive;
    if (queue === undefined || this.#backend === null) return;
    for (;;) {
      this.#input ??= queue.pop();
      const chain = this.#input;
      if (chain === undefined) break;
      const count = this.#fill(chain.writable);
      if (count === 0 && chain.writable.length > 0) break;
      this.#input = undefined;
      queue.push(chain, count);
    }
    queue.notifyDriver();
  }

  /** Sends what waits, as far as the back end takes it. */
  outputReady(): void {
    const queue = this.#transmit;
    if (queue === undefined) return;
    for (;;) {
      this.#output ??= queue.pop();
      const chain = this.#output;
      if (chain === undefined) break;
      this.#tellSize();
      if (!this.#send(chain.readable)) break;
      this.#output = undefined;
      this.#sent = 0;
      queue.push(chain, 0);
    }
    queue.notifyDriver();
  }

  /** Linux looks at the size when it is told of a change, and not before its port is there, which output shows. */
  #tellSize(): void {
    if (this.#told) return;
    this.#told = true;
    if (this.#sized && this.#config.getUint32(CONFIG.COLS) !== 0) this.#host.configChanged();
  }

  /** Drops what the driver has not been told of; input that the back end still holds arrives afterwards. */
  reset(): void {
    this.#sized = false;
    this.#told = false;
    this.#receive = undefined;
    this.#transmit = undefined;
    this.#input = undefined;
    this.#output = undefined;
    this.#sent = 0;
  }

  /** The chains themselves come again from their queues. */
  save(): StateValue {
    return { cols: this.readConfig(CONFIG.COLS, 2), rows: this.readConfig(CONFIG.ROWS, 2), sent: this.#sent };
  }

  load(state: StateValue): void {
    const saved = (state ?? {}) as Readonly<Record<string, StateValue>>;
    const cols = expectUnsigned(this.name, "cols", saved["cols"], 0xffff);
    const rows = expectUnsigned(this.name, "rows", saved["rows"], 0xffff);
    this.#sent = expectUnsigned(this.name, "sent", saved["sent"], 2 ** 32);
    this.#config.setUint16(CONFIG.COLS, cols, true);
    this.#config.setUint16(CONFIG.ROWS, rows, true);
  }

  #fill(buffers: readonly Uint8Array[]): number {
    let count = 0;
    for (const buffer of buffers) {
      for (let i = 0; i < buffer.length; i++) {
        const byte = this.#backend?.read() ?? -1;
        if (byte < 0) return count;
        buffer[i] = byte;
        count++;
      }
    }
    return count;
  }

  /** True when all of it is sent; else the back end calls outputReady. */
  #send(buffers: readonly Uint8Array[]): boolean {
    if (this.#backend === null) return true;
    let first = 0; // how much was before this buffer
    for (const buffer of buffers) {
      while (this.#sent - first < buffer.length) {
        if (!this.#backend.write(buffer[this.#sent - first]!)) return false;
        this.#sent++;
      }
      first += buffer.length;
    }
    return true;
  }
}
