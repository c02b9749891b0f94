/**
 * Events, timers and the calling thread of the native addon.
 * Implements: eventfd(2), timerfd_create(2), sched_setaffinity(2), prctl(2), clock_gettime(2).
 * Leaves out: how exact the timers are.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { describe, expect, it } from "vitest";
import * as native from "../../../shared/native.ts";
import { afterTest, closing, inWorker, SECOND, script } from "./support.ts";

describe("events and timers", () => {
  const read = (fd: number) => {
    const bytes = new BigUint64Array(1);
    fs.readSync(fd, bytes);
    return bytes[0];
  };

  it("counts events", () => {
    const fd = closing(native.eventfd(3, native.EFD_NONBLOCK));
    fs.writeSync(fd, new BigUint64Array([2n]));
    expect(read(fd)).toBe(5n);
    expect(() => read(fd)).toThrow(expect.objectContaining({ code: "EAGAIN" }));
    expect(read(closing(native.eventfd(3, native.EFD_SEMAPHORE)))).toBe(1n);
  });

  it("fires after a time, at a time, and not when disarmed", () => {
    const fd = closing(native.timerfdCreate());
    const fires = (timeoutMs: number) => native.poll([fd], [native.POLLIN], timeoutMs)[0] === native.POLLIN;
    native.timerfdSettime(fd, 1e6, 0, false);
    expect(fires(10_000)).toBe(true);
    expect(read(fd)).toBe(1n);
    native.timerfdSettime(fd, native.clockMonotonic() + 1e6, 0, true);
    expect(fires(10_000)).toBe(true);
    native.timerfdSettime(fd, 1, 0, true); // long past
    expect(fires(0)).toBe(true);
    native.timerfdSettime(fd, 3600 * SECOND, 0, false);
    native.timerfdSettime(fd, 0, 0, false);
    expect(fires(0)).toBe(false);
    native.timerfdSettime(fd, 1, 1e6, false);
    expect(fires(10_000) && read(fd)! >= 1n && fires(10_000)).toBe(true);
  });
});

describe("the calling thread", () => {
  it("runs where it was bound", () => {
    const before = native.getAffinity();
    afterTest(() => native.setAffinity(before));
    for (const cpu of before) {
      native.setAffinity([cpu]);
      expect(native.getAffinity()).toEqual([cpu]);
      expect(native.getCpu()).toBe(cpu);
    }
    expect(() => native.setAffinity([])).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("has a number and a name, each thread its own", async () => {
    const before = fs.readFileSync("/proc/thread-self/comm", "utf8").trim();
    afterTest(() => native.setThreadName(before));
    expect(fs.readlinkSync("/proc/thread-self")).toBe(`${process.pid}/task/${native.threadId()}`);
    native.setThreadName("a name longer than it can be");
    expect(fs.readFileSync("/proc/thread-self/comm", "utf8")).toBe("a name longer t\n");
    const body = `native.setThreadName("vcpu0"); process.exitCode = native.threadId() === data ? 1 : 0;`;
    await inWorker(body, native.threadId());
    expect(fs.readFileSync("/proc/thread-self/comm", "utf8")).toBe("a name longer t\n");
  });

  it("reads the monotonic clock that Node reads", () => {
    const before = Number(process.hrtime.bigint());
    const now = native.clockMonotonic();
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(Number(process.hrtime.bigint()));
  });

  it("ends with its parent", async () => {
    const child = `const parent = native.parentDeathSignal(native.SIGKILL);
      process.stdout.write(parent === process.ppid ? "ready" : "orphan"); setInterval(() => {}, 1000);`;
    const parent: ChildProcess = spawn(
      process.execPath,
      script(`import { spawn } from "node:child_process";
        spawn(process.execPath, ${JSON.stringify(script(child))}, { stdio: "inherit" });`),
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const [text] = await once(parent.stdout!, "data");
    expect(String(text)).toBe("ready");
    parent.kill("SIGKILL");
    await once(parent.stdout!, "close"); // the grandchild held the other end
  });
});
