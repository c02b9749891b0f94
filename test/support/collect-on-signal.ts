/**
 * Preloaded into a program under test (node --expose-gc --import): at SIGUSR2 it collects all garbage and writes
 * "collected: N KiB of heap, M KiB outside" to stderr, so that what it holds can be told from what it has not thrown
 * away yet.
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  process.on("SIGUSR2", () => {
    const collect = (globalThis as { gc?: (options: object) => void }).gc;
    if (!collect) throw new Error("start this process with --expose-gc");
    // Also gives back what V8 keeps for later: room in the young generation, bytecode not used of late.
    const everything = { type: "major", execution: "sync", flavor: "last-resort" };
    // Twice, with a turn of the event loop between: finalizers that the first one queued free what the second one sees.
    collect(everything);
    setImmediate(() => {
      collect(everything);
      const { heapUsed, external } = process.memoryUsage();
      writeSync(
        2,
        `collected: ${Math.round(heapUsed / 1024)} KiB of heap, ${Math.round(external / 1024)} KiB outside\n`,
      );
    });
  });
}
