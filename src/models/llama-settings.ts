/** Settings that the families of the Llama decoder have in common, by their names in `config.json`. */
import type { ConfigSource } from "./config-source.ts";
import type { DecoderConfig } from "./decoder.ts";

type Common = Omit<DecoderConfig, "qkvBias" | "outputBias" | "mlpBias" | "qkNorm" | "window">;

/** What a family takes for a setting that is absent. */
interface Defaults {
  readonly theta: number;
  readonly maxPositions: number;
  /** Default: hidden_size / num_attention_heads. */
  readonly headDim?: number;
  /** Default: num_attention_heads. */
  readonly kvHeads?: number;
}

export function llamaSettings(modelType: string, config: ConfigSource, defaults: Defaults): Common {
  const hiddenSize = config.number("hidden_size");
  const heads = config.number("num_attention_heads");
  const defaultKvHeads = config.isNull("num_key_value_heads") ? heads : (defaults.kvHeads ?? heads);
  const kvHeads = config.number("num_key_value_heads", defaultKvHeads);
  const headDim = config.number("head_dim", defaults.headDim ?? hiddenSize / heads);
  const act = config.string("hidden_act", "silu");
  if (act !== "silu" && act !== "swish") config.problem(`hidden_act is "${act}": only "silu" is supported`);
  if (heads % kvHeads !== 0) {
    config.problem(`num_attention_heads is ${heads}, not a multiple of num_key_value_heads, ${kvHeads}`);
  }
  if (!Number.isInteger(headDim)) {
    config.problem(`hidden_size is ${hiddenSize}, not a multiple of num_attention_heads, ${heads}`);
  } else if (headDim % 2 !== 0 && config.has("num_attention_heads")) {
    config.problem(`a head is ${headDim} wide: an odd width cannot be rotated in halves`);
  }
  return {
    modelType,
    vocabSize: config.number("vocab_size"),
    hiddenSize,
    intermediateSize: config.number("intermediate_size"),
    blocks: config.number("num_hidden_layers"),
    heads,
    kvHeads,
    headDim,
    normEpsilon: config.number("rms_norm_eps", 1e-6),
    rope: config.rope(defaults.theta),
    maxPositions: config.number("max_position_embeddings", defaults.maxPositions),
    tied: config.boolean("tie_word_embeddings", false),
    initializerRange: config.number("initializer_range", 0.02),
  };
}

/** Qwen's windows: `layer_types` says which blocks have one; before it, those from `max_window_layers` on. */
export function qwenWindow(config: ConfigSource): (block: number) => number | undefined {
  if (!config.boolean("use_sliding_window", false)) return () => undefined;
  const window = windowSize(config);
  const types = config.strings("layer_types");
  const from = config.number("max_window_layers", 28);
  return (block) => {
    const slides = types === undefined ? block >= from : types[block] === "sliding_attention";
    return slides ? window : undefined;
  };
}

/** `sliding_window`, where null says that there is none. */
export function windowSize(config: ConfigSource): number | undefined {
  return config.isNull("sliding_window") ? undefined : config.number("sliding_window", 4096);
}
