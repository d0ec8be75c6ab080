/**
 * Rotations for rows that are longer than a model was made for, as changes of its `config.json`: what LLaMA-Factory makes of
 * `rope_scaling` and `cutoff_len`. `linear` is position interpolation (Chen et al. 2023, arXiv 2306.15595): every position is
 * divided by a factor. The factor is a whole number, the least that the rows fit with.
 */
import { ConfigError } from "../errors.ts";
import { readRope } from "./rope-settings.ts";

export const STRETCHES = ["linear", "yarn", "llama3"] as const;

export interface RopeStretch {
  readonly type: (typeof STRETCHES)[number];
  /** Tokens of the longest rows. */
  readonly length: number;
}

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type Fields = Readonly<Record<string, Json>>;

/** LLaMA-Factory's, of `llama3`. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4 } as const;

/**
 * Fields of `config.json` that change; none where the rows fit.
 * @param path for messages
 * @throws ConfigError if the model has no rotations, or their scaling is another one already
 */
export function stretchedPositions(fields: Fields, { type, length }: RopeStretch, path: string): Fields {
  const before = fields["max_position_embeddings"];
  if (typeof before !== "number") {
    throw new ConfigError({
      where: "rope_scaling",
      what: "the model has no rotations that could be stretched",
      got: path,
      hint: "remove the line",
    });
  }
  if (length <= before) return {};
  const { scaling } = readRope(fields, 1, () => {});
  if (scaling !== undefined) {
    throw new ConfigError({
      where: "rope_scaling",
      what: "the model's positions are stretched already, in a way of its own",
      got: scaling.type,
      hint: "change rope_parameters in its config.json, and remove the line",
    });
  }
  const factor = Math.ceil(length / before);
  const stretch: Fields = {
    rope_type: type,
    factor,
    ...(type === "llama3" ? LLAMA3 : {}),
    ...(type === "linear" ? {} : { original_max_position_embeddings: before }),
  };
  // transformers 5 keeps theta in there.
  const own = fields["rope_parameters"];
  const isNew = typeof own === "object" && own !== null && !Array.isArray(own);
  return {
    max_position_embeddings: before * factor,
    ...(isNew
      ? { rope_parameters: { ...(own as Fields), ...stretch }, rope_scaling: null }
      : { rope_scaling: stretch }),
  };
}
