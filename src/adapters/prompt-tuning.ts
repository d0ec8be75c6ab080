/**
 * Prompt tuning: P trained embeddings stand before the tokens of every example, at the model's input only.
 *
 * Source: Lester et al. 2021, arXiv 2104.08691, §2. They start as PEFT's: random, N(0, 1); as embeddings of tokens drawn from
 * the vocabulary (§3.2); or as those of a text, cut or repeated to P tokens.
 *
 * The last virtual token predicts the first token of an example, if that has a label.
 */
import { ConfigError } from "../errors.ts";
import { normal } from "../nn/init.ts";
import type { AdaptableModel } from "./copies.ts";
import type { Method, SequenceCall, SharedStartCall } from "./method.ts";
import { oneOf, optional, text } from "./settings.ts";
import {
  atVirtual,
  completeSizes,
  languageSizes,
  NO_TARGETS,
  packTable,
  rowsAt,
  TABLE,
  tableParameter,
  VIRTUAL_SETTINGS,
  virtualKey,
  type VirtualTokensConfig,
} from "./virtual-tokens.ts";
import type { Value } from "../ir/graph.ts";
import type { Sequence } from "../models/text-model.ts";

const INITS = ["RANDOM", "SAMPLE_VOCAB", "TEXT"] as const;

export interface PromptTuningConfig extends VirtualTokensConfig {
  /** Default: `RANDOM`. */
  readonly promptTuningInit: (typeof INITS)[number];
  /** For `TEXT`. */
  readonly promptTuningInitText: string | null;
  /** Name or path of the tokenizer for `TEXT`. Default: the model's own. */
  readonly tokenizerNameOrPath: string | null;
}

export const promptTuning: Method<PromptTuningConfig> = {
  name: "prompt-tuning",
  source: "Lester et al. 2021, arXiv 2104.08691",
  about: "puts trained embeddings before the tokens",
  on: "model",
  settings: {
    ...VIRTUAL_SETTINGS,
    promptTuningInit: oneOf("prompt_tuning_init", "RANDOM", "how the embeddings start", INITS),
    promptTuningInitText: optional(text("prompt_tuning_init_text", "", "the text that they start from, for TEXT")),
    tokenizerNameOrPath: optional(text("tokenizer_name_or_path", "", "the tokenizer for TEXT; null: the model's own")),
  },
  file: {
    type: "PROMPT_TUNING",
    lacks: NO_TARGETS,
    also: () => ({ tokenizer_kwargs: null }),
    refused: ["tokenizer_kwargs"],
    key: virtualKey,
    unwrapped: true,
    pack: (call) => packTable(call, undefined),
  },
  startsElsewhere: "every token attends to the virtual ones, too",
  unmergeable: "embeddings that stand before the tokens are no weight",
  virtualPredict: true,

  check: ({ promptTuningInit, promptTuningInitText }) =>
    promptTuningInit === "TEXT" && promptTuningInitText === null
      ? ["prompt_tuning_init is TEXT, and prompt_tuning_init_text is missing"]
      : [],

  complete(config, model) {
    const sizes = promptSizes("prompt-tuning", model);
    const { promptTuningInit, tokenizerNameOrPath } = config;
    // PEFT refuses TEXT without the name of a tokenizer.
    const tokenizer = tokenizerNameOrPath ?? (promptTuningInit === "TEXT" ? (model.nameOrPath ?? null) : null);
    return { ...completeSizes("prompt-tuning", config, sizes), tokenizerNameOrPath: tokenizer };
  },

  shared: ({ config }) => [tableParameter(config, config.tokenDim!, normal(1))],

  async startShared(call) {
    const tokens = await startTokens(call);
    return tokens === undefined ? {} : { [TABLE]: await embeddingsOf(call, tokens) };
  },

  virtualTokens: ({ numVirtualTokens }) => numVirtualTokens,

  sequence: (call) => withPrompt(call, call.shared[TABLE]!),
};

/** Sizes of virtual tokens that are embeddings. */
export function promptSizes(
  method: string,
  model: AdaptableModel,
): { tokenDim: number; numAttentionHeads: number | null; numLayers: number } {
  const { hiddenSize, heads, blocks } = languageSizes(method, model);
  return { tokenDim: hiddenSize, numAttentionHeads: heads, numLayers: blocks };
}

/** The sequence with a prompt [P, D] in the place of the embeddings of virtual tokens. */
export function withPrompt<C extends object>({ sequence, virtual }: SequenceCall<C>, prompt: Value): Sequence {
  return {
    ...sequence,
    embedded(x) {
      const [B, T] = x.type.shape;
      return atVirtual(virtual!, [B!, T!, 1], rowsAt(prompt, virtual!), sequence.embedded?.(x) ?? x);
    },
  };
}

/** The tokens whose embeddings the prompt starts from; undefined for none. */
async function startTokens(call: SharedStartCall<PromptTuningConfig>): Promise<readonly number[] | undefined> {
  const { config, model, tokenize } = call;
  const { promptTuningInit: init, promptTuningInitText: said, tokenizerNameOrPath, numVirtualTokens: count } = config;
  if (init === "RANDOM") return undefined;
  if (init === "SAMPLE_VOCAB") {
    const { inFeatures } = tokenEmbedding(model);
    const draw = call.random("tokens");
    return Array.from({ length: count }, () => draw.integer(inFeatures));
  }
  const ids = tokenize === undefined ? undefined : await tokenize(said!, tokenizerNameOrPath);
  if (ids === undefined || ids.length === 0) {
    throw new ConfigError({
      where: "prompt_tuning_init_text",
      what: ids === undefined ? "there is no tokenizer to read it with" : "has no tokens",
      got: `"${said}"`,
      hint: "start from SAMPLE_VOCAB",
    });
  }
  return Array.from({ length: count }, (_, i) => ids[i % ids.length]!);
}

async function embeddingsOf(
  call: SharedStartCall<PromptTuningConfig>,
  tokens: readonly number[],
): Promise<Float32Array> {
  const { weight, outFeatures, inFeatures } = tokenEmbedding(call.model);
  const odd = tokens.find((token) => token >= inFeatures);
  if (odd !== undefined) {
    throw new ConfigError({
      where: "tokenizer_name_or_path",
      what: "the tokenizer has a token that the model has no embedding for",
      got: odd,
      expected: `less than ${inFeatures}`,
    });
  }
  const table = await call.base(weight);
  const rows = new Float32Array(tokens.length * outFeatures);
  tokens.forEach((token, i) =>
    rows.set(table.subarray(token * outFeatures, (token + 1) * outFeatures), i * outFeatures),
  );
  return rows;
}

function tokenEmbedding({ layers }: AdaptableModel): AdaptableModel["layers"][number] {
  // The first one: a table of positions, if there is one, comes after it.
  return layers.find(({ kind }) => kind === "embedding")!;
}
