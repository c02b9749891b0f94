/**
 * The private kvm-core of one qemu-user: a child that serves a listening socket which it inherits, so the parent may
 * connect at once. The socket has an abstract name that tells the user's own `stat` where to look, and leaves no file.
 * The child ends with its parent (PR_SET_PDEATHSIG) and when the last session has ended.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { listenUnix } from "../../shared/native.ts";

const MAIN = fileURLToPath(new URL("../../kvm-core/main.ts", import.meta.url));
const uid = () => process.getuid?.() ?? 0;

export type CoreProcess = { readonly path: string; readonly child: ChildProcess };

/** Starts it; the caller hears of its end by the child's "exit". */
export function startCore(): CoreProcess {
  const path = `@splitvm-${uid()}-${process.pid}`;
  const listenFd = listenUnix(path, 16);
  const child = spawn(process.execPath, [...process.execArgv, MAIN, "--listen-fd", "3", "--private"], {
    stdio: ["ignore", "inherit", "inherit", listenFd],
  });
  closeSync(listenFd);
  return { path, child };
}

/** Sockets of the private cores of this user that run now, with the qemu-user process that each belongs to. */
export function findCores(): { readonly path: string; readonly pid: number }[] {
  const pattern = new RegExp(`@splitvm-${uid()}-(\\d+)$`, "gm");
  const found = new Map<string, number>();
  for (const match of readFileSync("/proc/net/unix", "utf8").matchAll(pattern)) found.set(match[0], Number(match[1]));
  return [...found].map(([path, pid]) => ({ path, pid }));
}
