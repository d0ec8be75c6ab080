/** A thread that encodes samples. Started by `encoderInThreads`. */
import { parentPort, workerData } from "node:worker_threads";
import { type EncodeAnswer, type EncodeRequest, failureOf } from "./encoder.ts";
import { type CoderRecipe, coderOf, encodeExamples } from "./example.ts";

const coder = coderOf(workerData as CoderRecipe);
// Whoever asks is told; until then it is nobody's.
coder.catch(() => undefined);
// Batches one after the other, so that the first sample that fails is the first of the file.
let last: Promise<void> = Promise.resolve();
parentPort!.on("message", (request: EncodeRequest) => {
  last = last.then(async () => answer(request));
});

async function answer({ id, samples }: EncodeRequest): Promise<void> {
  try {
    const results = await encodeExamples(samples, await coder);
    const buffers = results.flatMap((result) =>
      "dropped" in result
        ? []
        : [result.inputIds.buffer, result.trained.buffer, ...(result.types === undefined ? [] : [result.types.buffer])],
    );
    parentPort!.postMessage({ id, results } satisfies EncodeAnswer, [...new Set(buffers as ArrayBuffer[])]);
  } catch (error) {
    parentPort!.postMessage({ id, failure: failureOf(error) } satisfies EncodeAnswer);
  }
}
