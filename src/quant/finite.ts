import { NumericError } from "../errors.ts";

/** @throws NumericError naming the first weight that is not finite: a block of them would be lost with it */
export function expectFinite(storage: string, values: Float32Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NumericError({
    where: storage,
    what: `element ${at} of the weight cannot be stored`,
    got: values[at],
    expected: "finite numbers",
    hint: "the checkpoint is damaged, or its training diverged",
  });
}
