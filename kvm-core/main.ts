/**
 * kvm-core, the process: command line, listening socket, server, and its end.
 *   kvm-core --listen PATH          a shared core; PATH "@name" is an abstract socket
 *   kvm-core --listen-fd N --private   started by qemu-user: serves an inherited socket, ends with its parent and when
 *                                      the last session has ended
 * Leaves out: everything that a VM is (server/, vm/).
 */
import { once } from "node:events";
import { closeSync, lstatSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { connectUnix, eventfd, listenUnix, parentDeathSignal, SIGTERM } from "../shared/native.ts";
import { stopAtExit } from "../shared/stop.ts";
import { compileInterpreter } from "./engine/engine.ts";
import { startAcceptor } from "./server/acceptor.ts";
import { Server } from "./server/server.ts";

const USAGE = `usage: kvm-core --listen PATH
Serves virtual machines to qemu-user (qemu-user run --core PATH) until SIGTERM or Ctrl-C.
PATH is a Unix socket to make; "@name" is an abstract one, which leaves no file.
`;

type Options = { readonly path: string; readonly listenFd: number; readonly isPrivate: boolean };

function fail(message: string): never {
  process.stderr.write(`kvm-core: ${message}\n`);
  process.exit(1);
}

function parse(args: readonly string[]): Options {
  const options = { path: "", listenFd: -1, isPrivate: false };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--help" || arg === "-h") {
      process.stdout.write(USAGE);
      process.exit(0);
    } else if (arg === "--listen" && args[i + 1]) options.path = args[++i]!;
    else if (arg === "--listen-fd" && args[i + 1]) options.listenFd = Number(args[++i]);
    else if (arg === "--private") options.isPrivate = true;
    else fail(`${arg}: no such option, or its argument is missing\n${USAGE}`);
  }
  if (options.path === "" && options.listenFd < 0) fail(`--listen PATH is missing\n${USAGE}`);
  return options;
}

/** Listens at `path`; a socket file that nobody serves any more is replaced. */
function listen(path: string): number {
  try {
    return listenUnix(path, 64);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") fail(`cannot listen: ${(error as Error).message}`);
  }
  if (!path.startsWith("@") && !lstatSync(path).isSocket())
    fail(`${path}: a file of that name exists and is no socket`);
  try {
    closeSync(connectUnix(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") fail(`cannot listen: ${(error as Error).message}`);
    unlinkSync(path);
    return listenUnix(path, 64);
  }
  fail(`${path}: another kvm-core listens there`);
}

// The interpreter is one large function: compile it at once, and its optimised code soon, in the background. With V8's
// own settings it can stay in baseline code for good, at half the speed.
setFlagsFromString("--no-wasm-lazy-compilation");
setFlagsFromString("--wasm-tiering-budget=200000");

const options = parse(process.argv.slice(2));
if (options.isPrivate) {
  const parent = process.ppid;
  if (parentDeathSignal(SIGTERM) !== parent) process.exit(0); // the parent ended before we asked
}
const listenFd = options.listenFd >= 0 ? options.listenFd : listen(options.path);
const report = (line: string) => process.stderr.write(`kvm-core: ${line}\n`);
const stopFd = eventfd(0, 0);
const acceptor = startAcceptor({ listenFd, stopFd }, (connection) => server.accepted(connection));
const server = new Server(compileInterpreter(), report); // while the acceptor's thread starts
const acceptorEnded = once(acceptor, "exit");
const stopAcceptor = () => writeSync(stopFd, new BigUint64Array([1n]));
stopAtExit(stopAcceptor);

let ending = false;
async function end(status: number): Promise<void> {
  if (ending) return;
  ending = true;
  if (options.path !== "" && !options.path.startsWith("@")) rmSync(options.path, { force: true });
  stopAcceptor();
  await Promise.all([server.close(), acceptorEnded]); // a thread that is in a system call would make exit() abort
  process.exit(status);
}
if (options.isPrivate) server.onIdle = () => void end(0);
process.on("SIGTERM", () => void end(0));
process.on("SIGINT", () => void end(0));
if (!options.isPrivate) report(`listens at ${options.path}`);
