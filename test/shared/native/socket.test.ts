/**
 * Unix sockets of the native addon, with descriptors.
 * Implements: unix(7), sendmsg(2), recvmsg(2), poll(2).
 * Leaves out: refused arguments (test/shared/native.test.ts).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import * as native from "../../../shared/native.ts";
import { closing, inShell, memfd, openDescriptors, script, temporaryFolder } from "./support.ts";

describe("sockets", () => {
  const pair = () => native.socketPair().map(closing) as [number, number];
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

  it.each([
    ["a file", () => path.join(temporaryFolder(), "socket")],
    ["an abstract name", () => `@splitvm-test-${process.pid}`],
    ["an abstract name with a NUL", () => `\0splitvm-test-${process.pid}`],
  ])("connects through %s", (_name, makePath) => {
    const at = makePath();
    const listening = closing(native.listenUnix(at, 4));
    expect(native.accept(listening)).toBe(-1);
    expect(() => native.listenUnix(at, 4)).toThrow(expect.objectContaining({ code: "EADDRINUSE", syscall: "bind" }));
    const client = closing(native.connectUnix(at));
    expect(native.poll([listening], [native.POLLIN], 10_000)).toEqual([native.POLLIN]);
    const server = closing(native.accept(listening));
    native.sendMessage(client, Buffer.from("hello"), []);
    expect(text(native.receiveMessage(server, 100, 0, 10_000)!.bytes)).toBe("hello");
    const ids = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
    expect(native.peerCredentials(server)).toEqual(ids);
    expect(native.peerCredentials(client)).toEqual(ids);
  });

  it("takes the longest path and refuses a longer one", () => {
    const longest = path.join(temporaryFolder(), "x".repeat(107)).slice(0, 107);
    closing(native.listenUnix(longest, 1));
    closing(native.connectUnix(longest));
    expect(() => native.listenUnix(`${longest}x`, 1)).toThrow(expect.objectContaining({ code: "ENAMETOOLONG" }));
  });

  it("closes what it opened when it fails", () => {
    const before = openDescriptors();
    expect(() => native.connectUnix("/does/not/exist")).toThrow();
    expect(() => native.listenUnix("/does/not/exist", 1)).toThrow();
    expect(openDescriptors()).toBe(before);
  });

  it("passes descriptors that are the sender's files, closed on exec", () => {
    const [one, other] = pair();
    const file = memfd();
    fs.writeSync(file, Buffer.from("from the file"));
    expect(native.sendMessage(one, Buffer.from("two of them"), [file, file])).toBe(11);
    const { bytes, fds } = native.receiveMessage(other, 100, 2, 10_000)!;
    expect(text(bytes)).toBe("two of them");
    expect(fds).toHaveLength(2);
    for (const fd of fds.map(closing)) {
      const read = Buffer.alloc(13);
      fs.readSync(fd, read, 0, 13, 0);
      expect(read.toString()).toBe("from the file");
      expect(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toMatch(/flags:\s*02\d{6}$/m);
    }
  });

  it("passes descriptors to another process", async () => {
    const [mine, theirs] = native.socketPair();
    closing(mine);
    const file = memfd();
    const child = spawn(
      process.execPath,
      script(`import fs from "node:fs";
        const { fds } = native.receiveMessage(3, 10, 1, 10_000); fs.writeSync(fds[0], "child");`),
      { stdio: ["ignore", "inherit", "inherit", theirs] },
    );
    fs.closeSync(theirs);
    native.sendMessage(mine, Buffer.from("x"), [file]);
    expect((await once(child, "exit"))[0]).toBe(0);
    const read = Buffer.alloc(5);
    fs.readSync(file, read, 0, 5, 0);
    expect(read.toString()).toBe("child");
  });

  it("waits only as long as it was told, and sees the end of the stream", () => {
    const [one, other] = native.socketPair();
    closing(one);
    expect(native.receiveMessage(one, 10, 0, 0)).toBeNull();
    expect(native.receiveMessage(one, 10, 0, 1)).toBeNull();
    native.sendMessage(other, Buffer.from("abcdef"), []);
    fs.closeSync(other);
    expect(text(native.receiveMessage(one, 4, 0, 0)!.bytes)).toBe("abcd");
    expect(text(native.receiveMessage(one, 4, 0, 0)!.bytes)).toBe("ef");
    expect(native.receiveMessage(one, 4, 0, 0)).toEqual({ bytes: new Uint8Array(0), fds: [] });
    expect(() => native.sendMessage(one, Buffer.from("x"), [])).toThrow(
      expect.objectContaining({ code: "EPIPE", syscall: "sendmsg" }), // and no SIGPIPE
    );
  });

  it("does not wait when there is no room to send", () => {
    const [one] = pair();
    native.setNonBlocking(one, true);
    const fill = () => {
      for (;;) native.sendMessage(one, new Uint8Array(65536), []);
    };
    expect(fill).toThrow(expect.objectContaining({ code: "EAGAIN" }));
    expect(native.poll([one], [native.POLLOUT], 0)).toEqual([0]);
    native.setNonBlocking(one, false);
    expect(fs.readFileSync(`/proc/self/fdinfo/${one}`, "utf8")).not.toMatch(/flags:\s*0\d*4\d{3}$/m); // O_NONBLOCK
  });

  it.each([
    [1, 0],
    [2, 1], // one more than asked for fits where CMSG_SPACE rounds up
    [3, 1],
    [253, 252],
  ])("%d descriptors where %d are allowed: EMSGSIZE, none kept", (sent, allowed) => {
    const [one, other] = pair();
    const file = memfd();
    native.sendMessage(one, Buffer.from("x"), Array(sent).fill(file));
    const before = openDescriptors();
    expect(() => native.receiveMessage(other, 10, allowed, 10_000)).toThrow(
      expect.objectContaining({ code: "EMSGSIZE", syscall: "recvmsg" }),
    );
    expect(openDescriptors()).toBe(before);
  });

  it("says EMFILE when the table of open files is full, and keeps none", () => {
    const { output } = inShell(
      "ulimit -n 128",
      `import fs from "node:fs";
       const [one, other] = native.socketPair();
       native.sendMessage(one, Buffer.from("x"), [0, 0, 0]);
       const opened = [];
       try { for (;;) opened.push(fs.openSync("/dev/null")); } catch {}
       const free = opened.pop();
       fs.closeSync(free);
       let error;
       try { native.receiveMessage(other, 10, 3, 0); } catch (thrown) { error = thrown; }
       const again = fs.openSync("/dev/null");
       for (const fd of opened) fs.closeSync(fd); // console.log wants some
       console.log(error.code, again === free);`,
    );
    expect(output).toBe("EMFILE true\n");
  });

  it("polls several descriptors at once", () => {
    const [one, other] = native.socketPair();
    closing(one);
    const both = native.POLLIN | native.POLLOUT;
    expect(native.poll([one, other], [both, native.POLLIN], 0)).toEqual([native.POLLOUT, 0]);
    fs.closeSync(other);
    expect(native.poll([one], [native.POLLIN], 0)).toEqual([native.POLLIN | native.POLLHUP]);
    expect(native.poll([2 ** 31 - 1], [native.POLLIN], 0)).toEqual([native.POLLNVAL]);
    expect(native.poll([], [], 1)).toEqual([]);
  });
});
