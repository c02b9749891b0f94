/**
 * 16550A UART: the PC's serial port.
 * Follows: National Semiconductor PC16550D data sheet, sections 8.0 "Registers" and 8.7 "FIFO interrupt mode operation".
 * Left out: line speed and character framing (bytes arrive whole, at once), DMA mode, modem lines of the far end: they
 * are asserted where something is plugged in. The receiver's time-out interrupt comes without the wait of four characters.
 */
import type { BusDevice, CharBackend, CharFrontend, Device, DeviceState, IrqLine, Width } from "../bus/interfaces.ts";
import { type RegisterDevice, regmap } from "../bus/regmap.ts";
import { expectBoolean, expectList, expectUnsigned, expectVersion } from "../bus/state.ts";

const FIFO_SIZE = 16;

const IER = { RX: 0x01, THRE: 0x02, LINE: 0x04, MODEM: 0x08 } as const;
/** Interrupt identification, by falling priority (data sheet table IV). */
const IIR = { LINE: 0x06, RX: 0x04, TIMEOUT: 0x0c, THRE: 0x02, MODEM: 0x00, NONE: 0x01, FIFOS: 0xc0 } as const;
const FCR = { ENABLE: 0x01, CLEAR_RX: 0x02, CLEAR_TX: 0x04, KEPT: 0xc9 } as const;
const LCR = { BREAK: 0x40, DLAB: 0x80 } as const;
const MCR = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, LOOP: 0x10 } as const;
const LSR = { DR: 0x01, OE: 0x02, BI: 0x10, THRE: 0x20, TEMT: 0x40, FIFO_ERROR: 0x80, ERRORS: 0x1e } as const;
const MSR = { TERI: 0x04, CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80 } as const;

/** Received bytes at which the interrupt comes, by the two top bits of FCR. */
const TRIGGER = [1, 4, 8, 14] as const;

const REGS = regmap<Uart16550>("serial", 8, {
  RBR: { at: 0, when: (u) => !u.dlab, ro: 0xff, read: (u) => u.receive() },
  THR: { at: 0, when: (u) => !u.dlab, wo: true, write: (u, v) => u.transmit(v) },
  DLL: { at: 0, when: (u) => u.dlab, reset: 0x0c },
  IER: { at: 1, when: (u) => !u.dlab, rsvd: 0xf0, write: (u, v, old) => u.enableInterrupts(v, old) },
  DLM: { at: 1, when: (u) => u.dlab },
  IIR: { at: 2, ro: 0xff, read: (u) => u.identifyInterrupt() },
  FCR: { at: 2, wo: true, write: (u, v) => u.controlFifos(v) },
  LCR: { at: 3, write: (u, v, old) => u.controlLine(v, old) },
  MCR: { at: 4, rsvd: 0xe0, write: (u) => u.controlModem() },
  LSR: { at: 5, ro: 0xff, read: (u) => u.readLineStatus() },
  MSR: { at: 6, ro: 0xff, read: (u) => u.readModemStatus() },
  SCR: { at: 7 },
});

/** The registers' table, for the test of all maps and for documentation. */
export const SERIAL_REGISTERS = REGS;

const IER_AT = REGS.index("IER");
const LCR_AT = REGS.index("LCR");
const MCR_AT = REGS.index("MCR");

export class Uart16550 implements BusDevice, Device, RegisterDevice, CharFrontend {
  readonly name = "serial";
  readonly regs: Uint32Array = REGS.storage();
  trace?: ((line: string) => void) | undefined;

  readonly #irq: IrqLine;
  readonly #backend: CharBackend | null;
  #asserted = false;

  /** Receiver: byte in bits 0-7, its line status errors in bits 8-15. Without FIFOs only one place is used. */
  readonly #rx = new Uint16Array(FIFO_SIZE);
  #rxFirst = 0;
  #rxCount = 0;
  /** Transmitter: what the back end had no room for. */
  readonly #tx = new Uint8Array(FIFO_SIZE);
  #txFirst = 0;
  #txCount = 0;

  #fcr = 0;
  #errors = 0; // OE, and the errors of the byte at the head
  #threInterrupt = false;
  #modemLines = 0;
  #modemDeltas = 0;

  /** `backend` null: nothing is plugged in. */
  constructor(irq: IrqLine, backend: CharBackend | null) {
    this.#irq = irq;
    this.#backend = backend;
    backend?.attach(this);
    this.reset();
  }

  read(offset: number, width: Width): number {
    return REGS.read(this, offset, width);
  }

  write(offset: number, width: Width, value: number): void {
    REGS.write(this, offset, width, value);
  }

  get dlab(): boolean {
    return (this.regs[LCR_AT]! & LCR.DLAB) !== 0;
  }

  /** RBR: takes the byte at the head, or 0, and makes room for the next from the back end. */
  receive(): number {
    if (this.#rxCount === 0) return 0;
    const byte = this.#rx[this.#rxFirst]! & 0xff;
    this.#rxFirst = (this.#rxFirst + 1) % FIFO_SIZE;
    this.#rxCount--;
    if (this.#rxCount > 0) this.#revealErrors();
    this.#takeInput();
    this.#updateIrq();
    return byte;
  }

  /** THR. A write into a full transmitter loses the byte, as in hardware; THRE told the guest to wait. */
  transmit(byte: number): void {
    this.#threInterrupt = false;
    this.#updateIrq(); // an edge-triggered line must fall before it can rise again
    if (this.#looped) {
      this.#accept(byte);
      this.#transmitterEmpty();
    } else {
      if (this.#txCount < this.#depth) this.#tx[(this.#txFirst + this.#txCount++) % FIFO_SIZE] = byte;
      this.#flush();
    }
  }

  enableInterrupts(value: number, old: number): void {
    if ((value & ~old & IER.THRE) !== 0 && this.#txCount === 0) this.#threInterrupt = true;
    this.#updateIrq();
  }

  /** IIR. Reading it acknowledges the transmitter's interrupt if that is the one it names. */
  identifyInterrupt(): number {
    const source = this.#interruptSource();
    if (source === IIR.THRE) {
      this.#threInterrupt = false;
      this.#updateIrq();
    }
    return source | ((this.#fcr & FCR.ENABLE) !== 0 ? IIR.FIFOS : 0);
  }

  /** FCR. Switching the FIFOs on or off empties them; the other bits count only while they are on. */
  controlFifos(value: number): void {
    const switched = ((value ^ this.#fcr) & FCR.ENABLE) !== 0;
    this.#fcr = (value & FCR.ENABLE) !== 0 ? value & FCR.KEPT : 0;
    const on = (value & FCR.ENABLE) !== 0;
    if (switched || (on && (value & FCR.CLEAR_RX) !== 0)) {
      this.#rxCount = 0;
      this.#errors = 0;
    }
    if (switched || (on && (value & FCR.CLEAR_TX) !== 0)) {
      this.#txCount = 0;
      this.#threInterrupt = true;
    }
    this.#takeInput();
    this.#updateIrq();
  }

  /** LCR. A break that begins in loopback comes back as a zero byte with BI. */
  controlLine(value: number, old: number): void {
    if ((value & ~old & LCR.BREAK) !== 0 && this.#looped) this.#accept(LSR.BI << 8);
    this.#updateIrq();
  }

  /** MCR. In loopback its outputs are the modem's inputs; leaving it brings the back end back. */
  controlModem(): void {
    this.#setModemLines(this.#wiredModemLines());
    this.#flush();
    this.#takeInput();
    this.#updateIrq();
  }

  /** LSR. Reading it clears the errors. */
  readLineStatus(): number {
    let status = this.#errors;
    if (this.#rxCount > 0) status |= LSR.DR;
    if (this.#txCount === 0) status |= LSR.THRE | LSR.TEMT;
    if ((this.#fcr & FCR.ENABLE) !== 0 && this.#fifoHasErrors()) status |= LSR.FIFO_ERROR;
    if (this.#rxCount > 0) this.#rx[this.#rxFirst]! &= 0xff;
    this.#errors = 0;
    this.#updateIrq();
    return status;
  }

  /** MSR. Reading it clears the change bits. */
  readModemStatus(): number {
    const status = this.#modemLines | this.#modemDeltas;
    this.#modemDeltas = 0;
    this.#updateIrq();
    return status;
  }

  inputReady(): void {
    this.#takeInput();
    this.#updateIrq();
  }

  outputReady(): void {
    this.#flush();
  }

  /** Drops what is in the FIFOs; input that the back end still holds arrives afterwards. */
  reset(): void {
    REGS.reset(this);
    this.#rxCount = 0;
    this.#txCount = 0;
    this.#fcr = 0;
    this.#errors = 0;
    this.#threInterrupt = false;
    this.#modemLines = this.#wiredModemLines();
    this.#modemDeltas = 0;
    this.#updateIrq();
  }

  save(): DeviceState {
    return {
      version: 1,
      regs: REGS.save(this),
      rx: Array.from({ length: this.#rxCount }, (_, i) => this.#rx[(this.#rxFirst + i) % FIFO_SIZE]!),
      tx: Array.from({ length: this.#txCount }, (_, i) => this.#tx[(this.#txFirst + i) % FIFO_SIZE]!),
      fcr: this.#fcr,
      errors: this.#errors,
      threInterrupt: this.#threInterrupt,
      modemDeltas: this.#modemDeltas,
    };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const rx = expectList(this.name, "rx", state["rx"], FIFO_SIZE, (LSR.ERRORS << 8) | 0xff);
    const tx = expectList(this.name, "tx", state["tx"], FIFO_SIZE, 0xff);
    const fcr = expectUnsigned(this.name, "fcr", state["fcr"], 0xff) & FCR.KEPT;
    const errors = expectUnsigned(this.name, "errors", state["errors"], 0xff) & LSR.ERRORS;
    const threInterrupt = expectBoolean(this.name, "threInterrupt", state["threInterrupt"]);
    const modemDeltas = expectUnsigned(this.name, "modemDeltas", state["modemDeltas"], 0x0f);
    REGS.load(this, state["regs"]);
    this.#rx.set(rx);
    this.#rxFirst = 0;
    this.#rxCount = rx.length;
    this.#tx.set(tx);
    this.#txFirst = 0;
    this.#txCount = tx.length;
    this.#fcr = fcr;
    this.#errors = errors;
    this.#threInterrupt = threInterrupt;
    this.#modemLines = this.#wiredModemLines();
    this.#modemDeltas = modemDeltas;
    this.#flush();
    this.#takeInput();
    this.#updateIrq();
  }

  get #looped(): boolean {
    return (this.regs[MCR_AT]! & MCR.LOOP) !== 0;
  }

  get #depth(): number {
    return (this.#fcr & FCR.ENABLE) !== 0 ? FIFO_SIZE : 1;
  }

  /** Moves what the back end has into free places. It is never asked for more, so the receiver cannot overrun. */
  #takeInput(): void {
    if (this.#backend === null || this.#looped) return;
    while (this.#rxCount < this.#depth) {
      const byte = this.#backend.read();
      if (byte < 0) return;
      this.#accept(byte);
    }
  }

  /** A character arrives. Overrun: a FIFO keeps what it has, the single register is overwritten (section 8.4, bit 1). */
  #accept(entry: number): void {
    if (this.#rxCount === this.#depth) {
      this.#errors |= LSR.OE;
      if (this.#depth === 1) this.#rx[this.#rxFirst] = entry;
    } else {
      this.#rx[(this.#rxFirst + this.#rxCount) % FIFO_SIZE] = entry;
      this.#rxCount++;
    }
    if (this.#rxCount === 1) this.#revealErrors();
  }

  /** A character's errors show when it is at the head of the FIFO. */
  #revealErrors(): void {
    this.#errors |= this.#rx[this.#rxFirst]! >>> 8;
  }

  #fifoHasErrors(): boolean {
    for (let i = 0; i < this.#rxCount; i++) {
      if (this.#rx[(this.#rxFirst + i) % FIFO_SIZE]! >>> 8 !== 0) return true;
    }
    return false;
  }

  /** Sends what is waiting, as far as the back end takes it. */
  #flush(): void {
    if (this.#txCount === 0) return;
    while (this.#txCount > 0) {
      if (this.#backend !== null && !this.#backend.write(this.#tx[this.#txFirst]!)) return; // outputReady continues
      this.#txFirst = (this.#txFirst + 1) % FIFO_SIZE;
      this.#txCount--;
    }
    this.#transmitterEmpty();
  }

  /** The last byte is gone: THRE rises, and with it its interrupt. */
  #transmitterEmpty(): void {
    this.#threInterrupt = true;
    this.#updateIrq();
  }

  #wiredModemLines(): number {
    const mcr = this.regs[MCR_AT]!;
    if ((mcr & MCR.LOOP) === 0) return this.#backend === null ? 0 : MSR.CTS | MSR.DSR | MSR.DCD;
    return (
      ((mcr & MCR.RTS) !== 0 ? MSR.CTS : 0) |
      ((mcr & MCR.DTR) !== 0 ? MSR.DSR : 0) |
      ((mcr & MCR.OUT1) !== 0 ? MSR.RI : 0) |
      ((mcr & MCR.OUT2) !== 0 ? MSR.DCD : 0)
    );
  }

  /** Each change is remembered in the low nibble; of RI only the end of ringing (section 8.8). */
  #setModemLines(lines: number): void {
    const changed = (lines ^ this.#modemLines) >>> 4;
    const ringing = (lines & MSR.RI) !== 0;
    this.#modemDeltas |= ringing ? changed & ~MSR.TERI : changed;
    this.#modemLines = lines;
  }

  /** The highest of the enabled interrupts that wait. */
  #interruptSource(): number {
    const enabled = this.regs[IER_AT]!;
    if ((enabled & IER.LINE) !== 0 && this.#errors !== 0) return IIR.LINE;
    if ((enabled & IER.RX) !== 0 && this.#rxCount > 0) {
      const fifos = (this.#fcr & FCR.ENABLE) !== 0;
      return fifos && this.#rxCount < TRIGGER[this.#fcr >>> 6]! ? IIR.TIMEOUT : IIR.RX;
    }
    if ((enabled & IER.THRE) !== 0 && this.#threInterrupt) return IIR.THRE;
    if ((enabled & IER.MODEM) !== 0 && this.#modemDeltas !== 0) return IIR.MODEM;
    return IIR.NONE;
  }

  /** On the PC, OUT2 connects the interrupt to the bus. */
  #updateIrq(): void {
    const level = (this.regs[MCR_AT]! & MCR.OUT2) !== 0 && this.#interruptSource() !== IIR.NONE;
    if (level === this.#asserted) return;
    this.#asserted = level;
    this.#irq.set(level);
  }
}
