/**
 * A socket as a character back end: `unix:PATH,...` and `tcp:HOST:PORT,...` of -serial, `socket,...` of -chardev.
 * Follows: QEMU's spellings and defaults; `server` alone is `server=on`, `nowait` alone `wait=off`, as in its older ones.
 * Left out: telnet, websocket, TLS, reconnecting, abstract names, descriptors: refused by name.
 */
import type { SocketAddress, SocketSpec } from "../backend/socket.ts";
import { onOff, type Settings } from "./key-values.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

/** sun_path of unix(7), without the NUL at its end. */
const PATH_BYTES = 107;

const SHORT: ReadonlyMap<string, readonly [string, string]> = new Map([
  ["nowait", ["wait", "off"]],
  ["delay", ["nodelay", "off"]],
]);
const KNOWN = ["server", "wait", "nodelay"];
const ABSENT =
  "abstract fd ipv4 ipv6 mptcp reconnect reconnect-ms telnet tight tls-authz tls-creds tn3270 to websocket";

/** The socket at an address, with what its settings say. Throws a UsageError, as do all of these. */
export function parseSocket(option: string, address: SocketAddress, settings: Settings): SocketSpec {
  const given: Record<string, boolean> = {};
  for (const [word, text] of settings) {
    const [key, value] = text === undefined ? (SHORT.get(word) ?? [word, "on"]) : [word, text];
    if (ABSENT.split(" ").includes(key)) throw new UsageError(`${option}: ${key} is not built yet`);
    if (!KNOWN.includes(key)) throw unknownWord(`${option}: property`, key, KNOWN);
    given[key] = onOff(option, key, value);
  }
  const { server = false, wait, nodelay = false } = given;
  if (!server && wait !== undefined) throw new UsageError(`${option}: wait is for a server: server=on`);
  return { kind: "socket", address, server, wait: server && (wait ?? true), nodelay };
}

export function parsePath(option: string, path: string): SocketAddress {
  const bytes = Buffer.byteLength(path);
  if (path === "") throw new UsageError(`${option} needs the path of a socket`);
  if (bytes > PATH_BYTES) {
    throw new UsageError(`${option}: the path of a socket has at most ${PATH_BYTES} bytes, this one has ${bytes}`);
  }
  return { path };
}

/** `HOST:PORT`; an IPv6 host stands in brackets. */
export function parseHostPort(option: string, text: string): SocketAddress {
  const parts = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(text);
  if (parts === null) throw new UsageError(`${option}: "${text}" is not HOST:PORT`);
  return parsePort(option, parts[1]!.replace(/^\[(.*)\]$/, "$1"), parts[2]!);
}

export function parsePort(option: string, host: string, text: string): SocketAddress {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return { host, port };
  throw new UsageError(`${option}: port "${text}" is not a number from 1 to 65535`);
}
