/**
 * Counted descriptors, and what is demanded of a memfd that a client passed (kvm-core/vm/descriptor.ts).
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Descriptor } from "../../../kvm-core/vm/descriptor.ts";
import {
  addSeals,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  getSeals,
  memfdCreate,
  SEALS_FIXED,
} from "../../../shared/native.ts";

const isOpen = (fd: number) => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};
const target = () => new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);

test("the last holder to let go closes it", () => {
  const descriptor = new Descriptor(memfdCreate("test", 4096));
  expect(descriptor.hold()).toBe(descriptor);
  descriptor.release();
  expect(isOpen(descriptor.fd)).toBe(true);
  descriptor.release();
  expect(isOpen(descriptor.fd)).toBe(false);
});

test("one of our own has its size for good", () => {
  const descriptor = Descriptor.create("test", 8192);
  expect(fstatSync(descriptor.fd).size).toBe(8192);
  expect(getSeals(descriptor.fd) & SEALS_FIXED).toBe(SEALS_FIXED);
  expect(() => ftruncateSync(descriptor.fd, 4096)).toThrow(/EPERM/);
  descriptor.release();
});

test("one for readers: written through the mapping that was made with it, and in no other way", () => {
  const memory = target();
  const reader = Descriptor.createForReaders("test", memory, 4096, 4096);
  memory[4096] = 5;
  const seen = new Uint8Array(1);
  readSync(reader.fd, seen, 0, 1, 0);
  expect(seen[0]).toBe(5);
  expect(getSeals(reader.fd)).toBe(SEALS_FIXED | F_SEAL_FUTURE_WRITE);
  expect(() => writeSync(reader.fd, "x")).toThrow(/EBADF/);
  expect(() => reader.map(target(), 0, 4096, 0, "it")).toThrow(/^EINVAL/);
  reader.release();
});

describe("requireMemory and map", () => {
  const memfd = (size: number, seals: number) => {
    const fd = memfdCreate("test", size);
    addSeals(fd, seals);
    return fd;
  };
  test.each<[string, () => number, number, RegExp]>([
    ["no memfd", () => openSync("/dev/null", "r+"), 0, /no memfd/],
    ["no seals", () => memfdCreate("test", 4096), 4096, /lacks the seals/],
    ["two of the three seals", () => memfd(4096, F_SEAL_SHRINK | F_SEAL_GROW), 4096, /lacks the seals/],
    ["too short", () => memfd(4096, SEALS_FIXED), 4097, /4096 bytes, 4097 are needed/],
  ])("%s: EINVAL", (_what, make, bytes, reason) => {
    const descriptor = new Descriptor(make());
    expect(() => descriptor.requireMemory(bytes, "it")).toThrow(reason);
    expect(() => descriptor.map(target(), 0, bytes, 0, "it")).toThrow(/^EINVAL/);
    descriptor.release();
  });

  test("a memfd that cannot be written cannot be mapped: EINVAL, and what was mapped before stays", () => {
    const fd = memfd(4096, SEALS_FIXED | F_SEAL_FUTURE_WRITE);
    const descriptor = new Descriptor(fd);
    const memory = target();
    memory[0] = 5;
    expect(() => descriptor.map(memory, 0, 4096, 0, "it")).toThrow(/^EINVAL: it cannot be written/);
    expect(memory[0]).toBe(5);
    descriptor.release();
  });

  test("the right one is mapped at its offset", () => {
    const fd = memfd(8192, SEALS_FIXED);
    writeSync(fd, Uint8Array.of(7), 0, 1, 4096);
    const descriptor = new Descriptor(fd);
    const memory = target();
    descriptor.map(memory, 4096, 4096, 4096, "it");
    expect([memory[0], memory[4096]]).toEqual([0, 7]);
    expect(() => descriptor.map(memory, 0, 8192, 4096, "it")).toThrow(/8192 bytes, 12288 are needed/);
    descriptor.release();
  });
});

test("a descriptor that is closed is a mistake that shows", () => {
  const descriptor = new Descriptor(memfdCreate("test", 0));
  descriptor.release();
  expect(() => closeSync(descriptor.fd)).toThrow(/EBADF/);
});
