/**
 * The pair of 8259As against the Intel 8259A data sheet (order number 231468): each group is one of its sections.
 * ELCR: 82371SB (PIIX3) data sheet, "ELCR1, ELCR2".
 */
import { beforeEach, describe, expect, test } from "vitest";
import { Pic } from "../../../kvm-core/irqchip/pic.ts";

const MASTER = 0x20;
const SLAVE = 0xa0;
const memory = new WebAssembly.Memory({ initial: 32, maximum: 32, shared: true });
const EOI = 0x20;
const SPECIFIC_EOI = 0x60;

let pic: Pic;

/** ICW1 to ICW4 as a PC's firmware and Linux write them; every input unmasked. */
function initialise(options: { icw4Master?: number; icw4Slave?: number; icw1?: number } = {}): void {
  const { icw1 = 0x11, icw4Master = 1, icw4Slave = 1 } = options;
  for (const [port, base, icw3, icw4] of [
    [MASTER, 0x20, 0x04, icw4Master],
    [SLAVE, 0x28, 0x02, icw4Slave],
  ] as const) {
    pic.write(port, icw1);
    pic.write(port + 1, base);
    pic.write(port + 1, icw3);
    pic.write(port + 1, icw4);
    pic.write(port + 1, 0);
  }
}

/** An edge: the line rises and falls again. */
function pulse(...irqs: number[]): void {
  for (const irq of irqs) {
    pic.setLine(irq, true);
    pic.setLine(irq, false);
  }
}

function irr(port: number): number {
  pic.write(port, 0x0a);
  return pic.read(port);
}
function isr(port: number): number {
  pic.write(port, 0x0b);
  return pic.read(port);
}
/** The vectors that the processor gets now, each ended by a non-specific EOI to the chips it went through. */
function served(): number[] {
  const vectors: number[] = [];
  while (pic.intr) {
    const vector = pic.acknowledge();
    vectors.push(vector);
    if (vector >= 0x28) pic.write(SLAVE, EOI);
    pic.write(MASTER, EOI);
  }
  return vectors;
}

beforeEach(() => {
  pic = new Pic(memory);
  pic.reset();
  initialise();
});

describe("initialization command words", () => {
  test("ICW2 gives the vectors, bits 7 to 3 of it", () => {
    pic.write(MASTER, 0x11);
    pic.write(MASTER + 1, 0x57);
    pic.write(MASTER + 1, 0x04);
    pic.write(MASTER + 1, 0x01);
    pulse(1);
    expect(pic.acknowledge()).toBe(0x51);
  });

  test("without IC4 there is no ICW4, and its functions are off", () => {
    initialise({ icw4Master: 3 });
    pic.write(MASTER, 0x10);
    pic.write(MASTER + 1, 0x20);
    pic.write(MASTER + 1, 0x04);
    pic.write(MASTER + 1, 0xfe); // already OCW1
    expect(pic.read(MASTER + 1)).toBe(0xfe);
    pulse(0);
    pic.acknowledge();
    expect(isr(MASTER)).toBe(1); // no automatic EOI any more
  });

  test("with SNGL there is no ICW3", () => {
    pic.write(MASTER, 0x13);
    pic.write(MASTER + 1, 0x40);
    pic.write(MASTER + 1, 0x01); // ICW4
    pic.write(MASTER + 1, 0xfb); // OCW1
    expect(pic.read(MASTER + 1)).toBe(0xfb);
    pulse(2);
    expect(pic.acknowledge()).toBe(0x42); // no cascade: IR2 is an input like the others
  });

  test("ICW1 clears the mask, the edges, the special mask mode and the choice of register, and IR7 is lowest", () => {
    pic.write(MASTER + 1, 0xff);
    pic.write(MASTER, 0x68); // special mask mode
    pic.write(MASTER, 0x0b); // read the ISR
    pic.write(MASTER, 0xc3); // IR3 is lowest
    pulse(1, 5);
    initialise();
    expect(pic.read(MASTER + 1)).toBe(0);
    expect(pic.read(MASTER)).toBe(0); // the IRR
    expect(pic.intr).toBe(false);
    pulse(4, 0);
    expect(served()).toEqual([0x20, 0x24]);
  });

  test("after ICW1 an input that is already high must fall and rise to be seen", () => {
    pic.setLine(1, true);
    initialise();
    expect(pic.intr).toBe(false);
    pic.setLine(1, false);
    pic.setLine(1, true);
    expect(pic.intr).toBe(true);
  });
});

describe("fully nested mode", () => {
  test("IR0 is highest, IR7 lowest; the slave's eight come between IR1 and IR3", () => {
    pulse(7, 3, 15, 8, 1, 0, 12);
    expect(served()).toEqual([0x20, 0x21, 0x28, 0x2c, 0x2f, 0x23, 0x27]);
  });

  test("a request in service holds back its own and lower levels, not higher ones", () => {
    pulse(3);
    expect(pic.acknowledge()).toBe(0x23);
    pulse(3, 4);
    expect(pic.intr).toBe(false);
    pulse(1);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x21);
    expect(isr(MASTER)).toBe(0x0a);
    pic.write(MASTER, EOI); // ends IR1, the highest in service
    expect(isr(MASTER)).toBe(0x08);
    pic.write(MASTER, EOI);
    expect(served()).toEqual([0x23, 0x24]);
  });

  test("an acknowledged edge leaves the IRR, a new one sets it again", () => {
    pic.setLine(4, true);
    expect(irr(MASTER)).toBe(0x10);
    pic.acknowledge();
    expect([irr(MASTER), isr(MASTER)]).toEqual([0, 0x10]);
    pic.setLine(4, false);
    pic.setLine(4, true);
    expect(irr(MASTER)).toBe(0x10);
  });
});

describe("interrupt mask (OCW1)", () => {
  test("holds a request back without losing it", () => {
    pic.write(MASTER + 1, 0x02);
    pulse(1, 3);
    expect(irr(MASTER)).toBe(0x0a);
    expect(served()).toEqual([0x23]);
    pic.write(MASTER + 1, 0);
    expect(served()).toEqual([0x21]);
  });

  test("is read at the odd port", () => {
    pic.write(SLAVE + 1, 0xa5);
    expect(pic.read(SLAVE + 1)).toBe(0xa5);
    expect(pic.read(MASTER + 1)).toBe(0);
  });

  test("of the slave's, and of the cascade input", () => {
    pic.write(SLAVE + 1, 0x01);
    pulse(8);
    expect(pic.intr).toBe(false);
    pic.write(SLAVE + 1, 0);
    expect(pic.intr).toBe(true);
    pic.write(MASTER + 1, 0x04);
    expect(pic.intr).toBe(false);
  });
});

describe("end of interrupt (OCW2)", () => {
  test("a specific EOI ends that level alone", () => {
    pulse(5);
    pic.acknowledge();
    pulse(2 + 8);
    pic.acknowledge();
    pic.write(MASTER, SPECIFIC_EOI | 5);
    expect(isr(MASTER)).toBe(0x04);
    expect(isr(SLAVE)).toBe(0x04);
  });

  test("a non-specific EOI with nothing in service does nothing", () => {
    pic.write(MASTER, EOI);
    pulse(0);
    expect(served()).toEqual([0x20]);
  });

  test("automatic EOI: the level is not in service after the acknowledge", () => {
    initialise({ icw4Master: 3 });
    pulse(3);
    expect(pic.acknowledge()).toBe(0x23);
    expect(isr(MASTER)).toBe(0);
    pulse(3, 5);
    expect([pic.acknowledge(), pic.acknowledge(), pic.intr]).toEqual([0x23, 0x25, false]);
  });

  test("0x40 is no operation", () => {
    pulse(3);
    pic.acknowledge();
    pic.write(MASTER, 0x40);
    expect(isr(MASTER)).toBe(8);
  });
});

describe("rotation", () => {
  test("on a non-specific EOI (0xa0) the ended level becomes the lowest", () => {
    pulse(3);
    pic.acknowledge();
    pic.write(MASTER, 0xa0);
    pulse(3, 4, 0);
    expect(served()).toEqual([0x24, 0x20, 0x23]);
  });

  test("on a specific EOI (0xe0 | level)", () => {
    pulse(6);
    pic.acknowledge();
    pic.write(MASTER, 0xe6);
    expect(isr(MASTER)).toBe(0);
    pulse(6, 7, 0);
    expect(served()).toEqual([0x27, 0x20, 0x26]);
  });

  test("by set priority (0xc0 | level), without an EOI", () => {
    pulse(4);
    pic.acknowledge();
    pic.write(MASTER, 0xc4);
    expect(isr(MASTER)).toBe(0x10);
    pic.write(MASTER, EOI);
    pulse(4, 5);
    expect(served()).toEqual([0x25, 0x24]);
  });

  test("in automatic EOI mode (0x80 sets, 0x00 clears)", () => {
    initialise({ icw4Master: 3 });
    pic.write(MASTER, 0x80);
    pulse(1);
    expect(pic.acknowledge()).toBe(0x21);
    pulse(0, 1, 4);
    expect([pic.acknowledge(), pic.acknowledge(), pic.acknowledge()]).toEqual([0x24, 0x20, 0x21]);
    pic.write(MASTER, 0x00);
    pulse(1, 2 + 8);
    expect(pic.acknowledge()).toBe(0x2a); // IR1 stays the lowest: nothing rotated any more
    expect(pic.acknowledge()).toBe(0x21);
  });
});

describe("special mask mode (OCW3)", () => {
  test("a masked level in service holds nobody back, lower levels neither", () => {
    pulse(2 + 8, 4);
    pic.acknowledge();
    pic.write(SLAVE, EOI);
    expect(pic.intr).toBe(false); // IR2 is in service
    pic.write(MASTER + 1, 0x04);
    pic.write(MASTER, 0x68);
    expect(pic.acknowledge()).toBe(0x24);
  });

  test("a non-specific EOI does not end a masked level", () => {
    pulse(1);
    pic.acknowledge();
    pic.write(MASTER + 1, 0x02);
    pic.write(MASTER, 0x68);
    pulse(4);
    pic.acknowledge();
    pic.write(MASTER, EOI);
    expect(isr(MASTER)).toBe(0x02);
    pic.write(MASTER, SPECIFIC_EOI | 1);
    expect(isr(MASTER)).toBe(0);
  });

  test("ends with 0x48; without ESMM (0x28) nothing changes", () => {
    pulse(1);
    pic.acknowledge();
    pic.write(MASTER + 1, 0x02);
    pulse(4);
    pic.write(MASTER, 0x28);
    expect(pic.intr).toBe(false);
    pic.write(MASTER, 0x68);
    expect(pic.intr).toBe(true);
    pic.write(MASTER, 0x48);
    expect(pic.intr).toBe(false);
  });
});

describe("reading the chip (OCW3)", () => {
  test("RR and RIS choose the register, which stays chosen", () => {
    pulse(3);
    pic.acknowledge();
    pulse(5);
    pic.write(MASTER, 0x0b);
    expect([pic.read(MASTER), pic.read(MASTER)]).toEqual([0x08, 0x08]);
    pic.write(MASTER, 0x08); // neither
    expect(pic.read(MASTER)).toBe(0x08);
    pic.write(MASTER, 0x0a);
    expect(pic.read(MASTER)).toBe(0x20);
  });
});

describe("poll command", () => {
  test("the next read is an acknowledge: bit 7 and the level; then reads are reads again", () => {
    pulse(5);
    pic.write(MASTER, 0x0c);
    expect(pic.read(MASTER)).toBe(0x85);
    expect(isr(MASTER)).toBe(0x20);
    expect(pic.intr).toBe(false);
  });

  test("at the odd port too, and bit 7 is 0 without a request", () => {
    pic.write(MASTER, 0x0c);
    expect(pic.read(MASTER + 1) & 0x80).toBe(0);
    pic.write(MASTER + 1, 0x81);
    expect(pic.read(MASTER + 1)).toBe(0x81);
  });

  test("of a slave that has more requests: its INT falls and rises, and the master sees it", () => {
    initialise({ icw4Master: 3, icw4Slave: 3 });
    pulse(9, 12);
    expect(pic.acknowledge()).toBe(0x29); // the master's IR2 is taken with it
    pic.write(MASTER, 0x0c);
    expect(pic.read(MASTER)).toBe(0x82);
    pulse(10);
    pic.write(SLAVE, 0x0c);
    expect(pic.read(SLAVE)).toBe(0x82);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x2c);
  });
});

describe("cascade", () => {
  test("a slave's request sets both in service, and needs an EOI on both", () => {
    pulse(13);
    expect(pic.acknowledge()).toBe(0x2d);
    expect([isr(MASTER), isr(SLAVE)]).toEqual([0x04, 0x20]);
    pulse(12);
    expect(pic.intr).toBe(false); // higher on the slave, but the master's IR2 is in service
    pic.write(SLAVE, EOI);
    pic.write(MASTER, EOI);
    expect(served()).toEqual([0x2c]);
  });

  test("two requests of the slave come one after the other", () => {
    pic.setLine(8, true);
    pic.setLine(14, true);
    expect(served()).toEqual([0x28, 0x2e]);
  });

  test("special fully nested mode: a higher request of the slave's interrupts its handler, a lower one of the master's not", () => {
    initialise({ icw4Master: 0x11 });
    pulse(13);
    pic.acknowledge();
    pulse(5);
    expect(pic.intr).toBe(false);
    pulse(9);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x29);
    expect(isr(SLAVE)).toBe(0x22);
  });
});

describe("spurious interrupts", () => {
  test("a request that is masked before the acknowledge gives IR7, not in service", () => {
    pulse(3);
    pic.write(MASTER + 1, 0xff);
    expect(pic.acknowledge()).toBe(0x27);
    expect(isr(MASTER)).toBe(0);
  });

  test("a level that fell before the acknowledge gives IR7", () => {
    pic.write(0x4d0, 0x20);
    pic.setLine(5, true);
    expect(pic.intr).toBe(true);
    pic.setLine(5, false);
    expect(pic.intr).toBe(false);
    expect(pic.acknowledge()).toBe(0x27);
    expect(isr(MASTER)).toBe(0);
  });

  test("on the slave: its IR7, and the master's IR2 stays in service for its EOI", () => {
    pulse(9);
    pic.write(SLAVE + 1, 0xff);
    expect(pic.acknowledge()).toBe(0x2f);
    expect([isr(MASTER), isr(SLAVE)]).toEqual([0x04, 0]);
  });
});

describe("edge/level control (0x4d0, 0x4d1)", () => {
  test("IRQ 0, 1, 2, 8 and 13 are edge for good", () => {
    pic.write(0x4d0, 0xff);
    pic.write(0x4d1, 0xff);
    expect([pic.read(0x4d0), pic.read(0x4d1)]).toEqual([0xf8, 0xde]);
  });

  test("a level input requests as long as it is high, also after its EOI", () => {
    pic.write(0x4d1, 0x0c); // IRQ 10 and 11
    pic.setLine(10, true);
    expect(pic.acknowledge()).toBe(0x2a);
    pic.write(SLAVE, EOI);
    pic.write(MASTER, EOI);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x2a);
    pic.setLine(10, false);
    pic.write(SLAVE, EOI);
    pic.write(MASTER, EOI);
    expect(pic.intr).toBe(false);
  });

  test("a level input that falls takes its request back; an edge stays", () => {
    pic.write(0x4d0, 0x20);
    pulse(5);
    expect(pic.intr).toBe(false);
    pulse(6);
    expect(served()).toEqual([0x26]);
  });

  test("a level that is high at ICW1 requests after it", () => {
    pic.write(0x4d0, 0x20);
    pic.setLine(5, true);
    initialise();
    expect(pic.acknowledge()).toBe(0x25);
  });
});

describe("KVM_GET_IRQCHIP and KVM_SET_IRQCHIP (struct kvm_pic_state)", () => {
  test("what is saved and loaded again behaves the same", () => {
    pic.write(0x4d1, 0x04);
    pic.write(MASTER, 0xc2); // IR2 lowest, IR3 highest
    pulse(4, 1);
    pic.acknowledge();
    pic.setLine(10, true);
    const saved = [pic.save(0), pic.save(1)];
    pic.reset();
    initialise();
    pic.load(0, saved[0]!);
    pic.load(1, saved[1]!);
    expect([pic.save(0), pic.save(1)]).toEqual(saved);
    pic.write(MASTER, EOI);
    expect([pic.acknowledge(), pic.intr]).toEqual([0x21, false]);
    pic.write(MASTER, EOI);
    expect(pic.acknowledge()).toBe(0x2a);
  });

  test("init_state counts the words that are still to come as Linux does: 1 ICW2, 2 ICW3, 3 ICW4", () => {
    const states = [pic.save(0).init_state];
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x20],
      [0x21, 0x04],
      [0x21, 0x01],
    ] as const) {
      pic.write(port, value);
      states.push(pic.save(0).init_state);
    }
    expect(states).toEqual([0, 1, 2, 3, 0]);
    pic.load(0, { ...pic.save(0), init_state: 1 });
    pic.write(MASTER + 1, 0x48); // ICW2
    expect(pic.save(0).irq_base).toBe(0x48);
    pic.load(0, { ...pic.save(0), init_state: 200 });
    expect(pic.save(0).init_state).toBe(0);
  });

  test("bits that the chip does not have are dropped", () => {
    pic.load(0, { ...pic.save(0), elcr: 0xff, irq_base: 0xff, priority_add: 0xff, special_mask: 2, poll: 2 });
    expect(pic.save(0)).toMatchObject({ elcr: 0xf8, irq_base: 0xf8, priority_add: 7, special_mask: 0, poll: 0 });
  });

  test.each([0, 1])("whatever is loaded into chip %i, the pair goes on answering", (chip) => {
    const bytes = Object.keys(pic.save(chip));
    for (let round = 0; round < 200; round++) {
      const state = Object.fromEntries(bytes.map((name, i) => [name, (round * 37 + i * 101) & 0xff]));
      pic.load(chip, { ...(state as ReturnType<Pic["save"]>), chip_id: chip });
      for (let irq = 0; irq < 16; irq++) pic.setLine(irq, (round + irq) % 3 === 0);
      expect(pic.acknowledge()).toBeLessThanOrEqual(0xff);
      for (const port of [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]) expect(pic.read(port)).toBeLessThanOrEqual(0xff);
    }
  });
});

test("exactly the pair's ports are its", () => {
  const owned = Array.from({ length: 0x1_0000 }, (_, port) => port).filter((port) => Pic.owns(port));
  expect(owned).toEqual([0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]);
});
