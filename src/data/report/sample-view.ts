/** An example as text, cut where training begins and ends. */
import type { Source } from "../sample.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { SampleView, Segment } from "./report.ts";

/**
 * @param trained first and past-the-last indices of the runs of tokens that are trained on
 * @param limit tokens that are shown at most
 */
export function sampleView(
  {
    inputIds,
    trained,
    source,
  }: { readonly inputIds: Int32Array; readonly trained: Int32Array; readonly source: Source },
  tokenizer: Pick<Tokenizer, "decode">,
  limit: number,
): SampleView {
  const ids = inputIds.slice(0, limit);
  const borders = [0, ...trained].map((at) => Math.min(at, ids.length));
  borders.push(ids.length);
  const segments: Segment[] = [];
  // A decoder may read a run by itself otherwise than within the whole, so each run is what it adds to the text so far.
  let before = "";
  for (let i = 0; i + 1 < borders.length; i++) {
    const [start, end] = [borders[i]!, borders[i + 1]!];
    if (start === end) continue;
    const whole = tokenizer.decode(ids.subarray(0, end));
    const text = whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(ids.subarray(start, end));
    segments.push({ text, trained: i % 2 === 1 });
    before = whole;
  }
  return {
    source,
    tokens: inputIds.length,
    trained: trained.reduce((count, at, i) => count + (i % 2 === 0 ? -at : at), 0),
    shown: ids.length,
    text: tokenizer.decode(ids),
    segments,
  };
}
