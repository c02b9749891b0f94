/**
 * Preloaded into a program under test (node --expose-gc --import): at SIGUSR2 it collects all garbage and writes
 * "collected" to stderr, so that what it holds can be told from what it has not thrown away yet.
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  process.on("SIGUSR2", () => {
    const collect = (globalThis as { gc?: () => void }).gc;
    if (!collect) throw new Error("start this process with --expose-gc");
    // Twice, with a turn of the event loop between: finalizers that the first one queued free what the second one sees.
    collect();
    setImmediate(() => {
      collect();
      writeSync(2, "collected\n");
    });
  });
}
