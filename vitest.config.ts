/**
 * How the tests run. Processes and not threads (pool), because the tests start threads, map memory and change the
 * affinity of their own; Worker threads that they start run the .ts files under Node's own type stripping.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // The slowest tests start processes and boot guests; a test that hangs is to fail, not to be waited for.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
