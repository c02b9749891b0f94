/**
 * The CPU engines: million guest instructions a second of the compute programs of test/guest/bench.c, timed in the guest.
 * Peers: the same assembler files linked for the host, in turns with the guest on the same CPU; and QEMU's TCG, where it is
 * installed. A figure is the median of the rounds after the warm-up. Every round's checksum has to be the native program's.
 * Leaves out: instructions that leave the guest (exit.ts).
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { EngineName } from "../../kvm-core/engine/engine.ts";
import type { Computed } from "./device-process.ts";
import { median } from "./distribution.ts";
import { Machine } from "./machine.ts";
import { onCpu } from "./pinned.ts";
import { hasQemu, qemuMips } from "./qemu.ts";
import { type Cpus, placement, type Result, type Row, result } from "./row.ts";

/** Where the guest leaves a round's figures (at=). */
const AT = 0x100_0000;
const RAM = 128 << 20;
const ROUNDS = 9;
/** Until V8 has optimised what runs: it compiles in the background, on whichever CPU has time. */
const WARM_UP_MS = 4_000;
const NATIVE = fileURLToPath(new URL("../../build/native", import.meta.url));
const NATIVE_NAME = "the same instructions natively";

type Program = {
  /** run= of the guest, and the native program's name. */
  readonly run: "loop" | "fib" | "mem" | "fp" | "sse" | "x87" | "dispersed" | "decode";
  /** Size of a round, per engine that is measured; wasm's is patch's unless said. */
  readonly counts: { readonly patch: number; readonly wasm?: number; readonly interp?: number; readonly qemu: number };
};

const PROGRAMS: readonly Program[] = [
  { run: "loop", counts: { patch: 10_000_000, interp: 200_000, qemu: 20_000_000 } },
  { run: "fib", counts: { patch: 50, qemu: 50 } },
  { run: "mem", counts: { patch: 4_000_000, qemu: 4_000_000 } },
  { run: "fp", counts: { patch: 2_000_000, qemu: 1_000_000 } },
  { run: "sse", counts: { patch: 4_000_000, qemu: 4_000_000 } },
  { run: "x87", counts: { patch: 500_000, qemu: 500_000 } },
  { run: "dispersed", counts: { patch: 50, wasm: 3, qemu: 3 } },
];

const mips = (instructions: number, ns: number): number => (instructions / ns) * 1000;

/** The native program, once, on one CPU. */
async function native(cpu: number, program: string, count: number): Promise<Pick<Computed, "ns" | "checksum">> {
  const { stdout } = await onCpu(cpu, () => promisify(execFile)(NATIVE, [program, String(count)]));
  return JSON.parse(stdout) as Pick<Computed, "ns" | "checksum">;
}

/** MIPS of the guest and of the native program, and the instructions of one count. */
type Rounds = { readonly guest: number; readonly native: number; readonly instructions: number };

/** Rounds in turns, so that both see the same machine. */
async function rounds(cpus: Cpus, run: Program["run"], engine: EngineName, count: number): Promise<Rounds> {
  const at = placement(cpus, "apart", false);
  const append = `run=${run} count=${count} at=${AT} console=debugcon`;
  const machine = await Machine.start(at, { mode: "page", ram: RAM, append, devices: [], engine });
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) await machine.compute();
  const guest: number[] = [];
  const peers: number[] = [];
  let instructions = 0;
  for (let i = 0; i < ROUNDS; i++) {
    // What decode executes is a copy of dispersed.
    const peer = await native(at.vcpu, run === "decode" ? "dispersed" : run, count);
    const round = await machine.compute();
    if (peer.checksum !== round.checksum)
      throw new Error(`run=${run} on ${engine}: the checksum is ${round.checksum}, natively it is ${peer.checksum}`);
    instructions = round.instructions / count;
    guest.push(mips(round.instructions, round.ns));
    peers.push(mips(round.instructions, peer.ns));
  }
  await machine.stop();
  return { guest: median(guest), native: median(peers), instructions };
}

const higher = (name: string, value: number, peer?: { readonly name: string; readonly value: number }): Result =>
  result(name, value, "MIPS", peer, "higher");

async function measure(cpus: Cpus, { run, counts }: Program): Promise<readonly Result[]> {
  const patch = await rounds(cpus, run, "patch", counts.patch);
  const name = `cpu/patch-${run}`;
  const results = [higher(name, patch.guest, { name: NATIVE_NAME, value: patch.native })];
  if (counts.interp !== undefined) {
    const interp = await rounds(cpus, run, "interp", counts.interp);
    results.push(
      higher(`${name}.interp`, patch.guest, { name: "engine interp", value: interp.guest }),
      higher(`cpu/interp-${run}`, interp.guest, { name: NATIVE_NAME, value: interp.native }),
    );
  }
  if (hasQemu()) {
    const qemu = await qemuMips(cpus.a, run, counts.qemu, patch.instructions);
    results.push(higher(`${name}.qemu`, patch.guest, { name: "QEMU TCG", value: qemu }));
  }
  return [...results, higher(`cpu/native-${run}`, patch.native)];
}

export const CPU_ROWS: readonly Row[] = [
  ...PROGRAMS.map((program) => ({
    name: `cpu/patch-${program.run}`,
    needsTwoCpus: false,
    measure: (cpus: Cpus) => measure(cpus, program),
  })),
  ...PROGRAMS.map(({ run, counts }) => ({
    name: `cpu/wasm-${run}`,
    needsTwoCpus: false,
    async measure(cpus: Cpus) {
      const { guest, native } = await rounds(cpus, run, "wasm", counts.wasm ?? counts.patch);
      return [higher(this.name, guest, { name: NATIVE_NAME, value: native })];
    },
  })),
  {
    name: "cpu/decode",
    needsTwoCpus: false,
    async measure(cpus) {
      return [higher("cpu/decode", (await rounds(cpus, "decode", "patch", 1)).guest)];
    },
  },
];
