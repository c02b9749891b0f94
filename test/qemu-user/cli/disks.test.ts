/** -drive, -blockdev, -object iothread and the disks in front of them: what each means, and what is refused and how. */
import { describe, expect, test } from "vitest";
import type { BlockBackend } from "../../../qemu-user/block/block.ts";
import { parseCommandLine } from "../../../qemu-user/cli/command-line.ts";
import type { RunOptions } from "../../../qemu-user/cli/run-options.ts";
import type { DeviceEnv } from "../../../qemu-user/machine/device-catalog.ts";
import { virtioBlk } from "../../../qemu-user/machine/virtio-blk.ts";
import { ID_BYTES } from "../../../qemu-user/virtio/blk-config.ts";
import { option } from "../support/fakes.ts";

/** Words are split at blanks; JSON has none here. */
function run(line: string): RunOptions {
  const command = parseCommandLine(["run", "-kernel", "k", ...line.split(" ")]);
  if (command.command !== "run") throw new Error(`${line} is ${command.command}`);
  return command.options;
}

const BLANK = {
  readOnly: false,
  snapshot: false,
  discard: false,
  cache: "writeback",
  aio: "threads",
  writeErrors: "enospc",
  readErrors: "report",
  ioThread: undefined,
  locking: true,
};
const disk = (drive: string, more = {}) => option("virtio-blk-pci", { drive, ...more });
const NODE = "-blockdev driver=raw,node-name=n,file.driver=file,file.filename=a.img";

describe("-drive", () => {
  test("adds a disk, named as in QEMU", () => {
    const { drives, devices } = run(
      "-drive file=a.img,format=raw -device splitvm-test -drive file=b,,c.img,if=virtio,id=x",
    );
    expect(drives).toEqual([
      { ...BLANK, id: "virtio0", path: "a.img" },
      { ...BLANK, id: "x", path: "b,c.img" },
    ]);
    expect(devices).toEqual([option("splitvm-test"), disk("virtio0"), disk("x")]);
  });

  test("if=none leaves the disk to -device", () => {
    const { drives, devices } = run("-device virtio-blk-pci,drive=d,serial=s,num-queues=4 -drive file=a,if=none,id=d");
    expect(drives).toEqual([{ ...BLANK, id: "d", path: "a" }]);
    expect(devices).toEqual([disk("d", { serial: "s", "num-queues": 4 })]);
    expect(run("-drive file=a,if=none,id=d").devices).toEqual([]);
  });

  test.each([
    ["snapshot=on", { snapshot: true }],
    ["readonly=on", { readOnly: true }],
    ["read-only=yes", { readOnly: true }],
    ["cache=writethrough", { cache: "writethrough" }],
    ["cache=unsafe", { cache: "unsafe" }],
    ["aio=sync", { aio: "sync" }],
    ["aio=async", { aio: "async" }],
    ["werror=stop,rerror=ignore", { writeErrors: "stop", readErrors: "ignore" }],
    ["discard=unmap", { discard: true }],
    ["discard=on", { discard: true }],
    ["discard=ignore", {}],
    ["media=disk,detect-zeroes=off", {}],
    ["file.locking=off", { locking: false }],
  ])("%s", (text, changes) => {
    expect(run(`-drive file=a,id=d,${text}`).drives).toEqual([{ ...BLANK, id: "d", path: "a", ...changes }]);
  });

  test.each([
    ["id=a", "-drive: file=PATH is needed; a drive without a medium is not built yet"],
    ["file=a,index=0", "-drive: index is not built yet; leave it out"],
    ["file=a,throttling.iops-total=3", "-drive: throttling.iops-total is not built yet; leave it out"],
    ["file=a,format=qcow2", "-drive: format=qcow2 is not built yet; raw is"],
    ["file=a,format=rwa", "-drive: format rwa is not known; did you mean raw?"],
    ["file=a,if=ide", "-drive: if=ide is not built yet; virtio, none are"],
    ["file=a,if=virito", "-drive: if virito is not known; did you mean virtio?"],
    ["file=a,if=none", "-drive: if=none needs id=NAME, by which a -device names it"],
    ["file=a,cache=none", "-drive: cache=none is not built yet; writeback, writethrough, unsafe are"],
    ["file=a,aio=io_uring", "-drive: aio=io_uring is not built yet; threads, sync, async are"],
    ["file=a,aio=xyzzy", "-drive: aio xyzzy is not known; one of: threads, sync, async"],
    ["file=a,rerror=enospc", "-drive: rerror enospc is not known; one of: report, ignore, stop"],
    ["file=a,media=cdrom", "-drive: media=cdrom is not built yet; disk is"],
    ["file=a,snapshto=on", "-drive snapshto is not known; did you mean snapshot?"],
    ["file=a,snapshot=maybe", "-drive: snapshot=maybe is not on|off"],
    ["file=a,snapshot", "-drive: snapshot needs a value: snapshot=..."],
    ["file=a,file=b", "-drive: file is given twice"],
    ["file=a,id=1", `-drive: id "1" must be a letter, then letters, digits, '-', '.' or '_'`],
    [
      "file=a,snapshot=on,aio=async",
      "-drive: snapshot=on with aio=async is not built yet; aio=threads and aio=sync are",
    ],
    ["file=a,id=d -drive file=b,id=d", "-drive, -blockdev: id=d is given twice"],
    ["file=a,id=d -device virtio-blk-pci,drive=d", "-device virtio-blk-pci: drive=d has a disk already"],
    [
      "file=a --take-over --core s -name v",
      "--take-over of a VM with disks is not built yet: what its guest had asked of them would be lost",
    ],
  ])("%s: refused", (text, message) => {
    expect(() => run(`-drive ${text}`)).toThrow(expect.objectContaining({ name: "UsageError", message }));
  });
});

describe("-blockdev", () => {
  const used = "-device virtio-blk-pci,drive=n";
  const json = (value: object) => JSON.stringify(value);

  test.each([
    [NODE, {}],
    [`-blockdev ${json({ driver: "raw", "node-name": "n", file: { driver: "file", filename: "a.img" } })}`, {}],
    ["-blockdev driver=file,node-name=n,filename=a.img", {}],
    ["-blockdev driver=file,node-name=f,filename=a.img -blockdev driver=raw,node-name=n,file=f", {}],
    [`${NODE},read-only=on,discard=unmap,file.aio=sync`, { readOnly: true, discard: true, aio: "sync" }],
    [`${NODE},cache.direct=off,cache.no-flush=on,file.locking=off`, { cache: "unsafe", locking: false }],
    [
      `-blockdev ${json({ driver: "file", "node-name": "n", filename: "a.img", "read-only": true })}`,
      { readOnly: true },
    ],
    [
      "-blockdev driver=raw,node-name=n,file=f,discard=unmap -blockdev driver=file,node-name=f,filename=a.img,aio=async",
      { aio: "async" }, // its file does not pass discards on
    ],
  ])("%s", (line, changes) => {
    expect(run(`${line} ${used}`).drives).toEqual([{ ...BLANK, id: "n", path: "a.img", ...changes }]);
  });

  test("one that no device uses is not opened", () => {
    expect(run(NODE).drives).toEqual([]);
  });

  test.each([
    ["-blockdev node-name=n", "-blockdev: driver=raw or driver=file is needed"],
    ["-blockdev driver=raw,file=f", "-blockdev: node-name=NAME is needed"],
    ["-blockdev driver=qcow2,node-name=n", "-blockdev: driver=qcow2 is not built yet; raw, file are"],
    ["-blockdev driver=file,node-name=n", "-blockdev: driver=file needs filename=PATH"],
    ["-blockdev driver=file,node-name=n,filename=a,file=b", "-blockdev: driver=file has no file"],
    ["-blockdev driver=raw,node-name=n,filename=a", "-blockdev: driver=raw has no filename"],
    [
      "-blockdev driver=raw,node-name=n",
      "-blockdev: driver=raw needs file=NODE, or file.driver=file with file.filename=PATH",
    ],
    [
      "-blockdev driver=raw,node-name=n,file.filename=a",
      "-blockdev: driver=raw needs both file.driver=file and file.filename=PATH",
    ],
    [`${NODE},cache.direct=on`, "-blockdev: cache.direct=on (O_DIRECT) is not built yet; off is"],
    [`${NODE},sise=1`, "-blockdev sise is not known; one of: driver"],
    ["-blockdev {x", "-blockdev: this is no JSON: "],
    [`-blockdev ${json({ driver: ["raw"] })}`, "-blockdev: driver is neither text, number, true, false, nor an object"],
    [`-blockdev driver=raw,node-name=n,file=f ${used}`, "-blockdev: n is over f, which no -blockdev makes"],
    [
      `${NODE} -blockdev driver=raw,node-name=m,file=n -blockdev driver=raw,node-name=o,file=m -device virtio-blk-pci,drive=o`,
      "-blockdev: o is over m, which is not driver=file",
    ],
    [
      `-blockdev driver=file,node-name=f,filename=a -blockdev driver=raw,node-name=n,file=f ${used} -device virtio-blk-pci,drive=f`,
      "-device virtio-blk-pci: drive=f has a disk already",
    ],
  ])("%s: refused", (line, message) => {
    expect(() => run(line)).toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringContaining(message) as string }),
    );
  });
});

describe("-device virtio-blk-pci", () => {
  test("as JSON", () => {
    const value = { driver: "virtio-blk-pci", drive: "d", id: "a", "num-queues": 2, serial: "x,y" };
    const { devices } = run(`-drive file=a,if=none,id=d -device ${JSON.stringify(value)}`);
    expect(devices).toEqual([option("virtio-blk-pci", { drive: "d", "num-queues": 2, serial: "x,y" }, "a")]);
    expect(run(`-device {"driver":"splitvm-test","journal":false}`).devices[0]!.properties["journal"]).toBe(false);
  });

  test("iothread, werror and rerror are its drive's", () => {
    const line = "-object iothread,id=io -drive file=a,if=none,id=d,werror=report,rerror=stop";
    expect(run(`${line} -device virtio-blk-pci,drive=d,iothread=io,werror=stop`).drives).toEqual([
      { ...BLANK, id: "d", path: "a", ioThread: "io", writeErrors: "stop", readErrors: "stop" },
    ]);
    const json = `-object {"qom-type":"iothread","id":"io"}`;
    expect(run(`${json} ${NODE} -device virtio-blk-pci,drive=n,iothread=io`).drives[0]!.ioThread).toBe("io");
  });

  test.each([
    [
      "-device virtio-blk-pci",
      "-device virtio-blk-pci: drive=ID is needed: its -drive's id, or its -blockdev's node-name",
    ],
    ["-device virtio-blk-pci,drive=d", "-device virtio-blk-pci: drive d is not known; there is no -drive"],
    [`${NODE} -device virtio-blk-pci,drive=nn`, "-device virtio-blk-pci: drive nn is not known; did you mean n?"],
    [
      `${NODE} -device virtio-blk-pci,drive=n,iothread=io`,
      "-device virtio-blk-pci: iothread io is not known; there is no -object iothread",
    ],
    [
      `${NODE},file.aio=sync -object iothread,id=io -device virtio-blk-pci,drive=n,iothread=io`,
      "-device virtio-blk-pci: iothread=io is for a drive with aio=threads, not aio=sync",
    ],
    [
      `${NODE} -device virtio-blk-pci,drive=n,werror=never`,
      "-device virtio-blk-pci: werror never is not known; one of: auto, report, ignore, stop, enospc",
    ],
    ["-object iothread", "-object iothread: id=NAME is needed, by which a -device names it"],
    ["-object iothread,id=a -object iothread,id=a", "-object: id=a is given twice"],
    ["-object iothread,id=a,poll-max-ns=1", "-object iothread: poll-max-ns is not built yet; id is"],
    ["-object iothread,ido=a", "-object iothread: property ido is not known; did you mean id?"],
    ["-object memory-backend-ram,size=1G", "-object memory-backend-ram is not built yet; iothread is"],
    ["-object iothraed,id=a", "-object iothraed is not known; did you mean iothread?"],
    [`-device {"drive":"d"}`, '-device: the JSON form needs "driver", the name of the device'],
  ])("%s: refused", (line, message) => {
    expect(() => run(line)).toThrow(expect.objectContaining({ name: "UsageError", message }));
  });

  test.each([
    [{ drive: "" }, "drive=ID is needed"],
    [{ drive: "e" }, "there is no drive e"],
    [{ serial: "123456789012345678901" }, `serial=123456789012345678901 is longer than ${ID_BYTES} characters`],
    [{ serial: "ä" }, "serial= may have ASCII characters only"],
    [{ "num-queues": 0 }, "num-queues=0 is not 1..64"],
    [{ "num-queues": 65 }, "num-queues=65 is not 1..64"],
    [{ "queue-size": 100 }, "queue-size=100 is not a power of two from 4 to 1024"],
    [{ "queue-size": 2048 }, "queue-size=2048 is not a power of two from 4 to 1024"],
  ])("%o: refused by the board", (changes, message) => {
    const env = { name: "disk", drives: new Map([["d", {} as BlockBackend]]) } as unknown as DeviceEnv;
    const { properties } = disk("d", changes);
    expect(() => virtioBlk(env, properties)).toThrow(message);
    expect(virtioBlk(env, disk("d").properties)).toBeTypeOf("function");
  });
});
