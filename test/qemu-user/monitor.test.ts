/** The human monitor, against a machine that only notes what it is told. */
import { beforeEach, describe, expect, it } from "vitest";
import { Monitor } from "../../qemu-user/monitor.ts";

let running: boolean;
let listens: boolean;
let told: string[];
let monitor: Monitor;
beforeEach(() => {
  running = true;
  listens = true;
  told = [];
  monitor = new Monitor({
    get running() {
      return running;
    },
    stop: () => told.push("stop"),
    cont: () => told.push("cont"),
    powerDown: async () => {
      told.push("powerDown");
      return listens;
    },
    quit: () => told.push("quit"),
    registers: async () => "RAX=0\n",
  });
});

describe("the monitor", () => {
  it.each([
    ["stop", "stop"],
    ["cont", "cont"],
    ["c", "cont"],
    ["quit", "quit"],
    ["q", "quit"],
    ["system_powerdown", "powerDown"],
  ])("%s tells the machine %s", async (line, what) => {
    expect(await monitor.command(line)).toBe("");
    expect(told).toEqual([what]);
  });

  it("info status says whether the guest runs", async () => {
    expect(await monitor.command("info status")).toBe("VM status: running\n");
    running = false;
    expect(await monitor.command("info  status")).toBe("VM status: paused\n");
  });

  it("info registers wants a stopped guest", async () => {
    expect(await monitor.command("info registers")).toContain("stop it first");
    running = false;
    expect(await monitor.command("info registers")).toBe("RAX=0\n");
  });

  it("system_powerdown says when nobody listens", async () => {
    listens = false;
    expect(await monitor.command("system_powerdown")).toContain("does not listen");
    expect(told).toEqual(["powerDown"]);
  });

  it("help names every command, and an unknown one is refused by name", async () => {
    expect(await monitor.command("help")).toMatch(/info status[\s\S]*quit/);
    expect(await monitor.command("sytem_reset")).toBe("unknown command: 'sytem_reset'\n");
    expect(await monitor.command("")).toBe("");
  });
});
