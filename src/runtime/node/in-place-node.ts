/**
 * Runs that write into given arrays, and nowhere else.
 *
 * onnxruntime-node honours preallocated outputs, but it then also copies each of them into a new array for its return
 * value: for a training step that is a copy of every weight and every moment. The copies are made output by output, in
 * order, after the run; a first output that has no JavaScript form, a sequence of tensors, ends that loop with an error
 * before anything is copied. So models get such an output (the sentinel), and that one error means success. Should a
 * later version return sequences, the runs stay right and only pay for the copies: a test watches for it.
 */
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";

/** Name of the first output of every model that is run in place. */
export const SENTINEL = "sentinel";

const REFUSAL = /Non tensor type is temporarily not supported/;

/**
 * Runs `session`, writing each output into the array of the tensor given for it.
 * @throws whatever the engine throws
 */
export async function runInPlace(
  session: InferenceSession,
  feeds: Readonly<Record<string, OrtTensor>>,
  outputs: Readonly<Record<string, OrtTensor>>,
): Promise<void> {
  try {
    await session.run(feeds, { [SENTINEL]: null, ...outputs });
  } catch (error) {
    if (!(error instanceof Error && REFUSAL.test(error.message))) throw error;
  }
}
