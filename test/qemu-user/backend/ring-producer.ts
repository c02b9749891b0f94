/**
 * The other thread of byte-ring.test.ts: writes a known sequence, waiting for room.
 * Follows: qemu-user/backend/byte-ring.ts.
 * Left out: everything else.
 */
import { workerData } from "node:worker_threads";
import { ByteRing } from "../../../qemu-user/backend/byte-ring.ts";

const { buffer, capacity, count } = workerData as { buffer: SharedArrayBuffer; capacity: number; count: number };
const ring = new ByteRing(buffer, 0, capacity, () => {});
for (let i = 0; i < count; i++) {
  if (!ring.pushWait((i * 7) & 0xff)) break;
}
