/** The weights of an export: those that adapters were merged into, rounded once on their way into files. */
import { ConfigError } from "../errors.ts";
import type { WeightDtype } from "../formats/model/config.ts";
import { writeModel, type WriteModelOptions } from "../formats/model/write.ts";
import type { ParameterSpec } from "../nn/module.ts";
import type { ExportOptions } from "./export-options.ts";
import type { ExportedText } from "./export-text.ts";
import type { PretrainedModel } from "./pretrained-model.ts";

const DEFAULT_SHARD_BYTES = 5e9;
/** The first number that rounds to infinity in float16. */
const FLOAT16_OVERFLOW = 65520;

/** In float32. */
export interface Weights {
  readonly parameters: readonly ParameterSpec[];
  readonly tied: Readonly<Record<string, string>>;
  /** Names of those that adapters have changed. */
  readonly changed: ReadonlySet<string>;
  readonly read: (name: string) => Promise<{ readonly data: unknown }>;
}

/** As they are to lie in files. */
export interface Written extends Weights {
  readonly dtype: WeightDtype;
  readonly text: ExportedText;
}

/** Those of the base as they are. */
export function unmerged({ language: { device, model } }: PretrainedModel): Weights {
  const { parameters, tied } = model;
  return { parameters, tied, changed: new Set(), read: (name) => device.read(name) };
}

/** @throws ConfigError if a weight would become infinite */
export async function writeWeights(
  dir: string,
  base: PretrainedModel,
  { parameters, tied, read, dtype, text }: Written,
  { maxShardBytes = DEFAULT_SHARD_BYTES, onProgress, signal }: ExportOptions,
): Promise<void> {
  const tensors = parameters.map(({ name, shape }) => ({
    name,
    shape,
    read: async () => {
      const data = (await read(name)).data as Float32Array;
      checkRange(name, data, dtype);
      return data;
    },
  }));
  const isUntied = Object.keys(tied).length < Object.keys(base.language.model.tied).length;
  const config = isUntied ? { ...base.savedConfig, tie_word_embeddings: false } : base.savedConfig;
  const more: Partial<WriteModelOptions> = signal === undefined ? {} : { signal };
  await writeModel(dir, {
    ...more,
    tensors,
    dtype,
    shardBytes: maxShardBytes,
    config,
    copyFrom: [base.dir],
    files: text.files,
    onProgress: (done, total) => onProgress?.({ phase: "write", done, total, unit: "parameters" }),
  });
}

function checkRange(name: string, data: Float32Array, dtype: WeightDtype): void {
  if (dtype !== "float16") return;
  const at = data.findIndex((value) => !(Math.abs(value) < FLOAT16_OVERFLOW));
  if (at < 0) return;
  throw new ConfigError({
    where: "dtype",
    what: `${name} does not fit into float16: element ${at}`,
    got: data[at],
    expected: "at most 65504 in size",
    hint: "export in bfloat16, which has float32's range, or in float32",
  });
}
