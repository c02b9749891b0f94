/** Vectors between their function and the main thread: what is posted, signalled, owed, and when. */
import { beforeEach, expect, test } from "vitest";
import type { MsiVector } from "../../../qemu-user/bus/interfaces.ts";
import { PostedMsi, RoutedMsi } from "../../../qemu-user/device/msi.ts";

let posts: string[];
let signals: number[];
let msi: RoutedMsi;
let vector: MsiVector;

const note = (message: Parameters<ConstructorParameters<typeof PostedMsi>[0]>[0]) => {
  if (message.kind === "msi") posts.push(`send ${message.message.data}`);
  else {
    const { event, gsi, version, message: sent } = message.route;
    posts.push(`route ${event}:${gsi}.${version} ${sent.addressLow.toString(16)} ${sent.addressHigh} ${sent.data}`);
  }
};

beforeEach(() => {
  posts = [];
  signals = [];
  msi = new RoutedMsi({ signal: (event) => signals.push(event) }, note);
  msi.vector();
  vector = msi.vector();
});

test("a vector asks for its route once, and signals its event when it is there", () => {
  vector.set(0xfee0_0000, 1, 5);
  vector.set(0xfee0_0000, 1, 5);
  expect(posts).toEqual(["route 1:65.1 fee00000 1 5"]);
  msi.routed(1, 1, true);
  expect(signals).toEqual([]);
  vector.send();
  vector.send();
  expect([signals, posts.length]).toEqual([[1, 1], 1]);
});

test("what is sent meanwhile is owed, unless the mask comes", () => {
  vector.set(0xfee0_0000, 0, 5);
  vector.send();
  vector.send();
  expect(signals).toEqual([]);
  msi.routed(1, 1, true);
  expect(signals).toEqual([1]);
  vector.set(0xfee0_0000, 0, 6);
  vector.send();
  expect([vector.withdraw(), vector.withdraw()]).toEqual([true, false]);
  msi.routed(1, 2, true);
  expect(signals).toEqual([1]);
});

test("one route is under way at a time; an old one's confirmation sends nothing", () => {
  for (const data of [1, 2, 3]) vector.set(0xfee0_0000, 0, data);
  vector.send();
  msi.routed(1, 1, true);
  expect([posts, signals]).toEqual([["route 1:65.1 fee00000 0 1", "route 1:65.3 fee00000 0 3"], []]);
  msi.routed(1, 3, true);
  expect(signals).toEqual([1]);
});

test("where kvm-core refuses, the messages are posted", () => {
  vector.set(0xfee0_0000, 0, 5);
  vector.send();
  msi.routed(1, 1, false);
  vector.set(0xfee0_0000, 0, 6);
  vector.send();
  expect([posts.slice(1), signals]).toEqual([["send 5", "send 6"], []]);
});

test("there are 960 in all", () => {
  for (let i = 2; i < 960; i++) msi.vector();
  expect(() => msi.vector()).toThrow("-device: at most 960 MSI-X vectors");
});

test("message mode posts each", () => {
  const posted = new PostedMsi(note).vector();
  posted.set(0xfee0_0000, 0, 9);
  posted.send();
  expect([posts, posted.withdraw()]).toEqual([["send 9"], false]);
});
