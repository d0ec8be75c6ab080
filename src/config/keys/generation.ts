/** How answers are sampled. */
import { honoured, inert, refused } from "../key.ts";
import { bool, float, int } from "../type.ts";

export const GENERATION = {
  do_sample: honoured(bool, true, "samples; false: always the likeliest token"),
  temperature: honoured(float({ above: 0 }), 0.95, "logits are divided by it"),
  top_p: honoured(float({ above: 0, max: 1 }), 0.7, "keeps the likeliest tokens of this probability together"),
  top_k: honoured(int({ min: 0 }), 50, "keeps so many tokens; 0: all"),
  repetition_penalty: honoured(float({ above: 0 }), 1, "above 1: tokens that are there become less likely"),
  max_new_tokens: honoured(int({ min: 1 }), 1024, "tokens of an answer at most"),
  skip_special_tokens: honoured(bool, true, "special tokens are not printed"),
  max_length: inert(int(), 1024, "tokens of prompt and answer", "max_new_tokens goes before it, in LLaMA-Factory too"),
  num_beams: refused(int(), 1, "beams", "beam search is not there yet", "remove the line"),
  length_penalty: inert(float(), 1, "weight of length among beams", "it goes with num_beams"),
};
