/**
 * -fw_cfg's files, read.
 * Follows: QEMU, which warns of names that are not below "opt/": others may be its own one day.
 * Left out: what the guest sees of them (hw/fw-cfg.ts).
 */
import { readFileSync } from "node:fs";
import type { FwCfgContents } from "../machine/fw-cfg-items.ts";

/** As the command line says it. */
type Asked = { readonly name: string; readonly from: { readonly file: string } | { readonly string: string } };

/** `report`: a line for the user. Throws an Error, fit for the user, if a file cannot be read. */
export function readFwCfgFiles(asked: readonly Asked[], report: (line: string) => void): FwCfgContents["files"] {
  return asked.map(({ name, from }) => {
    if (!name.startsWith("opt/"))
      report(`warning: -fw_cfg: the name of an item of yours should begin with opt/: ${name}`);
    if ("string" in from) return { name, bytes: Uint8Array.from(Buffer.from(from.string)) };
    try {
      return { name, bytes: Uint8Array.from(readFileSync(from.file)) };
    } catch (error) {
      throw new Error(`-fw_cfg ${name}: ${from.file} cannot be read: ${(error as Error).message}`);
    }
  });
}
