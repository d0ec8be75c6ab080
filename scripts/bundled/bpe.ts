/**
 * Byte-level byte-pair encoding (Sennrich, Haddow and Birch 2016, arXiv 1508.07909; bytes as in GPT-2, Radford et al. 2019):
 * learns the merges. Text is first cut into words by a pattern, words are counted once, and the pair that occurs most often
 * is merged until the vocabulary is full. Ties go to the pair whose ids are lower, so that the result does not depend on
 * the order of the text.
 */

/** The pattern of Qwen2's tokenizer, in the dialect of JavaScript. Digits stand alone. */
export const QWEN2_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The same pattern without the inline flag, which Node 20 does not know. */
const WORDS =
  /'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;

/**
 * GPT-2's printable letter for each byte: printable Latin-1 stands for itself, the others get letters from U+0100 on.
 */
export function byteLetters(): readonly string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(printable ? byte : next++);
  });
}

export interface BpeModel {
  /** Tokens in the letters of {@link byteLetters}; a token's id is its index. */
  readonly tokens: readonly string[];
  /** Merges, the earliest first. */
  readonly merges: readonly (readonly [string, string])[];
}

/** Bytes in the order of Qwen2's vocabulary: printable ones first. */
function baseTokens(): string[] {
  const letters = byteLetters();
  return [
    ...letters.filter((letter) => letter.codePointAt(0)! < 0x100),
    ...letters.filter((letter) => letter.codePointAt(0)! >= 0x100),
  ];
}

/** How often each word occurs. */
export function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) for (const word of text.match(WORDS) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/**
 * Learns merges until there are `size` tokens, or nothing occurs twice.
 * @param counts words with how often they occur; see {@link countWords}
 * @param size tokens, without special ones; at least 256
 */
export function trainBpe(counts: ReadonlyMap<string, number>, size: number): BpeModel {
  const letters = byteLetters();
  const tokens = baseTokens();
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const encoder = new TextEncoder();
  const words = [...counts].map(([word, count]) => ({
    count,
    ids: [...encoder.encode(word)].map((byte) => ids.get(letters[byte]!)!),
  }));
  const merges: [string, string][] = [];
  while (tokens.length < size) {
    const best = mostFrequentPair(words, size);
    if (best === undefined) break;
    const [left, right] = best;
    const merged = tokens[left]! + tokens[right]!;
    // Two ways to the same letters share one token.
    let id = ids.get(merged);
    if (id === undefined) {
      id = tokens.length;
      ids.set(merged, id);
      tokens.push(merged);
    }
    merges.push([tokens[left]!, tokens[right]!]);
    for (const word of words) mergePair(word.ids, left, right, id);
  }
  return { tokens, merges };
}

/** A pair that occurs only once is not worth a token. */
const FEWEST = 2;

function mostFrequentPair(
  words: readonly { count: number; ids: readonly number[] }[],
  size: number,
): [number, number] | undefined {
  const pairs = new Map<number, number>();
  for (const { count, ids } of words) {
    for (let i = 1; i < ids.length; i++) {
      const key = ids[i - 1]! * size + ids[i]!;
      pairs.set(key, (pairs.get(key) ?? 0) + count);
    }
  }
  let best = -1;
  let bestCount = FEWEST - 1;
  for (const [key, count] of pairs) {
    if (count > bestCount || (count === bestCount && key < best)) [best, bestCount] = [key, count];
  }
  return best < 0 ? undefined : [Math.floor(best / size), best % size];
}

function mergePair(ids: number[], left: number, right: number, merged: number): void {
  let to = 0;
  for (let from = 0; from < ids.length; from++) {
    const both = ids[from] === left && ids[from + 1] === right;
    ids[to++] = both ? merged : ids[from]!;
    if (both) from++;
  }
  ids.length = to;
}
