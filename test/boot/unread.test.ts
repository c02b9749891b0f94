/**
 * A reader of the guest's output that takes nothing: it holds the guest up, but not the user who wants the end.
 * Leaves out: sockets and pseudo terminals, where such a reader loses output (chardev.test.ts); a terminal of ours that takes
 * nothing, to which Node writes with writes that block.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { assemble } from "../kvm-core/support/asm.ts";
import { concat, elf, multibootHeader } from "../qemu-user/support/images.ts";
import { until } from "../support/qemu-user.ts";

const MAIN = fileURLToPath(new URL("../../qemu-user/main.ts", import.meta.url));
const LOAD = 0x10_0000;
const HEADER = 12;
/** A pipe holds 64 KiB, and so does the ring behind it: more than one of them, or than both. */
const SOME = 100_000;
const MUCH = 300_000;

/** Writes to the debug console, then a byte to COM1, and asks for the end. */
const program = (bytes: number) => `
  mov ecx, ${bytes}; mov al, 0x2e
  1: out 0xe9, al; dec ecx; jnz 1b
  mov al, 0x21; mov dx, 0x3f8; out dx, al
  mov al, 0x10; mov dx, 0x501; out dx, al
  2: jmp 2b`;

/** Boots it with the debug console on a pipe that nobody reads; `written` is true when it has come to COM1. */
function boot(bytes: number) {
  const folder = mkdtempSync(join(tmpdir(), "splitvm-unread-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [kernel, com1, fifo] = ["kernel", "com1", "fifo"].map((name) => join(folder, name)) as [string, string, string];
  const segments = [{ paddr: LOAD, bytes: concat(multibootHeader(0), assemble(program(bytes), 32)) }];
  writeFileSync(kernel, elf({ bits: 32, entry: LOAD + HEADER, segments }));
  execFileSync("mkfifo", [fifo]);
  // Each with a description of its own: a child's output is made to block.
  const [fd, output] = [0, 1].map(() => openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)) as [number, number];
  onTestFinished(() => closeSync(fd));
  const args = ["-kernel", kernel, "-debugcon", "stdio", "-serial", `file:${com1}`];
  const child = spawn(process.execPath, [MAIN, "run", ...args, "-device", "isa-debug-exit,iobase=0x501,iosize=1"], {
    stdio: ["ignore", output, "ignore"],
  });
  closeSync(output);
  onTestFinished(() => void child.kill("SIGKILL"));
  const written = () => existsSync(com1) && statSync(com1).size > 0;
  return { child, fd, ended: once(child, "exit"), written };
}

/** How many bytes a pipe gives now. */
function read(fd: number): number {
  let count = 0;
  try {
    for (;;) count += readSync(fd, Buffer.alloc(65_536));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return count;
    throw error;
  }
}

it("a signal ends a guest that waits for the reader", async () => {
  const { child, ended, written } = boot(MUCH);
  await setTimeout(3000);
  expect([written(), child.exitCode]).toEqual([false, null]);
  child.kill("SIGTERM");
  expect(await ended).toEqual([143, null]);
});

it("a guest that has ended waits for the reader of its last output, until a signal; its own status counts", async () => {
  const { child, ended, written } = boot(SOME);
  await until(written, "the guest");
  await setTimeout(1500);
  expect(child.exitCode).toBe(null);
  child.kill("SIGTERM");
  expect(await ended).toEqual([33, null]);
});

it("a reader that is slow gets all of it", async () => {
  const { fd, ended, written } = boot(SOME);
  await until(written, "the guest");
  await setTimeout(1000);
  let count = 0;
  const reading = setInterval(() => {
    count += read(fd);
  }, 20);
  expect(await ended).toEqual([33, null]);
  clearInterval(reading);
  expect(count + read(fd)).toBe(SOME);
});
