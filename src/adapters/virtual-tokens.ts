/**
 * What methods of virtual tokens share: their settings, as PEFT's `PromptLearningConfig` has them, and places of a sequence
 * that take their contents from a table. Places are those where `virtual`, int32 [B, T], is above 0: i reads row i - 1.
 */
import { ConfigError, listed } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { scalar } from "../ir/ops/constant.ts";
import { gather } from "../ir/ops/gather.ts";
import { greater } from "../ir/ops/greater.ts";
import { maximum } from "../ir/ops/maximum.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sub } from "../ir/ops/sub.ts";
import { where } from "../ir/ops/where.ts";
import type { AdaptableModel } from "./copies.ts";
import type { CommonSetting, MethodParameter, PackCall, PackedAdapter } from "./method.ts";
import { integer, optional, type Settings } from "./settings.ts";

export interface VirtualTokensConfig {
  /** P, the places that each example gives. Default: 20. */
  readonly numVirtualTokens: number;
  /** Width of what a place holds. Default: the model's. */
  readonly tokenDim: number | null;
  /** Default: the model's. */
  readonly numAttentionHeads: number | null;
  /** Default: the model's. */
  readonly numLayers: number | null;
  /** Parts of the model that have their own tokens; 1 for a decoder. */
  readonly numTransformerSubmodules: number | null;
}

export const VIRTUAL_SETTINGS: Settings<VirtualTokensConfig> = {
  numVirtualTokens: integer("num_virtual_tokens", 20, "places that each example gives to the method"),
  tokenDim: optional(integer("token_dim", 1, "width of a virtual token; null: the model's")),
  numAttentionHeads: optional(integer("num_attention_heads", 1, "null: the model's")),
  numLayers: optional(integer("num_layers", 1, "null: the model's")),
  numTransformerSubmodules: optional(integer("num_transformer_submodules", 1, "1 for a decoder")),
};

/** Of PEFT's common settings, its prompt methods have only `modules_to_save`. */
export const NO_TARGETS: readonly CommonSetting[] = [
  "bias",
  "ensure_weight_tying",
  "exclude_modules",
  "fan_in_fan_out",
  "layers_pattern",
  "layers_to_transform",
  "target_modules",
];

/** Relative name of the table, as PEFT calls it in memory. */
export const TABLE = "prompt_encoder.embedding.weight";
/** Its name in a file. */
const FILED = "prompt_embeddings";

/** A parameter's name in the file; undefined: as usual. */
export function virtualKey(layer: string | undefined, parameter: string): string {
  // Others than the table are never in a file: they are the encoder's.
  return layer === undefined && parameter === TABLE ? FILED : parameter;
}

/** What the file has: the table itself, or what an encoder makes of it. */
export async function packTable<C extends object>(
  call: PackCall<C>,
  encode: ((shared: Readonly<Record<string, Value>>) => Value) | undefined,
): Promise<PackedAdapter> {
  const { name, shape } = call.shared.get(TABLE)!;
  const table = encode === undefined ? { shape, data: (await call.read(name))! } : await call.compute(encode);
  return { tensors: new Map([[FILED, table]]) };
}

/** Sizes of the model that virtual tokens have to fit. */
export interface VirtualSizes {
  readonly tokenDim: number;
  readonly numAttentionHeads: number | null;
  readonly numLayers: number;
}

/** @throws ConfigError if it is not a language model */
export function languageSizes(
  method: string,
  { hiddenSize, heads, blocks, kvHeads, headDim }: AdaptableModel,
): { hiddenSize: number; heads: number | null; blocks: number; kvHeads: number; headDim: number } {
  if (hiddenSize === undefined || blocks === undefined || kvHeads === undefined || headDim === undefined) {
    throw new ConfigError({ where: method, what: "virtual tokens are for language models, and this is none" });
  }
  return { hiddenSize, heads: heads ?? null, blocks, kvHeads, headDim };
}

/** The configuration with the model's sizes. @throws ConfigError if it says others */
export function completeSizes<C extends VirtualTokensConfig>(method: string, config: C, sizes: VirtualSizes): C {
  const wrong = (["tokenDim", "numLayers"] as const).flatMap((key) => {
    const said = config[key];
    return said === null || said === sizes[key] ? [] : [`${VIRTUAL_SETTINGS[key].wire!} is ${said}, not ${sizes[key]}`];
  });
  const { numTransformerSubmodules: parts } = config;
  if (parts !== null && parts !== 1) wrong.push(`num_transformer_submodules is ${parts}: a decoder has 1`);
  if (wrong.length > 0) {
    throw new ConfigError({
      where: method,
      what: `does not fit the model: ${listed(wrong)}`,
      hint: "leave these settings out: they are the model's",
    });
  }
  return { ...config, ...sizes, numTransformerSubmodules: 1 };
}

/** The table [P, width], and no encoder. */
export function tableParameter(
  config: VirtualTokensConfig,
  width: number,
  init: MethodParameter["init"],
): MethodParameter {
  return { name: TABLE, shape: [config.numVirtualTokens, width], init };
}

/** Rows of `table` [P, width] for every place, [B, T, width]; those of tokens mean nothing. */
export function rowsAt(table: Value, virtual: Value): Value {
  const constant = (value: number) => scalar(table.graph, value, "int32");
  return gather(table, maximum(sub(virtual, constant(1)), constant(0)));
}

/** `x` at tokens, `replacement` at virtual ones. @param axes shape of `virtual` among the axes of x, such as [B, T, 1] */
export function atVirtual(virtual: Value, axes: Parameters<typeof reshape>[1], replacement: Value, x: Value): Value {
  return where(greater(reshape(virtual, axes), scalar(x.graph, 0, "int32")), replacement, x);
}
