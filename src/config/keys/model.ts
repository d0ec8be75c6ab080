/** The model: where it is, how it is loaded, what it runs on. */
import { folded, honoured, inert, refused, secret } from "../key.ts";
import { STORAGES } from "../../quant/index.ts";
import { bool, choice, float, type Given, int, maybe, names, text, type Type, Wrong } from "../type.ts";

const FLOAT32 = "everything is computed in float32 here, which is never less exact";
const KERNELS = "it chooses kernels of PyTorch; the numbers are the same without";
const OTHER_QUANTISER =
  "this format is not there; the bits that quantization_bit asks for are made as bitsandbytes makes them";
const VOCABULARY = "the vocabulary of the model stays as it is for now";
const VOCABULARY_HINT = "remove the line, or extend the tokenizer and the embedding before";

const bits: Type<4 | 8> = {
  expected: "4 or 8",
  parse(given: Given) {
    const count = int().parse(given);
    return count === 4 || count === 8 ? count : new Wrong();
  },
};

export const MODEL = {
  model_name_or_path: honoured(maybe(text), null, "folder of the model, or its id on the Hugging Face hub"),
  adapter_name_or_path: honoured(maybe(names), null, "adapters: one to go on training, several to chat with or merge"),
  adapter_folder: refused(
    maybe(text),
    null,
    "folder with the adapters",
    "adapters are named one by one",
    "write the path into adapter_name_or_path",
  ),
  cache_dir: honoured(maybe(text), null, "cache of downloads from the hub; null: its usual place"),
  model_revision: honoured(text, "main", "branch, tag or commit on the hub"),
  offline: honoured(bool, false, "downloads nothing; what is not cached is an error"),
  hf_hub_token: secret(maybe(text), null, "token for the hub, never written to a file; better: the variable HF_TOKEN"),
  device: honoured(choice(["cpu", "webgpu", "cuda"]), "cpu", "what the engine runs on"),
  threads: honoured(maybe(int({ min: 1 })), null, "threads of the engine; null: one per core"),
  train_from_scratch: honoured(bool, false, "starts from random weights instead of the model's own"),
  disable_gradient_checkpointing: folded(
    bool,
    false,
    "true: no gradient checkpointing, which is already the default here",
    "gradient_checkpointing",
  ),
  infer_backend: inert(
    choice(["huggingface", "vllm", "sglang", "ktransformers"]),
    "huggingface",
    "engine of chat",
    "there is one engine, ONNX Runtime, which samples by the same rules",
  ),
  infer_dtype: honoured(
    choice(["auto", "float16", "bfloat16", "float32"]),
    "auto",
    "type of exported weights where export_dtype is not given; chat computes in float32",
  ),
  trust_remote_code: inert(
    bool,
    false,
    "runs a model's own Python code",
    "no code that comes with a model is ever run",
  ),
  use_fast_tokenizer: inert(bool, true, "the tokenizer in Rust", "tokenizer.json is the only form that is read"),
  low_cpu_mem_usage: inert(bool, true, "loads weights piece by piece", "weights stay in their file, mapped"),
  flash_attn: inert(
    choice(["auto", "disabled", "sdpa", "fa2", "fa3"]),
    "auto",
    "kernel of attention",
    "attention is exact, whatever the kernel",
  ),
  use_unsloth: inert(bool, false, "Unsloth's kernels", KERNELS),
  use_unsloth_gc: inert(
    bool,
    false,
    "Unsloth's gradient checkpointing",
    "it saves memory only: gradient_checkpointing: true does that here",
  ),
  enable_liger_kernel: inert(bool, false, "Liger's kernels", KERNELS),
  use_v1_kernels: inert(maybe(bool), false, "LLaMA-Factory's own kernels", KERNELS),
  use_reentrant_gc: inert(
    bool,
    true,
    "kind of PyTorch's checkpointing",
    "there is one kind, and its numbers are exact",
  ),
  upcast_layernorm: inert(bool, false, "norms in float32", FLOAT32),
  upcast_lmhead_output: inert(bool, false, "logits in float32", FLOAT32),
  use_kv_cache: inert(
    bool,
    true,
    "keys and values are kept while generating",
    "the text is the same; it is always kept",
  ),
  offload_folder: inert(text, "offload", "where weights go that do not fit", "weights stay in their file, mapped"),
  print_param_status: inert(bool, false, "lists the parameters", "`lowrank inspect` does"),
  ms_hub_token: inert(
    maybe(text),
    null,
    "token for ModelScope",
    "models come from the Hugging Face hub or from a folder",
  ),
  om_hub_token: inert(
    maybe(text),
    null,
    "token for Modelers",
    "models come from the Hugging Face hub or from a folder",
  ),

  quantization_bit: honoured(
    maybe(bits),
    null,
    "frozen weights of linear layers in 8 bits (int8) or 4 (quantization_type), quantised at load; null: as they are",
  ),
  quantization_method: honoured(
    choice(
      ["bnb", "bitsandbytes"],
      Object.fromEntries(
        ["gptq", "awq", "aqlm", "quanto", "eetq", "hqq", "mxfp4", "fp8"].map((name) => [name, OTHER_QUANTISER]),
      ),
    ),
    "bnb",
    "format of the quantised weights",
  ),
  quantization_type: honoured(choice(["nf4", "fp4"]), "nf4", "levels of 4 bits"),
  double_quantization: honoured(bool, true, "with 4 bits: the constants of blocks are stored in 8 bits too"),
  storage: honoured(
    maybe(choice(STORAGES.map(({ name }) => name))),
    null,
    "storage of the frozen weights, by its name in `lowrank storages`, in place of quantization_bit",
  ),
  quantization_device_map: inert(maybe(text), null, "device of the quantised model", "there is one device"),
  fp8: refused(bool, false, "8-bit floating-point training", "it needs a GPU of a kind that is not used here"),
  fp8_backend: inert(text, "auto", "library for fp8", "it goes with fp8, which is refused"),
  fp8_enable_fsdp_float8_all_gather: inert(bool, false, "fp8 between GPUs", "it goes with fp8, which is refused"),

  rope_scaling: honoured(
    maybe(
      choice(["linear", "yarn", "llama3"], {
        dynamic: "its angles change with the length of a row, which no training can follow: use linear or yarn",
      }),
    ),
    null,
    "stretches positions to rows of cutoff_len tokens, where the model was made for fewer",
  ),
  mixture_of_depths: refused(maybe(text), null, "layers that tokens can skip", "not there yet", "remove the line"),
  moe_aux_loss_coef: refused(maybe(float()), null, "loss of a router", "there are no mixtures of experts yet"),
  resize_vocab: refused(bool, false, "resizes the embedding", VOCABULARY, VOCABULARY_HINT),
  add_tokens: refused(maybe(names), null, "new tokens", VOCABULARY, VOCABULARY_HINT),
  add_special_tokens: refused(maybe(names), null, "new special tokens", VOCABULARY, VOCABULARY_HINT),
  new_special_tokens_config: refused(maybe(text), null, "new tokens with words", VOCABULARY, VOCABULARY_HINT),
  init_special_tokens: inert(text, "noise_init", "start of new tokens", "there are no new tokens"),
  split_special_tokens: refused(
    bool,
    false,
    "special tokens in a text are split",
    "special tokens are recognised, as fast tokenizers do",
    "remove the line",
  ),
};
