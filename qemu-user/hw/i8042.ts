/**
 * Keyboard controller 8042: ports 0x60 (data) and 0x64 (status, command), with a PS/2 keyboard and a PS/2 mouse.
 * Follows: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller", "Keyboards",
 * "Mouse"; which commands there are, QEMU's hw/input/pckbd.c and ps2.c.
 * Left out: keys and movements (this machine has no input of that kind), the controller's RAM but for its first byte, how
 * long answers take. Scan codes would be translated by whoever sends them; of the answers only the two that differ are.
 */
import type { BusDevice, Device, DeviceState, IrqLine, PowerRequest, StateValue, Width } from "../bus/interfaces.ts";
import { expectBoolean, expectList, expectUnsigned, expectVersion } from "../bus/state.ts";

const STATUS = { OUTPUT_FULL: 0x01, SYSTEM: 0x04, COMMAND: 0x08, UNLOCKED: 0x10, AUX: 0x20 } as const;
/** The command byte. */
const MODE = { IRQ1: 0x01, IRQ12: 0x02, SYSTEM: 0x04, NO_KEYBOARD: 0x10, NO_AUX: 0x20, TRANSLATE: 0x40 } as const;
/** The output port: the CPU's reset line (low: reset) and address line 20. */
const OUTPUT = { NOT_RESET: 0x01, A20: 0x02, IRQ1: 0x10, IRQ12: 0x20 } as const;
const INPUT_PORT = 0x80; // the keyboard is not locked

/** Who a byte in the output buffer is from. */
type Source = "controller" | "keyboard" | "aux";
/** Answers that wait for one another to be read. QEMU keeps 16 too; a guest that reads none loses the rest. */
const QUEUE_MAX = 16;

const ACK = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;

/** What address line 20 is wired to; port 0x92 has it too. The board's memory is never masked by it, as under KVM. */
export interface A20Gate {
  enabled: boolean;
}

/** Answers of a PS/2 device that come at once; what is not here, nor among its commands with an argument, is RESEND. */
const KEYBOARD_ANSWERS: Readonly<Record<number, readonly number[]>> = {
  238: [0xee], // echo
  242: [ACK, 0xab, 0x83], // identify: MF2
  244: [ACK],
  245: [ACK],
  246: [ACK],
  247: [ACK],
  248: [ACK],
  249: [ACK],
  250: [ACK],
  255: [ACK, SELF_TEST_PASSED],
};
/** LEDs, scan code set, typematic rate, and of set 3 the kinds of a key. */
const KEYBOARD_ARGUMENTS: readonly number[] = [0xed, 0xf0, 0xf3, 0xfb, 0xfc, 0xfd];
const MOUSE_ANSWERS: Readonly<Record<number, readonly number[]>> = {
  230: [ACK],
  231: [ACK],
  234: [ACK],
  235: [ACK, 0x08, 0, 0], // a packet: nothing moved
  236: [ACK],
  238: [ACK],
  240: [ACK],
  242: [ACK, 0x00], // identify: plain mouse
  244: [ACK],
  245: [ACK],
  246: [ACK],
  255: [ACK, SELF_TEST_PASSED, 0x00],
};
/** Resolution and sampling rate. */
const MOUSE_ARGUMENTS: readonly number[] = [0xe8, 0xf3];
/** Scan code sets 1 to 3 as the controller translates their numbers. */
const TRANSLATED_SETS = [0x43, 0x41, 0x3f] as const;

/** A device on one of the two connectors: the command that waits for its argument, and what it will send. */
class Ps2Port {
  readonly queue: number[] = [];
  /** 0: none. */
  pending = 0;
  last = 0;

  send(...bytes: number[]): void {
    for (const byte of bytes) if (this.queue.length < QUEUE_MAX) this.queue.push(byte);
  }

  reset(): void {
    this.queue.length = 0;
    this.pending = 0;
    this.last = 0;
  }

  save(): StateValue {
    return { queue: [...this.queue], pending: this.pending, last: this.last };
  }
}

export interface I8042Wiring {
  readonly keyboardIrq: IrqLine;
  readonly auxIrq: IrqLine;
  readonly a20: A20Gate;
  readonly power: PowerRequest;
}

export class I8042 implements Device {
  readonly name = "i8042";
  readonly data: BusDevice;
  readonly command: BusDevice;
  readonly #w: I8042Wiring;
  readonly #controller = new Ps2Port();
  readonly #keyboard = new Ps2Port();
  readonly #aux = new Ps2Port();
  #mode = 0;
  #scanSet = 2;
  #leds = 0;
  #rate = 100;
  #resolution = 2;
  /** Controller command whose argument goes to the data port; 0: none, the keyboard gets it. */
  #pending = 0;
  #system = false;
  #wasCommand = false;
  /** The byte that the guest can read, and from whom; a full buffer takes no other. */
  #full = false;
  #byte = 0;
  #from: Source = "controller";
  /** What a controller answer pretends to be from: the aux connector, or the keyboard. */
  #auxAnswer = false;

  constructor(wiring: I8042Wiring) {
    this.#w = wiring;
    this.data = {
      name: "i8042-data",
      read: (_offset: number, _width: Width) => this.#readData(),
      write: (_offset: number, _width: Width, value: number) => this.#writeData(value),
    };
    this.command = {
      name: "i8042-command",
      read: (_offset: number, _width: Width) => this.#status(),
      write: (_offset: number, _width: Width, value: number) => this.#writeCommand(value),
    };
    this.reset();
  }

  /** As firmware leaves it: tested, both connectors enabled, interrupt 1 on, codes translated. */
  reset(): void {
    for (const port of [this.#controller, this.#keyboard, this.#aux]) port.reset();
    this.#mode = MODE.IRQ1 | MODE.SYSTEM | MODE.TRANSLATE | MODE.NO_AUX;
    this.#scanSet = 2;
    this.#leds = 0;
    this.#rate = 100;
    this.#resolution = 2;
    this.#pending = 0;
    this.#system = true;
    this.#wasCommand = true;
    this.#full = false;
    this.#byte = 0;
    this.#from = "controller";
    this.#auxAnswer = false;
    this.#w.a20.enabled = true;
    this.#lines();
  }

  save(): DeviceState {
    return {
      version: 1,
      controller: this.#controller.save(),
      keyboard: this.#keyboard.save(),
      aux: this.#aux.save(),
      mode: this.#mode,
      scanSet: this.#scanSet,
      leds: this.#leds,
      rate: this.#rate,
      resolution: this.#resolution,
      pending: this.#pending,
      system: this.#system,
      wasCommand: this.#wasCommand,
      full: this.#full,
      byte: this.#byte,
      from: SOURCES.indexOf(this.#from),
      auxAnswer: this.#auxAnswer,
      a20: this.#w.a20.enabled,
    };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const byte = (field: string, max = 0xff) => expectUnsigned(this.name, field, state[field], max);
    const flag = (field: string) => expectBoolean(this.name, field, state[field]);
    const ports = [
      [this.#controller, this.#port("controller", state["controller"])],
      [this.#keyboard, this.#port("keyboard", state["keyboard"])],
      [this.#aux, this.#port("aux", state["aux"])],
    ] as const;
    const numbers = ["mode", "leds", "rate", "resolution", "pending", "byte"].map((field) => byte(field));
    const [scanSet, from] = [byte("scanSet", 3), byte("from", SOURCES.length - 1)];
    const flags = ["system", "wasCommand", "full", "auxAnswer", "a20"].map(flag);
    for (const [port, { queue, pending, last }] of ports) {
      port.reset();
      port.send(...queue);
      port.pending = pending;
      port.last = last;
    }
    [this.#mode, this.#leds, this.#rate, this.#resolution, this.#pending, this.#byte] = numbers as Six;
    this.#scanSet = Math.max(scanSet, 1);
    this.#from = SOURCES[from]!;
    [this.#system, this.#wasCommand, this.#full, this.#auxAnswer, this.#w.a20.enabled] = flags as Five;
    this.#lines();
  }

  #port(field: string, value: StateValue | undefined) {
    const saved = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, StateValue>>;
    return {
      queue: expectList(this.name, `${field} queue`, saved["queue"], QUEUE_MAX, 0xff),
      pending: expectUnsigned(this.name, `${field} pending`, saved["pending"], 0xff),
      last: expectUnsigned(this.name, `${field} last`, saved["last"], 0xff),
    };
  }

  #status(): number {
    return (
      (this.#full ? STATUS.OUTPUT_FULL : 0) |
      (this.#system ? STATUS.SYSTEM : 0) |
      (this.#wasCommand ? STATUS.COMMAND : 0) |
      STATUS.UNLOCKED |
      (this.#full && this.#from === "aux" ? STATUS.AUX : 0)
    );
  }

  /** The line falls before the next byte raises it again: both IRQs are edges. */
  #readData(): number {
    this.#full = false;
    this.#lines();
    const byte = this.#byte;
    this.#fill();
    return byte;
  }

  #lines(): void {
    const isAux = this.#from === "aux";
    this.#w.keyboardIrq.set(this.#full && !isAux && (this.#mode & MODE.IRQ1) !== 0);
    this.#w.auxIrq.set(this.#full && isAux && (this.#mode & MODE.IRQ12) !== 0);
  }

  /** Into an empty buffer the next byte: the controller's own answers first. A disabled connector's clock is held. */
  #fill(): void {
    if (!this.#full) {
      if (this.#controller.queue.length > 0) {
        this.#take(this.#controller, this.#auxAnswer ? "aux" : "controller");
      } else if (this.#keyboard.queue.length > 0 && (this.#mode & MODE.NO_KEYBOARD) === 0) {
        this.#take(this.#keyboard, "keyboard");
      } else if (this.#aux.queue.length > 0 && (this.#mode & MODE.NO_AUX) === 0) {
        this.#take(this.#aux, "aux");
      }
    }
    this.#lines();
  }

  #take(port: Ps2Port, from: Source): void {
    this.#byte = port.queue.shift()!;
    this.#from = from;
    this.#full = true;
    port.last = this.#byte;
  }

  /** A controller's answer replaces those that nobody read. */
  #answer(byte: number, aux = false): void {
    this.#controller.queue.length = 0;
    this.#auxAnswer = aux;
    if (this.#full && this.#from === "controller") this.#full = false;
    this.#controller.send(byte);
  }

  #outputPort(): number {
    const irq1 = this.#full && this.#from !== "aux" ? OUTPUT.IRQ1 : 0;
    const irq12 = this.#full && this.#from === "aux" ? OUTPUT.IRQ12 : 0;
    return 0xcc | OUTPUT.NOT_RESET | (this.#w.a20.enabled ? OUTPUT.A20 : 0) | irq1 | irq12;
  }

  #writeCommand(command: number): void {
    this.#wasCommand = true;
    this.#pending = 0;
    switch (command) {
      case 0x20:
        this.#answer(this.#mode);
        break;
      case 0x60: // the command byte
      case 0xd1: // the output port
      case 0xd2: // as if from the keyboard
      case 0xd3: // as if from the aux device
      case 0xd4: // to the aux device
        this.#pending = command;
        break;
      case 0xa7:
        this.#mode |= MODE.NO_AUX;
        break;
      case 0xa8:
        this.#mode &= ~MODE.NO_AUX;
        break;
      case 0xa9:
      case 0xab:
        this.#answer(0); // the connector's lines are good
        break;
      case 0xaa:
        this.#system = true;
        this.#answer(0x55);
        break;
      case 0xad:
        this.#mode |= MODE.NO_KEYBOARD;
        break;
      case 0xae:
        this.#mode &= ~MODE.NO_KEYBOARD;
        break;
      case 0xc0:
        this.#answer(INPUT_PORT);
        break;
      case 0xd0:
        this.#answer(this.#outputPort());
        break;
      case 0xdd:
      case 0xdf:
        this.#w.a20.enabled = command === 0xdf;
        break;
      default:
        // Pulses the low bits of the output port that are zero; only the CPU's reset does something.
        if (command >= 0xf0 && (command & OUTPUT.NOT_RESET) === 0) this.#w.power("reset");
    }
    this.#fill();
  }

  #writeData(value: number): void {
    const command = this.#pending;
    this.#pending = 0;
    this.#wasCommand = false;
    switch (command) {
      case 0x60:
        this.#mode = value;
        this.#system = (value & MODE.SYSTEM) !== 0;
        break;
      case 0xd1:
        this.#w.a20.enabled = (value & OUTPUT.A20) !== 0;
        if ((value & OUTPUT.NOT_RESET) === 0) this.#w.power("reset");
        break;
      case 0xd2:
      case 0xd3:
        this.#answer(value, command === 0xd3);
        break;
      case 0xd4:
        this.#mode &= ~MODE.NO_AUX;
        this.#mouse(value);
        break;
      default:
        this.#mode &= ~MODE.NO_KEYBOARD; // a byte for it starts its clock
        this.#type(value);
    }
    this.#fill();
  }

  // The devices. A command stops what they are sending.

  #type(byte: number): void {
    const keyboard = this.#keyboard;
    const command = keyboard.pending;
    keyboard.pending = 0;
    keyboard.queue.length = 0;
    if (command !== 0 && byte < 0x80) {
      keyboard.send(ACK);
      if (command === 0xed) this.#leds = byte & 7;
      else if (command === 0xf0 && byte === 0) keyboard.send(this.#setNumber());
      else if (command === 0xf0 && byte <= 3) this.#scanSet = byte;
    } else if (KEYBOARD_ARGUMENTS.includes(byte)) {
      keyboard.pending = byte;
      keyboard.send(ACK);
    } else if (byte === RESEND) {
      keyboard.send(keyboard.last);
    } else {
      if (byte === 0xff || byte === 0xf6) this.#scanSet = 2;
      if (byte === 0xff) this.#leds = 0;
      const answer = KEYBOARD_ANSWERS[byte] ?? [RESEND];
      const translates = (this.#mode & MODE.TRANSLATE) !== 0;
      keyboard.send(...(byte === 0xf2 && translates ? [ACK, 0xab, 0x41] : answer));
    }
  }

  #setNumber(): number {
    const translates = (this.#mode & MODE.TRANSLATE) !== 0;
    return translates ? TRANSLATED_SETS[this.#scanSet - 1]! : this.#scanSet;
  }

  #mouse(byte: number): void {
    const aux = this.#aux;
    const command = aux.pending;
    aux.pending = 0;
    aux.queue.length = 0;
    if (command !== 0) {
      aux.send(ACK);
      if (command === 0xe8) this.#resolution = byte & 3;
      else this.#rate = byte;
    } else if (MOUSE_ARGUMENTS.includes(byte)) {
      aux.pending = byte;
      aux.send(ACK);
    } else if (byte === 0xe9) {
      aux.send(ACK, 0, this.#resolution, this.#rate);
    } else if (byte === RESEND) {
      aux.send(aux.last);
    } else {
      if (byte === 0xff || byte === 0xf6) {
        this.#rate = 100;
        this.#resolution = 2;
      }
      aux.send(...(MOUSE_ANSWERS[byte] ?? [RESEND]));
    }
  }
}

const SOURCES: readonly Source[] = ["controller", "keyboard", "aux"];
type Six = [number, number, number, number, number, number];
type Five = [boolean, boolean, boolean, boolean, boolean];
