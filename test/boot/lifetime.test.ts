/**
 * Processes end together: whichever is killed, the other notices, says what happened, and nothing stays.
 */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { type Core, startCore } from "../support/core.ts";
import { guest, qemuUser, type Running, start, until } from "../support/qemu-user.ts";

/** The guest computes for ever, sleeps for ever, or waits for a device. */
const GUESTS = {
  "in a tight loop": "run=spin",
  halted: "run=idle",
};

const running: Running[] = [];
afterEach(() => {
  for (const { child } of running.splice(0)) child.kill("SIGKILL");
});

function boot(append: string, ...args: string[]): Running {
  const made = start("run", "-kernel", guest("bench64"), "-append", append, "-nographic", ...args);
  running.push(made);
  return made;
}

/** The private kvm-core of a qemu-user, once it runs. */
async function coreOf({ child }: Running): Promise<number> {
  const file = `/proc/${child.pid}/task/${child.pid}/children`;
  await until(() => readFileSync(file, "utf8").trim() !== "", "kvm-core");
  return Number(readFileSync(file, "utf8").trim());
}

/** Running, as far as anybody but the parent is concerned: a zombie is not. */
function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

function sockets(): string[] {
  return readFileSync("/proc/net/unix", "utf8").match(/@splitvm-\d+-\d+$/gm) ?? [];
}

/** Until the guest's own loop is what runs: the VM answers `stat`. */
async function inGuest(vm: Running): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { stdout } = await qemuUser("stat", String(vm.child.pid));
    if (/vCPU 0 (running|halted)/.test(stdout)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the guest did not start");
}

describe.each(Object.entries(GUESTS))("a guest %s", (_what, append) => {
  it("kvm-core killed: qemu-user says so and ends with status 1", async () => {
    const vm = boot(append);
    const core = await coreOf(vm);
    await inGuest(vm);
    process.kill(core, "SIGKILL");
    const { status, stderr } = await vm.finished;
    expect(status).toBe(1);
    expect(stderr).toContain("kvm-core ended unexpectedly (SIGKILL)");
  });

  it("qemu-user killed: its kvm-core ends", async () => {
    const vm = boot(append);
    const core = await coreOf(vm);
    await inGuest(vm);
    vm.child.kill("SIGKILL");
    await vm.finished;
    await until(() => !lives(core), "kvm-core's end");
    expect(sockets().filter((name) => name.endsWith(`-${vm.child.pid}`))).toEqual([]);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("%s ends both in order", async (signal, status) => {
    const vm = boot(append);
    const core = await coreOf(vm);
    await inGuest(vm);
    vm.child.kill(signal);
    expect((await vm.finished).status).toBe(status);
    expect(lives(core)).toBe(false);
  });

  it("a kvm-core that is stopped does not hold the end up", async () => {
    const vm = boot(append);
    const core = await coreOf(vm);
    await inGuest(vm);
    process.kill(core, "SIGSTOP");
    vm.child.kill("SIGTERM");
    expect((await vm.finished).status).toBe(143);
    expect(lives(core)).toBe(false);
  });

  it("Ctrl-A x ends it", async () => {
    const vm = boot(append);
    await inGuest(vm);
    vm.child.stdin!.write("\x01x");
    expect((await vm.finished).status).toBe(0);
  });
});

/** Until the guest has read the test device `least` times. */
async function counted(core: string, least: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { stdout } = await qemuUser("stat", "--core", core, "--json");
    if (stdout !== "") {
      const { rows } = JSON.parse(stdout) as { rows: { name: string; count: number }[] };
      if (rows.some(({ name, count }) => name.includes("bar0") && count >= least)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the guest did not make ${least} exits`);
}

describe("a shared kvm-core", () => {
  let core: Core;
  afterEach(async () => {
    expect(await core.stop()).toBe(0);
  });

  it("parks the VM of a killed qemu-user, stat shows it, --take-over goes on with it", async () => {
    core = await startCore();
    const shared = ["--core", core.path, "-name", "parked", "-device", "splitvm-test"];
    const append = "run=counter port=0xc000 count=3000000";
    const vm = boot(append, ...shared);
    await counted(core.path, 10_000);
    vm.child.kill("SIGKILL");
    await vm.finished;
    await until(() => core.reports().includes("is parked"), "the core's report");
    expect((await qemuUser("stat", "--core", core.path, "parked")).stdout).toContain(
      "parked: its device process is gone",
    );
    const next = boot(append, ...shared, "--take-over");
    const { stdout, status, stderr } = await next.finished;
    expect(stderr).toBe("");
    expect(stdout).toContain("counter: 3000000 reads, 0 wrong, exact");
    expect(status).toBe(33);
  });

  it("ends a VM at once when nobody asked to keep it, and refuses a name that is taken", async () => {
    core = await startCore();
    const vm = boot("run=spin", "--core", core.path, "-name", "one");
    await until(() => vm.child.exitCode !== null, "nothing", 1_000).catch(() => {});
    const second = await qemuUser("run", "-kernel", guest("bench64"), "--core", core.path, "-name", "one");
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/EEXIST.*"one" exists/);
    vm.child.kill("SIGTERM");
    expect((await vm.finished).status).toBe(143);
    expect((await qemuUser("stat", "--core", core.path)).stderr).toContain("no VM of yours runs");
  });
});
