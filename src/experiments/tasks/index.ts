/**
 * Six tasks in a fixed order, with 3, 2, 2, 3, 2 and 3 classes: those of the order MNLI, QQP, SST-2, SIQA, WinoGrande, FEVER
 * (Shuttleworth et al. 2024, §5), made of what the bundled model was pretrained on. A linear head on that model gives far less
 * than tuning does: docs/experiments.md has the numbers.
 */
import { ACCEPTABILITY } from "./acceptability.ts";
import { AMOUNT } from "./amount.ts";
import { COMPARISON } from "./comparison.ts";
import { FACT } from "./fact.ts";
import { SENTIMENT } from "./sentiment.ts";
import { TAKEN } from "./taken.ts";
import type { GeneratedTask } from "./task.ts";

export type { Example, GeneratedTask, Split, Task } from "./task.ts";

export const TASKS: readonly GeneratedTask[] = [TAKEN, ACCEPTABILITY, SENTIMENT, AMOUNT, COMPARISON, FACT];
