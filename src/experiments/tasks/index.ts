/**
 * Six tasks in a fixed order, with 3, 2, 2, 3, 2 and 3 classes: those of the order MNLI, QQP, SST-2, SIQA, WinoGrande, FEVER
 * (Shuttleworth et al. 2024, §5), made of what the bundled model was pretrained on.
 */
import { COMPARISON } from "./comparison.ts";
import { ENTAILMENT } from "./entailment.ts";
import { FACT } from "./fact.ts";
import { PARAPHRASE } from "./paraphrase.ts";
import { SENTIMENT } from "./sentiment.ts";
import { TAKEN } from "./taken.ts";
import type { GeneratedTask } from "./task.ts";

export type { Example, GeneratedTask, Split, Task } from "./task.ts";

export const TASKS: readonly GeneratedTask[] = [ENTAILMENT, PARAPHRASE, SENTIMENT, TAKEN, COMPARISON, FACT];
