/** The loss of rows that are not trained on. */
import { virtualTokens } from "../lm/adapted-sequence.ts";
import { supervisedFeeds, supervisedRows } from "../lm/rows.ts";
import { sequenceFeeds } from "../lm/sequence.ts";
import { headChunks } from "./head-chunks.ts";
import type { Row, RowSource } from "../data/row-source.ts";
import { type Trainable } from "../lm/trainable.ts";

/** Mean loss over the supervised tokens of all rows; undefined if `signal` came before the end. */
export async function evaluateRows(
  { language, adapters }: Pick<Trainable, "language" | "adapters">,
  source: RowSource,
  batchSize: number,
  padId: number,
  signal?: AbortSignal,
): Promise<{ loss: number; speed: { runtimeMs: number; samples: number; steps: number } } | undefined> {
  const start = performance.now();
  const chunks = headChunks(batchSize * source.maxSupervised, language.model.outputs);
  const names = adapters.map(({ name }) => name);
  const virtual = virtualTokens(adapters);
  let [sum, count, samples, steps] = [0, 0, 0, 0];
  const flush = async (rows: readonly Row[]) => {
    const batch = supervisedRows(rows, padId, virtual);
    samples += rows.length;
    steps++;
    if (batch.rows.length === 0) return;
    const feeds = { ...sequenceFeeds(language.model, batch), ...supervisedFeeds(batch, chunks, 1 / batch.rows.length) };
    sum +=
      (await language.loss(
        feeds,
        rows.map(() => names),
        chunks,
      )) * batch.rows.length;
    count += batch.rows.length;
  };
  let waiting: Row[] = [];
  for await (const row of source.rows(0, 0)) {
    waiting.push(row);
    if (waiting.length < batchSize) continue;
    if (signal?.aborted === true) return undefined;
    await flush(waiting);
    waiting = [];
  }
  if (waiting.length > 0) await flush(waiting);
  return { loss: sum / count, speed: { runtimeMs: performance.now() - start, samples, steps } };
}
