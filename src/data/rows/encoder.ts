/** Samples to examples, several at a time: in this thread, or in others. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ConfigError, DataError, EngineError, FormatError, LowrankError, type Problem } from "../../errors.ts";
import type { BadRow, Row as DataRow } from "../datasets/rows.ts";
import type { Sample } from "../sample.ts";
import { type Coder, encodeExamples, type ExampleResult, recipeOf } from "./example.ts";

export interface BatchEncoder {
  /** Batches that may be given before the first one is done. */
  readonly ahead: number;
  /** One result for each sample. @throws what `encodeSample` does, for the first sample that fails */
  encode(samples: readonly Sample[]): Promise<readonly ExampleResult[]>;
  close(): Promise<void>;
}

/** Samples in a batch: enough that passing them on costs little, few enough that a signal is heard soon. */
const BATCH = 64;

export function encoderHere(coder: Coder): BatchEncoder {
  return {
    ahead: 0,
    encode: (samples) => encodeExamples(samples, coder),
    close: async () => undefined,
  };
}

/** What a thread is asked, and what it answers. */
export interface EncodeRequest {
  readonly id: number;
  readonly samples: readonly Sample[];
}
export type EncodeAnswer =
  | { readonly id: number; readonly results: readonly ExampleResult[] }
  | { readonly id: number; readonly failure: Failure };

/** An error on its way between threads, where classes are lost. */
export interface Failure {
  readonly code: string | undefined;
  readonly problem: Problem;
}

interface Waiting {
  readonly resolve: (results: readonly ExampleResult[]) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  /** Why it answers no more. */
  failed?: Error;
}

/** @param wanted threads; more than there are cores would only take memory */
export function encoderInThreads(coder: Coder, wanted: number): BatchEncoder {
  const recipe = recipeOf(coder);
  const count = Math.max(1, Math.min(wanted, availableParallelism()));
  const threads = Array.from({ length: count }, (): Thread => {
    const worker = new Worker(new URL("./encode-worker.js", import.meta.url), { workerData: recipe });
    const waiting: Thread["waiting"] = new Map();
    const thread: Thread = { worker, waiting };
    const fail = (error: Error): void => {
      thread.failed ??= error;
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    };
    worker.on("message", (answer: EncodeAnswer) => {
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ("failure" in answer) asked?.reject(errorOf(answer.failure));
      else asked?.resolve(answer.results);
    });
    worker.on("error", (error) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => fail(new EngineError({ what: "a thread that tokenises has ended", got: code })));
    return thread;
  });
  let next = 0;
  return {
    ahead: 2 * count,
    encode: (samples) =>
      new Promise((resolve, reject) => {
        const id = next++;
        const thread = threads.toSorted((a, b) => a.waiting.size - b.waiting.size)[0]!;
        if (thread.failed !== undefined) {
          reject(thread.failed);
          return;
        }
        thread.waiting.set(id, { resolve, reject });
        thread.worker.postMessage({ id, samples } satisfies EncodeRequest);
      }),
    async close() {
      for (const { worker } of threads) worker.removeAllListeners("exit");
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

export function failureOf(error: unknown): Failure {
  if (!(error instanceof LowrankError)) {
    return {
      code: undefined,
      problem: { what: error instanceof Error ? (error.stack ?? error.message) : String(error) },
    };
  }
  const { cause: _, ...problem } = error.problem;
  return { code: error.code, problem };
}

const ERRORS: Readonly<Record<string, new (problem: Problem) => LowrankError>> = {
  CONFIG: ConfigError,
  DATA: DataError,
  FORMAT: FormatError,
};

function errorOf({ code, problem }: Failure): Error {
  if (code === undefined) return new Error(problem.what);
  const Known = ERRORS[code];
  return Known === undefined ? new LowrankError(code, problem) : new Known(problem);
}

/** A row of a data set and what became of it. */
export type Outcome =
  | { readonly kind: "bad"; readonly row: BadRow }
  | { readonly kind: "sample"; readonly sample: Sample; readonly result: ExampleResult };

/** The rows in their order, encoded; no more is read ahead than keeps the encoder at work. @throws the signal's reason */
export async function* encodeInOrder(
  rows: AsyncIterable<DataRow>,
  encoder: BatchEncoder,
  signal?: AbortSignal,
): AsyncGenerator<Outcome, void, void> {
  const started: { readonly batch: readonly DataRow[]; readonly results: Promise<readonly ExampleResult[]> }[] = [];
  for await (const batch of batches(rows)) {
    signal?.throwIfAborted();
    const results = encoder.encode(batch.filter((row) => row.kind !== "bad"));
    // An earlier batch may fail first; then nobody asks for this one.
    results.catch(() => undefined);
    started.push({ batch, results });
    if (started.length > encoder.ahead) yield* outcomes(started.shift()!);
  }
  for (const one of started) {
    signal?.throwIfAborted();
    yield* outcomes(one);
  }
}

async function* outcomes({
  batch,
  results,
}: {
  readonly batch: readonly DataRow[];
  readonly results: Promise<readonly ExampleResult[]>;
}): AsyncGenerator<Outcome, void, void> {
  const done = await results;
  let next = 0;
  for (const row of batch) {
    if (row.kind === "bad") yield { kind: "bad", row };
    else yield { kind: "sample", sample: row, result: done[next++]! };
  }
}

async function* batches(rows: AsyncIterable<DataRow>): AsyncGenerator<readonly DataRow[], void, void> {
  let batch: DataRow[] = [];
  for await (const row of rows) {
    batch.push(row);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
