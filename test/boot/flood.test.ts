/**
 * A guest that does nothing but move BARs, faster than kvm-core can be told of it: qemu-user stays as large as it is.
 * Document: qemu-user/device/region-flow.ts.
 * Left out: what the BARs then answer (test/qemu-user/pci).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { assemble } from "../kvm-core/support/asm.ts";
import { concat, elf, multibootHeader } from "../qemu-user/support/images.ts";
import { start, until } from "../support/qemu-user.ts";

const LOAD = 0x10_0000;
const HEADER = 12;
/** Switches the BARs of the first device off and on, through mechanism 1; says so on the debug console before. */
const PROGRAM = `
  mov al, 0x21; out 0xe9, al
  mov eax, 0x80001004; mov dx, 0xcf8; out dx, eax
  mov dx, 0xcfc
  1: mov eax, 0; out dx, ax
  mov eax, 3; out dx, ax
  jmp 1b`;
/** MiB. Without a bound it grows by a hundred each second. */
const GROWTH = 80;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-flood-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function residentMiB(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))!;
  return Number(kib) / 1024;
}

it("does not fill the host's memory", async () => {
  const path = join(folder, "kernel");
  const segments = [{ paddr: LOAD, bytes: concat(multibootHeader(0), assemble(PROGRAM, 32)) }];
  writeFileSync(path, elf({ bits: 32, entry: LOAD + HEADER, segments }));
  const options = ["-device", "splitvm-test", "-debugcon", "stdio", "-serial", "none"];
  const { child, stdout, finished } = start("run", "-kernel", path, ...options);
  try {
    await until(() => stdout().includes("!"), "the guest");
    await setTimeout(2500); // until the heaps have their size
    const before = residentMiB(child.pid!);
    await setTimeout(4000);
    expect(residentMiB(child.pid!) - before).toBeLessThan(GROWTH);
  } finally {
    child.kill("SIGTERM");
  }
  const { status, stderr } = await finished;
  expect([status, stderr]).toEqual([143, "qemu-user: terminating on SIGTERM\n"]);
});
