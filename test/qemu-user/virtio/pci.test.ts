/** The PCI transport: capabilities, registers, the status, interrupts, state. */
import { beforeEach, describe, expect, test } from "vitest";
import type { PciCapability } from "../../../qemu-user/bus/interfaces.ts";
import { VIRTIO_F } from "../../../qemu-user/virtio/features.ts";
import { queueAt, REG } from "./driver.ts";
import { echoBoard } from "./echo.ts";

let board: ReturnType<typeof echoBoard>;
beforeEach(() => {
  board = echoBoard();
});

const OK = 15;
const NEEDS_RESET = 0x40;

function place({ bytes }: PciCapability) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [length, type, bar] = bytes;
  return { length, type, bar, at: view.getUint32(6, true), size: view.getUint32(10, true) };
}

function ready(features = 0n): void {
  const { driver } = board;
  driver.begin(features);
  driver.queue(0, 8);
  driver.queue(1, 64);
  driver.go();
}

describe("identity and capabilities", () => {
  test("are those of a modern device", () => {
    const { pci } = board;
    expect(pci.identity).toMatchObject({ vendor: 0x1af4, device: 0x1040 + 42, revision: 1, classCode: 0xff_0000 });
    expect(pci.msix).toEqual({ vectors: 3, bar: 1 });
    expect(pci.bars).toHaveLength(1);
    expect(pci.bars[0]).toMatchObject({ kind: "memory", size: 0x4000, at: 4 });
    expect(pci.bars[0]!.posted).toEqual([
      { offset: 0x3000, size: 2, kind: "ioeventfd" },
      { offset: 0x3004, size: 2, kind: "ioeventfd" },
    ]);
  });

  test("say where the structures lie", () => {
    const rows = board.pci.capabilities.map(place);
    expect(rows).toEqual([
      { length: 16, type: 1, bar: 4, at: 0x0000, size: 0x38 },
      { length: 20, type: 2, bar: 4, at: 0x3000, size: 8 },
      { length: 16, type: 3, bar: 4, at: 0x1000, size: 1 },
      { length: 16, type: 4, bar: 4, at: 0x2000, size: 6 },
      { length: 20, type: 5, bar: 0, at: 0, size: 0 },
    ]);
  });

  test("PCI_CFG reads and writes through its window, only where it is aligned and inside", () => {
    const { pci, driver } = board;
    const window = pci.capabilities.at(-1)!;
    const aim = (bar: number, offset: number, length: number) => {
      window.write!(4, 1, bar);
      window.write!(8, 4, offset);
      window.write!(12, 4, length);
    };
    aim(4, REG.NUM_QUEUES, 2);
    expect(window.read!(16, 4) & 0xffff).toBe(2);
    expect(window.read!(16, 2)).toBe(2);
    aim(4, REG.STATUS, 1);
    window.write!(16, 4, 0xffff_ff03);
    expect(driver.status).toBe(3);
    for (const [bar, offset, length] of [
      [0, REG.STATUS, 1],
      [4, REG.STATUS, 3],
      [4, REG.STATUS + 1, 2],
      [4, 0xffff_fffc, 4],
      [4, REG.STATUS, 0x8000_0001],
    ] as const) {
      aim(bar, offset, length);
      window.write!(16, 4, 0);
      expect(driver.status).toBe(3);
      expect(window.read!(16, 4)).toBe(0);
    }
  });
});

describe("features", () => {
  test("on offer are the device's, the rings', and VERSION_1", () => {
    const rings = VIRTIO_F.RING_INDIRECT_DESC | VIRTIO_F.RING_EVENT_IDX | VIRTIO_F.RING_PACKED;
    expect(board.driver.offered()).toBe((1n << 5n) | VIRTIO_F.VERSION_1 | rings);
    expect(echoBoard({ packed: false, event_idx: false, indirect_desc: false }).driver.offered()).toBe(
      (1n << 5n) | VIRTIO_F.VERSION_1,
    );
    board.driver.set(REG.DEVICE_FEATURE_SELECT, 4, 2);
    expect(board.driver.get(REG.DEVICE_FEATURE, 4)).toBe(0);
    board.driver.set(REG.DEVICE_FEATURE_SELECT, 4, 0xffff_ffff);
    expect(board.driver.get(REG.DEVICE_FEATURE, 4)).toBe(0);
  });

  test.each([
    ["without VERSION_1", 0n],
    ["that are not on offer", VIRTIO_F.VERSION_1 | (1n << 33n)],
    ["of the legacy interface", VIRTIO_F.VERSION_1 | (1n << 27n)],
  ])("%s are refused: FEATURES_OK stays clear", (_, features) => {
    const { driver } = board;
    driver.status = 3;
    driver.accept(features);
    driver.status = 11;
    expect(driver.status).toBe(3);
  });

  test("stand once FEATURES_OK is set", () => {
    const { driver, echo } = board;
    driver.begin(1n << 5n);
    driver.accept(0n);
    driver.go();
    expect(echo.started).toBe((1n << 5n) | VIRTIO_F.VERSION_1);
  });
});

describe("status", () => {
  test("goes up to DRIVER_OK, and no bit can be cleared but by a reset", () => {
    const { driver, echo } = board;
    ready();
    expect(driver.status).toBe(OK);
    driver.status = 1;
    expect(driver.status).toBe(OK);
    driver.status = NEEDS_RESET;
    expect(driver.status).toBe(OK);
    const resets = echo.resets;
    driver.status = 0;
    expect(driver.status).toBe(0);
    expect(echo.resets).toBe(resets + 1);
    driver.set(REG.QUEUE_SELECT, 2, 1);
    expect(driver.get(REG.QUEUE_SIZE, 2)).toBe(64);
    expect(driver.get(REG.QUEUE_ENABLE, 2)).toBe(0);
    expect(driver.get(REG.QUEUE_MSIX_VECTOR, 2)).toBe(0xffff);
  });

  test("DRIVER_OK without FEATURES_OK needs a reset", () => {
    const { driver, log } = board;
    driver.status = 7;
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET);
    expect(log).toEqual(["echo.0: stopped until the driver resets it: DRIVER_OK without FEATURES_OK"]);
  });

  test("the reports of mistakes are bounded", () => {
    for (let i = 0; i < 100; i++) {
      board.driver.status = 0;
      board.driver.status = 7;
    }
    expect(board.log).toHaveLength(16);
  });
});

describe("queues", () => {
  test("have banks of their own; one that there is not has size zero and takes nothing", () => {
    const { driver } = board;
    driver.begin(0n);
    driver.queue(0, 4);
    driver.queue(1, 32);
    driver.set(REG.QUEUE_SELECT, 2, 0);
    expect(driver.get(REG.QUEUE_SIZE, 2)).toBe(4);
    expect(driver.get(REG.QUEUE_DESC, 4)).toBe(queueAt(0).desc);
    expect(driver.get(REG.QUEUE_NOTIFY_OFF, 2)).toBe(0);
    driver.set(REG.QUEUE_SELECT, 2, 1);
    expect(driver.get(REG.QUEUE_SIZE, 2)).toBe(32);
    expect(driver.get(REG.QUEUE_DEVICE, 4)).toBe(queueAt(1).device);
    expect(driver.get(REG.QUEUE_NOTIFY_OFF, 2)).toBe(1);
    driver.set(REG.QUEUE_SELECT, 2, 2);
    for (const register of [REG.QUEUE_SIZE, REG.QUEUE_ENABLE, REG.QUEUE_MSIX_VECTOR, REG.QUEUE_DESC]) {
      driver.set(register, 2, 1);
      expect(driver.get(register, 2)).toBe(0);
    }
  });

  test("stand once they are enabled", () => {
    const { driver } = board;
    driver.begin(0n);
    driver.queue(0, 4);
    driver.set(REG.QUEUE_SIZE, 2, 8);
    driver.set(REG.QUEUE_DESC, 4, 0);
    driver.set(REG.QUEUE_ENABLE, 2, 0);
    expect(driver.get(REG.QUEUE_SIZE, 2)).toBe(4);
    expect(driver.get(REG.QUEUE_DESC, 4)).toBe(queueAt(0).desc);
    expect(driver.get(REG.QUEUE_ENABLE, 2)).toBe(1);
  });

  test("that are not enabled give nothing, and notifying of them or of none does no harm", () => {
    const { driver, echo } = board;
    driver.begin(0n);
    driver.go();
    driver.kick(0);
    driver.kick(1);
    driver.kick(2);
    driver.kick(1000);
    expect(echo.held).toEqual([]);
    expect(driver.status).toBe(OK);
  });

  test("are not looked at before DRIVER_OK, and then without being told", () => {
    const { driver } = board;
    driver.begin(0n);
    const queue = driver.queue(0, 8);
    queue.add({ at: 0x80000, length: 16, writable: true });
    driver.kick(0);
    expect(queue.used()).toEqual([]);
    driver.go();
    expect(queue.used()).toEqual([[0, 0]]);
  });

  test.each([
    ["size 0", 0, {}],
    ["size 3", 3, {}],
    ["size above the largest", 16, {}],
    ["descriptors that are not aligned", 8, { desc: 0x10008 }],
    ["available ring that is not aligned", 8, { driver: 0x18001 }],
    ["used ring that is not aligned", 8, { device: 0x1c002 }],
    ["descriptors outside RAM", 8, { desc: 0x20_0000 }],
    ["descriptors that leave RAM", 8, { desc: 0x20_0000 - 64 }],
    ["available ring outside RAM", 8, { driver: 2 ** 40 }],
    ["used ring past every number", 8, { device: 2 ** 63 }],
  ])("with %s: needs a reset", (_, size, at) => {
    const { driver, echo, slot } = board;
    driver.begin(0n);
    driver.queue(0, size, at);
    driver.queue(1, 64);
    driver.go();
    expect(driver.status).toBe(OK | NEEDS_RESET);
    expect(echo.started).toBe(0n);
    expect(slot.intx.level).toBe(true);
    driver.kick(1);
    driver.status = 0;
    expect(driver.status).toBe(0);
    ready();
    expect(driver.status).toBe(OK);
  });
});

describe("interrupts", () => {
  const send = () => {
    const queue = board.driver.queue(0, 8);
    board.driver.queue(1, 64);
    board.driver.go();
    queue.add({ at: 0x80000, length: 4, writable: true });
    board.driver.kick(0);
  };

  test("without MSI-X are INTA, until the ISR is read", () => {
    const { driver, slot } = board;
    driver.begin(0n);
    send();
    expect(slot.intx.level).toBe(true);
    expect(driver.isr()).toBe(1);
    expect(slot.intx.level).toBe(false);
    expect(driver.isr()).toBe(0);
    board.echo.host.configChanged();
    expect(slot.intx.level).toBe(true);
    expect(driver.isr()).toBe(2);
    expect(slot.vectors).toEqual([]);
  });

  test("with MSI-X go to the vectors that the driver chose", () => {
    const { driver, slot, echo } = board;
    slot.msix.enabled = true;
    driver.begin(0n);
    driver.set(REG.CONFIG_MSIX_VECTOR, 2, 2);
    send();
    echo.host.configChanged();
    expect(slot.vectors).toEqual([0, 2]);
    expect(slot.intx.edges).toBe(0);
  });

  test("go nowhere without a vector; one that there is not reads back as none", () => {
    const { driver, slot, echo } = board;
    slot.msix.enabled = true;
    driver.begin(0n);
    driver.set(REG.CONFIG_MSIX_VECTOR, 2, 3);
    expect(driver.get(REG.CONFIG_MSIX_VECTOR, 2)).toBe(0xffff);
    driver.queue(0, 8);
    driver.set(REG.QUEUE_MSIX_VECTOR, 2, 3);
    expect(driver.get(REG.QUEUE_MSIX_VECTOR, 2)).toBe(0xffff);
    driver.go();
    echo.host.configChanged();
    expect(slot.vectors).toEqual([]);
  });

  test("of the configuration come with a new generation, and only to a driver that runs", () => {
    const { driver, slot, echo } = board;
    const generation = driver.get(REG.GENERATION, 1);
    echo.host.configChanged();
    expect(driver.get(REG.GENERATION, 1)).toBe((generation + 1) & 0xff);
    expect(slot.intx.level).toBe(false);
    for (let i = 0; i < 300; i++) echo.host.configChanged();
    expect(driver.get(REG.GENERATION, 1)).toBe((generation + 301) & 0xff);
  });

  test("a reset takes INTA back", () => {
    board.driver.begin(0n);
    send();
    board.driver.status = 0;
    expect(board.slot.intx.level).toBe(false);
    expect(board.driver.isr()).toBe(0);
  });
});

test("the device's configuration is read and written at any width; what leaves it is nobody's", () => {
  const { driver, echo } = board;
  echo.config.set([1, 2, 3, 4, 5, 6]);
  const { region } = driver.bar;
  expect(region.read(0x2000, 4)).toBe(0x0403_0201);
  expect(region.read(0x2004, 4)).toBe(0x0605);
  expect(region.read(0x2006, 4)).toBe(0);
  region.write(0x2004, 4, 0xaabb_ccdd);
  region.write(0x2008, 4, 1);
  expect([...echo.config]).toEqual([1, 2, 3, 4, 0xdd, 0xcc]);
});

test("without bus mastering there is no DMA", () => {
  const { driver, slot, memory, echo } = board;
  driver.begin(0n);
  const queue = driver.queue(0, 8);
  driver.go();
  slot.master = false;
  queue.add({ at: 0x80000, length: 4, writable: true });
  driver.kick(0);
  expect(queue.used()).toEqual([]);
  slot.master = true;
  echo.hold = true;
  driver.kick(0);
  expect(echo.held).toHaveLength(1);
  slot.master = false;
  echo.finish();
  expect(memory.readU16(queueAt(0).device + 2)).toBe(0);
  expect(slot.intx.level).toBe(false);
});

describe.each([
  ["split", 0n],
  ["packed", VIRTIO_F.RING_PACKED],
])("state of a device with %s queues", (_, features) => {
  test("goes on in another one, with the chains that were out", () => {
    const { driver, echo, memory } = board;
    driver.begin(features);
    const queue = driver.queue(0, 8);
    driver.queue(1, 64);
    driver.go();
    for (let i = 0; i < 20; i++) {
      queue.add({ at: 0x80000, length: 4 }, { at: 0x80100, length: 4, writable: true });
      driver.kick(0);
      expect(queue.used()).toHaveLength(1);
    }
    echo.hold = true;
    memory.write(0x80000, Uint8Array.of(9, 8, 7, 6));
    queue.add({ at: 0x80000, length: 4 }, { at: 0x80200, length: 4, writable: true });
    queue.add({ at: 0x80000, length: 4 }, { at: 0x80300, length: 4, writable: true });
    driver.kick(0);
    echo.finish(1); // out of order
    const state = JSON.parse(JSON.stringify(board.pci.save()));

    const other = echoBoard();
    const bytes = memory.slice(0, 0x100000)!;
    other.memory.write(0, bytes);
    other.pci.load(state);
    expect(other.driver.status).toBe(OK);
    expect(other.echo.saved).toBe(7);
    expect(other.pci.save()["config"]).toEqual(state.config);
    expect([...other.memory.slice(0x80200, 4)!]).toEqual([9, 8, 7, 6]);
    memory.write(0, other.memory.slice(0, 0x100000)!); // the driver's own memory
    expect(queue.used()).toHaveLength(2);
    queue.add({ at: 0x80000, length: 4 }, { at: 0x80400, length: 4, writable: true });
    other.memory.write(0, bytes);
    other.driver.kick(0);
    expect([...other.memory.slice(0x80400, 4)!]).toEqual([9, 8, 7, 6]);
  });

  test("has no chains that the device returns because it is saved", () => {
    const { driver, echo, memory, pci } = board;
    driver.begin(features);
    const queue = driver.queue(0, 8);
    driver.go();
    echo.hold = true;
    queue.add({ at: 0x80000, length: 4 }, { at: 0x80200, length: 4, writable: true });
    driver.kick(0);
    echo.onSave = () => echo.finish();
    const state = JSON.parse(JSON.stringify(pci.save()));
    expect(queue.used()).toHaveLength(1);
    const other = echoBoard();
    other.memory.write(0, memory.slice(0, 0x100000)!);
    other.pci.load(state);
    expect(other.pci.save()).toEqual(state);
    // It goes on behind that chain.
    other.echo.hold = true;
    other.driver.kick(0);
    expect(other.echo.held).toEqual([]);
  });

  test("that has stopped is the same again", () => {
    const { driver, memory, pci } = board;
    driver.begin(features);
    const queue = driver.queue(0, 8);
    driver.go();
    queue.add({ at: 2 ** 40, length: 4 });
    driver.kick(0);
    expect(driver.status).toBe(OK | 0x40);
    const state = JSON.parse(JSON.stringify(pci.save()));
    const other = echoBoard();
    other.memory.write(0, memory.slice(0, 0x100000)!);
    other.pci.load(state);
    expect(other.driver.status).toBe(OK | 0x40);
    expect(other.pci.save()).toEqual(state);
  });

  test("is refused if it is none", () => {
    ready(features);
    const state = JSON.parse(JSON.stringify(board.pci.save()));
    const other = () => echoBoard().pci;
    expect(() => other().load({ ...state, version: 2 })).toThrow("version");
    expect(() => other().load({ ...state, isr: 9 })).toThrow("isr");
    expect(() => other().load({ ...state, queues: 1 })).toThrow("queues");
    expect(() => other().load({ ...state, config: { ...state.config, banks: [] } })).toThrow("number of queues");
    const far = { head: 0, entries: 1, readable: [2 ** 40, 4], writable: [] };
    const queues = [{ ...state.queues[0], out: [far] }, state.queues[1]];
    expect(() => other().load({ ...state, queues })).toThrow("outside RAM");
  });
});
