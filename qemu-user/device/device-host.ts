/**
 * The device thread as the main thread sees it: starts it, tells it, hears from it, ends it.
 * Leaves out: what the thread does (device-thread.ts).
 */
import { Worker } from "node:worker_threads";
import { stopAtExit } from "../../shared/stop.ts";
import type { PowerRequest } from "../bus/interfaces.ts";
import { type DeviceMemory, LOCAL_MAIL, LOCAL_REGIONS, LOCAL_STOP } from "./device-memory.ts";
import type { DeviceThreadStart, FromDevice, MsiMessage, MsiRoute, RegionReport, ToDevice } from "./messages.ts";
import { RegionFlow } from "./region-flow.ts";
import { RingServer } from "./ring-server.ts";

export type DeviceEvents = {
  readonly onChars: (channel: string) => void;
  readonly onExit: (status: number) => void;
  readonly onPower: PowerRequest;
  readonly onIrq: (gsi: number, level: boolean) => void;
  readonly onMsi: (message: MsiMessage) => void;
  /** To be answered with msiRouted(). */
  readonly onMsiRoute: (route: MsiRoute) => void;
  /** Resolves when kvm-core has heard of it. */
  readonly onRegion: (kind: "map" | "unmap", region: RegionReport) => Promise<void>;
  readonly onLog: (line: string) => void;
  /** A line of `-d unimp`. */
  readonly onUnimp: (line: string) => void;
  /** A drive that this thread serves has requests. */
  readonly onBlock: (drive: string) => void;
  /** A device wants the guest stopped. */
  readonly onStop: (reason: string) => void;
  /** The thread died by a mistake of ours, or of a device model's. */
  readonly onFailure: (error: Error) => void;
};

type Answer = { readonly low: number; readonly high: number };

export class DeviceHost {
  readonly #worker: Worker;
  readonly #words: Int32Array;
  readonly #memory: DeviceMemory;
  readonly #mode: "page" | "message";
  readonly #ended: Promise<void>;
  readonly #flow: RegionFlow;
  #answer: ((answer: Answer) => void) | undefined;
  #resetDone: (() => void) | undefined;
  readonly #pressed: ((heard: boolean) => void)[] = [];
  /** The board's regions; rejects with one line for the user if the board cannot be built. */
  readonly ready: Promise<{ readonly regions: readonly RegionReport[]; readonly levelGsis: readonly number[] }>;

  constructor(start: Omit<DeviceThreadStart, "memory" | "plan">, memory: DeviceMemory, events: DeviceEvents) {
    this.#memory = memory;
    this.#mode = start.mode;
    this.#words = new Int32Array(memory.buffer);
    const local = memory.plan.local >>> 2;
    this.#flow = new RegionFlow(this.#words, local + LOCAL_REGIONS, local + LOCAL_STOP);
    const workerData: DeviceThreadStart = { ...start, memory: memory.memory, plan: memory.plan };
    this.#worker = new Worker(new URL("./device-thread.ts", import.meta.url), { workerData });
    const forget = stopAtExit(() => this.#signalStop());
    this.#ended = new Promise((resolve) =>
      this.#worker.on("exit", () => {
        forget();
        resolve();
      }),
    );
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on("error", (error: unknown) => {
        reject(error as Error);
        events.onFailure(error as Error);
      });
      this.#worker.on("message", (message: FromDevice) => {
        if (message.kind === "ready") resolve(message);
        else if (message.kind === "refused") reject(new Error(message.message));
        else this.#hear(message, events);
      });
    });
  }

  /** Wakes the thread to look at its back ends. */
  notify(): void {
    if (this.#mode === "page") RingServer.ring(this.#words, this.#memory.plan.area);
    else this.#worker.postMessage("poll");
  }

  /** Message mode: one access, and its answer. Never resolves after the guest asked for the end. */
  access(message: Extract<ToDevice, { kind: "access" }>): Promise<Answer> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#tell(message);
    });
  }

  /** Puts every device into its power-on state. The guest must not run. */
  reset(): Promise<void> {
    return new Promise((resolve) => {
      this.#resetDone = resolve;
      this.#tell({ kind: "reset" });
    });
  }

  /** Presses the power button: a guest that listens to it, which the answer says, shuts down by itself. */
  powerButton(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#pressed.push(resolve);
      this.#tell({ kind: "power-button" });
    });
  }

  msiRouted(event: number, version: number, done: boolean): void {
    this.#tell({ kind: "msi-routed", event, version, done });
  }

  /** The guest goes on after a stop. */
  continued(): void {
    this.#tell({ kind: "continue" });
  }

  /** Ends the thread; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#signalStop();
    await this.#ended;
  }

  #signalStop(): void {
    Atomics.store(this.#words, (this.#memory.plan.local >>> 2) + LOCAL_STOP, 1);
    if (this.#mode === "page") RingServer.ring(this.#words, this.#memory.plan.area);
    else this.#worker.postMessage("stop");
  }

  #tell(message: ToDevice): void {
    this.#worker.postMessage(message);
    if (this.#mode === "message") return;
    Atomics.store(this.#words, (this.#memory.plan.local >>> 2) + LOCAL_MAIL, 1); // the message before the flag
    RingServer.ring(this.#words, this.#memory.plan.area);
  }

  #hear(message: Exclude<FromDevice, { kind: "ready" | "refused" }>, events: DeviceEvents): void {
    switch (message.kind) {
      case "answer":
        this.#answer?.(message);
        break;
      case "chars":
        events.onChars(message.channel);
        break;
      case "exit":
        events.onExit(message.status);
        break;
      case "power":
        events.onPower(message.what);
        break;
      case "irq":
        events.onIrq(message.gsi, message.level);
        break;
      case "msi":
        events.onMsi(message.message);
        break;
      case "msi-route":
        events.onMsiRoute(message.route);
        break;
      case "log":
        events.onLog(message.line);
        break;
      case "unimp":
        events.onUnimp(message.line);
        break;
      case "block":
        events.onBlock(message.drive);
        break;
      case "stop":
        events.onStop(message.reason);
        break;
      case "reset-done":
        this.#resetDone?.();
        break;
      case "button-pressed":
        this.#pressed.shift()?.(message.heard);
        break;
      default:
        events.onRegion(message.kind, message.region).finally(() => this.#flow.told());
    }
  }
}
