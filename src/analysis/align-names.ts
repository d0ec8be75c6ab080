/**
 * Names of the same tensors in two checkpoints. One that was saved from the body of a model alone lacks a prefix that the
 * other has (`model.`, `transformer.`, `roberta.`).
 */

/** Components that may be missing in front of a name. */
const MOST_PREFIXES = 3;

/**
 * For each name of `from` the one of `to` that it is: the same, or the only one that differs by what stands before it.
 * No name of `to` is given twice.
 */
export function alignNames(from: Iterable<string>, to: Iterable<string>): Map<string, string> {
  const aligned = new Map<string, string>();
  const free = new Set(to);
  const rest: string[] = [];
  for (const name of from) {
    if (free.delete(name)) aligned.set(name, name);
    else rest.push(name);
  }
  const bySuffix = new Map<string, string[]>();
  const offer = (suffix: string, name: string) => bySuffix.set(suffix, [...(bySuffix.get(suffix) ?? []), name]);
  for (const name of free) for (const suffix of suffixes(name)) offer(suffix, name);
  // Both ways round: either side may lack the prefix. A name that fits several is left alone.
  const candidates = new Map(
    rest.map((name) => {
      const longer = bySuffix.get(name) ?? [];
      const shorter = suffixes(name).filter((suffix) => free.has(suffix));
      return [name, [...new Set([...longer, ...shorter])]] as const;
    }),
  );
  const wanted = new Map<string, number>();
  for (const names of candidates.values()) for (const name of names) wanted.set(name, (wanted.get(name) ?? 0) + 1);
  for (const [name, names] of candidates) {
    const [only] = names;
    if (only !== undefined && names.length === 1 && wanted.get(only) === 1) aligned.set(name, only);
  }
  return aligned;
}

/** What is left of a name without its first components: at least two remain. */
function suffixes(name: string): string[] {
  const parts = name.split(".");
  return Array.from({ length: Math.max(0, Math.min(MOST_PREFIXES, parts.length - 2)) }, (_, i) =>
    parts.slice(i + 1).join("."),
  );
}
