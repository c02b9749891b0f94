/**
 * A guest's console for device processes of tests: straight to the process's own output, never full, no input.
 */
import { writeSync } from "node:fs";
import type { CharBackend } from "../../qemu-user/bus/interfaces.ts";

export const terminal: CharBackend = {
  write(byte) {
    writeSync(1, Uint8Array.of(byte));
    return true;
  },
  writeAll(byte) {
    writeSync(1, Uint8Array.of(byte));
  },
  read: () => -1,
  attach() {},
};
