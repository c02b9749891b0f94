/**
 * REP MOVS and REP STOS do runs of bytes at once: they come to what single iterations come to.
 * Document: SDM volume 2, REP MOVS STOS; volume 1, 7.3.9.3 (fast-string operation).
 * Left out: that runs are taken, which test/kvm-core/emit/golden/rep-movs.wat shows; the instructions without REP, and what an iteration does: test/kvm-core/isa/string.vectors.ts, test/host.
 */

import { describe, expect, it } from "vitest";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { setGuestDebug } from "../../../kvm-core/cpu/guest-debug.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { KVM_GUESTDBG } from "../../../shared/ioctls.ts";
import { random } from "../../fuzz/generator.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, type Mode, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const AREA = 0x30_0000;
const AREA_SIZE = 0x8000;
/** A page of the area that holds code, and one that is not there. */
const CODE_PAGE = AREA + 0x5000;
const HOLE = AREA + 0x8000;
const HLT = 0xf4;
const CASES = 20;

const INSTRUCTIONS = [
  "rep movsb",
  "rep movsw",
  "rep movsd",
  "rep movsq",
  "rep stosb",
  "rep stosw",
  "rep stosd",
  "rep stosq",
];

interface Case {
  readonly rsi: bigint;
  readonly rdi: bigint;
  readonly rcx: bigint;
  readonly rax: bigint;
  readonly down: boolean;
}

const next = random(7);
/** Addresses near each other, near ends of pages, sometimes over the end of memory; counts about a page. */
function randomCase(): Case {
  const address = (): number =>
    AREA + [next(AREA_SIZE - 64), 0x1000 * next(8) + next(64), 0x1000 * (1 + next(7)) - next(64)][next(3)]!;
  const rsi = address();
  const rdi = next(3) === 0 ? rsi + next(400) - 200 : address();
  return {
    rsi: BigInt(rsi),
    rdi: BigInt(Math.max(rdi, AREA)),
    rcx: BigInt(next(8) === 0 ? 4500 : next(700)),
    rax: next(2) === 0 ? 0n : (BigInt(next(2 ** 32)) << 32n) | BigInt(next(2 ** 32)),
    down: next(6) === 0,
  };
}

/** The state and the area after the instruction, or after what it faulted with. */
function outcome(machine: TestMachine, code: Uint8Array, one: Case): string {
  const noise = Uint8Array.from({ length: AREA_SIZE }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff);
  machine.write(AREA, noise);
  // Code there, so that writes to the page have to be heard of.
  machine.write(CODE_PAGE + 0x800, [0x90, HLT]);
  machine.set({ rip: BigInt(CODE_PAGE + 0x800) });
  machine.engine.run();
  const { rsi, rdi, rcx, rax, down } = one;
  machine.set({ rsi, rdi, rcx, rax, rsp: 0x20_0000n, rflags: BigInt(RFLAGS.FIXED | (down ? RFLAGS.DF : 0)) });
  const exit = machine.run(code, CODE);
  const { regs } = machine;
  const state = [exit, regs.rsi, regs.rdi, regs.rcx, regs.rax, regs.rflags, regs.rip].join(" ");
  return `${state} ${Buffer.from(machine.read(AREA, AREA_SIZE)).toString("base64")}`;
}

/** A machine whose area ends where nothing is mapped: there the access is MMIO, which goes nowhere. */
function machineFor(engine: (typeof ENGINES)[number], mode: Mode): TestMachine {
  const machine = new TestMachine(engine, mode);
  for (let page = 0; page < 4; page++) machine.mapPage(HOLE + page * 4096, 0);
  return machine;
}

/** The outcome on a machine that is stepped from outside, so that each iteration is a run() of its own. */
function stepped(machine: TestMachine, code: Uint8Array, one: Case): string {
  const { engine, memory, zone } = machine;
  const run = engine.run.bind(engine);
  engine.run = () => {
    let exit: number;
    do exit = run();
    while (exit === EngineExit.DEBUG);
    return exit;
  };
  setGuestDebug(memory, zone, KVM_GUESTDBG.ENABLE | KVM_GUESTDBG.SINGLESTEP, new Array<bigint>(8).fill(0n));
  try {
    return outcome(machine, code, one);
  } finally {
    engine.run = run;
  }
}

describe.each([32, 64] as const)("%i-bit", (mode) => {
  const rows = INSTRUCTIONS.filter((text) => mode === 64 || !text.endsWith("q"));
  const reference = machineFor("interp", mode);
  const machines = ENGINES.map((engine) => [engine, machineFor(engine, mode)] as const);

  it.each(rows)("%s is what its iterations are", { timeout: 120_000 }, (text) => {
    const code = assemble(text, mode);
    for (let i = 0; i < CASES; i++) {
      const one = randomCase();
      const wanted = stepped(reference, code, one);
      for (const [engine, machine] of machines) {
        const same = outcome(machine, code, one) === wanted;
        expect(same, `${engine} ${JSON.stringify(one, (_, v) => (typeof v === "bigint" ? v.toString(16) : v))}`).toBe(
          true,
        );
      }
    }
  });
});
