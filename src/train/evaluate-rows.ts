/** The loss of rows that are not trained on, and of a classifier how often it is right. */
import { virtualTokens } from "../lm/adapted-sequence.ts";
import { supervisedFeeds, supervisedRows } from "../lm/rows.ts";
import { sequenceFeeds } from "../lm/sequence.ts";
import { ClassCounter } from "./class-metrics.ts";
import { headChunks } from "./head-chunks.ts";
import type { Row, RowSource } from "../data/row-source.ts";
import { type Trainable } from "../lm/trainable.ts";

/** What an evaluation measures. */
export interface RowsEvaluation {
  /** Mean over the supervised tokens of all rows, or over the texts of a classifier; nats. */
  readonly loss: number;
  /** Of a classifier, by transformers' names without `eval_`: accuracy, f1. */
  readonly metrics?: Readonly<Record<"accuracy" | "f1", number>>;
  readonly speed: { readonly runtimeMs: number; readonly samples: number; readonly steps: number };
}

/** @returns undefined if `signal` came before the end */
export async function evaluateRows(
  { language, adapters }: Pick<Trainable, "language" | "adapters">,
  source: RowSource,
  batchSize: number,
  padId: number,
  signal?: AbortSignal,
): Promise<RowsEvaluation | undefined> {
  const start = performance.now();
  const { model } = language;
  const chunks = headChunks(batchSize * source.maxSupervised, model.outputs);
  const names = adapters.map(({ name }) => name);
  const virtual = virtualTokens(adapters);
  const classes = model.task.kind === "classification" ? new ClassCounter(model.outputs) : undefined;
  let [sum, count, samples, steps] = [0, 0, 0, 0];
  const flush = async (rows: readonly Row[]) => {
    const batch = supervisedRows(rows, padId, virtual);
    samples += rows.length;
    steps++;
    if (batch.rows.length === 0) return;
    const feeds = sequenceFeeds(model, batch);
    const chosen = rows.map(() => names);
    if (classes !== undefined) {
      const { data } = await language.logitsAt(feeds, batch.rows, chosen);
      const logits = data as Float32Array;
      batch.labels.forEach((label, i) =>
        classes.add(logits.subarray(i * model.outputs, (i + 1) * model.outputs), label),
      );
      return;
    }
    const loss = await language.loss(
      { ...feeds, ...supervisedFeeds(batch, chunks, 1 / batch.rows.length) },
      chosen,
      chunks,
    );
    sum += loss * batch.rows.length;
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
  const speed = { runtimeMs: performance.now() - start, samples, steps };
  if (classes === undefined) return { loss: sum / count, speed };
  const { loss, ...metrics } = classes.metrics();
  return { loss, metrics, speed };
}
