/** NF4, 4-bit NormalFloat: levels at equally likely quantiles of N(0, 1), with an exact zero. */
import { fourBit } from "./four-bit.ts";

/** bitsandbytes' `get_4bit_type("nf4")`; QLoRA, appendix E. */
export const NF4_LEVELS: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

export const nf4 = fourBit({
  name: "nf4",
  source: "Dettmers et al. 2023, arXiv 2305.14314, §3; format of bitsandbytes",
  summary: "16 quantiles of a normal distribution, blocks of 64",
  levels: NF4_LEVELS,
  kernel: "nf4",
});
