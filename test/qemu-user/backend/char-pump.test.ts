/** The two halves of a character back end together: output to the last byte, input with back-pressure, failing sinks. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChannelBackend, createCharChannel, setScreenSize } from "../../../qemu-user/backend/char-channel.ts";
import { type ByteSink, CharPump } from "../../../qemu-user/backend/char-pump.ts";
import { FileSink, StreamSink } from "../../../qemu-user/backend/sinks.ts";

class SlowSink implements ByteSink {
  readonly bytes: number[] = [];
  closed = false;

  async write(bytes: Uint8Array): Promise<void> {
    const copy = [...bytes];
    await new Promise(setImmediate);
    this.bytes.push(...copy);
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Device and main side; each notice reaches the other side at once, or when `flush` says so. */
function setup(sink: ByteSink) {
  const channel = createCharChannel();
  const errors: string[] = [];
  let inputReady = 0;
  let outputReady = 0;
  const device = new ChannelBackend(channel, () => pump.notified());
  const pump = new CharPump(
    channel,
    sink,
    () => device.poll(),
    (error) => errors.push(error.message),
  );
  device.attach({ inputReady: () => inputReady++, outputReady: () => outputReady++ });
  return { device, pump, errors, counts: () => ({ inputReady, outputReady }) };
}

test("the size of the screen reaches the device when it attaches, and whenever it changes", () => {
  const channel = createCharChannel();
  const device = new ChannelBackend(channel, () => {});
  setScreenSize(channel, 80, 25);
  const sizes: string[] = [];
  device.attach({ inputReady: () => {}, outputReady: () => {}, resize: (cols, rows) => sizes.push(`${cols}x${rows}`) });
  device.poll();
  setScreenSize(channel, 65_535, 40_000);
  device.poll();
  device.poll();
  expect(sizes).toEqual(["80x25", "65535x40000"]);
});

describe("output", () => {
  test("reaches the sink in order, and drain waits for all of it", async () => {
    const sink = new SlowSink();
    const { device, pump } = setup(sink);
    const sent = Array.from({ length: 50_000 }, (_, i) => (i * 13) & 0xff);
    for (const byte of sent) expect(device.write(byte)).toBe(true);
    await pump.drain();
    expect(sink.bytes).toEqual(sent);
  });

  test("a full ring refuses, then tells the device of room, and nothing is lost", async () => {
    const sink = new SlowSink();
    const { device, pump, counts } = setup(sink);
    let sent = 0;
    while (device.write(sent & 0xff)) sent++;
    expect(sent).toBe(64 * 1024);
    expect(counts().outputReady).toBe(0);
    await pump.drain();
    expect(counts().outputReady).toBe(1);
    expect(device.write(sent & 0xff)).toBe(true);
    await pump.close();
    expect([sink.bytes.length, sink.bytes.at(-1), sink.closed]).toEqual([64 * 1024 + 1, sent & 0xff, true]);
  });

  test("a sink that fails is reported once; the guest goes on", async () => {
    const { device, pump, errors } = setup({
      write: () => Promise.reject(new Error("EPIPE: broken pipe, write")),
      close: () => Promise.resolve(),
    });
    for (let i = 0; i < 200_000; i++) {
      if (!device.write(1)) await pump.drain();
    }
    await pump.close();
    expect(errors).toEqual(["EPIPE: broken pipe, write"]);
  });

  test("after close, a device that must write does not hang", async () => {
    const { device, pump } = setup(new SlowSink());
    await pump.close();
    for (let i = 0; i < 70_000; i++) device.writeAll(1);
    expect(device.write(1)).toBe(false);
  });
});

describe("input", () => {
  test("the device is told, and reads it", () => {
    const { device, pump, counts } = setup(new SlowSink());
    device.poll(); // found nothing: from now on it is told
    expect(pump.feed(Uint8Array.of(1, 2))).toBe(true);
    expect(counts().inputReady).toBe(1);
    expect([device.read(), device.read(), device.read()]).toEqual([1, 2, -1]);
  });

  test("more than there is room for waits, in order, and says when it is through", () => {
    const { device, pump } = setup(new SlowSink());
    let room = 0;
    pump.onRoom(() => room++);
    const sent = Uint8Array.from({ length: 10_000 }, (_, i) => i * 3);
    expect(pump.feed(sent)).toBe(false);
    expect(pump.feed(Uint8Array.of(7))).toBe(false);
    expect(pump.backlog).toBe(10_001 - 4096);
    const seen: number[] = [];
    for (let i = 0; i < 10_001; i++) {
      seen.push(device.read());
      pump.notified();
    }
    expect(seen).toEqual([...sent, 7]);
    expect([room, pump.backlog, device.read()]).toEqual([1, 0, -1]);
  });
});

describe("sinks", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "sink-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("a file is emptied, written, and whole after close", async () => {
    const path = join(folder, "out.txt");
    for (const text of ["a longer first text", "short"]) {
      const { device, pump } = setup(await FileSink.open(path));
      for (const byte of Buffer.from(text)) device.write(byte);
      await pump.close();
    }
    expect(readFileSync(path, "utf8")).toBe("short");
  });

  test("a file that cannot be written is named", async () => {
    await expect(FileSink.open(join(folder, "no", "where"))).rejects.toThrow(/where: cannot be written: ENOENT/);
  });

  test("a stream's back-pressure is waited for, and it is left open", async () => {
    const stream = new PassThrough({ highWaterMark: 4 });
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
    const { device, pump } = setup(new StreamSink(stream));
    for (const byte of Buffer.from("a line of text\n".repeat(100))) device.write(byte);
    await pump.close();
    expect([Buffer.concat(chunks).toString(), stream.writable]).toEqual(["a line of text\n".repeat(100), true]);
  });

  test("a stream that breaks is an error of the pump, not of the process", async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("gone")) });
    const { device, pump, errors } = setup(new StreamSink(stream));
    device.write(1);
    await pump.drain();
    device.write(2);
    await pump.close();
    expect(errors).toEqual(["gone"]);
  });
});
