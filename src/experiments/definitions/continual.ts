/** Continual learning: full fine-tuning and LoRA of several ranks on six tasks, one after the other. */
import type { ContinualMethod } from "../continual/method.ts";
import { sequenceFigures } from "../continual/figures.ts";
import {
  measuresOf,
  type MethodRuns,
  methodRuns,
  perSeed,
  planJobs,
  spreadsText,
  type ContinualPlan,
} from "../continual/plan.ts";
import { sequenceTables } from "../continual/tables.ts";
import type { SequenceResult } from "../continual/sequence.ts";
import type { Claim, Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { seedsText, spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove, isSame, type Verdict } from "../frame/verdict.ts";
import { claimOf } from "./claims.ts";
import { FULL_RATE, ILLUSION, PRODUCT } from "./protocol.ts";

/** Ranks of α = 2r, from the lowest on. */
const RANKS = [1, 8, 64] as const;
/** Four times the rate: of 1 and 4 on seed 1, the one with which r = 64 learns as much as r = 8 does in as many steps. */
const FASTER = 4;
/** Of average accuracies, for "near". */
const NEAR = 0.02;
/** Intruders among 280 vectors, for "none". */
const FEW = 2;
/** Tasks of which v1 reports that r = 1 ends below the base. */
const FIRST_TASKS = 3;

/** α = 2r, and α · η is the same for every rank. */
export function loraOf(r: number): Extract<ContinualMethod, { kind: "lora" }> {
  return { kind: "lora", r, alpha: 2 * r, learningRate: PRODUCT / (2 * r) };
}

/** A rank with a learning rate of its own, to tell both apart. */
function loraAt(r: number, times: number, shown: string): ContinualMethod {
  const { learningRate, ...others } = loraOf(r);
  return { ...others, learningRate: times * learningRate, name: `lora r=${r}, η ${shown}` };
}

export const FULL: ContinualMethod = { kind: "full", learningRate: FULL_RATE };

/** Of the bundled model on generated tasks. */
export function generatedPlan(methods: readonly ContinualMethod[], { quick }: Scale): ContinualPlan {
  return {
    source: { kind: "generated", ...(quick ? { count: 3 } : {}) },
    methods,
    trainTexts: quick ? 128 : 320,
    testTexts: quick ? 120 : 200,
    headTexts: quick ? 128 : 192,
    epochs: quick ? 2 : 4,
    batchSize: 16,
    pictured: ["q_proj", "o_proj", "down_proj"],
  };
}

export const SEQUENCE_SETTING: readonly string[] = [
  "Model: the bundled one, Qwen2 architecture, width 128, 4 layers, trained to convergence on text of its own before.",
  "Tasks: taken, acceptability, sentiment, amount, comparison, fact, with 3, 2, 2, 3, 2 and 3 classes as MNLI, QQP, SST-2, SIQA, WinoGrande and FEVER have; generated, of words that the model knows, balanced. 320 training texts drawn from the seed, the same 200 test texts for all; 4 passes in batches of 16 (80 steps) for each task.",
  "All 28 linear matrices of the body, their weights alone: no biases, norms, embeddings. AdamW without weight decay, linear schedule with warm-up 0.06 for each task anew.",
  `Full fine-tuning: η = ${FULL_RATE}. LoRA: α = 2r, α · η = ${PRODUCT} for every rank; after each task it is merged into the weights, and A and B start anew. These rates are those of the other experiments, chosen on one task and another seed. With them r = 64 does not learn all that the others do in 80 steps; it is there a second time with ${FASTER} times the rate, with which it does; and r = 1 a second time with the rate of r = 8, since its own is eight times as high.`,
  "Tests: after each task the head of every task is trained again, on the backbone as it is, and nothing else: on 192 of its training texts, to the minimum of cross-entropy + λ/2 ‖θ‖², λ = 0.01, on hidden states computed once. SHA-256 of the backbone's parameters is the same before and after.",
];

function methodsOf({ quick }: Scale): ContinualMethod[] {
  if (quick) return [FULL, loraOf(8)];
  const [lowest, middle, highest] = RANKS;
  // The lowest rank with the rate of the middle one, the highest with one that brings it to the accuracy of the others.
  const slower = lowest / middle;
  return [
    FULL,
    ...RANKS.map(loraOf),
    loraAt(lowest, slower, `÷ ${1 / slower}`),
    loraAt(highest, FASTER, `× ${FASTER}`),
  ];
}

export const CONTINUAL: Experiment = {
  name: "continual",
  title: "Six tasks, one after the other",
  about: "Do low ranks forget more of earlier tasks than full fine-tuning, and do intruders accumulate?",
  source: `${ILLUSION}, v1 and v3, the sections on continual learning`,
  minutes: 15,
  setting: SEQUENCE_SETTING,
  jobs: (scale) => planJobs(generatedPlan(methodsOf(scale), scale), scale),
  conclude: (results, scale) => concludeSequence(generatedPlan(methodsOf(scale), scale), results, scale),
};

/** Of any plan with full fine-tuning and LoRA of some ranks. */
export function concludeSequence(plan: ContinualPlan, results: Results, scale: Scale): Conclusion {
  const all = methodRuns(plan, results, scale);
  const first = all.flatMap(({ runs }) => runs).find((run) => run !== undefined);
  const tasks = first?.tasks.length ?? 0;
  const seeds = seedsText(scale.seeds.length);
  const what = `${first?.tasks.map(({ name }) => name).join(", ") ?? "no task"}; ${seeds}`;
  return {
    claims: sequenceClaims(all),
    figures: sequenceFigures(all, `${tasks} tasks, mean over ${seeds}`),
    tables: sequenceTables(all),
    notes: [`Tasks: ${what}.`, ...cutNotes(all)],
  };
}

/** What was cut, so that nobody takes it for the whole text. */
export function cutNotes(all: readonly MethodRuns[]): string[] {
  const first = all.flatMap(({ runs }) => runs).find((run) => run !== undefined);
  const cut = (first?.tasks ?? []).filter((task) => task.cut > 0);
  if (cut.length === 0) return [];
  const parts = cut.map((task) => `${task.name} ${task.cut} of ${task.train + task.test}`);
  return [`Texts that were longer than a row and lost their ends: ${parts.join(", ")}.`];
}

const average = (run: SequenceResult) => measuresOf(run).averageAccuracy;
const forgotten = (run: SequenceResult) => measuresOf(run).forgetting ?? NaN;
const pretraining = (run: SequenceResult) => run.stages.at(-1)?.pretrainingLoss ?? NaN;
const intrudersAtEnd = (run: SequenceResult) => run.stages.at(-1)!.intruders.left;
const intrudersAtFirst = (run: SequenceResult) => run.stages[0]!.intruders.left;
const firstTasks = (accuracies: readonly number[]) => {
  const chosen = accuracies.slice(0, FIRST_TASKS);
  return chosen.reduce((sum, value) => sum + value, 0) / chosen.length;
};

/** Of every method. */
function ofEach(all: readonly MethodRuns[], verdict: (one: MethodRuns) => Verdict): Verdict {
  return allOf(all.map((one) => [one.label, verdict(one)]));
}

function isRank(method: ContinualMethod, other: MethodRuns | undefined): boolean {
  return method.kind === "lora" && other?.method.kind === "lora" && method.r === other.method.r;
}

function sequenceClaims(all: readonly MethodRuns[]): Claim[] {
  const full = all.find(({ method }) => method.kind === "full");
  const ranks = all.filter(({ method }) => method.kind === "lora" && method.name === undefined);
  const controls = all.filter(({ method }) => method.kind === "lora" && method.name !== undefined);
  const [lowest, highest] = [ranks[0], ranks.at(-1)];
  if (full === undefined || lowest === undefined || highest === undefined) return [];
  const faster = lowest === highest ? undefined : controls.find(({ method }) => isRank(method, highest));
  const slower = lowest === highest ? undefined : controls.find(({ method }) => isRank(method, lowest));
  const claims: Claim[] = [];
  const claim = (
    [text, source, published]: readonly [claim: string, source: string, published: string],
    verdict: Verdict,
    found: string,
  ) => {
    claims.push(claimOf({ claim: text, source: `${ILLUSION}, ${source}`, published }, verdict, found));
  };
  const shown = (of: (run: SequenceResult) => number, digits: number, times = 1) =>
    spreadsText([full, ...ranks, ...controls], of, digits, times);
  const others = ranks.filter((one) => one !== lowest);
  if (others.length > 0) {
    claim(
      [
        `The lowest rank (${lowest.label}) ends with the lowest average accuracy`,
        "v1 and v3, continual learning",
        "low ranks are worst",
      ],
      ofEach([full, ...others], (one) => isAbove(perSeed(one, average), perSeed(lowest, average), { digits: 3 })),
      `average accuracy in %: ${shown(average, 1, 100)}`,
    );
  }
  claim(
    [
      `${lowest.label} ends below the untouched base on the first ${FIRST_TASKS} tasks`,
      "v1, continual learning",
      "r = 1 falls below the pretrained baseline on the first three tasks",
    ],
    isAbove(
      perSeed(lowest, ({ baseline }) => firstTasks(baseline.accuracies)),
      perSeed(lowest, ({ stages }) => firstTasks(stages.at(-1)!.accuracies)),
      { digits: 3 },
    ),
    `base ${spreadOf(
      perSeed(lowest, ({ baseline }) => firstTasks(baseline.accuracies)),
      3,
    )}, at the end ${spreadOf(
      perSeed(lowest, ({ stages }) => firstTasks(stages.at(-1)!.accuracies)),
      3,
    )}`,
  );
  if (highest !== lowest) {
    claim(
      [
        `The highest rank (${highest.label}) is near full fine-tuning`,
        "v1, continual learning",
        "high ranks are near full fine-tuning, on MNLI even better",
      ],
      isSame(perSeed(highest, average), perSeed(full, average), NEAR),
      `average accuracy in %: ${shown(average, 1, 100)}`,
    );
  }
  if (faster !== undefined) {
    claim(
      [
        `At a rate that suits it (${faster.label}) the highest rank is near full fine-tuning`,
        "v1, continual learning",
        "high ranks are near full fine-tuning, on MNLI even better",
      ],
      isSame(perSeed(faster, average), perSeed(full, average), NEAR),
      `average accuracy in %: ${shown(average, 1, 100)}`,
    );
  }
  claim(
    [
      "LoRA of every rank forgets more of earlier tasks than full fine-tuning",
      "v3, continual learning",
      "all ranks degrade faster than full fine-tuning, low ranks worst",
    ],
    ofEach(ranks, (one) => isAbove(perSeed(one, forgotten), perSeed(full, forgotten), { digits: 3 })),
    `forgetting (best in the past − final, mean over tasks, in %): ${shown(forgotten, 1, 100)}`,
  );
  claim(
    [
      "Intruders accumulate over the tasks for LoRA of low rank",
      "v1 and v3, figures of similarity after each task",
      "with LoRA they accumulate",
    ],
    ofEach(ranks.slice(0, 2), (one) =>
      isAbove(perSeed(one, intrudersAtEnd), perSeed(one, intrudersAtFirst), { digits: 1 }),
    ),
    `after the last task: ${shown(intrudersAtEnd, 1)}; after the first: ${shown(intrudersAtFirst, 1)}`,
  );
  claim(
    [
      "Full fine-tuning on all tasks brings no intruders",
      "v1 and v3, figures of similarity after each task",
      "with full fine-tuning they do not",
    ],
    isSame(
      perSeed(full, intrudersAtEnd),
      perSeed(full, () => 0),
      FEW,
      1,
    ),
    `after the last task: ${shown(intrudersAtEnd, 1)}`,
  );
  if (slower !== undefined) {
    claim(
      [
        `The intruders of ${lowest.label} are those of its learning rate: with that of r = 8 it has fewer`,
        "v3, sweep of learning rates (there on one task)",
        "higher learning rates bring more intruders and more forgetting",
      ],
      isAbove(perSeed(lowest, intrudersAtEnd), perSeed(slower, intrudersAtEnd), { digits: 1 }),
      `after the last task: ${shown(intrudersAtEnd, 1)}`,
    );
  }
  const isMeasured = full.runs.every((run) => run?.baseline.pretrainingLoss !== null);
  if (isMeasured && highest !== lowest) {
    claim(
      [
        `U curve: ${lowest.label} forgets more of pretraining than full fine-tuning, ${highest.label} less`,
        "v1, figure 9 (there after one task)",
        "r = 1 and r = 768 forget more than full fine-tuning, r = 8 and r = 64 less",
      ],
      allOf([
        [
          `${lowest.label} above full`,
          isAbove(perSeed(lowest, pretraining), perSeed(full, pretraining), { digits: 3 }),
        ],
        [
          `full above ${highest.label}`,
          isAbove(perSeed(full, pretraining), perSeed(highest, pretraining), { digits: 3 }),
        ],
      ]),
      `loss on pretraining text after the last task: ${shown(pretraining, 3)}`,
    );
  }
  if (isMeasured) {
    claim(
      [
        "With α = 2r LoRA of every rank forgets less of pretraining than full fine-tuning",
        "v3, figure 6 (there after one task)",
        "LoRA forgets less at all tested ranks",
      ],
      ofEach(ranks, (one) => isAbove(perSeed(full, pretraining), perSeed(one, pretraining), { digits: 3 })),
      `loss on pretraining text after the last task: ${shown(pretraining, 3)}`,
    );
  }
  return claims;
}
