/**
 * The drives of one run, on the main thread: opens the images, starts the I/O threads, serves aio=async, closes all.
 * Follows: QEMU's iothread objects: disks that name the same one share a thread, the others have one each.
 * Leaves out: the device thread's half (drives.ts).
 */
import { Worker } from "node:worker_threads";
import { stopAtExit } from "../../shared/stop.ts";
import { AsyncServer } from "../block/async-server.ts";
import { closeDrive, type DriveOption, type OpenDrive, openDrive, rawOptionsOf } from "../block/drive.ts";
import { IoBell } from "../block/io-loop.ts";
import { createRequestRing } from "../block/request-ring.ts";
import type { DriveStart } from "./drives.ts";
import type { IoThreadStart } from "./io-thread.ts";

export type BlockHostOptions = {
  readonly memory: WebAssembly.Memory;
  /** As IoThreadStart has it. */
  readonly area: number;
  /** Makes the device thread look at its back ends. */
  readonly notify: () => void;
  /** An I/O thread died by a mistake of ours. */
  readonly onFailure: (error: Error) => void;
};

type IoThread = { readonly bell: IoBell; readonly ended: Promise<void> };

export class BlockHost {
  /** For the device thread. */
  readonly starts: readonly DriveStart[];
  readonly #o: BlockHostOptions;
  readonly #open: OpenDrive[] = [];
  readonly #threads: IoThread[] = [];
  readonly #servers = new Map<string, AsyncServer>();

  /** Throws an Error, fit for the user, if an image cannot be opened; nothing stays open then. */
  constructor(options: readonly DriveOption[], host: BlockHostOptions) {
    this.#o = host;
    try {
      for (const option of options) this.#open.push(openDrive(option));
    } catch (error) {
      this.#closeFiles();
      throw error;
    }
    this.starts = this.#start();
  }

  /** The device thread has requests for this drive, which the main thread serves. */
  notified(id: string): void {
    this.#servers.get(id)?.notified();
  }

  /** Ends the threads, waits for what is under way, closes the images. The device thread must have ended. */
  async close(): Promise<void> {
    for (const { bell } of this.#threads) bell.stop();
    await Promise.all(this.#threads.map(({ ended }) => ended));
    await Promise.all([...this.#servers.values()].map((server) => server.drain()));
    this.#closeFiles();
  }

  #start(): readonly DriveStart[] {
    const threads = new Map<
      string,
      { bell: SharedArrayBuffer; disks: { drive: OpenDrive; ring: SharedArrayBuffer }[] }
    >();
    const starts = this.#open.map((drive): DriveStart => {
      const { id, aio, ioThread } = drive.option;
      if (aio === "sync") return { drive, ring: null, bell: null };
      const ring = createRequestRing();
      if (aio === "async") {
        const { memory, notify } = this.#o;
        this.#servers.set(id, new AsyncServer(ring, memory.buffer, drive.fd, rawOptionsOf(drive), notify));
        return { drive, ring, bell: null };
      }
      const key = ioThread === undefined ? `drive ${id}` : `object ${ioThread}`;
      const thread = threads.get(key) ?? { bell: IoBell.create(), disks: [] };
      threads.set(key, thread);
      thread.disks.push({ drive, ring });
      return { drive, ring, bell: thread.bell };
    });
    for (const [key, { bell, disks }] of threads) this.#startThread(key.replace(/^\w+ /, ""), bell, disks);
    return starts;
  }

  #startThread(name: string, bell: SharedArrayBuffer, disks: IoThreadStart["disks"]): void {
    const { memory, area, notify, onFailure } = this.#o;
    const workerData: IoThreadStart = { name, memory, area, bell, disks };
    const worker = new Worker(new URL("./io-thread.ts", import.meta.url), { workerData });
    const hold = new IoBell(bell);
    const forget = stopAtExit(() => hold.stop());
    worker.on("message", notify);
    worker.on("error", (error: unknown) => onFailure(error as Error));
    const ended = new Promise<void>((resolve) =>
      worker.on("exit", () => {
        forget();
        resolve();
      }),
    );
    this.#threads.push({ bell: hold, ended });
  }

  #closeFiles(): void {
    for (const drive of this.#open.splice(0)) closeDrive(drive);
  }
}
