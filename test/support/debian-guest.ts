/**
 * A Debian guest for tests: a booted machine that runs a command at a time, and says what it printed and its status.
 * What is booted is made by `make guest` (test/guest/debian). Commands do not go through a shell's line editor: an agent, a few
 * lines of shell in an initramfs of its own behind Debian's, reads them from a console.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { initramfsWith } from "../guest/debian/initramfs.ts";
import { MODE, type NewcEntry } from "../guest/debian/newc.ts";
import { debianFile, trouble } from "./debian.ts";
import { type Finished, type Running, start, until } from "./qemu-user.ts";

export const PATIENCE = 120_000;

/** Reads a line, runs it, tells its status; on the console that it is started with, or on hvc0. */
const AGENT = `
[ "$1" = "" ] && grep -q agent=hvc0 /proc/cmdline && exec sh /agent.sh hvc0 </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
echo agent-ready
while read -r line; do
	eval "$line"
	echo "agent-status=$?."
done
`;

export type Arch = "amd64" | "i386";

/** A folder that goes with the test. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "splitvm-debian-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A program of the host with the libraries that it is linked to, where it looks for them. */
export function hostProgram(path: string): NewcEntry[] {
  const libraries = execFileSync("ldd", [path], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
  const files = [path, ...libraries];
  const folders = new Set<string>();
  for (const file of files) {
    for (let folder = dirname(file); folder !== "/"; folder = dirname(folder)) folders.add(folder);
  }
  return [
    ...[...folders].sort().map((folder) => ({ name: folder.slice(1), mode: MODE.directory })),
    ...files.map((file) => ({ name: file.slice(1), mode: MODE.program, data: readFileSync(realpathSync(file)) })),
  ];
}

export interface Answer {
  readonly status: number;
  readonly output: string;
}

export class DebianGuest {
  readonly running: Running;
  #seen = 0;

  private constructor(running: Running) {
    this.running = running;
  }

  /** Boots to the agent. `args` are more options of `qemu-user run`; `files` lie in its initramfs. */
  static async boot(
    args: readonly string[],
    { arch = "amd64" as Arch, append = "", files = [] as readonly NewcEntry[] } = {},
  ): Promise<DebianGuest> {
    const agent = { name: "agent.sh", mode: MODE.file, data: Buffer.from(AGENT) };
    const initrd = initramfsWith(debianFile(arch, "initrd.img"), scratch(), [...files, agent]);
    const line = `console=ttyS0 quiet panic=-1 splitvm.script=/agent.sh ${append}`;
    const machine = ["-m", "256M", "-kernel", debianFile(arch, "vmlinuz"), "-initrd", initrd, "-append", line];
    const running = start("run", "-no-reboot", ...machine, ...args);
    onTestFinished(() => void running.child.kill("SIGKILL"));
    const guest = new DebianGuest(running);
    await guest.says("agent-ready\n");
    return guest;
  }

  /** Sends bytes to the console. */
  type(text: string): void {
    this.running.child.stdin!.write(text);
  }

  /** Waits until the console has printed this; what came before it, since the last time. */
  async says(text: string): Promise<string> {
    await until(
      () => this.running.stdout().indexOf(text, this.#seen) >= 0 || this.running.child.exitCode !== null,
      `${JSON.stringify(text)} after ${JSON.stringify(this.running.stdout().slice(-2000))}`,
      PATIENCE,
    );
    const at = this.running.stdout().indexOf(text, this.#seen);
    if (at < 0) throw new Error(`the guest ended without ${text}: ${this.running.stderr()}`);
    const before = this.running.stdout().slice(this.#seen, at);
    this.#seen = at + text.length;
    return before;
  }

  /** Runs a line of shell. */
  async run(command: string): Promise<Answer> {
    this.type(`${command}\n`);
    const output = await this.says("agent-status=");
    return { output, status: Number(await this.says(".\n")) };
  }

  /** Runs a line of shell that must succeed; what it printed. */
  async ok(command: string): Promise<string> {
    const { status, output } = await this.run(command);
    if (status !== 0) throw new Error(`${command}: status ${status}: ${output}`);
    return output;
  }

  /** The lines of dmesg that are no good. */
  async trouble(): Promise<readonly string[]> {
    return trouble(await this.ok("dmesg"));
  }

  /** Powers off; the run's status. */
  async powerOff(): Promise<Finished> {
    this.type("sync; busybox poweroff -f\n");
    return this.running.finished;
  }
}
