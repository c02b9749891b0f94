/** A pseudo terminal as a back end: nobody there, somebody there, gone and back again, and somebody who reads nothing. */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { STALL_MS } from "../../../qemu-user/backend/link.ts";
import { PtyLink } from "../../../qemu-user/backend/pty.ts";

let link: PtyLink;
let got: string;
let room: boolean;
let again: () => void;
let said: string[];
let open: number[];
beforeEach(() => {
  [got, room, said, open] = ["", true, [], []];
  link = new PtyLink((line) => said.push(line));
  link.start({
    backlog: 0,
    feed: (bytes) => {
      got += Buffer.from(bytes).toString();
      return room;
    },
    onRoom: (callback) => {
      again = callback;
    },
  });
});
afterEach(async () => {
  await link.close();
  for (const fd of open) closeSync(fd);
});

function terminal(): number {
  const fd = openSync(link.path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  open.push(fd);
  return fd;
}

function leave(fd: number): void {
  open = open.filter((other) => other !== fd);
  closeSync(fd);
}

function read(fd: number): string {
  const into = Buffer.alloc(64 * 1024);
  try {
    return into.toString("latin1", 0, readSync(fd, into));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
    throw error;
  }
}

async function reads(fd: number, text: string): Promise<void> {
  let all = "";
  await vi.waitFor(() => {
    all += read(fd);
    expect(all).toBe(text);
  });
}

const bytes = (text: string) => Buffer.from(text);

test("output without anybody is dropped; who opens it sees what comes then, unchanged, and what is typed arrives", async () => {
  await link.write(bytes("nobody"));
  const fd = terminal();
  await link.write(bytes("a\r\nb\n\x03"));
  await reads(fd, "a\r\nb\n\x03");
  writeSync(fd, "typed\r\x03");
  await vi.waitFor(() => expect(got).toBe("typed\r\x03"));
});

test("input arrives also when the guest says nothing, and after somebody has left and come again", async () => {
  for (const text of ["one", "two", "three"]) {
    const fd = terminal();
    writeSync(fd, text);
    await vi.waitFor(() => expect(got.endsWith(text)).toBe(true));
    leave(fd);
    await sleep(20);
    await link.write(bytes("dropped"));
  }
  expect(got).toBe("onetwothree");
  await reads(terminal(), "");
});

test("stops reading while the guest has no room", async () => {
  room = false;
  const fd = terminal();
  writeSync(fd, "a");
  await vi.waitFor(() => expect(got).toBe("a"));
  writeSync(fd, "b");
  await sleep(50);
  expect(got).toBe("a");
  room = true;
  again();
  await vi.waitFor(() => expect(got).toBe("ab"));
});

test("all of a lot of output arrives at one who reads", async () => {
  const fd = terminal();
  const text = Array.from({ length: 4_000 }, (_, i) => `line ${i}\r\n`).join("");
  const written = link.write(bytes(text));
  await reads(fd, text);
  await written;
});

test("one who reads nothing is waited for, but not for ever", { timeout: 4 * STALL_MS }, async () => {
  const fd = terminal();
  await link.write(new Uint8Array(256 * 1024).fill(0x61));
  expect(said).toEqual([`${link.path}: whoever has it open reads nothing; output is dropped until it does`]);
  const before = Date.now();
  await link.write(new Uint8Array(256 * 1024).fill(0x61));
  expect(Date.now() - before).toBeLessThan(STALL_MS / 2);
  for (let text = read(fd); text !== ""; text = read(fd)) expect(text).toMatch(/^a+$/);
  await link.write(bytes("again"));
  await reads(fd, "again");
});

test("close leaves no descriptor", async () => {
  terminal();
  await link.write(bytes("x"));
  const other = new PtyLink(() => {});
  const probe = openSync("/dev/null", "r");
  closeSync(probe);
  await other.close();
  await sleep(20);
  const next = openSync("/dev/null", "r");
  expect(next).toBeLessThan(probe); // the number that `other` had
  expect(fstatSync(next).isCharacterDevice()).toBe(true);
  closeSync(next);
});
