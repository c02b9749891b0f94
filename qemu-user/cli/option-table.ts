/**
 * Options as a table: one row gives an option's name, argument, help and meaning; parsing and help derive from it.
 * Follows: QEMU's command line: `-name value`, one or two dashes alike, no `=`.
 * Left out: bundled letters, abbreviations.
 */
import { UsageError, unknownWord } from "./usage-error.ts";

/** One option. `T` is what the options of this command build up. */
export interface OptionRow<T> {
  /** Without dashes; how it is written in help: `-name`, or `--name` where QEMU has no such option. */
  readonly name: string;
  /** Another name of it, which help names, too. */
  readonly alias?: string;
  readonly dashes: "-" | "--";
  /** What its argument is called in help; absent: it takes none. */
  readonly argument?: string;
  readonly help: readonly string[];
  /** Given again: each counts, or the last one does (as in QEMU), or it is refused. */
  readonly again: "all" | "last" | "refused";
  /** Takes the argument ("" if there is none). Throws a UsageError. */
  set(target: T, value: string): void;
}

export interface OptionSection<T> {
  readonly title: string;
  readonly rows: readonly OptionRow<T>[];
}

export interface ParseRules<T> {
  readonly command: string;
  readonly sections: readonly OptionSection<T>[];
  /** A word that is no option. Throws a UsageError if it may not be there. */
  word(target: T, word: string): void;
  /** Options that QEMU has and this program does not: refused by name. */
  readonly absent?: readonly string[];
}

/** Parses into `target`. Throws a UsageError. */
export function parseOptions<T>(rules: ParseRules<T>, argv: readonly string[], target: T): void {
  const rows = rules.sections.flatMap((section) => section.rows);
  const seen = new Set<string>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (!word.startsWith("-") || word === "-") {
      rules.word(target, word);
      continue;
    }
    const name = word.replace(/^--?/, "");
    const row = findRow(rows, name);
    if (row === undefined) throw unknownOption(rules, rows, word, name);
    if (row.again === "refused" && seen.has(row.name))
      throw new UsageError(`${word} is given twice; one is all there is`);
    seen.add(row.name);
    let value = "";
    if (row.argument !== undefined) {
      const next = argv[++i];
      if (next === undefined) throw new UsageError(`${word} needs an argument: ${word} ${row.argument}`);
      value = next;
    }
    row.set(target, value);
  }
}

const HELP_NAMES = ["h", "help"];

/** True if -h, -help or --help stands among the options, and not where some option expects its argument. */
export function wantsHelp(sections: readonly OptionSection<never>[], argv: readonly string[]): boolean {
  const rows = sections.flatMap((section) => section.rows);
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i]!.startsWith("-") ? argv[i]!.replace(/^--?/, "") : "";
    if (HELP_NAMES.includes(name)) return true;
    if (findRow(rows, name)?.argument !== undefined) i++;
  }
  return false;
}

const HELP_COLUMN = 28;

/** The sections as text: an option to the left, its help to the right. */
export function describeOptions<T>(sections: readonly OptionSection<T>[]): string {
  return sections.map(({ title, rows }) => `${title}\n${rows.flatMap(describeRow).join("\n")}\n`).join("\n");
}

function findRow<T>(rows: readonly OptionRow<T>[], name: string): OptionRow<T> | undefined {
  return rows.find((row) => row.name === name || row.alias === name);
}

function describeRow<T>(row: OptionRow<T>): readonly string[] {
  const alias = row.alias === undefined ? "" : `, ${row.dashes}${row.alias}`;
  const left = `  ${row.dashes}${row.name}${alias}${row.argument === undefined ? "" : ` ${row.argument}`}`;
  const [first = "", ...others] = row.help;
  const lines =
    left.length < HELP_COLUMN ? [left.padEnd(HELP_COLUMN) + first] : [left, " ".repeat(HELP_COLUMN) + first];
  return [...lines, ...others.map((line) => " ".repeat(HELP_COLUMN) + line)];
}

function unknownOption<T>(rules: ParseRules<T>, rows: readonly OptionRow<T>[], word: string, name: string): UsageError {
  const [bare = ""] = name.split("=", 1);
  const known = rows.find((row) => row.name === bare);
  if (known !== undefined && bare !== name) {
    return new UsageError(`${word}: write ${known.dashes}${bare} ${name.slice(bare.length + 1)}`);
  }
  if (rules.absent?.includes(bare)) return new UsageError(`${word}: this option of QEMU is not built yet`);
  const names = rows.map((row) => `${row.dashes}${row.name}`);
  return unknownWord("option", word, names, `${rules.command} --help lists all`);
}
