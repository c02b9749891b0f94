/**
 * The device servers of a VM: their mapped areas, what was granted to them, their journals, and who they are.
 * Server 0 is the owner. A server's place stays when its session ends, with its regions and the vCPUs that wait for it,
 * until another process takes it over or the VM ends.
 * Leaves out: the regions (regions.ts); leaving in order, which would have to find new owners for both.
 */
import { readFileSync } from "node:fs";
import { KvmError } from "../../shared/errno.ts";
import { MAILBOX_EVENTS, MAILBOX_GSIS } from "../../shared/mailbox.ts";
import { mapAnonymous } from "../../shared/native.ts";
import { AREA_BYTES } from "../../shared/server-area.ts";
import { IrqchipLock } from "../irqchip/lock.ts";
import { Resamplers } from "../irqchip/resamplers.ts";
import type { Descriptor } from "./descriptor.ts";
import { MAX_SERVERS, NO_GSI, RESAMPLED_TIE, serverAreaAt, VM_STATE } from "./vm-state.ts";

/** Who is at the other end of a session; a process number may be used again, its start time tells them apart. */
export type Peer = { readonly pid: number; readonly startTime: string };

/** The peer of a connection, as of now. */
export function peerOf(pid: number): Peer {
  return { pid, startTime: startTime(pid) };
}

/** True when the process has ended (a zombie has). */
export function isGone(peer: Peer): boolean {
  const now = startTime(peer.pid);
  return now === "" || now !== peer.startTime;
}

/** Field 22 of /proc/PID/stat; "" when the process has ended. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? "" : fields[19]!;
  } catch {
    return "";
  }
}

type Server = {
  peer: Peer;
  /** The session that speaks for the server, or undefined when it ended. */
  session: object | undefined;
  area: Descriptor | undefined;
  journal: Descriptor | undefined;
};

export class DeviceServers {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  /** Per place and event: the GSI that it is tied to. */
  readonly #irqfds: Uint16Array;
  readonly #lock: IrqchipLock;
  readonly #resamplers: Resamplers;
  readonly #servers: (Server | undefined)[] = [];

  constructor(memory: WebAssembly.Memory) {
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    this.#irqfds = new Uint16Array(memory.buffer, VM_STATE.irqfds, MAX_SERVERS * MAILBOX_EVENTS);
    this.#irqfds.fill(NO_GSI);
    this.#lock = new IrqchipLock(memory);
    this.#resamplers = new Resamplers(memory);
  }

  /** The place of a session: 0 for the owner, else its own, made when first asked for. ENOSPC: all are taken. */
  place(session: object, peer: Peer, owner: boolean): number {
    const known = this.#servers.findIndex((server) => server?.session === session);
    if (known >= 0) return known;
    let place = owner ? 0 : 1;
    if (!owner) while (place < MAX_SERVERS && this.#servers[place] !== undefined) place++;
    if (place >= MAX_SERVERS) throw new KvmError("ENOSPC", `at most ${MAX_SERVERS - 1} attached device servers`);
    const old = this.#servers[place];
    if (old) {
      old.session = session;
      old.peer = peer;
    } else {
      this.#servers[place] = { peer, session, area: undefined, journal: undefined };
    }
    this.#grant(place, owner);
    return place;
  }

  /** Maps a server's area: page mode from the next exit on. EEXIST when it has one. */
  setArea(place: number, memfd: Descriptor): void {
    const server = this.#servers[place]!;
    if (server.area) throw new KvmError("EEXIST", "this server has an area already");
    memfd.map(this.#bytes, serverAreaAt(place), AREA_BYTES, 0, "the server area");
    server.area = memfd.hold();
    this.#setPaged(place, 1);
  }

  setJournal(place: number, memfd: Descriptor): void {
    const server = this.#servers[place]!;
    memfd.hold();
    server.journal?.release();
    server.journal = memfd;
  }

  /**
   * Gives a dead server's place to a session. ENOENT: no such server; EBUSY: its process lives, or its session is
   * still open; EEXIST: the session is another device server already.
   */
  takeOver(place: number, session: object, peer: Peer): void {
    const server = this.#servers[place];
    if (!server) throw new KvmError("ENOENT", `there is no device server ${place}`);
    if (server.session !== undefined && server.session !== session)
      throw new KvmError("EBUSY", `device server ${place} is still connected (process ${server.peer.pid})`);
    if (server.session === undefined && !isGone(server.peer))
      throw new KvmError("EBUSY", `process ${server.peer.pid} of device server ${place} still lives`);
    const own = this.#servers.findIndex((other) => other?.session === session);
    if (own >= 0 && own !== place) throw new KvmError("EEXIST", `this session is device server ${own}`);
    server.session = session;
    server.peer = peer;
  }

  /** What a server has handed to kvm-core, which its successor gets. */
  left(place: number): { readonly area?: Descriptor | undefined; readonly journal?: Descriptor | undefined } {
    return this.#servers[place] ?? {};
  }

  /** KVM_IRQFD: ties an event of a server to a GSI. */
  tie(place: number, event: number, gsi: number): void {
    this.#irqfds[place * MAILBOX_EVENTS + event] = gsi;
  }

  /** KVM_IRQFD_FLAG_RESAMPLE: the event is level-triggered, and `resample` tells the server of its end. ENOSPC: no room. */
  tieResampled(place: number, event: number, gsi: number, resample: number): void {
    this.#lock.take();
    try {
      this.#resamplers.add(gsi, place, event, resample);
    } finally {
      this.#lock.give();
    }
    this.#irqfds[place * MAILBOX_EVENTS + event] = gsi | RESAMPLED_TIE;
  }

  untie(place: number, event: number): void {
    const tie = place * MAILBOX_EVENTS + event;
    const resampled = this.#irqfds[tie] !== NO_GSI && this.#irqfds[tie]! & RESAMPLED_TIE;
    this.#irqfds[tie] = NO_GSI;
    if (!resampled) return;
    this.#lock.take();
    this.#resamplers.remove(place, event);
    this.#lock.give();
  }

  /** The GSI that the event is tied to, or NO_GSI. */
  tied(place: number, event: number): number {
    const tie = this.#irqfds[place * MAILBOX_EVENTS + event]!;
    return tie === NO_GSI ? NO_GSI : tie & ~RESAMPLED_TIE;
  }

  /** A session ended: its place, which is kept for a successor, or -1 if it had none. */
  sessionEnded(session: object): number {
    const place = this.#servers.findIndex((server) => server?.session === session);
    if (place < 0) return -1;
    this.#servers[place]!.session = undefined;
    return place;
  }

  peer(place: number): Peer | undefined {
    return this.#servers[place]?.peer;
  }

  releaseAll(): void {
    for (let place = 0; place < MAX_SERVERS; place++) if (this.#servers[place]) this.free(place);
  }

  /** The owner may assert every GSI by its mailbox; an attached server only through KVM_IRQFD. */
  #grant(place: number, owner: boolean): void {
    const words = MAILBOX_GSIS / 32;
    this.#words.fill(
      owner ? -1 : 0,
      (VM_STATE.granted >> 2) + place * words,
      (VM_STATE.granted >> 2) + (place + 1) * words,
    );
  }

  /** Routers keep which servers have an area beside the regions, so it counts as a change of the table. */
  #setPaged(place: number, paged: number): void {
    Atomics.store(this.#words, (VM_STATE.serverArea >> 2) + place, paged);
    Atomics.add(this.#words, VM_STATE.regionVersion >> 2, 2); // stays even: nothing is half written
  }

  /** Frees a place: unmaps its area and forgets what was granted. No vCPU may be waiting in the area. */
  free(place: number): void {
    const server = this.#servers[place]!;
    this.#setPaged(place, 0);
    mapAnonymous(this.#bytes, serverAreaAt(place), AREA_BYTES);
    for (let event = 0; event < MAILBOX_EVENTS; event++) this.untie(place, event);
    server.area?.release();
    server.journal?.release();
    this.#servers[place] = undefined;
  }
}
