/** Every experiment, in the order in which they are listed. */
import type { Experiment } from "../experiment.ts";

import { INTRUDERS } from "./intruders.ts";

export const EXPERIMENTS: readonly Experiment[] = [INTRUDERS];
