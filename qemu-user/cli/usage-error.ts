/**
 * Bad usage of the command line: print `qemu-user: ${message}` to stderr and end with status 1.
 * Follows: the rule that an unknown word is refused with the nearest known one.
 * Left out: errors that show later, when files are opened.
 */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The message for a word that is not in a list: with the nearest one, or else with all of them if they are few. */
export function unknownWord(what: string, word: string, known: readonly string[], help?: string): UsageError {
  const near = nearest(word, known);
  const hint = near !== undefined ? `did you mean ${near}?` : (help ?? `one of: ${known.join(", ")}`);
  return new UsageError(`${what} ${JSON.stringify(word).slice(1, -1)} is not known; ${hint}`);
}

/** The known word with the fewest typing errors away, if a person could have meant it. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const allowed = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). Not below `limit`: some number >= limit. */
export function editDistance(a: string, b: string, limit = Number.POSITIVE_INFINITY): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(replace, above[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    before = above;
    above = row;
  }
  return above[b.length]!;
}
