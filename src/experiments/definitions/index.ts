/** Every experiment, in the order in which they are listed. */
import type { Experiment } from "../experiment.ts";
import { AMPLIFICATION } from "./amplification.ts";
import { B_ONLY } from "./b-only.ts";
import { CHECKPOINTS } from "./checkpoints.ts";
import { CONTINUAL } from "./continual.ts";
import { DATA_SIZE } from "./data-size.ts";
import { FORGETTING } from "./forgetting.ts";
import { INTRUDERS } from "./intruders.ts";
import { LAMBDA } from "./lambda.ts";
import { LEARNING_RATE } from "./learning-rate.ts";
import { O_LORA } from "./o-lora.ts";
import { RANK } from "./rank.ts";
import { SUBSPACE } from "./subspace.ts";
import { WHICH_MATRICES } from "./which-matrices.ts";

export const EXPERIMENTS: readonly Experiment[] = [
  WHICH_MATRICES,
  RANK,
  SUBSPACE,
  AMPLIFICATION,
  INTRUDERS,
  FORGETTING,
  LEARNING_RATE,
  DATA_SIZE,
  B_ONLY,
  LAMBDA,
  CHECKPOINTS,
  CONTINUAL,
  O_LORA,
];
