/** One parameter of a checkpoint as it is there, for those who need the values from before they were stored in fewer bits. */
import { ConfigError } from "../../errors.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { openCheckpoint } from "../safetensors/index.ts";
import { bitsandbytesView } from "./bitsandbytes.ts";
import { type MatchOptions, matchTensors } from "./match.ts";

/**
 * @param path as for `loadWeights`
 * @param parameters all of the model's
 * @throws ConfigError if the checkpoint has it quantised
 */
export async function readParameter(
  path: string,
  parameters: readonly ParameterSpec[],
  name: string,
  options: MatchOptions = {},
): Promise<Float32Array> {
  const checkpoint = await openCheckpoint(path);
  try {
    const view = await bitsandbytesView(checkpoint);
    const matched = matchTensors({ path: checkpoint.path, tensors: view.tensors }, parameters, options);
    const { stored } = matched.parameters.find((parameter) => parameter.name === name)!;
    if (view.weights.has(stored)) {
      throw new ConfigError({
        where: checkpoint.path,
        what: `${name} is quantised in the checkpoint: nobody knows any more what it was before`,
        hint: "load the model that it was made from, with a storage",
      });
    }
    return await checkpoint.readFloat32(stored);
  } finally {
    await checkpoint.close();
  }
}
