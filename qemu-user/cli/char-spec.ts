/**
 * Where a character device's bytes go: the argument of -serial and -debugcon, and -chardev.
 * Follows: QEMU's character back ends stdio, mon:stdio, file:PATH, unix:, tcp:, pty, null, none; -chardev's of the same kinds.
 * Left out: pipes, UDP, ring buffers; -serial chardev:ID, append= and input-path= of a file, signal= of stdio.
 */
import type { SocketSpec } from "../backend/socket.ts";
import { splitSetting, splitWords } from "./key-values.ts";
import { parseHostPort, parsePath, parsePort, parseSocket } from "./socket-option.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

export type CharSpec =
  | { readonly kind: "none" }
  /** `mux`: Ctrl-A commands, and Ctrl-C goes to the guest. */
  | { readonly kind: "stdio"; readonly mux: boolean }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "pty" }
  | SocketSpec;

/** `-chardev BACKEND,id=ID`: a back end that a device names. */
export interface Chardev {
  readonly id: string;
  readonly spec: CharSpec;
}

/** In help. */
export const CHAR_SPECS = "stdio|file:PATH|unix:PATH,...|tcp:HOST:PORT,...|pty|none";
/** Back ends that only QEMU has: words of -chardev, and what -serial begins with. */
const ABSENT =
  "braille chardev con fd mc msmouse parallel parport pipe qemu-vdagent ringbuf serial spiceport spicevmc telnet testdev tty udp vc websocket wctablet".split(
    " ",
  );
const KNOWN = ["stdio", "mon:stdio", "file:PATH", "unix:PATH", "tcp:HOST:PORT", "pty", "null", "none"];
const WORDS: Readonly<Record<string, CharSpec>> = {
  none: { kind: "none" },
  null: { kind: "none" },
  pty: { kind: "pty" },
  stdio: { kind: "stdio", mux: false },
  "mon:stdio": { kind: "stdio", mux: true },
};

/** Throws a UsageError naming the option. */
export function parseCharSpec(option: string, text: string): CharSpec {
  if (Object.hasOwn(WORDS, text)) return WORDS[text]!;
  refuseAbsent(option, /^\/dev\//.test(text) ? "tty" : /^[^:,]*/.exec(text)![0]);
  const colon = text.indexOf(":");
  const rest = text.slice(colon + 1);
  switch (text.slice(0, Math.max(colon, 0))) {
    case "file":
      if (rest === "") throw new UsageError(`${option} file: needs a path: ${option} file:PATH`);
      return { kind: "file", path: rest };
    case "unix": {
      const [path = "", ...settings] = splitWords(rest);
      return parseSocket(`${option} unix`, parsePath(`${option} unix`, path), settings.map(splitSetting));
    }
    case "tcp": {
      const [address = "", ...settings] = splitWords(rest);
      return parseSocket(`${option} tcp`, parseHostPort(`${option} tcp`, address), settings.map(splitSetting));
    }
    default:
      throw unknownWord(option, text, KNOWN);
  }
}

function refuseAbsent(option: string, backend: string): void {
  if (ABSENT.includes(backend)) throw new UsageError(`${option}: back end ${backend} is not built yet`);
}

/** Keys of each back end beside `id`; `false`: it says itself what it has not. */
const CHARDEV_KEYS: Readonly<Record<string, readonly string[] | false>> = {
  stdio: ["mux"],
  file: ["path"],
  socket: false,
  pty: [],
  null: [],
};

/** `stdio,id=ID[,mux=on]`, `file,id=ID,path=PATH`, `socket,id=ID,...`, `pty,id=ID`, `null,id=ID`. Throws a UsageError. */
export function parseChardev(text: string): Chardev {
  const [backend = "", ...words] = splitWords(text);
  const keys = Object.hasOwn(CHARDEV_KEYS, backend) ? CHARDEV_KEYS[backend]! : undefined;
  refuseAbsent("-chardev", backend);
  if (keys === undefined) throw unknownWord("-chardev", backend, Object.keys(CHARDEV_KEYS));
  const settings = words.map(splitSetting);
  const given = new Map(settings);
  const id = given.get("id");
  const wrong = settings.find(([key]) => key !== "id" && keys !== false && !keys.includes(key));
  if (wrong !== undefined) throw unknownWord(`-chardev ${backend}: property`, wrong[0], ["id", ...(keys || [])]);
  if (id === undefined || !/^[A-Za-z][A-Za-z0-9._-]*$/.test(id)) {
    throw new UsageError(`-chardev ${backend} needs an id: -chardev ${backend},id=NAME`);
  }
  return { id, spec: specOf(backend, id, given) };
}

function specOf(backend: string, id: string, given: ReadonlyMap<string, string | undefined>): CharSpec {
  switch (backend) {
    case "null":
      return { kind: "none" };
    case "pty":
      return { kind: "pty" };
    case "file": {
      const path = given.get("path") ?? "";
      if (path === "") throw new UsageError(`-chardev file,id=${id} needs a path: path=PATH`);
      return { kind: "file", path };
    }
    case "socket":
      return socketOf(given);
    default: {
      const mux = given.get("mux") ?? "off";
      if (mux !== "on" && mux !== "off") throw new UsageError(`-chardev stdio: mux=${mux} is not on|off`);
      return { kind: "stdio", mux: mux === "on" };
    }
  }
}

function socketOf(given: ReadonlyMap<string, string | undefined>): CharSpec {
  const option = "-chardev socket";
  const [path, host, port] = [given.get("path"), given.get("host"), given.get("port")];
  const settings = [...given].filter(([key]) => !["id", "path", "host", "port"].includes(key));
  if (path !== undefined && (host !== undefined || port !== undefined)) {
    throw new UsageError(`${option}: it is either path= or host= and port=`);
  }
  if (path === undefined && port === undefined) {
    throw new UsageError(`${option} needs path=PATH, or host=HOST and port=PORT`);
  }
  const address = path === undefined ? parsePort(option, host ?? "", port ?? "") : parsePath(option, path);
  return parseSocket(option, address, settings);
}
