/**
 * The generated half of a vCPU's exit path: one exit in page mode, from the instruction to the answer, in WebAssembly
 * that the interpreter calls without JavaScript in between. It does the common case alone: nothing is pending, the
 * region table is as it was, the address lies in a range that exit-cells.ts holds, this exit is not the one that is timed,
 * and the answer comes within the first looks. All else it leaves to exit-path.ts, which means the same by it:
 * either with nothing done, or with the exit published and `begun` saying what became of it.
 * Document: protocol.md, "One exit in page mode". The server's side is qemu-user/device/ring-server.ts.
 * Leaves out: waiting longer, waking a server, refused answers (page-exchange.ts).
 */
import { EXIT, IO_IN, IO_OUT } from "../../shared/exits.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../shared/ioctls.ts";
import { kindOf, PHASE_DONE, PHASE_EXIT, RING, SEQ_SHIFT } from "../../shared/ring-page.ts";
import { AREA, ringOffset } from "../../shared/server-area.ts";
import { STATS_ROW, statsRow } from "../../shared/stats-page.ts";
import { ASLEEP } from "../../shared/wait.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { CPU } from "../cpu/state.ts";
import { MEMORY_PAGES } from "../cpu/zones.ts";
import type { PortHelpers } from "../engine/engine.ts";
import { PENDING_EXIT, statsAt, VM_STATE } from "../vm/vm-state.ts";
import type { Code, Label } from "../wasm/code.ts";
import { type Expr, f64, i32, i64, select } from "../wasm/expr.ts";
import { type FuncType, ModuleBuilder } from "../wasm/module.ts";
import { cellsAt, RANGE, RANGE_BITS, RANGE_HASH, RANGE_SHIFT, RANGES_BYTES, SERVER } from "./exit-cells.ts";
import { SAMPLE_PERIOD } from "./stats.ts";

/** What becomes of a published exit. UNANSWERED: not yet, or by another state than DONE. WAKE: the server sleeps. */
export const ANSWERED = 0;
export const UNANSWERED = 1;
export const WAKE = 2;

/**
 * Looks for an answer: some 1.5 us, as FIRST_TURNS (wait.ts). Between two of them lies an atomic addition to a word of
 * this thread's own. Without it the processor runs ahead with looks, and has to begin anew when the answer comes;
 * PAUSE is there for that, but WebAssembly has none. Measured, it takes a fifth off an exit.
 */
const LOOKS = 170;

/** Addresses are byte offsets in linear memory; `record` is the instruction's. */
export interface FastExit extends PortHelpers {
  /** Data goes to CPU.mmioData. `page` is the address's low half. Non-zero: exit-path.ts has to do or finish it. */
  mmioRead(record: number, address: number, page: number, size: number): number;
  /** Data comes from CPU.mmioData. */
  mmioWrite(record: number, address: number, page: number, size: number): number;
  /**
   * Writes the request into the ring page of the server whose area this is (`kind` as of ring-page.ts), stores
   * `published` as its state, rings the doorbell, and looks for the answer as long as `cpu`, this thread's placement,
   * allows it, at most LOOKS times. All stores to the page go to one cache line and follow each other at once, so
   * that the server's looks fetch it no more than once.
   */
  exchange(
    area: number,
    published: number,
    kind: number,
    address: number,
    low: number,
    high: number,
    cpu: number,
  ): number;
}

const PORT: FuncType = { params: ["i32", "i32", "i32"], results: ["i32"] };
const MMIO: FuncType = { params: ["i32", "f64", "i32", "i32"], results: ["i32"] };
const EXCHANGE: FuncType = { params: ["i32", "i32", "i32", "f64", "i32", "i32", "i32"], results: ["i32"] };

/** The functions for one vCPU. `slow` are called for the port accesses that they leave to TypeScript. */
export function fastExit(memory: WebAssembly.Memory, zone: number, vcpu: number, slow: PortHelpers): FastExit {
  const module = new WebAssembly.Module(new Writer(zone, vcpu).bytes());
  return new WebAssembly.Instance(module, { e: { memory, in: slow.in, out: slow.out } }).exports as unknown as FastExit;
}

/** An access, as the code of a function has it. */
type Access = {
  readonly record: Expr;
  readonly space: number;
  readonly direction: number;
  /** The address as an f64, and its low half, which says where its range is kept. */
  readonly address: Expr;
  readonly page: Expr;
  readonly size: Expr;
  /** The i64 to write. */
  readonly data: Expr;
};

/** Writes the module of one vCPU: its addresses are constants. */
class Writer {
  readonly #zone: number;
  readonly #vcpu: number;
  readonly #ring: number;
  readonly #cells: ReturnType<typeof cellsAt>;

  constructor(zone: number, vcpu: number) {
    this.#zone = zone;
    this.#vcpu = vcpu;
    this.#ring = ringOffset(vcpu);
    this.#cells = cellsAt(zone);
  }

  bytes(): Uint8Array {
    const module = new ModuleBuilder();
    module.importMemory("e", "memory", MEMORY_PAGES);
    const slowIn = module.import("e", "in", PORT);
    const slowOut = module.import("e", "out", PORT);
    this.#port(module.define("in", PORT), slowIn, IO_IN);
    this.#port(module.define("out", PORT), slowOut, IO_OUT);
    this.#mmio(module.define("mmioRead", MMIO), IO_IN);
    this.#mmio(module.define("mmioWrite", MMIO), IO_OUT);
    const code = module.define("exchange", EXCHANGE);
    const param = (index: number) => code.param(index);
    const data = i64.or(i64.shl(i32.toI64u(param(5)), i64.const(32)), i32.toI64u(param(4)));
    const result = code.local("i32");
    this.#exchange(code, param(0), param(1), param(2), param(3), data, param(6), result);
    code.return(result);
    code.unreachable();
    return module.encode();
  }

  /** The helper of IN or OUT (engine/helpers.ts): data in CPU.data; 0 goes on behind the instruction. */
  #port(code: Code, slow: number, direction: number): void {
    const [record, given, size] = [code.param(0), code.param(1), code.param(2)];
    const result = code.local("i32");
    code.block((leave) => {
      const iopl = i32.and(i32.shru(this.#load(CPU.eflags), i32.const(12)), i32.const(RFLAGS.IOPL >> 12));
      code.brIf(leave, i32.gtu(this.#load(CPU.cpl), iopl)); // the helper knows what that means
      const port = code.let(i32.and(given, i32.const(0xffff)));
      const address = code.let(i32.toF64u(port));
      const data = masked(i64.load(i32.const(this.#zone + CPU.data)), size);
      const access = { record, space: SPACE_PIO, direction, address, page: port, size, data };
      this.#access(code, leave, access, (answer) => {
        if (direction === IO_IN) code.store("i64", i32.const(this.#zone + CPU.data), answer);
        code.return(i32.const(0));
      });
    });
    code.call(slow, [record, given, size], result);
    code.return(result);
    code.unreachable();
  }

  #mmio(code: Code, direction: number): void {
    const [record, address, page, size] = [code.param(0), code.param(1), code.param(2), code.param(3)];
    const mmioData = i32.const(this.#zone + CPU.mmioData);
    code.block((leave) => {
      const data = masked(i64.load(mmioData), size);
      const access = { record, space: SPACE_MMIO, direction, address, page, size, data };
      this.#access(code, leave, access, (answer) => {
        if (direction === IO_IN) code.store("i64", mmioData, answer);
        code.return(i32.const(0));
      });
    });
    code.return(i32.const(1));
    code.unreachable();
  }

  /** One access; `done` takes its answer. Branches to `leave` where it is exit-path.ts's to do or to finish. */
  #access(code: Code, leave: Label, access: Access, done: (answer: Expr) => void): void {
    const { record, space, direction, address, size } = access;
    const cells = this.#cells;
    const cell = (at: number) => i32.load(i32.const(at));
    const pending = i32.atomicLoad(i32.const(this.#zone + CPU.pending));
    code.brIf(leave, i32.and(pending, i32.const(PENDING_EXIT)));
    code.brIf(leave, i32.ne(i32.atomicLoad(i32.const(VM_STATE.regionVersion)), cell(cells.version)));
    const hash = i32.mul(i32.shru(access.page, i32.const(RANGE_SHIFT[space]!)), i32.const(RANGE_HASH));
    const slot = i32.shru(hash, i32.const(32 - RANGE_BITS));
    const first = i32.const(cells.ranges + space * RANGES_BYTES);
    const range = code.let(i32.add(i32.mul(slot, i32.const(RANGE.size)), first));
    code.brIf(leave, f64.lt(address, f64.load(range, RANGE.from)));
    code.brIf(leave, f64.ge(address, f64.load(range, RANGE.to)));
    const tick = code.let(i32.add(cell(cells.tick), i32.const(1)));
    code.brIf(leave, i32.geu(tick, i32.const(SAMPLE_PERIOD)));
    // From here on the access is this half's.
    code.store("i32", i32.const(cells.tick), tick);
    const server = code.let(i32.load(range, RANGE.server));
    const published = code.let(i32.add(i32.load(server, SERVER.published), i32.const(1 << SEQ_SHIFT)));
    code.store("i32", server, published, SERVER.published);
    const area = code.let(i32.load(range, RANGE.area));
    const reason = space === SPACE_PIO ? EXIT.KVM_EXIT_IO : EXIT.KVM_EXIT_MMIO;
    const kind = i32.or(i32.const(kindOf(reason, direction, 0)), i32.shl(size, i32.const(16)));
    const data = direction === IO_IN ? i64.const(0) : access.data;
    const result = code.local("i32");
    this.#exchange(code, area, published, kind, address, data, i32.load(server, SERVER.cpu), result);
    code.if(result, () => {
      code.store("i32", i32.const(cells.begun), result);
      code.br(leave);
    });
    const answer = code.let(masked(i64.load(area, this.#ring + RING.data), size));
    code.store("i32", i32.const(cells.instruction), record);
    this.#count(code, i32.const(statsAt(this.#vcpu) + statsRow(reason) + STATS_ROW.count));
    this.#count(code, i32.load(range, RANGE.count));
    done(answer);
  }

  /** Publishes an exit and looks for its answer; `result` becomes ANSWERED, UNANSWERED or WAKE. */
  #exchange(
    code: Code,
    area: Expr,
    published: Expr,
    kind: Expr,
    address: Expr,
    data: Expr,
    cpu: Expr,
    result: Expr,
  ): void {
    const ring = this.#ring;
    const [before, peer, seen, turns] = [code.local("i32"), code.local("i32"), code.local("i32"), code.local("i32")];
    // Plain stores, ordered by the atomic one that follows them; and the state is there before the doorbell rings.
    code.store("i32", area, kind, ring + RING.kind);
    code.store("f64", area, address, ring + RING.address);
    code.store("i64", area, data, ring + RING.data);
    code.atomicStore(area, published, ring + RING.state);
    code.atomicAdd(area, i32.const(2), before, AREA.doorbell);
    code.block((end) => {
      code.set(result, i32.const(WAKE));
      code.brIf(end, i32.and(before, i32.const(1)));
      code.set(result, i32.const(UNANSWERED));
      // The waiting rule (wait.ts): no look for a peer that is unknown, asleep or on this CPU.
      code.set(peer, i32.atomicLoad(area, AREA.serverCpu));
      code.brIf(end, i32.or(i32.eqz(peer), i32.or(i32.eq(peer, cpu), i32.and(peer, i32.const(ASLEEP)))));
      code.set(turns, i32.const(LOOKS));
      code.loop((again) => {
        code.set(seen, i32.atomicLoad(area, ring + RING.state));
        code.if(i32.ne(seen, published), () => {
          const done = i32.eq(seen, i32.add(published, i32.const(PHASE_DONE - PHASE_EXIT)));
          code.set(result, select(done, i32.const(ANSWERED), i32.const(UNANSWERED)));
          code.br(end);
        });
        code.atomicAdd(i32.const(this.#cells.idle), i32.const(0), before);
        code.set(turns, i32.sub(turns, i32.const(1)));
        code.brIf(again, turns);
      });
    });
  }

  #count(code: Code, at: Expr): void {
    code.store("f64", at, f64.add(f64.load(at), f64.const(1)));
  }

  #load(field: number): Expr {
    return i32.load(i32.const(this.#zone + field));
  }
}

/** The low `size` bytes of an i64; the size is 1, 2, 4 or 8. */
function masked(value: Expr, size: Expr): Expr {
  const rest = i32.sub(i32.const(64), i32.shl(size, i32.const(3)));
  return i64.and(value, i64.shru(i64.const(-1), i32.toI64u(rest)));
}
