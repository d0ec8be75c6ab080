/** O-LoRA on six tasks, one after the other, with both of its penalties, against what it is made of. */
import { sequenceFigures } from "../continual/figures.ts";
import type { ContinualMethod } from "../continual/method.ts";
import {
  measuresOf,
  type MethodRuns,
  methodRuns,
  perSeed,
  planJobs,
  spreadsText,
  type ContinualPlan,
} from "../continual/plan.ts";
import type { SequenceResult } from "../continual/sequence.ts";
import { sequenceTables } from "../continual/tables.ts";
import type { Claim, Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { seedsText } from "../frame/statistics.ts";
import { allOf, isAbove, isBelowLevel, isSame, type Verdict } from "../frame/verdict.ts";
import { claimOf } from "./claims.ts";
import { cutNotes, generatedPlan, loraOf, SEQUENCE_SETTING } from "./continual.ts";

const PAPER = "Wang et al. 2023";
const R = 8;
const LAMBDA = 0.5;
/** Of accuracies, for "the same". */
const SAME = 0.02;
/** The overlap that is left, of what there is without a penalty. */
const NEARLY_NONE = 0.1;

const MERGED = loraOf(R);
const SEQUENTIAL: ContinualMethod = { ...MERGED, kind: "seq-lora" };

function oLoraOf(overlap: "squared" | "absolute", lambda1 = LAMBDA): ContinualMethod {
  return { ...MERGED, kind: "o-lora", lambda1, overlap };
}

/** Without a penalty new factors are put beside those of earlier tasks: the paper's IncLoRA, and LoRA that is merged. */
export const O_LORA_METHODS: readonly ContinualMethod[] = [
  SEQUENTIAL,
  oLoraOf("squared", 0),
  oLoraOf("squared"),
  oLoraOf("absolute"),
];

export const O_LORA: Experiment = {
  name: "o-lora",
  title: "O-LoRA on six tasks",
  about: "Does keeping the factors of each task orthogonal to those before it protect what was learned?",
  source: `${PAPER}, arXiv 2310.14152`,
  minutes: 12,
  setting: [
    ...SEQUENCE_SETTING,
    `r = ${R} for each task, λ₁ = ${LAMBDA}, λ₂ = 0. Penalties: Σ (A_i A_tᵀ)² (the paper) and Σ |A_i A_tᵀ| (its code). SeqLoRA goes on with one pair of factors; without a penalty O-LoRA is IncLoRA. Unlike in the paper, heads are per task and are trained again for a test, so that what is compared is what the backbone keeps.`,
  ],
  jobs: (scale) => planJobs(planOf(scale), scale),
  conclude: (results, scale) => concludeOLora(planOf(scale), results, scale),
};

function planOf(scale: Scale): ContinualPlan {
  return generatedPlan(scale.quick ? O_LORA_METHODS.slice(1, 3) : O_LORA_METHODS, scale);
}

const average = (run: SequenceResult) => measuresOf(run).averageAccuracy;
/** Mean over the tasks that had some before them. */
const overlapOf = ({ stages }: SequenceResult) => {
  const found = stages.flatMap(({ overlap }) => overlap ?? []);
  return found.length === 0 ? NaN : found.reduce((sum, value) => sum + value, 0) / found.length;
};

export function concludeOLora(plan: ContinualPlan, results: Results, scale: Scale): Conclusion {
  const all = methodRuns(plan, results, scale);
  return {
    claims: oLoraClaims(all),
    figures: sequenceFigures(all, `r = ${R}, mean over ${seedsText(scale.seeds.length)}`),
    tables: sequenceTables(all),
    notes: cutNotes(all),
  };
}

function oLoraClaims(all: readonly MethodRuns[]): Claim[] {
  const find = (kind: ContinualMethod["kind"], test: (method: ContinualMethod) => boolean = () => true) =>
    all.find(({ method }) => method.kind === kind && test(method));
  const sequential = find("seq-lora");
  const plain = find("o-lora", (method) => method.kind === "o-lora" && method.lambda1 === 0);
  const penalised = all.filter(({ method }) => method.kind === "o-lora" && method.lambda1 > 0);
  const [squared, absolute] = penalised;
  if (plain === undefined || squared === undefined) return [];
  const claims: Claim[] = [];
  const claim = (
    text: Pick<Claim, "claim" | "published"> & { readonly section: string },
    verdict: Verdict,
    found: string,
  ) => {
    const { section, ...rest } = text;
    claims.push(claimOf({ ...rest, source: `${PAPER}, ${section}` }, verdict, found));
  };
  const shown = (of: (run: SequenceResult) => number, digits: number, times = 1) => spreadsText(all, of, digits, times);
  const ratio = (one: MethodRuns) => {
    const without = perSeed(plain, overlapOf);
    return perSeed(one, overlapOf).map((value, i) => value / without[i]!);
  };
  claim(
    {
      claim: `The penalty brings the overlap ‖A_i A_tᵀ‖ below ${NEARLY_NONE} of what it is without`,
      section: "§3.2",
      published: "subspaces are kept orthogonal",
    },
    allOf(penalised.map((one) => [one.label, isBelowLevel(ratio(one), NEARLY_NONE, 3)])),
    `‖A_i A_tᵀ‖ / (‖A_i‖ ‖A_t‖), mean over the tasks after the first: ${shown(overlapOf, 4)}`,
  );
  claim(
    {
      claim: "O-LoRA ends with a higher average accuracy than IncLoRA",
      section: "table 1",
      published: "O-LoRA 75.8, IncLoRA 66.4 (mean of three orders)",
    },
    isAbove(perSeed(squared, average), perSeed(plain, average), { digits: 3 }),
    `average accuracy in %: ${shown(average, 1, 100)}`,
  );
  if (sequential !== undefined) {
    claim(
      {
        claim: "IncLoRA ends with a higher average accuracy than SeqLoRA",
        section: "table 1",
        published: "IncLoRA 66.4, SeqLoRA 43.7",
      },
      isAbove(perSeed(plain, average), perSeed(sequential, average), { digits: 3 }),
      `average accuracy in %: ${shown(average, 1, 100)}`,
    );
  }
  if (absolute !== undefined) {
    claim(
      {
        claim: "The paper's penalty and that of its code give the same accuracy",
        section: "eq. 8, and its repository",
        published: "not compared: the paper squares, the code does not",
      },
      isSame(perSeed(squared, average), perSeed(absolute, average), SAME),
      `average accuracy in %: ${shown(average, 1, 100)}`,
    );
  }
  return claims;
}
