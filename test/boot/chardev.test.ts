/**
 * The guest's serial port and console on sockets and pseudo terminals, from the command line to the bytes.
 * Document: qemu-user/backend/socket.ts, pty.ts; QEMU's -serial and -chardev.
 * Left out: what each back end does when somebody comes and goes: test/qemu-user/backend.
 */
import { once } from "node:events";
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { assemble } from "../kvm-core/support/asm.ts";
import { concat, elf, multibootHeader } from "../qemu-user/support/images.ts";
import { qemuUser, type Running, readSome, start, until } from "../support/qemu-user.ts";

const LOAD = 0x10_0000;
const HEADER = 12;

/** Sends back what COM1 receives, with its case turned; "." ends the run with status 33. */
const ECHO = `
  1: mov dx, 0x3fd; in al, dx; test al, 1; jz 1b
  mov dx, 0x3f8; in al, dx
  cmp al, 0x2e; je 2f
  xor al, 0x20; out dx, al; jmp 1b
  2: mov al, 0x10; out 0xf4, al; jmp 2b`;

let folder: string;
let kernel: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
  kernel = join(folder, "kernel");
  const segments = [{ paddr: LOAD, bytes: concat(multibootHeader(0), assemble(ECHO, 32)) }];
  writeFileSync(kernel, elf({ bits: 32, entry: LOAD + HEADER, segments }));
});
afterAll(() => rmSync(folder, { recursive: true }));

function boot(...args: string[]): Running {
  const vm = start("run", "-kernel", kernel, ...args);
  onTestFinished(() => void vm.child.kill("SIGKILL"));
  return vm;
}

it("a socket that waits: the guest starts when somebody has come, and no file stays", async () => {
  const path = join(folder, "wait");
  const vm = boot("-serial", `unix:${path},server=on`, "--boot-timer");
  await until(() => vm.stderr().includes("serial0 waits for somebody to connect"), "the report");
  expect(vm.stderr()).not.toContain("guest entered");
  const socket = createConnection(path);
  let text = "";
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  socket.write("hello");
  await until(() => text === "HELLO", "the echo");
  socket.write("bye.");
  expect((await vm.finished).status).toBe(33);
  await until(() => text === "HELLOBYE", "the last bytes");
  expect(existsSync(path)).toBe(false);
});

it("a signal ends a run that waits for somebody, and no file stays", async () => {
  const path = join(folder, "signal");
  const vm = boot("-serial", `unix:${path},server=on`);
  await until(() => vm.stderr().includes("serial0 waits for somebody to connect"), "the report");
  vm.child.kill("SIGTERM");
  const { status, stderr } = await vm.finished;
  expect(stderr).toContain("terminating on SIGTERM");
  expect(status).toBe(143);
  expect(existsSync(path)).toBe(false);
});

it("two back ends cannot have one path, and the message says which it is", async () => {
  const path = join(folder, "twice");
  const socket = `unix:${path},server=on,wait=off`;
  const { status, stderr } = await qemuUser("run", "-kernel", kernel, "-serial", socket, "-debugcon", socket);
  expect(stderr).toBe(`qemu-user: unix:${path},server=on: another program listens there; choose another path\n`);
  expect(status).toBe(1);
  expect(existsSync(path)).toBe(false);
});

it("a pseudo terminal, in QEMU's words", async () => {
  const vm = boot("-serial", "pty");
  const words = /^char device redirected to (\/dev\/pts\/\d+) \(label serial0\)$/m;
  await until(() => words.test(vm.stderr()), "the path");
  const fd = openSync(words.exec(vm.stderr())![1]!, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  writeSync(fd, "hello");
  let text = "";
  await until(() => {
    text += readSome(fd);
    return text === "HELLO";
  }, "the echo");
  writeSync(fd, ".");
  expect((await vm.finished).status).toBe(33);
  closeSync(fd);
});

it("a client that sends a lot and reads nothing does not keep the run from its end", async () => {
  const path = join(folder, "flood");
  const vm = boot("-serial", `unix:${path},server=on,wait=off`);
  await until(() => existsSync(path), "the socket");
  const socket = createConnection(path);
  await once(socket, "connect");
  socket.pause();
  socket.write("a".repeat(100_000));
  await new Promise((resolve) => setTimeout(resolve, 500));
  vm.child.kill("SIGTERM");
  expect((await vm.finished).status).toBe(143);
  socket.destroy();
});
