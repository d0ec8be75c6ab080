/** Looks at the weights while they are trained: docs/analysis.md. */
import { honoured } from "../key.ts";
import { countOrShare, float, int, maybe, names } from "../type.ts";

export const ANALYSIS = {
  analysis_steps: honoured(
    maybe(countOrShare("the run's steps", 1)),
    null,
    "steps between looks at the weights: intruder dimensions, effective rank, overlap with the base, forgetting; null: never",
  ),
  analysis_texts: honoured(
    maybe(names),
    null,
    "data sets, as in `dataset`, of texts like those of pretraining: their loss says what is forgotten",
  ),
  analysis_samples: honoured(int({ min: 1 }), 100, "texts of analysis_texts that are taken, the first ones"),
  analysis_k: honoured(int({ min: 1 }), 10, "singular vectors of each matrix that are looked at"),
  analysis_epsilon: honoured(
    float({ min: 0, max: 1 }),
    0.5,
    "a vector is an intruder if its cosines with all of the base's are below",
  ),
  analysis_forgetting: honoured(
    float({ min: 0 }),
    0.05,
    "warns where there are intruders and the loss of analysis_texts has grown by this share of the base's",
  ),
};
