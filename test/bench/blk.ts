/**
 * Disks: 4 KiB reads at random places and 1 MiB reads in order, one at a time and past the guest's page cache, of an image in the
 * host's. The three ways to serve a disk; QEMU's virtio-blk in turns.
 * Leaves out: writes; several requests at once.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MODE } from "../guest/debian/newc.ts";
import { addScript, DebianRun, inScratch, type Machine } from "./debian.ts";
import { median } from "./distribution.ts";
import { hasQemu } from "./qemu.ts";
import { type Result, type Row, result } from "./row.ts";

const PROGRAM = fileURLToPath(new URL("../../build/blkread", import.meta.url));
const IMAGE_BYTES = 256 * 2 ** 20;
const SECONDS = 2;
const ROUNDS = 3;
/** How each serves it: options of the drive, of the device, and the machine's. QEMU has other words for the host's side. */
const WAYS: Readonly<Record<string, Readonly<Record<Machine, readonly [string, string, readonly string[]]>>>> = {
  sync: { ours: [",aio=sync", "", []], qemu: [",aio=threads", "", []] },
  async: { ours: [",aio=async", "", []], qemu: [",aio=io_uring", "", []] },
  iothread: {
    ours: ["", ",iothread=t0", ["-object", "iothread,id=t0"]],
    qemu: [",aio=io_uring", ",iothread=t0", ["-object", "iothread,id=t0"]],
  },
};

type Mode = "rand" | "seq";

/** Requests and bytes a second. */
async function speed(machine: Machine, way: string, mode: Mode, image: string, initrd: string): Promise<Speed> {
  const [drive, device, more] = WAYS[way]![machine];
  const disk = [`file=${image},if=none,id=d0,format=raw${drive}`, `virtio-blk-pci,drive=d0${device}`] as const;
  const run = new DebianRun(machine, [...more, "-drive", disk[0], "-device", disk[1]], initrd);
  const line = /blkread \w+ (\d+) requests (\d+) bytes (\d+) ns/;
  await run.until((output) => line.test(output), `a line of blkread ${mode}`);
  await run.end();
  const [requests, bytes, ns] = line.exec(run.output)!.slice(1).map(Number) as [number, number, number];
  return { operations: (requests * 1e9) / ns, megabytes: (bytes * 1e3) / ns };
}

type Speed = { readonly operations: number; readonly megabytes: number };

function row(name: string, mode: Mode, size: number, unit: string, of: (speed: Speed) => number): Row {
  const measure = async (folder: string): Promise<readonly Result[]> => {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not there: make build/blkread`);
    const image = join(folder, "disk.img");
    writeFileSync(image, Buffer.alloc(IMAGE_BYTES, 0x5a));
    const program = { name: "blkread", mode: MODE.program, data: readFileSync(PROGRAM) };
    const initrd = addScript(folder, `/blkread /dev/vda ${mode} ${size} ${SECONDS}\n`, [program]);
    const results: Result[] = [];
    for (const way of Object.keys(WAYS)) {
      const all: Record<Machine, number[]> = { ours: [], qemu: [] };
      for (let i = 0; i < ROUNDS; i++) {
        all.ours.push(of(await speed("ours", way, mode, image, initrd)));
        if (hasQemu()) all.qemu.push(of(await speed("qemu", way, mode, image, initrd)));
      }
      const [drive, device] = WAYS[way]!.qemu;
      const peer = hasQemu() ? { name: `QEMU TCG${drive}${device}`, value: median(all.qemu) } : undefined;
      results.push(result(`${name}-${way}`, median(all.ours), unit, peer, "higher"));
    }
    return results;
  };
  return { name, needsTwoCpus: false, measure: () => inScratch(measure) };
}

export const BLK_ROWS: readonly Row[] = [
  row("blk/randread-4k", "rand", 4096, "/s", ({ operations }) => operations),
  row("blk/seqread", "seq", 2 ** 20, "MB/s", ({ megabytes }) => megabytes),
];
