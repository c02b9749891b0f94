/**
 * Signals to qemu-user reach the guest as its power button: one that listens shuts down by itself, or is ended by the second.
 * Document: ACPI 6.5 section 4.8.2.2 "Power Button"; qemu-user/signals.ts.
 * Left out: guests that do not listen (lifetime.test.ts), and Debian's (debian.test.ts).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { ACPI_ENABLE, S5_TYPE } from "../../qemu-user/hw/acpi-pm.ts";
import { openPty } from "../../shared/native.ts";
import { assemble } from "../kvm-core/support/asm.ts";
import { concat, elf, multibootHeader } from "../qemu-user/support/images.ts";
import { type Running, readSome, start, until } from "../support/qemu-user.ts";

const MAIN = fileURLToPath(new URL("../../qemu-user/main.ts", import.meta.url));
const LOAD = 0x10_0000;
const HEADER = 12;

/** Turns ACPI and the button on, says so with a byte on COM1, and then does what `after` says. */
const program = (after: string) => `
  mov al, ${ACPI_ENABLE}; mov dx, 0xb2; out dx, al
  mov dx, 0x602; mov ax, 0x100; out dx, ax
  mov dx, 0x3f8; mov al, 0x21; out dx, al
  ${after}`;

const SHUTS_DOWN = `
  mov dx, 0x600
  1: in ax, dx; test ax, 0x100; jz 1b
  mov dx, 0x3f8; mov al, 0x2e; out dx, al
  mov dx, 0x604; mov ax, ${0x2000 | (S5_TYPE << 10)}; out dx, ax
  2: jmp 2b`;
const IGNORES = "1: jmp 1b";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function kernel(after: string): string {
  const path = join(folder, "kernel");
  const segments = [{ paddr: LOAD, bytes: concat(multibootHeader(0), assemble(program(after), 32)) }];
  writeFileSync(path, elf({ bits: 32, entry: LOAD + HEADER, segments }));
  return path;
}

async function boot(after: string, ...args: string[]): Promise<Running> {
  const vm = start("run", "-kernel", kernel(after), "-nographic", ...args);
  onTestFinished(() => void vm.child.kill("SIGKILL"));
  await until(() => vm.stdout().includes("!"), "the guest");
  return vm;
}

it.each(["page", "message"])("a guest that listens shuts down, in %s mode", async (mode) => {
  const vm = await boot(SHUTS_DOWN, "--mode", mode);
  vm.child.kill("SIGTERM");
  const { status, stderr } = await vm.finished;
  expect(stderr).toBe("qemu-user: SIGTERM: the power button is pressed; a second signal ends the machine at once\n");
  expect(status).toBe(0);
});

it("a guest that listens and does nothing is ended by the second signal", async () => {
  const vm = await boot(IGNORES);
  vm.child.kill("SIGINT");
  await until(() => vm.stderr().includes("power button is pressed"), "the report");
  vm.child.kill("SIGTERM");
  const { status, stderr } = await vm.finished;
  expect(stderr).toContain("terminating on SIGTERM");
  expect(status).toBe(143);
});

it("a terminal that is closed: the guest shuts down all the same, unheard", async () => {
  const { fd, path } = openPty();
  const other = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  const child = spawn(process.execPath, [MAIN, "run", "-kernel", kernel(SHUTS_DOWN), "-nographic"], {
    stdio: [other, other, other],
  });
  const ended = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  closeSync(other);
  let text = "";
  await until(() => {
    text += readSome(fd);
    return text.includes("!");
  }, "the guest");
  closeSync(fd);
  child.kill("SIGHUP"); // it is not the child's controlling terminal, so the kernel does not send it
  expect(await ended).toEqual([0, null]);
});
