/**
 * qemu-user, the program: reads the command line and does what it asks for.
 * Leaves out: the options (cli/) and the commands (run.ts, stat.ts).
 */
import { parseCommandLine } from "./cli/command-line.ts";
import { UsageError } from "./cli/usage-error.ts";
import { cpuHelp } from "./cpu-help.ts";
import { run } from "./run.ts";
import { stat } from "./stat.ts";

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommandLine(args);
  switch (command.command) {
    case "print":
      process.stdout.write(command.text);
      return 0;
    case "cpu-help":
      return cpuHelp(command.core);
    case "run":
      return run(command.options);
    case "stat":
      return stat(command.options);
    default:
      throw new UsageError(`${command.command} is not built yet`);
  }
}

// A reader that closes our output early (| head) is no failure of ours, nor is a terminal that is gone (EIO), as after SIGHUP: the
// guest has its time to shut down, unheard.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
});
process.stderr.on("error", () => {});

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`qemu-user: ${(error as Error).message}\n`);
  process.exit(1);
}
