/** Settings that the families of the Llama decoder have in common, by their names in `config.json`. */
import type { ConfigSource } from "./config-source.ts";
import type { DecoderConfig } from "./decoder.ts";

type Common = Omit<DecoderConfig, "qkvBias" | "outputBias" | "mlpBias" | "qkNorm" | "window">;

export function llamaSettings(
  modelType: string,
  config: ConfigSource,
  defaults: { readonly theta: number; readonly maxPositions: number; readonly headDim?: number },
): Common {
  const hiddenSize = config.number("hidden_size");
  const heads = config.number("num_attention_heads");
  const kvHeads = config.number("num_key_value_heads", heads);
  const headDim = config.number("head_dim", defaults.headDim ?? hiddenSize / heads);
  const act = config.string("hidden_act", "silu");
  if (act !== "silu" && act !== "swish") config.problem(`hidden_act is "${act}": only "silu" is supported`);
  if (heads % kvHeads !== 0) {
    config.problem(`num_attention_heads is ${heads}, not a multiple of num_key_value_heads, ${kvHeads}`);
  }
  if (!Number.isInteger(headDim)) {
    config.problem(`hidden_size is ${hiddenSize}, not a multiple of num_attention_heads, ${heads}`);
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
export function slidingWindow(config: ConfigSource): (block: number) => number | undefined {
  if (!config.boolean("use_sliding_window", false) || !config.has("sliding_window")) return () => undefined;
  const window = config.number("sliding_window");
  const types = config.strings("layer_types");
  const from = config.number("max_window_layers", 28);
  return (block) => {
    const slides = types === undefined ? block >= from : types[block] === "sliding_attention";
    return slides ? window : undefined;
  };
}
