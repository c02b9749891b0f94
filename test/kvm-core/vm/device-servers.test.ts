/**
 * Places of device servers: who gets which, what a take-over needs, what is granted (kvm-core/vm/device-servers.ts).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { Descriptor } from "../../../kvm-core/vm/descriptor.ts";
import { DeviceServers, isGone, type Peer, peerOf } from "../../../kvm-core/vm/device-servers.ts";
import { MAX_SERVERS, NO_GSI, serverAreaAt, VM_STATE } from "../../../kvm-core/vm/vm-state.ts";
import { MAILBOX_EVENTS, MAILBOX_GSIS } from "../../../shared/mailbox.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";

const memory = new WebAssembly.Memory({ initial: 512, maximum: 512, shared: true });
const bytes = new Uint8Array(memory.buffer);
const words = new Int32Array(memory.buffer);
const me = peerOf(process.pid);
const dead: Peer = { pid: process.pid, startTime: "1" }; // a process that once had this number
let servers: DeviceServers;
let owner: object;

beforeEach(() => {
  bytes.fill(0, 0x1_0000);
  servers = new DeviceServers(memory);
  owner = {};
  servers.place(owner, me, true);
});

const granted = (place: number) => words[(VM_STATE.granted >> 2) + (place * MAILBOX_GSIS) / 32];
const mapped = (place: number) => words[(VM_STATE.serverArea >> 2) + place];

describe("isGone", () => {
  test("a process that runs is not, another one of its number is, one that nobody has is", () => {
    expect(isGone(me)).toBe(false);
    expect(isGone(dead)).toBe(true);
    expect(isGone(peerOf(0x7fff_fff0))).toBe(true);
  });

  test("a process that ended is, also before its parent has asked for its status", async () => {
    const child = spawn("/bin/sh", ["-c", "echo ready; read line"], { stdio: ["pipe", "pipe", "ignore"] });
    await once(child.stdout, "data");
    const peer = peerOf(child.pid!);
    expect(isGone(peer)).toBe(false);
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    expect(isGone(peer)).toBe(true);
  });

  test("a name with spaces and parentheses does not shift the fields", async () => {
    const child = spawn("/bin/sh", ["-c", "printf 'a) b (c' > /proc/self/comm; echo ready; read line"]);
    await once(child.stdout, "data");
    expect(peerOf(child.pid!).startTime).toMatch(/^\d+$/);
    child.kill();
  });
});

describe("places", () => {
  test("the owner has 0, others get the lowest free one and keep it", () => {
    const [a, b] = [{}, {}];
    expect(servers.place(owner, me, true)).toBe(0);
    expect(servers.place(a, me, false)).toBe(1);
    expect(servers.place(b, me, false)).toBe(2);
    expect(servers.place(a, me, false)).toBe(1);
  });

  test("of a server whose session ended stays its own; ENOSPC when all are taken", () => {
    const sessions = Array.from({ length: MAX_SERVERS - 1 }, () => ({}));
    for (const session of sessions) servers.place(session, me, false);
    expect(servers.sessionEnded(sessions[3]!)).toBe(4);
    expect(() => servers.place({}, me, false)).toThrow(/^ENOSPC/);
    servers.free(4);
    expect(servers.place({}, me, false)).toBe(4);
  });

  test("the owner may assert every GSI, an attached server none by itself", () => {
    servers.place({}, me, false);
    expect([granted(0), granted(1)]).toEqual([-1, 0]);
  });

  test("a session without a place ends without one", () => {
    expect(servers.sessionEnded({})).toBe(-1);
  });
});

describe("areas", () => {
  test("a mapped area is the client's memory; freed it is nobody's", () => {
    const area = Descriptor.create("area", AREA_BYTES);
    const before = words[VM_STATE.regionVersion >> 2]!;
    servers.setArea(0, area);
    expect(mapped(0)).toBe(1);
    expect(words[VM_STATE.regionVersion >> 2]).toBe(before + 2); // routers look again, and never see it odd
    bytes[serverAreaAt(0) + AREA_BYTES - 1] = 8;
    expect(() => servers.setArea(0, area)).toThrow(/^EEXIST/);
    servers.free(0);
    expect([mapped(0), bytes[serverAreaAt(0) + AREA_BYTES - 1]]).toEqual([0, 0]);
    area.release();
  });

  test("one that is too short is refused and the server stays in message mode", () => {
    const area = Descriptor.create("area", AREA_BYTES - 4096);
    expect(() => servers.setArea(0, area)).toThrow(/^EINVAL/);
    expect(mapped(0)).toBe(0);
    area.release();
  });
});

describe("irqfd ties", () => {
  test("are per server and event, none at first, and gone when the place is freed", () => {
    servers.place({}, me, false);
    expect(servers.tied(1, 0)).toBe(NO_GSI);
    servers.tie(1, MAILBOX_EVENTS - 1, 9);
    expect([servers.tied(1, MAILBOX_EVENTS - 1), servers.tied(0, MAILBOX_EVENTS - 1), servers.tied(2, 0)]).toEqual([
      9,
      NO_GSI,
      NO_GSI,
    ]);
    servers.free(1);
    expect(servers.tied(1, MAILBOX_EVENTS - 1)).toBe(NO_GSI);
  });
});

describe("take-over", () => {
  test("ENOENT without a server, EBUSY while its session is open or its process lives", () => {
    const session = {};
    expect(() => servers.takeOver(3, session, me)).toThrow(/^ENOENT/);
    expect(() => servers.takeOver(0, session, me)).toThrow(/^EBUSY: device server 0 is still connected/);
    servers.sessionEnded(owner);
    expect(() => servers.takeOver(0, session, me)).toThrow(/^EBUSY: process \d+ of device server 0 still lives/);
  });

  test("of a dead server: its place, area, journal and ties, and the successor is the one who speaks for it", () => {
    const [old, next] = [{}, {}];
    servers.place(old, dead, false);
    const [area, journal] = [Descriptor.create("area", AREA_BYTES), Descriptor.create("journal", 8192)];
    servers.setArea(1, area);
    servers.setJournal(1, journal);
    servers.tie(1, 4, 5);
    servers.sessionEnded(old);
    servers.takeOver(1, next, me);
    expect(servers.left(1)).toMatchObject({ area, journal });
    expect(servers.tied(1, 4)).toBe(5);
    expect(servers.place(next, me, false)).toBe(1);
    expect(servers.peer(1)).toEqual(me);
    expect(() => servers.takeOver(1, {}, me)).toThrow(/^EBUSY/);
    servers.releaseAll();
    area.release();
    journal.release();
  });

  test("by a session that is a device server already: EEXIST, and it keeps what it has", () => {
    const old = {};
    servers.place(old, dead, false);
    servers.sessionEnded(old);
    const area = Descriptor.create("area", AREA_BYTES);
    servers.setArea(0, area);
    expect(() => servers.takeOver(1, owner, me)).toThrow(/^EEXIST: this session is device server 0/);
    expect(mapped(0)).toBe(1);
    servers.releaseAll();
    area.release();
  });
});
