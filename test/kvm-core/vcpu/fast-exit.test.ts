/**
 * The two halves of the exit path, generated and in TypeScript: whichever does an access, the answers, the counters and
 * the order are the same (kvm-core/vcpu/fast-exit.ts, exit-path.ts).
 * Leaves out: message mode, and whole machines (run.test.ts, test/soak, test/takeover).
 */
import { afterEach, describe, expect, it } from "vitest";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { VCPU_ZONES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit, type EngineHost } from "../../../kvm-core/engine/engine.ts";
import { Irqchip } from "../../../kvm-core/irqchip/irqchip.ts";
import { Pic } from "../../../kvm-core/irqchip/pic.ts";
import { cellsAt, ExitCells } from "../../../kvm-core/vcpu/exit-cells.ts";
import { ExitPath } from "../../../kvm-core/vcpu/exit-path.ts";
import { ANSWERED, fastExit, UNANSWERED, WAKE } from "../../../kvm-core/vcpu/fast-exit.ts";
import { LeaveGuest } from "../../../kvm-core/vcpu/leave-guest.ts";
import { SAMPLE_PERIOD } from "../../../kvm-core/vcpu/stats.ts";
import { RegionTable } from "../../../kvm-core/vm/regions.ts";
import {
  COMMAND_RUN,
  controlAt,
  PENDING_EXIT,
  PENDING_TLB,
  serverAreaAt,
  statsAt,
  VM_STATE,
} from "../../../kvm-core/vm/vm-state.ts";
import { EXIT, IO_IN, IO_OUT } from "../../../shared/exits.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../../shared/ioctls.ts";
import { PHASE_EXIT, PHASE_MASK, PHASE_RUNNING, RING, SEQ_SHIFT } from "../../../shared/ring-page.ts";
import { AREA, ringOffset } from "../../../shared/server-area.ts";
import { STATS_REASONS, STATS_ROW, statsRow } from "../../../shared/stats-page.ts";
import { ASLEEP } from "../../../shared/wait.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";
import { AT, PageServer, valueRead } from "./page-server.ts";

/** Words of the test's own, in VM state that nothing uses. */
const STOP_WORDS = VM_STATE.control + 0x800;
const PORT = 0x500;
const TSS = 0x4000;
const DEVICE = 0xd000_0000;
const IO = EXIT.KVM_EXIT_IO;
const MMIO = EXIT.KVM_EXIT_MMIO;

/** A machine whose exits go by an ExitPath to servers of the test's. */
class Board {
  readonly machine: TestMachine;
  readonly words: Int32Array;
  readonly table: RegionTable;
  readonly servers: PageServer[] = [];
  /** Port accesses that the generated half left to the other with nothing done. */
  untouched = 0;
  messages = 0;
  exits!: ExitPath;
  #at = 0x1_0000;

  /** `generated` false: IN and OUT never come to the generated half. */
  constructor(engine: (typeof ENGINES)[number], generated = true) {
    const hostOf = ({ memory, zone }: TestMachine): EngineHost => {
      this.exits = this.#path(memory, zone, 0);
      const { exits } = this;
      const host: EngineHost = {
        portIn: (port, size) => {
          if (this.words[cellsAt(zone).begun >> 2] === 0) this.untouched++;
          return exits.portIn(port, size);
        },
        portOut: (port, size, value) => {
          if (this.words[cellsAt(zone).begun >> 2] === 0) this.untouched++;
          exits.portOut(port, size, value);
        },
        mmioRead: (gpa, size) => exits.mmioRead(gpa, size),
        mmioWrite: (gpa, size) => exits.mmioWrite(gpa, size),
        trace: () => {},
      };
      return generated ? { ...host, ports: exits.ports } : host;
    };
    this.machine = new TestMachine(engine, 32, 1 << 20, { host: hostOf });
    this.exits.engine = this.machine.engine;
    this.words = new Int32Array(this.machine.memory.buffer);
    this.table = new RegionTable(this.machine.memory);
  }

  #path(memory: WebAssembly.Memory, zone: number, vcpu: number): ExitPath {
    return new ExitPath(memory, zone, vcpu, new Irqchip(memory, 0), () => {
      this.messages++;
      Atomics.store(this.words, controlAt(vcpu, "command") >> 2, COMMAND_RUN);
    });
  }

  /** The exit path of vCPU 1, which no engine calls. */
  second(): ExitPath {
    const path = this.#path(this.machine.memory, vcpuZone(1), 1);
    path.engine = { current: 0, ports: path.ports, coherence: { leave() {}, enter() {} } };
    return path;
  }

  async serve(server: number): Promise<PageServer> {
    const { memory } = this.machine;
    const stop = STOP_WORDS + server * 4;
    const thread = await new PageServer(memory, server, VCPU_ZONES + CPU.pending, stop).ready();
    this.servers.push(thread);
    this.paged(server, 1);
    return thread;
  }

  /** What DeviceServers does when an area is mapped. */
  paged(server: number, paged: number): void {
    Atomics.store(this.words, (VM_STATE.serverArea >> 2) + server, paged);
    Atomics.add(this.words, VM_STATE.regionVersion >> 2, 2);
  }

  /** Each time at another address: engines may keep what they have decoded. */
  run(code: string): number {
    this.#at += 0x1000;
    return this.machine.run(assemble(code, 32), this.#at);
  }

  /** Of a row of vCPU `vcpu`'s statistics. */
  stat(field: "count" | "sampled", row: number, vcpu = 0): number {
    return new Float64Array(this.machine.memory.buffer)[(statsAt(vcpu) + statsRow(row) + STATS_ROW[field]) >> 3]!;
  }

  state(server: number): number {
    return Atomics.load(this.words, (serverAreaAt(server) + ringOffset(0) + RING.state) >> 2);
  }

  /** Resolves when the server sleeps on its doorbell. */
  async asleep(server: number): Promise<void> {
    const doorbell = (serverAreaAt(server) + AREA.doorbell) >> 2;
    for (let tries = 0; (Atomics.load(this.words, doorbell) & 1) === 0; tries++) {
      expect(tries).toBeLessThan(5000);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.end()));
  }
}

let board: Board;
afterEach(() => board.end());

describe.each(ENGINES)("%s", (engine) => {
  describe.each([true, false])("generated half for ports: %s", (generated) => {
    it("gives each access its answer, in order, and counts each once", async () => {
      board = new Board(engine, generated);
      const [a, b] = [await board.serve(1), await board.serve(2)];
      board.table.register(1, SPACE_PIO, BigInt(PORT), 0x80n);
      board.table.register(2, SPACE_PIO, BigInt(PORT + 0x80), 0x80n);
      board.table.register(2, SPACE_MMIO, BigInt(DEVICE), 0x1000n);
      const rounds = 200;
      // Both servers in turn; ebx, ebp and esp sum up what came.
      const exit = board.run(`
        mov esi, ${DEVICE}; mov ecx, ${rounds}; xor ebx, ebx; xor ebp, ebp; xor esp, esp
        1: mov edx, ${PORT}
        in eax, dx; add ebx, eax; mov eax, ecx; out dx, ax; xor eax, eax; in al, dx; add ebp, eax
        mov edx, ${PORT + 0x82}
        xor eax, eax; in ax, dx; add ebx, eax; mov eax, 0x12345678; out dx, eax
        mov eax, [esi + 8]; add esp, eax; mov [esi + 4], cl
        dec ecx; jnz 1b`);
      expect(exit, board.machine.engine.errorDetail).toBe(EngineExit.HLT);
      const sums = { rbx: 0n, rbp: 0n, rsp: 0n };
      const add = (sum: keyof typeof sums, value: number) => {
        sums[sum] = BigInt.asUintN(32, sums[sum] + BigInt(value));
      };
      const expected: [unknown[], unknown[]] = [[], []];
      for (let i = 0; i < rounds; i++) {
        const left = rounds - i;
        add("rbx", valueRead(1, 2 * i));
        add("rbp", valueRead(1, 2 * i + 1) & 0xff);
        add("rbx", valueRead(2, 2 * i) & 0xffff);
        add("rsp", valueRead(2, 2 * i + 1));
        expected[0].push([IO_IN, PORT, 4, valueRead(1, 2 * i)], [IO_OUT, PORT, 2, left]);
        expected[0].push([IO_IN, PORT, 1, valueRead(1, 2 * i + 1)]);
        expected[1].push([IO_IN, PORT + 0x82, 2, valueRead(2, 2 * i)], [IO_OUT, PORT + 0x82, 4, 0x1234_5678]);
        expected[1].push([IO_IN, DEVICE + 8, 4, valueRead(2, 2 * i + 1)], [IO_OUT, DEVICE + 4, 1, left & 0xff]);
      }
      expect(board.machine.regs).toMatchObject(sums);
      expect(a.accesses).toEqual(expected[0].map((entry) => mapAddress(entry)));
      expect(b.accesses).toEqual(expected[1].map((entry) => mapAddress(entry)));
      expect([board.stat("count", IO), board.stat("count", MMIO)]).toEqual([5 * rounds, 2 * rounds]);
      const regions = [0, 1, 2].map((region) => board.stat("count", STATS_REASONS + region));
      expect(regions).toEqual([3 * rounds, 2 * rounds, 2 * rounds]);
      const sampled = board.stat("sampled", IO) + board.stat("sampled", MMIO);
      expect(sampled).toBe(Math.floor((7 * rounds) / SAMPLE_PERIOD));
      // The first to each region, and the timed ones.
      expect(board.untouched).toBe(generated ? 2 + board.stat("sampled", IO) : 5 * rounds);
    });
  });
});

/** Values of the log are as wide as the read gave them; addresses are signed words in it. */
function mapAddress(entry: unknown): unknown {
  const [direction, address, width, value] = entry as [number, number, number, number];
  return [direction, address | 0, width, value];
}

describe.each(ENGINES)("%s", (engine) => {
  it("MMIO of every width goes both ways", async () => {
    board = new Board(engine);
    const server = await board.serve(1);
    board.table.register(1, SPACE_MMIO, BigInt(DEVICE), 0x1000n);
    const { exits, machine } = board;
    const data = new DataView(machine.memory.buffer, machine.zone + CPU.mmioData, 8);
    const got: bigint[] = [];
    for (let round = 0; round < 2; round++) {
      for (const size of [1, 2, 4, 8] as const) {
        data.setBigUint64(0, 0x1122_3344_5566_7788n, true);
        exits.mmioWrite(DEVICE, size);
        data.setBigInt64(0, -1n, true);
        exits.mmioRead(DEVICE + 8, size);
        got.push(data.getBigUint64(0, true));
      }
    }
    const value = (n: number) => BigInt(valueRead(1, n));
    const read = (n: number) => [
      value(n) & 0xffn,
      value(n + 1) & 0xffffn,
      value(n + 2),
      (value(n + 4) << 32n) | value(n + 3),
    ];
    expect(got).toEqual([...read(0), ...read(5)]);
    const writes = server.accesses
      .filter(([direction]) => direction === IO_OUT)
      .map(([, , width, low]) => [width, low]);
    const once = [
      [1, 0x88],
      [2, 0x7788],
      [4, 0x5566_7788],
      [4, 0x5566_7788],
      [4, 0x1122_3344],
    ];
    expect(writes).toEqual([...once, ...once]);
    expect(board.stat("count", MMIO)).toBe(16);
  });

  it("leaves before an access when kicked, but not between the two of one instruction", async () => {
    board = new Board(engine);
    const server = await board.serve(1);
    board.table.register(1, SPACE_MMIO, BigInt(DEVICE), 0x1000n);
    board.table.register(1, SPACE_PIO, BigInt(PORT), 0x80n);
    const warm = `mov esi, ${DEVICE}; mov edx, ${PORT}; mov eax, [esi]; mov [esi], al; in al, dx;`;
    const code = assemble(`${warm} 2: add byte ptr [esi + ${AT.kick}], 5; 3: in al, dx`, 32);
    // interp looks at what is pending before each instruction, patch meets it in the exit path.
    if (engine === "interp") expect(board.machine.run(code, 0x1_0000)).toBe(EngineExit.INTR);
    else expect(() => board.machine.run(code, 0x1_0000)).toThrow(LeaveGuest);
    expect(board.machine.regs.rip).toBe(BigInt(0x1_0000 + code.length - 1)); // at the IN
    expect(server.accesses.slice(-2).map(([direction]) => direction)).toEqual([IO_IN, IO_OUT]);
    expect([board.stat("count", IO), board.stat("count", MMIO)]).toEqual([1, 4]);
    Atomics.and(board.words, (board.machine.zone + CPU.pending) >> 2, ~PENDING_EXIT);
    expect(board.machine.engine.run()).toBe(EngineExit.HLT);
    expect([board.stat("count", IO), board.stat("count", MMIO)]).toEqual([2, 4]);
  });

  it("with CPL above IOPL the helper looks at the I/O permission bitmap", async () => {
    board = new Board(engine);
    const { machine } = board;
    const server = await board.serve(1);
    board.table.register(1, SPACE_PIO, BigInt(PORT), 0x80n);
    expect(board.run(`mov edx, ${PORT}; in al, dx; in al, dx`)).toBe(EngineExit.HLT);
    const untouched = board.untouched;
    const { cs, ss, tr } = machine.sregs;
    const user = { cs: { ...cs, dpl: 3 }, ss: { ...ss, dpl: 3 } };
    machine.setSregs({ ...user, tr: { ...tr, base: BigInt(TSS), limit: 0x1000, type: 11 } });
    for (const [allowed, accesses] of [
      [false, 0],
      [true, 2],
    ] as const) {
      machine.write(TSS + 0x66, [0x68, 0, ...new Array<number>(0xf00).fill(allowed ? 0 : 0xff)]);
      for (const [instruction, opcode] of [
        ["in al, dx", 0xec],
        ["out dx, al", 0xee],
      ] as const) {
        // #GP without an IDT, of the access or of the HLT behind it, which CPL 3 may not.
        expect(board.run(`mov edx, ${PORT}; ${instruction}`)).toBe(EngineExit.SHUTDOWN);
        expect(machine.read(Number(machine.regs.rip), 1)[0]).toBe(allowed ? 0xf4 : opcode);
      }
      expect([server.accesses.length, board.untouched]).toEqual([2 + accesses, untouched + accesses]);
    }
    machine.set({ rflags: 0x3002n }); // IOPL 3
    expect(board.run(`mov edx, ${PORT}; in al, dx; mov [0x2000], al`)).toBe(EngineExit.SHUTDOWN); // by HLT at CPL 3
    expect([server.accesses.length, board.untouched]).toEqual([5, untouched + 2]);
  });

  it("stops in mid-exit: the exit is taken back and not counted", async () => {
    board = new Board(engine);
    await board.serve(1);
    board.table.register(1, SPACE_PIO, BigInt(PORT), 0x80n);
    const code = assemble(`mov edx, ${PORT}; in al, dx; in al, dx; mov edx, ${PORT + AT.stop}; 1: in al, dx`, 32);
    expect(() => board.machine.run(code, 0x1_0000)).toThrow(LeaveGuest);
    expect(board.machine.regs.rip).toBe(BigInt(0x1_0000 + code.length - 1));
    expect(board.state(1) & PHASE_MASK).toBe(PHASE_RUNNING);
    expect([board.stat("count", IO), board.stat("count", STATS_REASONS)]).toEqual([2, 2]);
  });
});

describe("what the generated half leaves to the other", () => {
  /** One region of server 1's at PORT, used already. */
  async function warm(): Promise<PageServer> {
    board = new Board("patch");
    const server = await board.serve(1);
    board.table.register(1, SPACE_PIO, BigInt(PORT), 0x80n);
    expect(input(PORT)).toBe(valueRead(1, 0));
    return server;
  }

  /** IN EAX, through the generated half. */
  function input(port: number): number {
    const { machine, exits } = board;
    expect(exits.ports.in(0x1000, port, 4)).toBe(0);
    return new DataView(machine.memory.buffer).getUint32(machine.zone + CPU.data, true);
  }

  function output(port: number, value: number): void {
    const { machine, exits } = board;
    new DataView(machine.memory.buffer).setUint32(machine.zone + CPU.data, value, true);
    expect(exits.ports.out(0x1000, port, 4)).toBe(0);
  }

  it("another region than the one used last", async () => {
    await warm();
    await board.serve(2);
    board.table.register(2, SPACE_PIO, BigInt(PORT + 0x80), 0x80n);
    const slow = () => board.untouched;
    expect([input(PORT + 0x7f), slow()]).toEqual([valueRead(1, 1), 2]); // the table is another one
    expect([input(PORT + 0x80), slow()]).toEqual([valueRead(2, 0), 3]);
    expect([input(PORT + 0x7f), slow()]).toEqual([valueRead(1, 2), 3]);
    expect([input(PORT + 0x80), slow()]).toEqual([valueRead(2, 1), 3]);
    expect([board.stat("count", STATS_REASONS), board.stat("count", STATS_REASONS + 1)]).toEqual([3, 2]);
  });

  it("a table that changed: the region is the owner's again", async () => {
    const server = await warm();
    const owner = await board.serve(0);
    input(PORT);
    board.table.unregister(1, 0);
    expect([input(PORT), input(PORT)]).toEqual([valueRead(0, 0), valueRead(0, 1)]);
    expect([server.accesses.length, owner.accesses.length]).toEqual([2, 2]);
    expect([board.stat("count", IO), board.stat("count", STATS_REASONS)]).toEqual([4, 2]);
  });

  it("a server that went over to messages", async () => {
    const server = await warm();
    input(PORT);
    board.paged(1, 0);
    expect(input(PORT)).toBe(0xffff_ffff); // KVM_RUN brought no data
    expect(board.messages).toBe(1);
    board.paged(1, 1);
    expect(input(PORT)).toBe(valueRead(1, 2));
    expect(server.accesses.length).toBe(3);
    expect(board.stat("count", STATS_REASONS)).toBe(4);
  });

  it("posted writes, which the server sees before the exit that follows", async () => {
    const server = await warm();
    board.table.addCoalesced(1, SPACE_PIO, BigInt(PORT + 0x10), 4n);
    board.table.assignIoeventfd(1, SPACE_PIO, BigInt(PORT + 0x20), 4, 0, undefined);
    for (let i = 0; i < 10; i++) {
      output(PORT + 0x10, i);
      output(PORT + 0x20, i);
      output(PORT + 0x24, i);
      input(PORT + 8);
    }
    const addresses = server.accesses.slice(1).map(([, address]) => address - PORT);
    expect(addresses).toEqual(Array(10).fill([0x10, 0x20, 0x24, 8]).flat());
    expect(board.stat("count", STATS_REASONS)).toBe(41);
    const published = board.state(1) >>> SEQ_SHIFT;
    expect(published).toBe(21); // what was posted took no sequence number
  });

  it("the ports of the 8259s, though a region lies over them", async () => {
    board = new Board("patch");
    const server = await board.serve(1);
    board.table.register(1, SPACE_PIO, 0n, 0x1_0000n);
    for (const port of [0x1f, 0x20, 0x21, 0x22, 0x1f, 0x22]) input(port);
    expect(server.accesses.map(([, port]) => port)).toEqual([0x1f, 0x20, 0x21, 0x22, 0x1f, 0x22]);
    board.words[VM_STATE.irqchip >> 2] = 1;
    new Pic(board.machine.memory).reset();
    const { exits } = board;
    const before = server.accesses.length;
    for (const port of Pic.PORTS) expect(exits.ports.in(0x1000, port, 1)).toBe(0);
    expect(server.accesses.length).toBe(before);
    for (const port of [0x1f, 0x22, 0x9f, 0xa2, 0x4cf, 0x4d2]) for (let i = 0; i < 2; i++) input(port);
    expect(server.accesses.length).toBe(before + 12);
  });

  it("a server that sleeps is woken, one that is slow is waited for", async () => {
    const server = await warm();
    await board.asleep(1);
    expect(input(PORT)).toBe(valueRead(1, 1));
    expect(input(PORT + AT.slow)).toBe(valueRead(1, 2));
    expect(input(PORT)).toBe(valueRead(1, 3));
    expect(server.accesses.length).toBe(4);
    expect([board.stat("count", IO), board.stat("count", STATS_REASONS)]).toEqual([4, 4]);
    expect(board.state(1) >>> SEQ_SHIFT).toBe(4);
  });

  it("an answer that is none: the request is published again, and counted once", async () => {
    const server = await warm();
    expect(input(PORT + AT.spoil)).toBe(valueRead(1, 2));
    expect(server.accesses.slice(1).map(([, port]) => port)).toEqual([PORT + AT.spoil, PORT + AT.spoil]);
    expect([board.stat("count", IO), board.stat("count", STATS_REASONS)]).toEqual([2, 2]);
    expect(input(PORT)).toBe(valueRead(1, 3));
  });

  it("each vCPU has a ring page, a sequence and counters of its own", async () => {
    const server = await warm();
    const second = board.second();
    const data = (vcpuZone(1) + CPU.mmioData) >> 2;
    board.table.register(1, SPACE_MMIO, BigInt(DEVICE), 0x1000n);
    for (let i = 0; i < 40; i++) {
      expect(input(PORT)).toBe(valueRead(1, 1 + 2 * i));
      second.mmioRead(DEVICE, 4);
      expect(board.words[data]! >>> 0).toBe(valueRead(1, 2 + 2 * i));
    }
    expect(server.accesses.length).toBe(81);
    expect([board.stat("count", IO), board.stat("count", MMIO)]).toEqual([41, 0]);
    expect([board.stat("count", IO, 1), board.stat("count", MMIO, 1)]).toEqual([0, 40]);
    expect([board.stat("sampled", IO), board.stat("sampled", MMIO, 1)]).toEqual([1, 1]);
  });
});

describe("exchange", () => {
  const [EXITS, HERE, ELSEWHERE] = [(5 << SEQ_SHIFT) | PHASE_EXIT, 1, 2] as const;
  const AREA_AT = serverAreaAt(3);

  function exchange(doorbell: number, placement: number): number {
    board = new Board("interp");
    const { machine, words } = board;
    words[(AREA_AT + AREA.doorbell) >> 2] = doorbell;
    words[(AREA_AT + AREA.serverCpu) >> 2] = placement;
    const { exchange } = fastExit(machine.memory, machine.zone, 0, machine.engine.ports);
    return exchange(AREA_AT, EXITS, 7, 0x3fd, 1, -2, HERE);
  }
  const field = (at: number) => board.words[(AREA_AT + ringOffset(0) + at) >> 2];

  it("publishes, rings the doorbell and gives up after its looks", () => {
    expect(exchange(6, ELSEWHERE)).toBe(UNANSWERED);
    expect([field(RING.state), board.words[(AREA_AT + AREA.doorbell) >> 2]]).toEqual([EXITS, 8]);
    expect([field(RING.kind), field(RING.data), field(RING.data + 4)]).toEqual([7, 1, -2]);
    const at = (AREA_AT + ringOffset(0) + RING.address) >> 3;
    expect(new Float64Array(board.machine.memory.buffer)[at]).toBe(0x3fd);
  });

  it("says that the server sleeps", () => {
    expect(exchange(7, ELSEWHERE)).toBe(WAKE);
    expect([field(RING.state), board.words[(AREA_AT + AREA.doorbell) >> 2]]).toEqual([EXITS, 9]);
  });

  it.each([0, HERE, ELSEWHERE | ASLEEP])("does not look where the peer's placement is %i", (placement) => {
    expect(exchange(6, placement)).toBe(UNANSWERED);
    expect(field(RING.state)).toBe(EXITS);
  });

  it("has three results that differ", () => {
    expect(new Set([ANSWERED, UNANSWERED, WAKE]).size).toBe(3);
    expect(ANSWERED).toBe(0); // in a cell it means that nothing was begun
  });
});

describe("the generated half begins an access", () => {
  /** 0: nothing was done; else what became of the exit, to a server that does not answer. */
  function begun(address: number, prepare: (zone: number) => void = () => {}): number {
    board = new Board("interp");
    const { machine, words } = board;
    const { zone } = machine;
    words[(serverAreaAt(1) + AREA.serverCpu) >> 2] = 2;
    const cells = new ExitCells(machine.memory, zone, 0);
    const half = fastExit(machine.memory, zone, 0, machine.engine.ports);
    cells.begin(1, 0);
    cells.forget(words[VM_STATE.regionVersion >> 2]!);
    for (const base of [DEVICE, 2 ** 40]) cells.remember(SPACE_MMIO, base + 8, { from: base, to: base + 0x1000 }, 1, 0);
    prepare(zone);
    expect(half.mmioRead(0, address, address, 4)).toBe(1);
    const result = cells.takeBegun();
    const state = words[(serverAreaAt(1) + ringOffset(0) + RING.state) >> 2];
    expect(state).toBe(result === 0 ? 0 : cells.published(1));
    return result;
  }

  it.each([DEVICE, DEVICE + 0xfff, 2 ** 40 + 4])("at %i", (address) => expect(begun(address)).toBe(UNANSWERED));

  it.each([DEVICE - 1, DEVICE + 0x1000, 2 ** 40 + DEVICE, 0])("but not at %i", (address) =>
    expect(begun(address)).toBe(0),
  );

  it.each<readonly [string, (zone: number) => number, number, number]>([
    ["the vCPU is kicked", (zone) => zone + CPU.pending, PENDING_EXIT, 0],
    ["something else is pending", (zone) => zone + CPU.pending, PENDING_TLB, UNANSWERED],
    ["the table changed", () => VM_STATE.regionVersion, 2, 0],
    ["the exit is to be timed", (zone) => cellsAt(zone).tick, SAMPLE_PERIOD - 1, 0],
    ["the next one is", (zone) => cellsAt(zone).tick, SAMPLE_PERIOD - 2, UNANSWERED],
  ])("%s", (_what, at, value, expected) => {
    const prepare = (zone: number) => {
      board.words[at(zone) >> 2] = value;
    };
    expect(begun(DEVICE, prepare)).toBe(expected);
  });
});
