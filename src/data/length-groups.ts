/**
 * An order of rows in which those of a step have similar lengths, so that little is padded: transformers'
 * `get_length_grouped_indices`. The rows are in a random order, cut into large groups, and sorted by length in each; the
 * longest row of all comes first, so that a step that is too large for the memory is the first one.
 */

/** Steps in a large group, at most; as many as make at least 4 groups. */
const MOST_STEPS = 50;
const LEAST_GROUPS = 4;

/**
 * @param order a random order of all rows
 * @param lengthOf a row, in tokens
 * @param size rows of a step
 */
export function lengthGrouped(order: Uint32Array, lengthOf: (row: number) => number, size: number): Uint32Array {
  if (order.length === 0) return order;
  const steps = Math.max(1, Math.min(Math.floor(order.length / (LEAST_GROUPS * size)), MOST_STEPS));
  const groups: number[][] = [];
  for (let at = 0; at < order.length; at += steps * size) {
    groups.push([...order.subarray(at, at + steps * size)].sort((a, b) => lengthOf(b) - lengthOf(a)));
  }
  const longest = groups.reduce((most, group) => (lengthOf(group[0]!) > lengthOf(most[0]!) ? group : most));
  const first = groups[0]!;
  [first[0], longest[0]] = [longest[0]!, first[0]!];
  return Uint32Array.from(groups.flat());
}
