/**
 * kvm-core's server: its VMs, its sessions, and connections as the acceptor brings them.
 * Leaves out: accepting and hellos' bytes (acceptor.ts), requests (session.ts).
 */
import { closeSync } from "node:fs";
import { type Errno, KvmError } from "../../shared/errno.ts";
import { encodeFrame } from "../../shared/frame.ts";
import { newToken } from "../../shared/hello.ts";
import { sendMessage } from "../../shared/native.ts";
import { Descriptor } from "../vm/descriptor.ts";
import { peerOf } from "../vm/device-servers.ts";
import { MemoryPool } from "../vm/memory-pool.ts";
import { Vm } from "../vm/vm.ts";
import type { Accepted } from "./acceptor.ts";
import { ServerSession } from "./session.ts";

/** A session costs a descriptor and some memory; far more of them than anyone needs is a client gone wild. */
const MAX_SESSIONS = 1024;

export class Server {
  readonly vms = new Map<string, Vm>();
  readonly #sessions = new Map<string, ServerSession>();
  readonly #pool = new MemoryPool();
  readonly #module: WebAssembly.Module;
  /** A line for the person who runs kvm-core. */
  readonly report: (line: string) => void;
  /** Called when the last session has ended. */
  onIdle: () => void = () => {};

  /** `module` is the compiled interpreter, shared by all vCPUs. */
  constructor(module: WebAssembly.Module, report: (line: string) => void) {
    this.#module = module;
    this.report = report;
  }

  /** EEXIST: a VM of that name exists, or is being destroyed. */
  createVm(name: string, owner: ServerSession): Vm {
    if (this.vms.has(name)) throw new KvmError("EEXIST", `a VM "${name}" exists`);
    const vm = new Vm(name, owner, owner.peer, this.#pool, this.#module);
    vm.onReport = this.report;
    vm.onDestroyed = () => this.vms.delete(name);
    this.vms.set(name, vm);
    return vm;
  }

  /** A connection whose hello has arrived. */
  accepted({ fd, pid, kind, token, id, descriptors }: Accepted): void {
    if (kind === "session") {
      for (const unwanted of descriptors) closeSync(unwanted);
      if (this.#sessions.size >= MAX_SESSIONS) {
        this.#reply(fd, { error: "ENFILE", message: `kvm-core serves at most ${MAX_SESSIONS} sessions` });
        closeSync(fd);
        return;
      }
      const session = new ServerSession(this, fd, peerOf(pid), newToken());
      this.#sessions.set(session.token, session);
      this.#reply(fd, { token: session.token });
      return;
    }
    try {
      const session = this.#sessions.get(token);
      if (!session) throw new KvmError("EBADF", "no session has this token");
      if (kind === "fetch") {
        this.#reply(fd, {}, [session.descriptors.get(id).fd]);
      } else {
        session.descriptors.reserve(descriptors.length);
        const ids: number[] = [];
        while (descriptors.length > 0) ids.push(session.descriptors.add(new Descriptor(descriptors.shift()!)));
        this.#reply(fd, { ids });
      }
    } catch (error) {
      if (!(error instanceof KvmError)) throw error;
      this.#reply(fd, { error: error.code, message: error.reason });
    } finally {
      for (const unwanted of descriptors) closeSync(unwanted);
      closeSync(fd);
    }
  }

  sessionEnded(session: ServerSession): void {
    this.#sessions.delete(session.token);
    if (this.#sessions.size === 0) this.onIdle();
  }

  /** Ends all sessions and VMs; resolves when every vCPU thread has ended. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) session.destroy();
    await Promise.all([...this.vms.values()].map((vm) => vm.destroy()));
  }

  /** A client that closed before its answer is nobody's failure: its session ends as its socket does. */
  #reply(
    fd: number,
    fields: { error?: Errno; message?: string; token?: string; ids?: number[] },
    descriptors: number[] = [],
  ): void {
    const reply = { error: "", message: "", token: "", ids: [], ...fields };
    try {
      sendMessage(fd, encodeFrame(reply), descriptors);
    } catch (error) {
      this.report(`a client left during its hello: ${(error as Error).message}`);
    }
  }
}
