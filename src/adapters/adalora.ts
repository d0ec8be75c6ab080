/**
 * AdaLoRA: h = W x + s·B((A ∘ E) x), the update in the form of a singular value decomposition: A [r, in] and B [out, r] are kept near
 * orthonormal by a penalty, E [r, 1] are the singular values. Training starts with `init_r` triplets on every layer and ends
 * with `target_r` on average: those that matter least, over all layers together, have their E set to 0. Source: Zhang et al.
 * 2023, arXiv 2303.10512.
 *
 * Where paper and PEFT differ, PEFT's numbers are the default. s = alpha / (init_r + 1e-5), whatever is dropped. The penalty
 * is the mean of ‖AAᵀ − I‖ and ‖BᵀB − I‖ over all layers, not squared; `orthogonality: "squared"` is the paper's sum of
 * squares (eq. 4). The budget is that of the code, b(t) = b_T + (b_0 − b_T)(1 − (t − t_i) / (T − t_i − t_f))³: eq. 12 as printed
 * begins above b_0 and does not reach b_T.
 *
 * Unlike in PEFT a budget of b keeps b triplets: with scores that are equal at the threshold PEFT drops all of those, and
 * where there is nothing to drop it fails. As in PEFT a dropped triplet keeps A and B and may come back, until the last
 * `tfinal` steps, where the choice stands.
 */
import { ConfigError } from "../errors.ts";
import type { Graph, Value } from "../ir/graph.ts";
import { abs } from "../ir/ops/abs.ts";
import { add } from "../ir/ops/add.ts";
import { affine } from "../ir/ops/affine.ts";
import { concat } from "../ir/ops/concat.ts";
import { constant, scalar } from "../ir/ops/constant.ts";
import { conv } from "../ir/ops/conv.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { maximum } from "../ir/ops/maximum.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceMean } from "../ir/ops/reduce-mean.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sqrt } from "../ir/ops/sqrt.ts";
import { sub } from "../ir/ops/sub.ts";
import { normal, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer } from "../nn/module.ts";
import type { AdaptedLayer } from "./adapter.ts";
import { dropped } from "./lora.ts";
import { OFF, UNSUPPORTED, WITHOUT_EFFECT } from "./lora-file.ts";
import type { AfterHostCall, AfterUpdateCall, Method, PackCall, PackedAdapter } from "./method.ts";
import {
  finite,
  flag,
  integer,
  oneOf,
  optional,
  probability,
  type Setting,
  type Settings,
  shownValue,
  trainingOnly,
} from "./settings.ts";

export interface AdaLoraConfig {
  /** Triplets of every layer at the start. Default: 12. */
  readonly initR: number;
  /** Triplets of a layer at the end, on average. Default: 8. */
  readonly targetR: number;
  /** The update is scaled by alpha / init_r; not above 0: not at all. Default: 8. */
  readonly alpha: number;
  /** Probability of dropping an element of A's input while training, in [0, 1). Default: 0. */
  readonly dropout: number;
  /** Steps before the first triplet is dropped. Default: 0. */
  readonly tinit: number;
  /** Steps after the last choice of triplets. Default: 0. */
  readonly tfinal: number;
  /** Steps from one choice to the next. Default: 1. */
  readonly deltaT: number;
  /** Of the moving average of the sensitivity, above 0 and below 1. Default: 0.85. */
  readonly beta1: number;
  /** Of that of its uncertainty. Default: 0.85. */
  readonly beta2: number;
  /** Weight of the penalty, at least 0. Default: 0.5. */
  readonly orthRegWeight: number;
  /** Steps of the schedule. Default: null, those of the run. */
  readonly totalStep: number | null;
  /** Triplets that are left, by `LAYER.lora_E`: of an adapter that was pruned. Nothing is dropped any more. Default: null. */
  readonly kept: Readonly<Record<string, readonly boolean[]>> | null;
  /** false: nothing starts at zero, for tests. Default: true. */
  readonly initLoraWeights: boolean;
  /** Form of the penalty. Default: `mean`, PEFT's. */
  readonly orthogonality: (typeof PENALTIES)[number];
}

const PENALTIES = ["mean", "squared"] as const;

/** PEFT adds it to init_r where it divides by it. */
const RANK_EPSILON = 1e-5;
/** Standard deviation of A and B at the start. */
const START = 0.02;
/** Below any square of a norm that is not 0: the derivative of √ at 0 is ∞. */
const TINY = 1e-30;

const E = "lora_E";
const A = "lora_A";
const B = "lora_B";
const FACTORS = [A, B, E] as const;
/** State: 1 for the triplets that are dropped. */
const DROPPED = "dropped";

export const adalora: Method<AdaLoraConfig> = {
  name: "adalora",
  source: "Zhang et al. 2023, arXiv 2303.10512",
  about: "an update in the form of an SVD, whose rank is moved to the layers where it matters while training",
  gated: true,
  settings: {
    initR: integer("init_r", 12, "rank of every layer at the start"),
    targetR: integer("target_r", 8, "rank of a layer at the end, on average"),
    alpha: finite("lora_alpha", 8, "the update is scaled by alpha / init_r"),
    dropout: probability("lora_dropout", 0, "probability of dropping an element of A's input while training"),
    tinit: integer("tinit", 0, "steps before ranks fall", { min: 0 }),
    tfinal: integer("tfinal", 0, "steps at the end with ranks that stay", { min: 0 }),
    deltaT: integer("deltaT", 1, "steps from one choice of ranks to the next"),
    beta1: share("beta1", 0.85, "decay of the average of sensitivities"),
    beta2: share("beta2", 0.85, "decay of the average of their uncertainty"),
    orthRegWeight: finite("orth_reg_weight", 0.5, "weight of the penalty that keeps A and B orthogonal"),
    totalStep: {
      ...optional(integer("total_step", 0, "steps of the schedule; null: those of the run")),
      // PEFT wants a number, which says nothing about an adapter that is there.
      write(value, config) {
        const { tinit = 0, tfinal = 0 } = (config ?? {}) as Partial<AdaLoraConfig>;
        return value ?? unsaid(tinit, tfinal);
      },
    },
    kept: keptSetting(),
    initLoraWeights: {
      ...flag("init_lora_weights", true, "false: nothing starts at zero, for tests"),
      // Names of other starts are LoRA's: PEFT takes them for true.
      read: (value) => (value === false ? false : undefined),
    },
    orthogonality: trainingOnly(
      oneOf("orthogonality", "mean", "form of the penalty; mean: PEFT's; squared: the paper's", PENALTIES),
    ),
  } satisfies Settings<AdaLoraConfig>,

  file: {
    type: "ADALORA",
    // `r` is written and read by nobody.
    also: () => ({
      ...OFF,
      alpha_pattern: {},
      loftq_config: {},
      lora_bias: false,
      r: 8,
      use_rslora: false,
    }),
    ignored: [...WITHOUT_EFFECT, "alpha_pattern", "lora_bias", "r", "use_rslora"],
    refused: [...UNSUPPORTED, "loftq_config"],
    loaded: (config) =>
      config.totalStep === unsaid(config.tinit, config.tfinal) ? { ...config, totalStep: null } : config,
    pack,
  },

  check({ initR, targetR, tinit, tfinal, orthRegWeight, totalStep }) {
    const wrong: string[] = [];
    if (targetR > initR) wrong.push(`target_r is ${targetR}, and init_r ${initR}: ranks fall, they do not grow`);
    if (orthRegWeight < 0) wrong.push(`orth_reg_weight is ${orthRegWeight}, not a number >= 0`);
    if (totalStep !== null) wrong.push(...wrongSchedule({ tinit, tfinal }, totalStep));
    return wrong;
  },

  parameters(layer, config) {
    if (layer.kind === "embedding") {
      throw new ConfigError({
        where: layer.name,
        what: "AdaLoRA on an embedding is not defined",
        hint: "leave this layer out of the targets",
      });
    }
    if (layer.kind === "conv2d" && (layer.options.groups ?? 1) !== 1) {
      throw new ConfigError({
        where: layer.name,
        what: "AdaLoRA on a convolution in groups is not defined",
        got: `${layer.options.groups} groups`,
        hint: "leave this layer out of the targets",
      });
    }
    const kernel = layer.kind === "conv2d" ? layer.kernel : [];
    const r = rankOf(layer, config);
    const [factors, values] = config.initLoraWeights ? [normal(START), zeros] : [normal(1), normal(1)];
    return [
      { name: A, shape: [r, kernel.reduce((a, b) => a * b, layer.inFeatures)], init: factors },
      { name: B, shape: [layer.outFeatures, r], init: factors },
      { name: E, shape: [r, 1], init: values },
    ];
  },

  forward(call) {
    const { config, layer, parameters, gate } = call;
    const r = rankOf(layer, config);
    // Nothing is left of it.
    if (r === 0) return call.previous();
    const { lora_A: a, lora_B: b, lora_E: e } = parameters as Record<(typeof FACTORS)[number], Value>;
    const values = affine(reshape(e, [r]), scaling(config)); // [r]
    if (layer.kind === "conv2d") {
      const open = gate === undefined ? undefined : reshape(gate, [-1, 1, 1, 1]);
      const columns = conv(dropped(call), reshape(a, [r, layer.inFeatures, ...layer.kernel]), layer.options);
      const scaled = mul(columns, reshape(values, [1, r, 1, 1]));
      const opened = open === undefined ? scaled : mul(scaled, open);
      return add(call.previous(), conv(opened, reshape(b, [layer.outFeatures, r, 1, 1])));
    }
    const columns = mul(multiplyRows(dropped(call), a), values); // [rows, r]
    const opened = gate === undefined ? columns : mul(columns, gate);
    return add(call.previous(), multiplyRows(opened, b));
  },

  merged({ layer, config, parameters, weight }) {
    const r = rankOf(layer, config);
    if (r === 0) return weight;
    const { lora_A: a, lora_B: b, lora_E: e } = parameters as Record<(typeof FACTORS)[number], Value>;
    const scaled = affine(mul(a, e), scaling(config)); // [r, in]
    if (layer.kind === "linear" && layer.fanInFanOut === true) {
      return add(weight, matmul(scaled, b, { transA: true, transB: true }));
    }
    return add(weight, reshape(matmul(b, scaled), weight.type.shape));
  },

  isIdle(parameters) {
    return FACTORS.some((name) => {
      const values = parameters[name];
      return values !== undefined && Array.prototype.every.call(values, (value) => value === 0);
    });
  },

  penalty({ graph, config: { orthRegWeight, orthogonality }, targets }) {
    const distances = targets.flatMap(({ layer, config, parameters }) => {
      const { lora_A: a, lora_B: b } = parameters as Record<(typeof FACTORS)[number], Value>;
      const r = rankOf(layer, config);
      if (r === 0) return [];
      return [matmul(a, a, { transB: true }), matmul(b, b, { transA: true })].map((gram) => {
        const off = sub(gram, identity(graph, r));
        const squared = reduceSum(mul(off, off));
        return orthogonality === "squared" ? squared : sqrt(maximum(squared, scalar(graph, TINY)));
      });
    });
    if (distances.length === 0) return scalar(graph, 0);
    // As in PEFT, layers of which nothing is left count.
    const mean = orthogonality === "squared" ? 1 : 1 / (2 * targets.length);
    return affine(distances.reduce(add), orthRegWeight * mean);
  },

  afterStep: {
    states(parameters, config) {
      const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
      const r = shapes.get(E)![0]!;
      if (config.kept !== null || r === 0) return [];
      return [
        ...FACTORS.flatMap((name) =>
          ["exp_avg_ipt", "exp_avg_unc"].map((state) => ({ name: `${state}.${name}`, shape: shapes.get(name)! })),
        ),
        { name: DROPPED, shape: [r] },
      ];
    },
    update: scores,
    host: allocate,
    wrong: wrongRun,
  },
};

/** Moving averages of sensitivity and uncertainty, and the scores of triplets (§3.2, eq. 8 to 10). @returns output: [2, r], of the step before and of this one */
function scores({ config: { beta1, beta2, kept }, parameters, gradients, states }: AfterUpdateCall<AdaLoraConfig>): {
  states: Record<string, Value>;
  output?: Value;
} {
  if (kept !== null || states[DROPPED] === undefined) return { states: {} };
  const next: Record<string, Value> = {};
  const [before, now]: [Value[], Value[]] = [[], []];
  for (const name of FACTORS) {
    const [oldIpt, oldUnc] = [states[`exp_avg_ipt.${name}`]!, states[`exp_avg_unc.${name}`]!];
    const sensitivity = abs(mul(parameters[name]!, gradients[name]!));
    const ipt = add(affine(oldIpt, beta1), affine(sensitivity, 1 - beta1));
    const unc = add(affine(oldUnc, beta2), affine(abs(sub(sensitivity, ipt)), 1 - beta2));
    next[`exp_avg_ipt.${name}`] = ipt;
    next[`exp_avg_unc.${name}`] = unc;
    // Triplets are rows of A and E and columns of B.
    const ofTriplets = (x: Value) => reshape(reduceMean(x, [name === B ? 0 : 1]), [1, -1]); // [1, r]
    before.push(ofTriplets(mul(oldIpt, oldUnc)));
    now.push(ofTriplets(mul(ipt, unc)));
  }
  return { states: next, output: concat([before.reduce(add), now.reduce(add)], 0) };
}

/** Which triplets are dropped after a step: the host's part. */
async function allocate(call: AfterHostCall<AdaLoraConfig>): Promise<void> {
  const { config, step, totalSteps, targets } = call;
  if (config.kept !== null) return;
  const total = config.totalStep ?? totalSteps;
  // PEFT's steps count from 0.
  const t = step - 1;
  const last = total - config.tfinal;
  if (t > last) {
    for (const { target } of targets) await drop(call, target, await call.read(target, DROPPED));
    return;
  }
  const ranks = targets.map(({ target }) => target.states.get(E)!.shape[0]!);
  const budgets = { initial: ranks.reduce((a, b) => a + b, 0), final: config.targetR * targets.length };
  const { budget, chooses } = budgetAt(t, config, total, budgets);
  if (!chooses && t !== last) return;
  // After `last` steps scores are those of the step before: PEFT looks at no more gradients.
  const row = t === last ? 0 : 1;
  const scored = targets.map(({ output }, i) =>
    Array.from(output!.data as Float32Array).slice(row * ranks[i]!, (row + 1) * ranks[i]!),
  );
  for (const [i, chosen] of lowest(scored, budgets.initial - budget).entries()) {
    const { target } = targets[i]!;
    await call.write(target, DROPPED, chosen);
    await drop(call, target, chosen);
  }
}

/** Sets E to 0 where `chosen` is 1. */
async function drop(
  call: AfterHostCall<AdaLoraConfig>,
  target: AdaptedLayer<AdaLoraConfig>,
  chosen: Float32Array,
): Promise<void> {
  if (!chosen.includes(1)) return;
  const values = await call.read(target, E);
  await call.write(
    target,
    E,
    values.map((value, i) => (chosen[i] === 1 ? 0 : value)),
  );
}

/** 1 for the `count` lowest scores of all layers together; of equal ones the last. */
export function lowest(scored: readonly (readonly number[])[], count: number): Float32Array[] {
  const chosen = scored.map((values) => new Float32Array(values.length));
  scored
    .flatMap((values, layer) => values.map((score, i) => ({ layer, i, score })))
    .reverse()
    .sort((a, b) => a.score - b.score)
    .slice(0, Math.max(0, count))
    .forEach(({ layer, i }) => {
      chosen[layer]![i] = 1;
    });
  return chosen;
}

/**
 * Triplets that are left after a step, over all layers, and whether they are chosen anew (§3.3, as in the code).
 * @param t steps before this one
 * @param total T, steps of the schedule
 */
export function budgetAt(
  t: number,
  { tinit, tfinal, deltaT }: Pick<AdaLoraConfig, "tinit" | "tfinal" | "deltaT">,
  total: number,
  { initial, final }: { readonly initial: number; readonly final: number },
): { budget: number; chooses: boolean } {
  if (t <= tinit) return { budget: initial, chooses: false };
  if (t > total - tfinal) return { budget: final, chooses: true };
  const left = 1 - (t - tinit) / (total - tfinal - tinit);
  return { budget: Math.trunc((initial - final) * left ** 3 + final), chooses: t % deltaT === 0 };
}

function wrongSchedule({ tinit, tfinal }: Pick<AdaLoraConfig, "tinit" | "tfinal">, total: number): string[] {
  if (total > 0 && tinit < total - tfinal) return [];
  return [
    `tinit ${tinit} and tfinal ${tfinal} leave none of ${total} steps in which ranks could fall: tinit must be below total_step - tfinal`,
  ];
}

function wrongRun({ tinit, tfinal, totalStep, kept }: AdaLoraConfig, totalSteps: number): string[] {
  return kept !== null || totalStep !== null ? [] : wrongSchedule({ tinit, tfinal }, totalSteps);
}

/** What stands in the file for a number of steps that nobody has said: the smallest that PEFT takes. */
function unsaid(tinit: number, tfinal: number): number {
  return tinit + tfinal + 1;
}

/** s */
function scaling({ alpha, initR }: AdaLoraConfig): number {
  return (alpha > 0 ? alpha : initR) / (initR + RANK_EPSILON);
}

/** Triplets that a layer has. */
function rankOf({ name }: Layer, { initR, kept }: AdaLoraConfig): number {
  return kept?.[`${name}.${E}`]?.filter(Boolean).length ?? initR;
}

function identity(graph: Graph, r: number): Value {
  return constant(
    graph,
    "float32",
    [r, r],
    Array.from({ length: r * r }, (_, i) => (i % (r + 1) === 0 ? 1 : 0)),
  );
}

/** Without the triplets that are dropped. */
async function pack(call: PackCall<AdaLoraConfig>): Promise<PackedAdapter> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const pattern: Record<string, readonly boolean[]> = {};
  for (const target of call.targets) {
    const { layer, states } = target;
    const out = (await call.readAfter(target, DROPPED)) ?? new Float32Array(states.get(E)!.shape[0]!);
    const left = [...out.keys()].filter((i) => out[i] !== 1);
    pattern[`${layer.name}.${E}`] = Array.from(out, (value) => value !== 1);
    for (const name of FACTORS) {
      const { name: state, shape } = states.get(name)!;
      const [rows, columns] = shape as [number, number];
      const data = (await call.read(state))!;
      tensors.set(
        call.key(layer.name, name),
        name === B
          ? {
              shape: [rows, left.length],
              data: Float32Array.from({ length: rows * left.length }, (_, i) => {
                return data[Math.floor(i / left.length) * columns + left[i % left.length]!]!;
              }),
            }
          : {
              shape: [left.length, columns],
              data: Float32Array.from(left.flatMap((i) => [...data.subarray(i * columns, (i + 1) * columns)])),
            },
      );
    }
  }
  const isPruned = Object.values(pattern).some((left) => left.includes(false));
  return { tensors, ...(isPruned ? { settings: { rank_pattern: pattern } } : {}) };
}

function share(wire: string, byDefault: number, about: string): Setting<number> {
  const is = (value: unknown) => typeof value === "number" && value > 0 && value < 1;
  return {
    wire,
    default: byDefault,
    about,
    problems: (name, value) => (is(value) ? [] : [`${name} is ${shownValue(value)}, not a number above 0 and below 1`]),
  };
}

/** PEFT's `rank_pattern`: true for each triplet of a layer that is left. */
function keptSetting(): Setting<AdaLoraConfig["kept"]> {
  const isPattern = (value: unknown) =>
    Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "boolean");
  return {
    wire: "rank_pattern",
    default: null,
    about: "triplets that are left on each layer, of an adapter that was pruned",
    problems(name, value) {
      if (value === null) return [];
      if (typeof value !== "object" || Array.isArray(value)) return [`${name} is ${shownValue(value)}, not an object`];
      return Object.entries(value).flatMap(([layer, pattern]) =>
        isPattern(pattern) ? [] : [`${name} "${layer}" is ${shownValue(pattern)}, not a list of true and false`],
      );
    },
    // LoRA's, of the same name, is empty where it says nothing.
    read: (value) =>
      typeof value === "object" && value !== null && Object.keys(value).length === 0
        ? undefined
        : (value as AdaLoraConfig["kept"]),
  };
}
