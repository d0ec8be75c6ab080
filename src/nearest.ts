/** What a misspelt name may have meant. */

/** The name with the smallest edit distance. */
export function nearest(wanted: string, names: readonly string[]): string | undefined {
  let best: { name: string; edits: number } | undefined;
  for (const name of names) {
    const edits = distance(name, wanted);
    if (best === undefined || edits < best.edits) best = { name, edits };
  }
  return best?.name;
}

/** The name with the smallest edit distance, if that is at most a third of the longer one: a name that may have been meant. */
export function meant(wanted: string, names: readonly string[]): string | undefined {
  const found = nearest(wanted, names);
  return found !== undefined && 3 * distance(found, wanted) <= Math.max(found.length, wanted.length)
    ? found
    : undefined;
}

/** Levenshtein's edit distance. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    }
    row = next;
  }
  return row[b.length]!;
}
