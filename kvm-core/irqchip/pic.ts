/**
 * The pair of 8259A interrupt controllers of a PC: master at 0x20, slave at 0xa0, cascaded on IR2, and the edge/level
 * control registers at 0x4d0 and 0x4d1.
 * Spec: Intel 8259A data sheet (ICW1-4, OCW1-3, "Fully nested mode", "Poll command"); ELCR as in the 82371SB.
 * State lies in VM state and is touched under the irqchip lock (lock.ts); the lines come in through irqchip/lines.ts. vCPU 0 asks
 * for `intr` without the lock: who makes it rise on another thread kicks vCPU 0, and what falls meanwhile is a spurious interrupt.
 * As in KVM and QEMU, an edge that was latched is delivered even if its line fell before INTA (the chip gives IR7).
 * Not modelled: buffered mode, 8080 vectors, ICW1's LTIM (the ELCR decides), special fully nested mode of more than
 * one slave.
 */
import type { KvmPicState } from "../../shared/ioctls.ts";
import { layout } from "../../shared/layout.ts";
import { VM_STATE } from "../vm/vm-state.ts";

const CHIP = layout({
  irr: "u8",
  imr: "u8",
  isr: "u8",
  /** Levels of the inputs as they were seen last. */
  line: "u8",
  elcr: "u8",
  /** ICW2: the vector of IR0. */
  base: "u8",
  /** The next ICW that a write to the odd port is: 0 none, 2, 3, 4. kvm_pic_state counts them from 1. */
  icw: "u8",
  needIcw4: "u8",
  autoEoi: "u8",
  rotateOnAutoEoi: "u8",
  /** The IR of lowest priority. */
  lowest: "u8",
  readIsr: "u8",
  poll: "u8",
  specialMask: "u8",
  single: "u8",
  specialNested: "u8",
});

const PINS = 16;
const MASTER = 0;
const SLAVE = 1;
const CASCADE = 2;
const NONE = -1;
/** ELCR bits that the chipset hard-wires to edge: IRQ 0, 1, 2 and 8, 13. */
const ELCR_WRITABLE = [0xf8, 0xde] as const;

const ICW1 = 0x10;
const ICW1_ICW4 = 0x01;
const ICW1_SINGLE = 0x02;
const ICW4_AUTO_EOI = 0x02;
const ICW4_NESTED = 0x10;
const OCW3 = 0x08;

export class Pic {
  readonly #state: Uint8Array;
  /**
   * The interrupts of these inputs (bits 0 to 15) ended by EOI, automatic EOI or ICW1. Called before the cascade is looked
   * at, as in KVM: a level that falls because of it must not interrupt again.
   */
  onEnd: (pins: number) => void = () => {};

  constructor(memory: WebAssembly.Memory) {
    this.#state = new Uint8Array(memory.buffer, VM_STATE.pic, 2 * CHIP.size);
  }

  /** Power-on state: nothing initialised, nothing masked; lowest priority IR7. */
  reset(): void {
    this.#state.fill(0);
    for (const chip of [MASTER, SLAVE]) this.#set(chip, "lowest", 7);
  }

  /** Ports that the pair answers. */
  static readonly PORTS: readonly number[] = [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1];

  static owns(port: number): boolean {
    return Pic.PORTS.includes(port);
  }

  /** Sets input `irq` (0 to 15). Edge-triggered inputs latch a rise; level-triggered ones follow. */
  setLine(irq: number, level: boolean): void {
    this.#input(irq >> 3, irq & 7, level);
    this.#cascade();
  }

  /**
   * Sets all inputs, each a bit; `rises` have fallen and risen since. The cascade is looked at behind them all: what one
   * input's fall takes back must not have interrupted because of the order.
   */
  setLines(levels: number, rises: number): void {
    for (let irq = 0; irq < PINS; irq++) {
      const chip = irq >> 3;
      const ir = irq & 7;
      const bit = 1 << irq;
      if (rises & bit) {
        this.#input(chip, ir, false);
        this.#input(chip, ir, true);
      }
      this.#input(chip, ir, (levels & bit) !== 0);
    }
    this.#cascade();
  }

  /** True while INTR to the processor is high. */
  get intr(): boolean {
    return this.#highest(MASTER) !== NONE;
  }

  /** The processor's INTA cycles: the vector. A request that went away gives the spurious IR7. */
  acknowledge(): number {
    const ir = this.#highest(MASTER);
    if (ir === NONE) return this.#get(MASTER, "base") + 7;
    this.#begin(MASTER, ir);
    if (ir !== CASCADE || this.#get(MASTER, "single") !== 0) return this.#get(MASTER, "base") + ir;
    const second = this.#highest(SLAVE);
    if (second !== NONE) this.#begin(SLAVE, second);
    this.#again(SLAVE);
    return this.#get(SLAVE, "base") + (second === NONE ? 7 : second);
  }

  read(port: number): number {
    if (port >= 0x4d0) return this.#get(port & 1, "elcr");
    const chip = port >> 7;
    if (this.#get(chip, "poll") !== 0) return this.#pollRead(chip);
    if (port & 1) return this.#get(chip, "imr");
    return this.#get(chip, this.#get(chip, "readIsr") !== 0 ? "isr" : "irr");
  }

  write(port: number, value: number): void {
    if (port >= 0x4d0) {
      this.#set(port & 1, "elcr", value & ELCR_WRITABLE[port & 1]!);
    } else if (port & 1) {
      this.#writeOdd(port >> 7, value);
    } else if (value & ICW1) {
      this.#initialise(port >> 7, value);
    } else if (value & OCW3) {
      this.#ocw3(port >> 7, value);
    } else {
      this.#ocw2(port >> 7, value);
    }
    this.#cascade();
  }

  /** KVM_GET_IRQCHIP: struct kvm_pic_state of a chip (0 master, 1 slave). */
  save(chip: number): KvmPicState {
    return {
      chip_id: chip,
      last_irr: this.#get(chip, "line"),
      irr: this.#get(chip, "irr"),
      imr: this.#get(chip, "imr"),
      isr: this.#get(chip, "isr"),
      priority_add: (this.#get(chip, "lowest") + 1) & 7,
      irq_base: this.#get(chip, "base"),
      read_reg_select: this.#get(chip, "readIsr"),
      poll: this.#get(chip, "poll"),
      special_mask: this.#get(chip, "specialMask") ? 1 : 0,
      init_state: Math.max(this.#get(chip, "icw") - 1, 0),
      auto_eoi: this.#get(chip, "autoEoi") ? 1 : 0,
      rotate_on_auto_eoi: this.#get(chip, "rotateOnAutoEoi") ? 1 : 0,
      special_fully_nested_mode: this.#get(chip, "specialNested") ? 1 : 0,
      init4: this.#get(chip, "needIcw4"),
      elcr: this.#get(chip, "elcr"),
      elcr_mask: ELCR_WRITABLE[chip]!,
    };
  }

  /** KVM_SET_IRQCHIP. Bits that the chip cannot have are dropped, as a write to it would. */
  load(chip: number, state: KvmPicState): void {
    this.#set(chip, "line", state.last_irr);
    this.#set(chip, "irr", state.irr);
    this.#set(chip, "imr", state.imr);
    this.#set(chip, "isr", state.isr);
    this.#set(chip, "lowest", (state.priority_add - 1) & 7);
    this.#set(chip, "base", state.irq_base & 0xf8);
    this.#set(chip, "readIsr", state.read_reg_select & 1);
    this.#set(chip, "poll", state.poll & 1);
    this.#set(chip, "specialMask", state.special_mask & 1);
    this.#set(chip, "icw", state.init_state >= 1 && state.init_state <= 3 ? state.init_state + 1 : 0);
    this.#set(chip, "autoEoi", state.auto_eoi & 1);
    this.#set(chip, "rotateOnAutoEoi", state.rotate_on_auto_eoi & 1);
    this.#set(chip, "specialNested", state.special_fully_nested_mode & 1);
    this.#set(chip, "needIcw4", state.init4 & 1);
    this.#set(chip, "elcr", state.elcr & ELCR_WRITABLE[chip]!);
    this.#cascade();
  }

  #initialise(chip: number, icw1: number): void {
    const [line, elcr] = [this.#get(chip, "line"), this.#get(chip, "elcr")];
    const ended = this.#get(chip, "isr") | (this.#get(chip, "irr") & ~elcr);
    this.#state.fill(0, chip * CHIP.size, (chip + 1) * CHIP.size);
    this.#set(chip, "line", line);
    this.#set(chip, "elcr", elcr);
    this.#set(chip, "lowest", 7);
    this.#set(chip, "icw", 2);
    this.#set(chip, "needIcw4", icw1 & ICW1_ICW4);
    this.#set(chip, "single", icw1 & ICW1_SINGLE);
    this.#set(chip, "irr", line & elcr); // edges are cleared, a level still asserted requests at once
    this.onEnd(ended << (8 * chip));
  }

  #writeOdd(chip: number, value: number): void {
    switch (this.#get(chip, "icw")) {
      case 2:
        this.#set(chip, "base", value & 0xf8);
        this.#set(chip, "icw", this.#get(chip, "single") ? (this.#get(chip, "needIcw4") ? 4 : 0) : 3);
        break;
      case 3:
        this.#set(chip, "icw", this.#get(chip, "needIcw4") ? 4 : 0);
        break;
      case 4:
        this.#set(chip, "autoEoi", value & ICW4_AUTO_EOI);
        this.#set(chip, "specialNested", value & ICW4_NESTED);
        this.#set(chip, "icw", 0);
        break;
      default:
        this.#set(chip, "imr", value);
    }
  }

  #ocw3(chip: number, value: number): void {
    if (value & 4) this.#set(chip, "poll", 1);
    if (value & 2) this.#set(chip, "readIsr", value & 1);
    if (value & 0x40) this.#set(chip, "specialMask", value & 0x20);
  }

  /** OCW2 by its R, SL, EOI bits (7 to 5). */
  #ocw2(chip: number, value: number): void {
    const level = value & 7;
    switch (value >> 5) {
      case 0:
      case 4:
        this.#set(chip, "rotateOnAutoEoi", value >> 7);
        break;
      case 1:
      case 5: {
        // "An IS bit that is masked will not be cleared by a non-specific EOI if the 8259A is in special mask mode."
        const hidden = this.#get(chip, "specialMask") ? this.#get(chip, "imr") : 0;
        const ir = this.#highestOf(chip, this.#get(chip, "isr") & ~hidden);
        if (ir !== NONE) this.#end(chip, ir, value >> 7 !== 0);
        break;
      }
      case 3:
      case 7:
        this.#end(chip, level, value >> 7 !== 0);
        break;
      case 6:
        this.#set(chip, "lowest", level);
        break;
      default: // 2: no operation
    }
  }

  #pollRead(chip: number): number {
    this.#set(chip, "poll", 0);
    const ir = this.#highest(chip);
    if (ir === NONE) return 0;
    this.#begin(chip, ir);
    this.#again(chip);
    return 0x80 | ir;
  }

  #input(chip: number, ir: number, level: boolean): void {
    const bit = 1 << ir;
    const was = this.#get(chip, "line");
    const now = level ? was | bit : was & ~bit;
    this.#set(chip, "line", now);
    const irr = this.#get(chip, "irr");
    if (this.#get(chip, "elcr") & bit) this.#set(chip, "irr", level ? irr | bit : irr & ~bit);
    else if (level && !(was & bit)) this.#set(chip, "irr", irr | bit);
  }

  #cascade(): void {
    this.#input(MASTER, CASCADE, this.#highest(SLAVE) !== NONE);
  }

  /** A chip was acknowledged. The slave's INT falls in that, and rises again if more is pending. */
  #again(chip: number): void {
    if (chip === SLAVE) this.#input(MASTER, CASCADE, false);
    this.#cascade();
  }

  /** A request goes into service. */
  #begin(chip: number, ir: number): void {
    const bit = 1 << ir;
    if (!(this.#get(chip, "elcr") & bit)) this.#set(chip, "irr", this.#get(chip, "irr") & ~bit);
    if (this.#get(chip, "autoEoi")) {
      if (this.#get(chip, "rotateOnAutoEoi")) this.#set(chip, "lowest", ir);
      this.onEnd(1 << (8 * chip + ir));
    } else {
      this.#set(chip, "isr", this.#get(chip, "isr") | bit);
    }
  }

  #end(chip: number, ir: number, rotate: boolean): void {
    this.#set(chip, "isr", this.#get(chip, "isr") & ~(1 << ir));
    if (rotate) this.#set(chip, "lowest", ir);
    this.onEnd(1 << (8 * chip + ir));
  }

  /** The IR of highest priority that may interrupt now, or NONE. */
  #highest(chip: number): number {
    const imr = this.#get(chip, "imr");
    const request = this.#highestOf(chip, this.#get(chip, "irr") & ~imr);
    if (request === NONE) return NONE;
    let isr = this.#get(chip, "isr");
    if (this.#get(chip, "specialMask")) isr &= ~imr;
    const service = this.#highestOf(chip, isr);
    if (service === NONE) return request;
    // In special fully nested mode the slave is not locked out while one of its own requests is in service.
    if (request === CASCADE && service === CASCADE && chip === MASTER && this.#get(chip, "specialNested"))
      return request;
    return this.#rank(chip, request) < this.#rank(chip, service) ? request : NONE;
  }

  #highestOf(chip: number, bits: number): number {
    for (let rank = 0; bits !== 0 && rank < 8; rank++) {
      const ir = (this.#get(chip, "lowest") + 1 + rank) & 7;
      if (bits & (1 << ir)) return ir;
    }
    return NONE;
  }

  #rank(chip: number, ir: number): number {
    return (ir - this.#get(chip, "lowest") - 1) & 7;
  }

  #get(chip: number, field: Exclude<keyof typeof CHIP, "size">): number {
    return this.#state[chip * CHIP.size + CHIP[field]]!;
  }

  #set(chip: number, field: Exclude<keyof typeof CHIP, "size">, value: number): void {
    this.#state[chip * CHIP.size + CHIP[field]] = value;
  }
}
