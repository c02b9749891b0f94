/**
 * `qemu-user run`: makes or takes over a VM, loads the kernel, runs the vCPU, and ends with the guest's status.
 * Every way out goes through end(): what the guest wrote is written, the terminal is given back, no process stays.
 * Leaves out: devices (device/), the command line (cli/).
 */
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { KvmError } from "../shared/errno.ts";
import { EXIT, exitName, IO_IN, type RunResult } from "../shared/exits.ts";
import { GuestMemory } from "../shared/guest-memory.ts";
import { SPACE_MMIO, SPACE_PIO } from "../shared/ioctls.ts";
import { writeAcpi } from "./acpi/tables.ts";
import { LineLog } from "./backend/line-log.ts";
import { BootTimer } from "./boot-timer.ts";
import type { RunOptions } from "./cli/run-options.ts";
import { Console } from "./console.ts";
import { BlockHost } from "./device/block-host.ts";
import { DeviceHost } from "./device/device-host.ts";
import { codeMapOf } from "./device/device-memory.ts";
import { readFwCfgFiles } from "./device/fw-cfg-files.ts";
import { createOwnedVm, type OwnedVm, takeOverVm, VCPUS } from "./device/owned-vm.ts";
import { PowerOnState } from "./device/power-on-state.ts";
import { Claims } from "./kvm/claims.ts";
import { type CoreProcess, startCore } from "./kvm/core-process.ts";
import { Kvm } from "./kvm/kvm.ts";
import { MsiRoutes } from "./kvm/msi-routes.ts";
import { loadKernel } from "./loader/loader.ts";
import { memoryMap } from "./machine/memory-map.ts";
import { acpiInfo } from "./machine/pc.ts";
import { Monitor } from "./monitor.ts";
import { dumpRegisters } from "./registers.ts";
import { PowerSignals } from "./signals.ts";

/** How long a shared kvm-core keeps the VM of a qemu-user that died, in seconds. */
const LINGER = 300;
const FAILED = 1;
/** A kvm-core that was told to end, or closed its connections, has this long, in ms: it may be stopped. */
const CORE_END_MS = 2_000;

/** Runs until the guest or the user ends it; resolves with the process status. */
export async function run(options: RunOptions): Promise<number> {
  const machine = new Machine(options);
  try {
    return await machine.run();
  } finally {
    await machine.end();
  }
}

class Machine {
  readonly #o: RunOptions;
  #core: CoreProcess | undefined;
  #kvm: Kvm | undefined;
  #owned: OwnedVm | undefined;
  #devices: DeviceHost | undefined;
  #blocks: BlockHost | undefined;
  #console: Console | undefined;
  #claims: Claims | undefined;
  #logFd = -1;
  #log: LineLog | undefined;
  #ending = false;
  /** The guest asked for a reset, which happens when its vCPU has stopped. */
  #resetAsked = false;
  /** While the vCPU is stopped (-S, monitor): resolves at `cont`. */
  #resume: (() => void) | undefined;
  #stopped: Promise<void> | undefined;
  #powerOn: PowerOnState | undefined;
  readonly #bootTimer: BootTimer | undefined;
  /** The run's status, from whoever is first. */
  #finish: (status: number) => void = () => {};
  readonly #finished = new Promise<number>((resolve) => {
    this.#finish = resolve;
  });

  constructor(options: RunOptions) {
    this.#o = options;
    const { bootTimer } = options;
    const report = (line: string) => this.#report(line);
    this.#bootTimer = bootTimer && new BootTimer(bootTimer, { now: () => performance.now(), report });
  }

  async run(): Promise<number> {
    if (this.#o.stopped) this.stop();
    new PowerSignals({
      pressPowerButton: async () => !this.#ending && (await this.powerDown()) && this.running, // a stopped guest hears nothing
      end: (status) => this.#endNow(status),
      report: (line) => this.#report(line),
    }).listen();
    await Promise.race([this.#start(), this.#finished]);
    return this.#finished;
  }

  /** May be left behind at any point by the end of the run. */
  async #start(): Promise<void> {
    await this.#connect();
    this.#bootTimer?.mark("kvm-core ready");
    await this.#startDevices();
    if (this.#ending) return;
    if (!this.#o.takeOver) await this.#load();
    void this.#loop().catch((error: KvmError) => this.#loopFailed(error));
  }

  /** Stops everything in order; safe to call at any point of the start. */
  async end(): Promise<void> {
    this.#ending = true;
    const { vm } = this.#owned ?? {};
    if (vm) await Promise.race([vm.request("SPLITVM_DESTROY_VM", {}).catch(() => {}), setTimeout(CORE_END_MS)]);
    await this.#devices?.stop();
    await this.#blocks?.close();
    await this.#console?.close();
    this.#bootTimer?.end();
    this.#kvm?.close();
    const { child } = this.#core ?? {};
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM"); // a `stat` may still be connected to it
      if ((await Promise.race([ended, setTimeout(CORE_END_MS)])) === undefined) child.kill("SIGKILL");
      await ended;
    }
    if (this.#logFd > 2) closeSync(this.#logFd);
  }

  // What the monitor may do.

  async powerDown(): Promise<boolean> {
    return (await this.#devices?.powerButton()) ?? false;
  }

  get running(): boolean {
    return this.#stopped === undefined;
  }

  /** Stops the vCPU at the next instruction boundary. */
  stop(): void {
    this.#stopped ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
    void this.#owned?.vcpu.kick().catch(() => {});
  }

  cont(): void {
    if (this.#stopped !== undefined) this.#devices?.continued();
    this.#resume?.();
    this.#stopped = undefined;
  }

  quit(): void {
    this.#endNow(0);
  }

  /** The registers of a stopped vCPU. */
  async registers(): Promise<string> {
    const { vcpu } = this.#owned!;
    return dumpRegisters(await vcpu.getRegs(), await vcpu.getSregs());
  }

  async #connect(): Promise<void> {
    const { core } = this.#o;
    if (core === undefined) {
      this.#core = startCore();
      this.#core.child.on("exit", (code, signal) => {
        if (!this.#ending) this.#fail(`kvm-core ended unexpectedly (${signal ?? `status ${code}`})`);
      });
    }
    try {
      this.#kvm = Kvm.connect(core ?? this.#core!.path);
    } catch (error) {
      throw new Error(`cannot connect to kvm-core at ${core ?? this.#core!.path}: ${(error as Error).message}`);
    }
    this.#kvm.onClose((reason) => {
      if (!this.#ending && !this.#core) this.#fail(`the connection to kvm-core ended: ${reason.message}`);
    });
    this.#kvm.session.channel.onNotice = (kind, value) => {
      if (kind === "in_asm") this.#log?.line(String(value));
    };
  }

  async #startDevices(): Promise<void> {
    const { name = `vm-${process.pid}`, memory: ramSize, mode, cpu, accel, trace, devices, rtc, logFile } = this.#o;
    const { nographic, append, fwCfg } = this.#o;
    if (trace.size > 0) {
      this.#logFd = logFile === undefined ? 2 : openLog(logFile);
      this.#log = new LineLog(this.#logFd, (line) => this.#report(line));
    }
    const owned = this.#o.takeOver
      ? await takeOverVm(this.#kvm!, name)
      : await createOwnedVm(this.#kvm!, name, ramSize, mode, cpu);
    this.#owned = owned;
    const { vm, vcpu, memory } = owned;
    if (this.#o.core !== undefined) await vm.request("SPLITVM_KEEP_VM", { linger: LINGER });
    if (!this.#o.takeOver) await vcpu.request("SPLITVM_SET_ENGINE", { engine: accel });
    if (trace.has("in_asm")) await vcpu.request("SPLITVM_SET_TRACE", { mask: 1 });

    const monitor = new Monitor(this);
    this.#console = new Console({
      onQuit: () => this.#endNow(0),
      onMonitor: (line) => monitor.command(line),
      notify: () => this.#devices?.notify(),
      ...(this.#bootTimer && { onOutput: (which, bytes) => this.#bootTimer?.output(which, bytes) }),
    });
    await this.#console.open(this.#o.serial, this.#o.debugcon, this.#o.chardevs);
    if (this.#ending) return; // a signal, while it waited for a client
    const msi = new MsiRoutes(vm, (event, version, done) => this.#devices?.msiRouted(event, version, done));
    this.#blocks = new BlockHost(this.#o.drives, {
      memory: memory.memory,
      area: mode === "page" ? memory.plan.area : -1,
      notify: () => this.#devices?.notify(),
      onFailure: (error) => this.#fail(`an I/O thread failed: ${error.stack ?? error.message}`),
    });
    this.#devices = new DeviceHost(
      {
        mode,
        vcpus: VCPUS,
        devices,
        drives: this.#blocks.starts,
        fwCfg: { nographic, commandLine: append, files: readFwCfgFiles(fwCfg, (line) => this.#report(line)) },
        rtc,
        serial: this.#console.channel("serial"),
        debugcon: this.#console.channel("debugcon"),
        chardevs: this.#o.chardevs.map(({ id }) => ({ id, memory: this.#console!.channel(`chardev ${id}`) })),
        exitLogFd: trace.has("exits") ? this.#logFd : -1,
        unimp: trace.has("unimp"),
        takeOver: this.#o.takeOver,
      },
      memory,
      {
        onChars: (channel) => this.#console!.notified(channel),
        onExit: (status) => this.#finish(status),
        onPower: (what) => this.#power(what),
        onIrq: (gsi, level) => void vm.request("KVM_IRQ_LINE", { irq: gsi, level: level ? 1 : 0 }).catch(() => {}),
        onMsi: (message) => msi.send(message),
        onMsiRoute: (route) => msi.set(route),
        onRegion: (kind, region) => this.#claims!.change(kind, region).catch((e: Error) => this.#report(e.message)),
        onLog: (line) => this.#report(line),
        onUnimp: (line) => this.#log?.line(line),
        onBlock: (drive) => this.#blocks!.notified(drive),
        onStop: (reason) => this.#stopFor(reason),
        onFailure: (error) => this.#fail(`the device thread failed: ${error.stack ?? error.message}`),
      },
    );
    const board = await this.#devices.ready;
    this.#claims = new Claims(vm, mode === "page");
    if (this.#o.takeOver) return; // the regions are the place's, and so are still claimed
    await Promise.all(board.regions.map((region) => this.#claims!.change("map", region)));
    await this.#presetElcr(board.levelGsis);
  }

  /** The edge/level control registers, as firmware leaves them. */
  async #presetElcr(gsis: readonly number[]): Promise<void> {
    const { vm } = this.#owned!;
    for (const chip_id of [0, 1]) {
      const state = await vm.request("KVM_GET_IRQCHIP", { chip_id });
      const elcr = gsis.filter((gsi) => gsi >> 3 === chip_id).reduce((bits, gsi) => bits | (1 << (gsi & 7)), 0);
      await vm.request("KVM_SET_IRQCHIP", { ...state, chip_id, elcr });
    }
  }

  /** The kernel into memory and the vCPU to its entry; again after a reset. */
  async #load(): Promise<void> {
    const { vm, vcpu, memory } = this.#owned!;
    const { kernel, initrd, append, memory: ramSize } = this.#o;
    const map = memoryMap(ramSize);
    const guest = new GuestMemory(memory.buffer, map.slots, codeMapOf(memory.buffer, memory.plan, VCPUS));
    const rsdp = writeAcpi(guest, acpiInfo(VCPUS));
    const loaded = loadKernel({ kernel, initrd, append }, guest, map.entries, rsdp);
    this.#powerOn ??= await PowerOnState.read(this.#kvm!, vm, vcpu);
    const { regs, sregs } = this.#powerOn;
    await vcpu.setSregs({ ...sregs, ...loaded.sregs });
    await vcpu.setRegs({ ...regs, ...loaded.regs });
  }

  async #loop(): Promise<void> {
    const { vcpu } = this.#owned!;
    let data = new Uint8Array(0);
    while (!this.#ending) {
      await this.#stopped;
      this.#bootTimer?.mark("guest entered");
      let exit: RunResult;
      try {
        exit = await vcpu.run(data);
      } catch (error) {
        if (this.#ending) return;
        if ((error as KvmError).code === "EINTR") {
          if (!this.#resetAsked) continue;
          await this.#reset();
          data = new Uint8Array(0); // an access that was under way is the old machine's
          continue;
        }
        throw error;
      }
      data = new Uint8Array(0);
      switch (exit.reason) {
        case EXIT.KVM_EXIT_IO:
        case EXIT.KVM_EXIT_MMIO:
          data = await this.#access(exit);
          break;
        case EXIT.KVM_EXIT_SHUTDOWN:
          if (!(await this.#shutdown())) return;
          break;
        case EXIT.KVM_EXIT_INTERNAL_ERROR:
          this.#fail(`KVM internal error. Suberror: ${exit.suberror}\n${exit.detail}\n${await this.registers()}`);
          return;
        default:
          this.#fail(`kvm-core returned ${exitName(exit.reason)}, which this board does not expect`);
          return;
      }
    }
  }

  /** A private kvm-core that closed the connection is ending: its end says more than the connection's. */
  async #loopFailed(error: KvmError): Promise<void> {
    const { child } = this.#core ?? {};
    if (error.code === "ECONNRESET" && child && child.exitCode === null && child.signalCode === null)
      await Promise.race([once(child, "exit"), setTimeout(CORE_END_MS)]);
    this.#fail(error.message);
  }

  /** Message mode: one access through the device thread. */
  async #access(exit: RunResult): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = Buffer.alloc(8);
    bytes.set(exit.data.subarray(0, 8));
    const space = exit.reason === EXIT.KVM_EXIT_IO ? SPACE_PIO : SPACE_MMIO;
    const answer = await this.#devices!.access({
      kind: "access",
      space,
      direction: exit.direction,
      address: Number(exit.address),
      size: exit.size,
      low: bytes.readInt32LE(0),
      high: bytes.readInt32LE(4),
    });
    if (exit.direction !== IO_IN) return new Uint8Array(0);
    bytes.writeInt32LE(answer.low | 0, 0);
    bytes.writeInt32LE(answer.high | 0, 4);
    return new Uint8Array(bytes.subarray(0, exit.size));
  }

  /** A device cannot go on, and the operator can help. */
  #stopFor(reason: string): void {
    this.stop();
    const specs = [this.#o.serial, this.#o.debugcon, ...this.#o.chardevs.map(({ spec }) => spec)];
    const monitor = specs.some((spec) => spec.kind === "stdio" && spec.mux);
    const next = monitor
      ? '"cont" in the monitor (Ctrl-A c) tries again'
      : "and without a monitor (-nographic, mon:stdio) it stays so until a signal ends it";
    this.#report(`${reason}; the guest is stopped, ${next}`);
  }

  /** A triple fault: the machine resets, or with -no-reboot the run ends. */
  async #shutdown(): Promise<boolean> {
    if (this.#o.noReboot) {
      this.#fail(`the guest shut down by a triple fault\n${await this.registers()}`);
      return false;
    }
    await this.#reset();
    return true;
  }

  /** What a device was asked for: the vCPU stops at the next instruction boundary, and #loop does the rest. */
  #power(what: "shutdown" | "reset"): void {
    if (what === "shutdown" || this.#o.noReboot) {
      this.#finish(0);
      return;
    }
    this.#resetAsked = true;
    void this.#owned?.vcpu.kick().catch(() => {});
  }

  async #reset(): Promise<void> {
    await this.#devices!.reset();
    this.#resetAsked = false; // after the devices' answer: what the guest asked for until then is done
    // A machine that was taken over: nobody here saw its beginning, so #load goes on from what it finds.
    await this.#powerOn?.restore();
    await this.#load();
  }

  /** What the user asked for: Ctrl-A x, quit, a signal. Also while the run is ending by itself. */
  #endNow(status: number): void {
    this.#console?.hurry();
    this.#finish(status);
  }

  /** Ends the run with a message, unless it is ending already: what follows the first failure only confuses. */
  #fail(message: string): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#report(message);
    this.#finish(FAILED);
  }

  #report(line: string): void {
    process.stderr.write(`qemu-user: ${line.trimEnd()}\n`);
  }
}

function openLog(path: string): number {
  try {
    return openSync(path, "w");
  } catch (error) {
    throw new Error(`-D ${path}: cannot be written: ${(error as Error).message}`);
  }
}
