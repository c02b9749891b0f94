/**
 * Serialising instructions: after one, the vCPU executes no code older than what other processors wrote before.
 * Document: SDM volume 3, 8.1.3 and 8.3.
 * Left out: IRET and other transfers: they go on by Machine.#resume, which looks itself. MOV to CR8 is not serialising in
 * the manual and is one here, which nothing can notice.
 */

import type { HelperName } from "../emit/helper-names.ts";

type Helper = (ip: number, a: number, b: number) => number;

/** `privileged` is WBINVD, INVD and their like. */
const SERIALISING: readonly HelperName[] = [
  "cpuid",
  "wrmsr",
  "writeCr",
  "writeDr",
  "loadTable",
  "invlpg",
  "privileged",
];

/** The helpers, with `serve` called after each that serialises. Records that died while it was called are stale by then. */
export function serialising(helpers: Record<HelperName, Helper>, serve: () => void): Record<HelperName, Helper> {
  const result = { ...helpers };
  for (const name of SERIALISING) {
    const helper = helpers[name];
    result[name] = (ip, a, b) => {
      const status = helper(ip, a, b);
      serve();
      return status;
    };
  }
  return result;
}
