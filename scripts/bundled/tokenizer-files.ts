/** The files of a Hugging Face tokenizer, in the form of Qwen2.5-Instruct. */

import { type BpeModel, QWEN2_PATTERN } from "./bpe.ts";

export const END_OF_TEXT = "<|endoftext|>";
export const IM_START = "<|im_start|>";
export const IM_END = "<|im_end|>";
/** In the order of their ids, which follow the learnt tokens. */
export const SPECIAL_TOKENS = [END_OF_TEXT, IM_START, IM_END] as const;

/** ChatML: `system` is optional, and nothing is said where the caller says nothing. */
const CHAT_TEMPLATE = `{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
`;

/** Longest text that the model is trained on, in tokens. */
export const CONTEXT = 256;

/** Every file of the tokenizer, by name. */
export function tokenizerFiles({ tokens, merges }: BpeModel): Record<string, string> {
  const special = SPECIAL_TOKENS.map((content, i) => ({
    id: tokens.length + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special,
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: QWEN2_PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${left} ${right}`),
    },
  };
  const config = {
    add_bos_token: false,
    add_prefix_space: false,
    added_tokens_decoder: Object.fromEntries(special.map(({ id, ...token }) => [id, token])),
    additional_special_tokens: [IM_START, IM_END],
    bos_token: null,
    chat_template: CHAT_TEMPLATE,
    clean_up_tokenization_spaces: false,
    eos_token: IM_END,
    errors: "replace",
    model_max_length: CONTEXT,
    pad_token: END_OF_TEXT,
    split_special_tokens: false,
    tokenizer_class: "Qwen2Tokenizer",
    unk_token: null,
  };
  const specialMap = { additional_special_tokens: [IM_START, IM_END], eos_token: IM_END, pad_token: END_OF_TEXT };
  return {
    "tokenizer.json": json(tokenizer),
    "tokenizer_config.json": json(config),
    "special_tokens_map.json": json(specialMap),
    "chat_template.jinja": CHAT_TEMPLATE,
  };
}

/**
 * The configuration of the model: Qwen2 with 1.05 million weights, 4.2 MB in float32.
 * @param vocabulary tokens, special ones included
 */
export function modelFiles(vocabulary: number): Record<string, string> {
  const id = (token: (typeof SPECIAL_TOKENS)[number]): number =>
    vocabulary - SPECIAL_TOKENS.length + SPECIAL_TOKENS.indexOf(token);
  const config = {
    architectures: ["Qwen2ForCausalLM"],
    attention_dropout: 0.0,
    bos_token_id: id(END_OF_TEXT),
    eos_token_id: id(IM_END),
    hidden_act: "silu",
    hidden_size: 128,
    initializer_range: 0.02,
    intermediate_size: 384,
    max_position_embeddings: CONTEXT,
    max_window_layers: 4,
    model_type: "qwen2",
    num_attention_heads: 4,
    num_hidden_layers: 4,
    num_key_value_heads: 2,
    pad_token_id: id(END_OF_TEXT),
    rms_norm_eps: 1e-6,
    rope_theta: 10000.0,
    sliding_window: null,
    tie_word_embeddings: true,
    torch_dtype: "float32",
    use_cache: true,
    use_sliding_window: false,
    vocab_size: vocabulary,
  };
  const generation = {
    bos_token_id: id(END_OF_TEXT),
    do_sample: false,
    eos_token_id: [id(IM_END), id(END_OF_TEXT)],
    max_new_tokens: 128,
    pad_token_id: id(END_OF_TEXT),
  };
  return { "config.json": json(config), "generation_config.json": json(generation) };
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 1) + "\n";
}
