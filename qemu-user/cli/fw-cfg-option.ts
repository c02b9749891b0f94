/**
 * `-fw_cfg [name=]NAME,file=PATH|string=TEXT`: an item that the guest finds in fw_cfg by that name.
 * Follows: QEMU's -fw_cfg.
 * Left out: gen_id=; reading the file (device/fw-cfg-files.ts).
 */
import { parseSettings } from "./key-values.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

export interface FwCfgOption {
  readonly name: string;
  /** What it contains: a file's bytes, or a text without a NUL at its end. */
  readonly from: { readonly file: string } | { readonly string: string };
}

/** FW_CFG_MAX_FILE_PATH, without the NUL. */
const NAME_MAX = 55;
const OPTION = "-fw_cfg";
const KEYS = ["name", "file", "string"];

/** Throws a UsageError. */
export function parseFwCfg(text: string): FwCfgOption {
  const [first, ...rest] = parseSettings(OPTION, text);
  const settings = first?.[1] === undefined ? ([["name", first?.[0] ?? ""], ...rest] as const) : [first, ...rest];
  const given = new Map<string, string>();
  for (const [key, value] of settings) {
    if (key === "gen_id") throw new UsageError(`${OPTION}: gen_id is not built yet; file and string are`);
    if (!KEYS.includes(key)) throw unknownWord(OPTION, key, KEYS);
    if (given.has(key)) throw new UsageError(`${OPTION}: ${key} is given twice`);
    given.set(key, value ?? "");
  }
  const [name = "", file, string] = KEYS.map((key) => given.get(key));
  if (name === "") throw new UsageError(`${OPTION} needs a name: ${OPTION} name=opt/...,file=PATH`);
  if (!/^[!-~]+$/.test(name)) throw new UsageError(`${OPTION}: a name consists of ASCII letters, digits and signs`);
  if (name.length > NAME_MAX) throw new UsageError(`${OPTION}: a name has at most ${NAME_MAX} letters: ${name}`);
  if (file !== undefined && string !== undefined) throw new UsageError(`${OPTION}: it is either file= or string=`);
  if (file !== undefined && file !== "") return { name, from: { file } };
  if (string !== undefined && string !== "") return { name, from: { string } };
  throw new UsageError(`${OPTION} ${name} needs contents: file=PATH or string=TEXT`);
}
