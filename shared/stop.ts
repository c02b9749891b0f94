/**
 * The stopping rule (protocol.md, "Stopping"): a thread that runs wasm or waits in native code cannot be terminated, and
 * keeps process.exit() from returning. So each such thread has a stop word, which it looks at before and after each
 * wait and wherever it looks for other news; whoever stops it sets the word first and then wakes every word that the
 * thread may sleep on. This file is the last resort: when the process exits, every thread is told.
 * Leaves out: the words themselves, which belong to their threads.
 */

const threads = new Set<() => void>();

process.on("exit", () => {
  for (const signal of threads) signal();
});

/**
 * `signal` sets a thread's stop word and wakes it, without waiting; it is called if the process exits first.
 * Returns what to call when the thread has ended.
 */
export function stopAtExit(signal: () => void): () => void {
  threads.add(signal);
  return () => threads.delete(signal);
}
