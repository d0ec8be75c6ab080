/**
 * The formats of chats that LLaMA-Factory has names for (hiyouga/LLaMA-Factory, `data/template.py`), as the texts around
 * each message. To add one: an entry in {@link SLOTS}, and its name away from {@link NAMES_ELSEWHERE}.
 *
 * `{c}` stands for the message, `{bos}` and `{eos}` for the tokenizer's tokens at the beginning and end of a text.
 */

export interface TemplateSlots {
  /** Before everything. */
  readonly prefix?: string;
  /** Default `{c}`. */
  readonly system?: string;
  /** Goes where a conversation has no system prompt. */
  readonly defaultSystem?: string;
  /** The system prompt is a part of the first question. */
  readonly systemInUser?: boolean;
  readonly user: string;
  /** Before an answer, and the end of what a model is asked with. */
  readonly opening?: string;
  /** Default `{c}{eos}`. */
  readonly assistant?: string;
  /** What a tool gave. Absent: conversations with tools are refused. */
  readonly tool?: string;
  /** Qwen's way to offer tools and to call them. */
  readonly qwenTools?: true;
  /** The last answer always has a thought, if an empty one, and earlier answers never have. */
  readonly thoughts?: true;
  /** Tokens that end an answer; the first is the one that {@link assistant} writes. Absent: the end of text. */
  readonly stops?: readonly string[];
}

const CHATML: TemplateSlots = {
  system: "<|im_start|>system\n{c}<|im_end|>\n",
  user: "<|im_start|>user\n{c}<|im_end|>\n",
  opening: "<|im_start|>assistant\n",
  assistant: "{c}<|im_end|>\n",
  stops: ["<|im_end|>"],
};
const CHATML_TOOL: TemplateSlots = { ...CHATML, tool: "<|im_start|>tool\n{c}<|im_end|>\n" };
const QWEN: TemplateSlots = { ...CHATML, qwenTools: true };
const GEMMA: TemplateSlots = {
  prefix: "{bos}",
  system: "{c}\n\n",
  systemInUser: true,
  user: "<start_of_turn>user\n{c}<end_of_turn>\n",
  opening: "<start_of_turn>model\n",
  assistant: "{c}<end_of_turn>\n",
  tool: "<start_of_turn>tool\n{c}<end_of_turn>\n",
  stops: ["<end_of_turn>"],
};
const LLAMA2: TemplateSlots = {
  system: "<<SYS>>\n{c}\n<</SYS>>\n\n",
  systemInUser: true,
  user: "{bos}[INST] {c} [/INST]",
};
const PHI: TemplateSlots = {
  system: "<|system|>\n{c}<|end|>\n",
  user: "<|user|>\n{c}<|end|>\n",
  opening: "<|assistant|>\n",
  assistant: "{c}<|end|>\n",
  stops: ["<|end|>"],
};

export const SLOTS = {
  alpaca: {
    defaultSystem:
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n",
    user: "### Instruction:\n{c}\n\n",
    opening: "### Response:\n",
    assistant: "{c}{eos}\n\n",
  },
  chatml: CHATML_TOOL,
  chatml_de: { ...CHATML_TOOL, defaultSystem: "Du bist ein freundlicher und hilfsbereiter KI-Assistent." },
  deepseek: { prefix: "{bos}", system: "{c}\n\n", user: "User: {c}\n\n", opening: "Assistant:" },
  deepseek3: { prefix: "{bos}", user: "<｜User｜>{c}", opening: "<｜Assistant｜>" },
  default: {
    system: "System: {c}{eos}\n",
    user: "Human: {c}{eos}\n",
    opening: "Assistant:",
    assistant: "{c}{eos}\n",
  },
  empty: { user: "{c}", assistant: "{c}" },
  exaone: {
    system: "[|system|]{c}[|endofturn|]\n",
    user: "[|user|]{c}\n",
    opening: "[|assistant|]",
    assistant: "{c}{eos}\n",
  },
  falcon_h1: { ...CHATML_TOOL, prefix: "{bos}", stops: ["<|im_end|>", "<|end_of_text|>"] },
  gemma: GEMMA,
  gemma2: GEMMA,
  gemma3: GEMMA,
  granite3: {
    system: "<|start_of_role|>system<|end_of_role|>{c}<|end_of_text|>\n",
    user: "<|start_of_role|>user<|end_of_role|>{c}<|end_of_text|>\n",
    opening: "<|start_of_role|>assistant<|end_of_role|>",
    assistant: "{c}<|end_of_text|>\n",
    stops: ["<|end_of_text|>"],
  },
  llama2: LLAMA2,
  llama2_zh: { ...LLAMA2, defaultSystem: "You are a helpful assistant. 你是一个乐于助人的助手。" },
  llama3: {
    prefix: "{bos}",
    system: "<|start_header_id|>system<|end_header_id|>\n\n{c}<|eot_id|>",
    user: "<|start_header_id|>user<|end_header_id|>\n\n{c}<|eot_id|>",
    opening: "<|start_header_id|>assistant<|end_header_id|>\n\n",
    assistant: "{c}<|eot_id|>",
    tool: "<|start_header_id|>ipython<|end_header_id|>\n\n{c}<|eot_id|>",
    stops: ["<|eot_id|>", "<|eom_id|>"],
  },
  ministral: { prefix: "{bos}", system: "{c}\n\n", systemInUser: true, user: "[INST]{c}[/INST]" },
  mistral: {
    prefix: "{bos}",
    system: "{c}\n\n",
    systemInUser: true,
    user: "[INST] {c}[/INST]",
    assistant: " {c}{eos}",
  },
  mistral_small: { prefix: "{bos}", system: "[SYSTEM_PROMPT]{c}[/SYSTEM_PROMPT]", user: "[INST]{c}[/INST]" },
  olmo: { prefix: "{eos}", user: "<|user|>\n{c}", opening: "<|assistant|>\n" },
  openchat: { prefix: "{bos}", user: "GPT4 Correct User: {c}{eos}", opening: "GPT4 Correct Assistant:" },
  phi: PHI,
  phi4: {
    system: "<|im_start|>system<|im_sep|>{c}<|im_end|>",
    user: "<|im_start|>user<|im_sep|>{c}<|im_end|>",
    opening: "<|im_start|>assistant<|im_sep|>",
    assistant: "{c}<|im_end|>",
    stops: ["<|im_end|>"],
  },
  phi4_mini: {
    system: "<|system|>{c}<|end|>",
    user: "<|user|>{c}<|end|>",
    opening: "<|assistant|>",
    assistant: "{c}<|end|>",
    stops: ["<|end|>"],
  },
  qwen: { ...QWEN, defaultSystem: "You are Qwen, created by Alibaba Cloud. You are a helpful assistant." },
  qwen3: { ...QWEN, thoughts: true },
  qwen3_nothink: QWEN,
  smollm: CHATML,
  smollm2: { ...CHATML, defaultSystem: "You are a helpful AI assistant named SmolLM, trained by Hugging Face." },
  starchat: { ...PHI, opening: "<|assistant|>" },
  vicuna: {
    defaultSystem:
      "A chat between a curious user and an artificial intelligence assistant. " +
      "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    user: "USER: {c} ",
    opening: "ASSISTANT:",
  },
  yi: CHATML,
  zephyr: {
    system: "<|system|>\n{c}{eos}",
    defaultSystem: "You are Zephyr, a helpful assistant.",
    user: "<|user|>\n{c}{eos}",
    opening: "<|assistant|>\n",
  },
} satisfies Readonly<Record<string, TemplateSlots>>;

/** Names that LLaMA-Factory has and {@link SLOTS} has not: most are of models that see or hear. */
export const NAMES_ELSEWHERE: readonly string[] = (
  "aeva bailing bailing_v2 breeze chatglm3 cohere cpm4 dbrx deepseekcoder deepseekr1 dots_ocr ernie ernie_nothink " +
  "ernie_vl falcon fewshot gemma3n gemma4 gemma4n glm4 glm4_5v glm4_7 glm4_moe glm4v glm_ocr glmz1 gpt_oss " +
  "granite3_vision granite4 hunyuan hunyuan_small hy3 hy_dense_1_8b hy_dense_7b index intern2 intern_s1 intern_vl " +
  "keye_vl kimi_vl lfm2 lfm2_vl llama4 llava llava_next llava_next_llama3 llava_next_mistral llava_next_qwen " +
  "llava_next_video llava_next_video_mistral llava_next_video_yi llava_next_yi mimo mimo_v2 mimo_vl minicpm_o " +
  "minicpm_v minicpm_v_4_6 minimax1 minimax2 ministral3 mllama moonlight moss_vl openchat-3.6 opencoder paligemma " +
  "paligemma_chat phi_small pixtral qwen2_audio qwen2_omni qwen2_vl qwen3_5 qwen3_5_nothink qwen3_6 qwen3_omni " +
  "qwen3_omni_nothink qwen3_vl qwen3_vl_nothink sailor seed_coder seed_oss solar telechat2 video_llava xuanyuan yi_vl " +
  "youtu youtu_vl yuan"
).split(" ");
