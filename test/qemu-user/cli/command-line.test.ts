/** The command line: what each option means, what is refused and how, and help. */
import { describe, expect, test } from "vitest";
import type { SocketAddress, SocketSpec } from "../../../qemu-user/backend/socket.ts";
import { type Command, parseCommandLine } from "../../../qemu-user/cli/command-line.ts";
import { describeCpus } from "../../../qemu-user/cli/cpu-option.ts";
import type { RunOptions } from "../../../qemu-user/cli/run-options.ts";
import { parseSize } from "../../../qemu-user/cli/size.ts";
import { editDistance, nearest } from "../../../qemu-user/cli/usage-error.ts";
import { DEVICE_CATALOG } from "../../../qemu-user/machine/device-catalog.ts";
import type { CpuFeature } from "../../../shared/cpu-features.ts";

const MiB = 1024 * 1024;

/** Words as a shell would split them; none of the tests needs quotes. */
const parse = (line: string): Command => parseCommandLine(line.split(" ").filter((word) => word !== ""));

function socket(address: SocketAddress, server: boolean, wait: boolean): SocketSpec {
  return { kind: "socket", address, server, wait, nodelay: false };
}

function run(line: string): RunOptions {
  const command = parse(`run -kernel k ${line}`);
  if (command.command !== "run") throw new Error(`${line} is ${command.command}`);
  return command.options;
}

function printed(line: string): string {
  const command = parse(line);
  if (command.command !== "print") throw new Error(`${line} is ${command.command}`);
  return command.text;
}

describe("run", () => {
  test("what is not said", () => {
    expect(run("")).toMatchObject({
      kernel: "k",
      initrd: undefined,
      append: "",
      memory: 128 * MiB,
      cpu: { model: "max", changes: new Map() },
      accel: "patch",
      serial: { kind: "stdio", mux: false },
      debugcon: { kind: "none" },
      nographic: false,
      noReboot: false,
      stopped: false,
      devices: [],
      rtc: { base: "utc", clock: "host" },
      trace: new Set(),
      logFile: undefined,
      core: undefined,
      mode: "page",
      name: undefined,
      bootTimer: undefined,
    });
  });

  test.each<[string, Partial<RunOptions>]>([
    ["-initrd a,b", { initrd: "a,b" }],
    ["-append x=1", { append: "x=1" }],
    ["-m 64", { memory: 64 * MiB }],
    ["-m 1.5G", { memory: 1536 * MiB }],
    ["-m size=65536k", { memory: 64 * MiB }],
    ["-m 64 -m 32", { memory: 32 * MiB }],
    ["-m 3.3M", { memory: Math.ceil((3.3 * MiB) / 4096) * 4096 }],
    ["-accel interp", { accel: "interp" }],
    ["--accel patch", { accel: "patch" }],
    ["-accel wasm", { accel: "wasm" }],
    ["-accel tcg", { accel: "wasm" }],
    ["-nographic", { nographic: true, serial: { kind: "stdio", mux: true } }],
    ["-nographic -serial none", { serial: { kind: "none" } }],
    ["-nographic -serial stdio", { serial: { kind: "stdio", mux: true } }],
    ["-serial mon:stdio", { serial: { kind: "stdio", mux: true } }],
    ["-serial file:/tmp/a:b", { serial: { kind: "file", path: "/tmp/a:b" } }],
    [
      "-chardev stdio,id=c0,mux=on -chardev file,id=c1,path=a,,b=c -chardev null,id=c2",
      {
        serial: { kind: "none" },
        chardevs: [
          { id: "c0", spec: { kind: "stdio", mux: true } },
          { id: "c1", spec: { kind: "file", path: "a,b=c" } },
          { id: "c2", spec: { kind: "none" } },
        ],
      },
    ],
    ["-serial unix:/tmp/s,server=on,wait=off", { serial: socket({ path: "/tmp/s" }, true, false) }],
    ["-serial unix:/tmp/a,,b,server,nowait", { serial: socket({ path: "/tmp/a,b" }, true, false) }],
    ["-serial unix:/tmp/s,server=on", { serial: socket({ path: "/tmp/s" }, true, true) }],
    ["-serial unix:/tmp/s", { serial: socket({ path: "/tmp/s" }, false, false) }],
    ["-serial tcp:localhost:4444", { serial: socket({ host: "localhost", port: 4444 }, false, false) }],
    ["-debugcon tcp::1,server=on,wait=off", { debugcon: socket({ host: "", port: 1 }, true, false) }],
    ["-serial tcp:[::1]:80,nodelay", { serial: { ...socket({ host: "::1", port: 80 }, false, false), nodelay: true } }],
    ["-serial pty -debugcon null", { serial: { kind: "pty" }, debugcon: { kind: "none" } }],
    [
      "-chardev socket,id=a,path=/s,server=on,wait=off -chardev socket,host=h,port=7,id=b -chardev pty,id=c",
      {
        chardevs: [
          { id: "a", spec: socket({ path: "/s" }, true, false) },
          { id: "b", spec: socket({ host: "h", port: 7 }, false, false) },
          { id: "c", spec: { kind: "pty" } },
        ],
      },
    ],
    ["-serial none -debugcon stdio", { debugcon: { kind: "stdio", mux: false } }],
    ["-no-reboot -S", { noReboot: true, stopped: true }],
    ["-d exits,in_asm -D log", { trace: new Set(["exits", "in_asm"]), logFile: "log" }],
    ["-d unimp", { trace: new Set(["unimp"]) }],
    ["-d exits -d in_asm", { trace: new Set(["exits", "in_asm"]) }],
    ["--core /run/core -core /other", { core: "/other" }],
    ["--mode message", { mode: "message" }],
    ["-name vm-1.a", { name: "vm-1.a" }],
    ["--take-over --core /c -name vm", { takeOver: true, core: "/c", name: "vm" }],
    ["-rtc base=localtime,clock=vm", { rtc: { base: "localtime", clock: "vm" } }],
    ["-rtc base=2006-06-17T16:01:21", { rtc: { base: Date.UTC(2006, 5, 17, 16, 1, 21), clock: "host" } }],
    ["-rtc base=2006-06-17", { rtc: { base: Date.UTC(2006, 5, 17), clock: "host" } }],
    ["-boot-timer", { bootTimer: { text: undefined } }],
    ["--boot-text login: --boot-timer", { bootTimer: { text: "login:" } }],
    [
      "-fw_cfg name=opt/a,string=x,,y -fw_cfg opt/b,file=/f",
      {
        fwCfg: [
          { name: "opt/a", from: { string: "x,y" } },
          { name: "opt/b", from: { file: "/f" } },
        ],
      },
    ],
    ["-M pc -machine pc,kernel-irqchip=on,usb=off", {}],
    ["-machine type=pc,hpet=off", {}],
    ["-append -h", { append: "-h" }],
  ])("%s", (line, expected) => {
    expect(run(line)).toMatchObject(expected);
  });

  test("is what options without a command mean", () => {
    expect(parse("-kernel k -m 64")).toEqual(parse("run -kernel k -m 64"));
  });

  test.each([
    ["run", "-kernel FILE is needed: firmware that could boot without one is not built yet"],
    ["run -append x", "-append is only allowed with -kernel"],
    ["run -initrd x", "-initrd is only allowed with -kernel"],
    ["run -kernel", "-kernel needs an argument: -kernel FILE"],
    ["-kernel k -m 4G", "-m: 4G are more than the 3584M below the PCI hole; RAM above 4G is not built yet"],
    ["-kernel k -m 1M", "-m: at least 2M are needed"],
    ["-kernel k -m lots", "-m lots is not a size: 128M, 1.5G, ..."],
    ["-kernel k -m 64,slots=2", "-m 64,slots=2: memory hotplug (slots, maxmem) is not built yet"],
    ["-kernel k -accel kvm", "-accel kvm is not built yet; patch, wasm, interp are"],
    ["-kernel k -accel inter", "-accel inter is not known; did you mean interp?"],
    ["-kernel k -accel xyzzy", "-accel xyzzy is not known; one of: patch, wasm, interp"],
    ["-kernel k -serial studio", "-serial studio is not known; did you mean stdio?"],
    ["-kernel k -serial file:", "-serial file: needs a path: -serial file:PATH"],
    ["-kernel k -serial none -serial none", "-serial is given twice; one is all there is"],
    ["-kernel k -chardev nothing,id=c", "-chardev nothing is not known; one of: stdio, file, socket, pty, null"],
    ["-kernel k -chardev pty,id=c,path=x", "-chardev pty: property path is not known; one of: id"],
    ["-kernel k -chardev socket,id=c", "-chardev socket needs path=PATH, or host=HOST and port=PORT"],
    ["-kernel k -chardev socket,id=c,path=a,port=1", "-chardev socket: it is either path= or host= and port="],
    ["-kernel k -chardev socket,id=c,path=a,wait=on", "-chardev socket: wait is for a server: server=on"],
    ["-kernel k -chardev udp,id=c,port=1", "-chardev: back end udp is not built yet"],
    ["-kernel k -serial telnet:localhost:1,server=on", "-serial: back end telnet is not built yet"],
    ["-kernel k -serial /dev/ttyS0", "-serial: back end tty is not built yet"],
    [
      "-kernel k -serial unix:s,toString",
      "-serial unix: property toString is not known; one of: server, wait, nodelay",
    ],
    ["-kernel k -chardev socket,id=c,path=a,reconnect=1", "-chardev socket: reconnect is not built yet"],
    [
      "-kernel k -chardev socket,id=c,path=a,sever=on",
      "-chardev socket: property sever is not known; did you mean server?",
    ],
    ["-kernel k -serial unix:", "-serial unix needs the path of a socket"],
    [
      `-kernel k -serial unix:${"a".repeat(108)}`,
      "-serial unix: the path of a socket has at most 107 bytes, this one has 108",
    ],
    ["-kernel k -serial tcp:4444", '-serial tcp: "4444" is not HOST:PORT'],
    ["-kernel k -serial tcp::99999", '-serial tcp: port "99999" is not a number from 1 to 65535'],
    ["-kernel k -serial tcp::4444,server=maybe", "-serial tcp: server=maybe is not on|off"],
    ["-kernel k -chardev stdio", "-chardev stdio needs an id: -chardev stdio,id=NAME"],
    ["-kernel k -chardev file,id=c", "-chardev file,id=c needs a path: path=PATH"],
    ["-kernel k -chardev stdio,id=c,mux=2", "-chardev stdio: mux=2 is not on|off"],
    ["-kernel k -chardev null,id=c -chardev null,id=c", "-chardev: there is already a back end with id=c"],
    ["-kernel k -chardev stdio,id=c -debugcon stdio", "-chardev: only one back end can have stdio"],
    [
      "-kernel k -chardev stdio,id=c -nographic",
      "-serial (or -nographic) and -chardev cannot both have stdio; -serial none leaves it to the other",
    ],
    ["-kernel k -debugcon stdio", "-serial and -debugcon cannot both have stdio; give one of them file:PATH or none"],
    ["-kernel k -d in_ams", "-d in_ams is not known; did you mean in_asm?"],
    ["-kernel k --mode paeg", "--mode paeg is not known; did you mean page?"],
    ["-kernel k -name a/b", `-name "a/b": up to 64 letters, digits, '-', '.' or '_' are allowed`],
    ["-kernel k --take-over", "--take-over needs --core PATH and -name NAME: which VM is to go on"],
    ["-kernel k -rtc driftfix=slew", "-rtc driftfix is not built yet; base and clock are"],
    ["-kernel k -rtc clock=rt", "-rtc clock=rt is not built yet; host and vm are"],
    ["-kernel k -rtc bse=utc", "-rtc bse is not known; did you mean base?"],
    [
      "-kernel k -rtc base=2006-02-30",
      "-rtc base=2006-02-30 is not utc, localtime, or a time such as 2006-06-17T16:01:21",
    ],
    ["-kernle k", "option -kernle is not known; did you mean -kernel?"],
    ["--nographics", "option --nographics is not known; did you mean -nographic?"],
    ["-xyzzy", "option -xyzzy is not known; qemu-user run --help lists all"],
    ["-kernel k -M q35", "-machine q35: this machine of QEMU is not built yet; pc is"],
    ["-kernel k -M pc-i440fx-9.2", "-machine pc-i440fx-9.2: this machine of QEMU is not built yet; pc is"],
    ["-kernel k -M virt", "-machine virt is not known; -machine help lists what there is"],
    ["-kernel k -machine pc,kernel-irqchip=split", "-machine: kernel-irqchip=split is not built yet; on is"],
    ["-kernel k -machine pc,kernel_irqchip=split", "-machine: kernel-irqchip=split is not built yet; on is"],
    ["-kernel k -machine pc,kernel-irqchip=off", "-machine: kernel-irqchip=off is not built yet; on is"],
    ["-kernel k -machine pc,kernel-irqchip=maybe", "-machine: kernel-irqchip=maybe is not on|off"],
    ["-kernel k -machine pc,usb=on", "-machine: usb=on is not built yet; off is"],
    ["-kernel k -machine pc,accel=tcg", "-machine accel=tcg: write -accel tcg"],
    ["-kernel k -machine pc,max-ram-below-4g=2G", "-machine: max-ram-below-4g is not built yet"],
    [
      "-kernel k -machine pc,kernel-irqchp=on",
      "-machine: property kernel-irqchp is not known; did you mean kernel-irqchip?",
    ],
    ["-kernel k -machine pc,usb", "-machine: usb needs a value: usb=..."],
    ["-kernel k -fw_cfg opt/a", "-fw_cfg opt/a needs contents: file=PATH or string=TEXT"],
    ["-kernel k -fw_cfg file=/f", "-fw_cfg needs a name: -fw_cfg name=opt/...,file=PATH"],
    ["-kernel k -fw_cfg opt/a,file=/f,string=x", "-fw_cfg: it is either file= or string="],
    ["-kernel k -fw_cfg opt/a,fiel=/f", "-fw_cfg fiel is not known; did you mean file?"],
    ["-kernel k -fw_cfg opt/ä,file=/f", "-fw_cfg: a name consists of ASCII letters, digits and signs"],
    [`-kernel k -fw_cfg ${"a".repeat(56)},file=/f`, `-fw_cfg: a name has at most 55 letters: ${"a".repeat(56)}`],
    ["-kernel k -fw_cfg opt/a,string=x -fw_cfg opt/a,string=y", "-fw_cfg: opt/a is there twice"],
    ["-smp 2", "-smp: this option of QEMU is not built yet"],
    ["-kernel k --mode=page", "--mode=page: write --mode page"],
    ["disk.img", "disk.img: an image is given by -drive file=disk.img, a kernel by -kernel disk.img"],
  ])("%s: refused", (line, message) => {
    expect(() => parse(line)).toThrow(expect.objectContaining({ name: "UsageError", message }));
  });
});

describe("-device", () => {
  test.each([
    ["splitvm-test", undefined, { journal: true, addr: 0 }],
    ["splitvm-test,journal=off,id=a-1", "a-1", { journal: false, addr: 0 }],
    ["splitvm-test,journal,addr=0x1f", undefined, { journal: true, addr: 31 }],
    ["splitvm-test,addr=1f", undefined, { journal: true, addr: 31 }],
    ["splitvm-test,addr=05.0", undefined, { journal: true, addr: 5 }],
    ["isa-debug-exit,iobase=0x501,iosize=2", undefined, { iobase: 0x501, iosize: 2 }],
  ])("%s", (text, id, properties) => {
    expect(run(`-device ${text}`).devices).toEqual([{ name: text.split(",")[0], id, properties }]);
  });

  test("each one counts, in order", () => {
    expect(run("-device splitvm-test,id=b -device splitvm-test,id=a").devices.map(({ id }) => id)).toEqual(["b", "a"]);
  });

  test.each([
    ["splitvm-tset", "-device splitvm-tset is not known; did you mean splitvm-test?"],
    ["e1000", "-device e1000 is not known; -device help lists what there is"],
    ["constructor", "-device constructor is not known; -device help lists what there is"],
    ["splitvm-test,jurnal=on", "-device splitvm-test: property jurnal is not known; did you mean journal?"],
    ["splitvm-test,__proto__=1", "-device splitvm-test: property __proto__ is not known; one of: journal, addr, id"],
    ["splitvm-test,journal=maybe", "-device splitvm-test: journal=maybe is not on|off"],
    ["splitvm-test,addr", "-device splitvm-test: addr needs a value: addr=1..1f"],
    ["splitvm-test,addr=20", "-device splitvm-test: addr=20 is not 1..1f"],
    ["splitvm-test,id=1a", `-device: id "1a" must be a letter, then letters, digits, '-', '.' or '_'`],
    ["isa-debug-exit,iobase=0x10000", "-device isa-debug-exit: iobase=0x10000 is not 0..65535"],
  ])("%s: refused", (text, message) => {
    expect(() => run(`-device ${text}`)).toThrow(expect.objectContaining({ name: "UsageError", message }));
  });

  test("help lists devices, NAME,help a device's properties", () => {
    expect(printed("-device help")).toMatch(/^ {2}splitvm-test +PCI +test device/m);
    expect(printed("-device ?")).toBe(printed("-device help"));
    expect(printed("-device splitvm-test,help")).toMatch(/^ {2}journal=on\|off +COUNTER .* \(on unless said\)$/m);
    for (const name of Object.keys(DEVICE_CATALOG)) {
      expect(printed("-device help")).toMatch(new RegExp(`^ {2}${name} `, "m"));
      expect(printed(`-device ${name},help`)).toContain(`Properties of ${name}:`);
    }
  });
});

describe("-cpu", () => {
  test.each([
    ["qemu64", "qemu64", []],
    [
      "max,+nx,-smep",
      "max",
      [
        ["nx", true],
        ["smep", false],
      ],
    ],
    [
      "qemu64,sse4_2=on,sse4.1=off,+sse3",
      "qemu64",
      [
        ["sse4.2", true],
        ["sse4.1", false],
        ["pni", true],
      ],
    ],
    ["x86-64-v2,popcnt=off,+popcnt", "x86-64-v2", [["popcnt", true]]],
  ])("%s", (text, model, changes) => {
    expect(run(`-cpu ${text}`).cpu).toEqual({ model, changes: new Map(changes as [CpuFeature, boolean][]) });
  });

  test.each([
    ["qemu46", "-cpu qemu46 is not known; did you mean qemu64?"],
    ["Haswell", "-cpu Haswell: this model of QEMU is not built yet; max has everything that kvm-core has"],
    ["constructor", "-cpu constructor is not known; one of: max, base, qemu64, qemu32, kvm64, x86-64-v2"],
    ["max,+popcntt", "-cpu: feature popcntt is not known; did you mean popcnt?"],
    ["max,vendor=x", "-cpu: feature vendor is not known; -cpu help lists all"],
    ["max,nx=maybe", "-cpu: nx=maybe: a feature is on or off"],
  ])("%s: refused", (text, message) => {
    expect(() => run(`-cpu ${text}`)).toThrow(expect.objectContaining({ name: "UsageError", message }));
  });

  test("help is kvm-core's to give", () => {
    expect(parse("-cpu help")).toEqual({ command: "cpu-help", core: undefined });
    expect(parse("run -cpu ? --core /c")).toEqual({ command: "cpu-help", core: "/c" });
    const text = describeCpus(new Set(["lm", "nx"]));
    expect(text).toMatch(/^ {2}qemu64 .*\n +without fpu/m);
    expect(text).toMatch(/has:\n {2}nx lm\n/);
    for (const row of text.split("\n")) expect(row.length, row).toBeLessThanOrEqual(110);
  });
});

describe("stat and attach", () => {
  test("stat", () => {
    expect(parse("stat")).toEqual({
      command: "stat",
      options: { target: undefined, interval: undefined, json: false, core: undefined },
    });
    expect(parse("stat --interval 0.5 --json -core /c vm")).toEqual({
      command: "stat",
      options: { target: "vm", interval: 0.5, json: true, core: "/c" },
    });
  });

  test("attach", () => {
    expect(parse("attach -device splitvm-test vm")).toMatchObject({
      command: "attach",
      options: { target: "vm", core: undefined, devices: [{ name: "splitvm-test" }] },
    });
    expect(printed("attach -device help")).toContain("splitvm-test");
  });

  test.each([
    ["stat --interval 0", "--interval 0 is not a number of seconds from 0.1 to 86400"],
    ["stat --interval 1e3", "--interval 1e3 is not a number of seconds from 0.1 to 86400"],
    ["stat --jsno", "option --jsno is not known; did you mean --json?"],
    ["stat a b", "b: only one VM at a time (a is given)"],
    ["attach vm", "attach: -device NAME is needed; -device help lists them"],
    ["", "what to do? qemu-user run -kernel FILE boots a guest; --help explains"],
    ["rnu", "command rnu is not known; did you mean run?"],
    ["frobnicate", "command frobnicate is not known; one of: run, stat, attach, help"],
    ["help me", "command me is not known; one of: run, stat, attach, help"],
  ])("%s: refused", (line, message) => {
    expect(() => parse(line)).toThrow(expect.objectContaining({ name: "UsageError", message }));
  });
});

describe("help", () => {
  test.each(["-h", "--help", "-help", "help"])("%s is the overview", (line) => {
    for (const name of ["run", "stat", "attach", "help"])
      expect(printed(line)).toMatch(new RegExp(`^ {2}${name} `, "m"));
  });

  test.each(["run -h", "run -kernel k --help", "run -help -nonsense", "help run", "-kernel k -h"])(
    "%s explains run",
    (line) => {
      expect(printed(line)).toMatch(/^qemu-user run -kernel FILE/);
      for (const option of ["-kernel FILE", "-m SIZE", "-device NAME", "--core PATH"])
        expect(printed(line)).toContain(option);
      expect(printed(line)).toContain("SIGTERM, SIGINT and SIGHUP press the guest's power button");
    },
  );

  test("no line is wider than a terminal", () => {
    for (const line of ["--help", "run -h", "stat -h", "attach -h", "-device help", "-d help", "-accel help"]) {
      for (const row of printed(line).split("\n")) expect(row.length, row).toBeLessThanOrEqual(110);
    }
  });

  test("-M help is QEMU's list, and -machine pc,help what can be asked of the board", () => {
    expect(printed("-M help")).toBe(
      "Supported machines are:\npc                   Standard PC (i440FX + PIIX, 1996) (default)\n",
    );
    expect(printed("-machine ?")).toBe(printed("-M help"));
    expect(printed("-machine pc,help")).toMatch(/^ {2}kernel-irqchip=on +interrupt controllers in kvm-core$/m);
  });

  test("-d help and -accel help", () => {
    expect(printed("-d help")).toMatch(/exits[\s\S]*in_asm[\s\S]*unimp/);
    expect(printed("-accel help")).toMatch(/patch[\s\S]*wasm.*tcg[\s\S]*interp/);
  });

  test.each(["--version", "-version"])("%s", (line) =>
    expect(printed(line)).toMatch(/^qemu-user \(splitvm\) \d+\.\d+\.\d+\n$/),
  );
});

test.each([
  ["kernel", "kernel", 0],
  ["kernle", "kernel", 1],
  ["kernl", "kernel", 1],
  ["kkernel", "kernel", 1],
  ["kitten", "sitting", 3],
  ["", "abc", 3],
])("from %j to %j are %i typing errors", (a, b, distance) => {
  expect([editDistance(a, b), editDistance(b, a)]).toEqual([distance, distance]);
});

test("the nearest word is one that could be meant", () => {
  expect(nearest("-kernal", ["-append", "-kernel"])).toBe("-kernel");
  expect(nearest("KERNEL", ["kernel"])).toBe("kernel");
  expect(nearest("q", ["x", "d"])).toBe("x"); // one letter: any is as near
  expect(nearest("completely", ["different"])).toBeUndefined();
});

test.each([
  ["1", MiB],
  ["1b", 1],
  ["2K", 2048],
  ["0.5k", 512],
  ["1.5G", 1536 * MiB],
  ["1t", 2 ** 40],
  ["", undefined],
  ["-1", undefined],
  ["1.", undefined],
  ["1kk", undefined],
  ["0x10", undefined],
  ["9999999999999t", undefined],
])("size %j", (text, bytes) => expect(parseSize(text, "m")).toBe(bytes));
