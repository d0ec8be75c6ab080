/**
 * O-LoRA: one task after the other, each with a pair of factors of its own, W x + s·Σᵢ Bᵢ Aᵢ x. Those of earlier tasks are
 * frozen, and stay in the forward pass; a penalty keeps the rows of the new A orthogonal to theirs, so that what is learnt
 * does not overwrite what was. Source: Wang et al. 2023, arXiv 2310.14152, §3.2.
 *
 * The penalty is λ₁ Σ_{i<t} Σ_{jk} O[j, k]² with O = A_i A_tᵀ (eq. 7 and 8; there A has a direction in each column); the
 * authors' code has |O[j, k]| in its place: `overlap: "absolute"`. Rows of A are not normalised. λ₂ weighs ‖A_t‖ + ‖B_t‖,
 * as in the code.
 *
 * In a file the factors of all tasks stand one after the other, A by rows and B by columns: a plain LoRA of rank Σ rᵢ with the
 * same s, exactly. `o_lora_tasks` says which are whose. An adapter that was read from a file computes the same, and is what the next
 * task starts from; where it holds several tasks, it is not trained itself.
 */
import { ConfigError, listed } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { abs } from "../ir/ops/abs.ts";
import { add } from "../ir/ops/add.ts";
import { affine } from "../ir/ops/affine.ts";
import { concat } from "../ir/ops/concat.ts";
import { scalar } from "../ir/ops/constant.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { maximum } from "../ir/ops/maximum.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { sqrt } from "../ir/ops/sqrt.ts";
import { kaimingUniform, uniform, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Adapter } from "./adapter.ts";
import type { LoraConfig } from "./lora.ts";
import { OFF, UNSUPPORTED, WITHOUT_EFFECT } from "./lora-file.ts";
import { dropped, scaling } from "./low-rank.ts";
import type { FollowCall, Method, PackCall, PackedAdapter, RankConfig } from "./method.ts";
import {
  finite,
  flag,
  integer,
  oneOf,
  probability,
  type Setting,
  type Settings,
  shownValue,
  trainingOnly,
} from "./settings.ts";

export interface OLoraConfig extends Pick<RankConfig, "r" | "alpha"> {
  /** Rank of the task that is trained. Default: 8. */
  readonly r: number;
  /** Default: 8. */
  readonly alpha: number;
  /** Probability of dropping an element of the input of all A while training, in [0, 1). Default: 0. */
  readonly dropout: number;
  /** Scale by alpha / √r instead of alpha / r. Default: false. */
  readonly useRslora: boolean;
  /** false: nothing starts at zero, for tests. Default: true. */
  readonly init: boolean;
  /** Ranks of the tasks before this one, whose factors are frozen. Default: none. */
  readonly earlier: readonly number[];
  /** Of an adapter from a file: ranks of the tasks whose factors it has, adding up to r. Default: one task. */
  readonly tasks: readonly number[];
  /** λ₁, weight of the overlap with earlier tasks. Default: 0.5. */
  readonly lambda1: number;
  /** λ₂, weight of the norms of the new factors. Default: 0. */
  readonly lambda2: number;
  /** Default: `squared`, the paper's. */
  readonly overlap: (typeof OVERLAPS)[number];
}

const OVERLAPS = ["squared", "absolute"] as const;

const A = "lora_A.weight";
const B = "lora_B.weight";
const EARLIER_A = "earlier_A.weight";
const EARLIER_B = "earlier_B.weight";
/** Below any square of a norm that is not 0: the derivative of √ at 0 is ∞, and B starts there. */
const TINY = 1e-30;

export const oLora: Method<OLoraConfig> = {
  name: "o-lora",
  source: "Wang et al. 2023, arXiv 2310.14152",
  about: "LoRA for one task after another: a new pair of factors each, orthogonal to those before, which are frozen",
  gated: true,
  settings: {
    r: integer("r", 8, "rank of the task that is trained"),
    alpha: finite("lora_alpha", 8, "the update is scaled by alpha / r"),
    dropout: probability("lora_dropout", 0, "probability of dropping an element of A's input while training"),
    useRslora: flag("use_rslora", false, "scale by alpha / √r"),
    init: flag("init_lora_weights", true, "false: nothing starts at zero, for tests"),
    earlier: ranks(undefined, "ranks of the tasks before, which are frozen"),
    tasks: ranks("o_lora_tasks", "ranks of the tasks whose factors a file has, one after the other"),
    lambda1: trainingOnly(finite("lambda_1", 0.5, "weight of the overlap with earlier tasks")),
    lambda2: trainingOnly(finite("lambda_2", 0, "weight of the norms of the new factors")),
    overlap: trainingOnly(
      oneOf("overlap", "squared", "squared: the paper's penalty; absolute: that of its code", OVERLAPS),
    ),
  } satisfies Settings<OLoraConfig>,

  file: {
    type: "LORA",
    claims: (get) => (get("o_lora_tasks") ?? null) !== null,
    also: () => ({ ...OFF, alpha_pattern: {}, lora_bias: false, loftq_config: {}, rank_pattern: {} }),
    ignored: WITHOUT_EFFECT,
    refused: [...UNSUPPORTED, "alpha_pattern", "lora_bias", "loftq_config", "rank_pattern"],
    pack,
  },

  check({ r, tasks, lambda1, lambda2 }) {
    const sum = tasks.reduce((a, b) => a + b, 0);
    return [
      ...(tasks.length > 0 && sum !== r ? [`o_lora_tasks are ${tasks.join(" + ")}, and r is ${r}`] : []),
      ...(lambda1 < 0 ? [`lambda_1 is ${lambda1}, not a number >= 0`] : []),
      ...(lambda2 < 0 ? [`lambda_2 is ${lambda2}, not a number >= 0`] : []),
    ];
  },

  parameters(layer, { r, init, earlier, tasks }) {
    if (layer.kind !== "linear") {
      throw new ConfigError({
        where: layer.name,
        what: "O-LoRA is for linear layers only",
        got: layer.kind === "conv2d" ? `a convolution with ${layer.options.groups ?? 1} groups` : "an embedding",
        hint: "leave this layer out of the targets",
      });
    }
    const { inFeatures, outFeatures } = layer;
    const before = earlier.reduce((a, b) => a + b, 0);
    const own = tasks.length > 1 ? ({ frozen: true } as const) : {};
    return [
      { name: A, shape: [r, inFeatures], init: kaimingUniform(inFeatures), ...own },
      { name: B, shape: [outFeatures, r], init: init ? zeros : uniform(1 / Math.sqrt(r)), ...own },
      ...(before === 0
        ? []
        : [
            { name: EARLIER_A, shape: [before, inFeatures], init: zeros, frozen: true as const },
            { name: EARLIER_B, shape: [outFeatures, before], init: zeros, frozen: true as const },
          ]),
    ];
  },

  forward(call) {
    const { config, gate } = call;
    const [a, b] = joined(call.parameters);
    const columns = multiplyRows(dropped(call), a); // [rows, Σ r]
    const opened = gate === undefined ? columns : mul(columns, gate);
    return add(call.previous(), affine(multiplyRows(opened, b), scaleOf(config)));
  },

  merged({ layer, config, parameters, weight }) {
    const [a, b] = joined(parameters);
    const transposed = layer.kind === "linear" && layer.fanInFanOut === true;
    const update = transposed ? matmul(a, b, { transA: true, transB: true }) : matmul(b, a);
    return add(weight, affine(update, scaleOf(config)));
  },

  isIdle(parameters) {
    const isZero = (name: string) => {
      const values = parameters[name];
      return values === undefined || Array.prototype.every.call(values, (value) => value === 0);
    };
    return (isZero(A) || isZero(B)) && (isZero(EARLIER_A) || isZero(EARLIER_B));
  },

  penalty({ graph, config: { lambda1, lambda2, overlap }, targets }) {
    const terms = targets.flatMap(({ parameters }) => {
      const { [A]: a, [B]: b, [EARLIER_A]: earlier } = parameters;
      const overlaps = () => {
        const products = multiplyRows(earlier!, a!); // [R, r]
        return reduceSum(overlap === "squared" ? mul(products, products) : abs(products));
      };
      return [
        ...(earlier === undefined || lambda1 === 0 ? [] : [affine(overlaps(), lambda1)]),
        ...(lambda2 === 0 ? [] : [a!, b!].map((x) => affine(norm(x), lambda2))),
      ];
    });
    return terms.length === 0 ? scalar(graph, 0) : terms.reduce(add);
  },

  follow: {
    config(previous, config) {
      return { ...config, earlier: tasksOf(previous), tasks: [] };
    },
    values: carried,
  },
};

function scaleOf({ r, alpha, useRslora }: OLoraConfig): number {
  return scaling({ r, alpha, useRslora });
}

/** Factors of all tasks: A [Σ r, in], B [out, Σ r]. */
function joined(parameters: Readonly<Record<string, Value>>): [Value, Value] {
  const { [A]: a, [B]: b, [EARLIER_A]: earlierA, [EARLIER_B]: earlierB } = parameters;
  if (earlierA === undefined || earlierB === undefined) return [a!, b!];
  return [concat([earlierA, a!], 0), concat([earlierB, b!], 1)];
}

function norm(x: Value): Value {
  return sqrt(maximum(reduceSum(mul(x, x)), scalar(x.graph, TINY)));
}

/** Ranks of the tasks that an adapter has. @throws ConfigError if it cannot become a part of the next one */
function tasksOf({ name, method, config, targets, copies }: Adapter): number[] {
  const known = new Set([A, B, EARLIER_A, EARLIER_B]);
  const { r, earlier = [], tasks = [] } = config as Partial<OLoraConfig>;
  const problems = targets.flatMap(({ layer, states, config: own }) => [
    ...[...states.keys()].flatMap((key) => (known.has(key) ? [] : [`${layer.name} has ${key}`])),
    ...(!states.has(A) || !states.has(B) ? [`${layer.name} has no pair of factors`] : []),
    ...((own as Partial<OLoraConfig>).r === r ? [] : [`${layer.name} has a rank of its own`]),
  ]);
  if (copies.size > 0) problems.push("it has copies of the base's parameters (modules_to_save, bias)");
  if (problems.length > 0) {
    throw new ConfigError({
      where: "o-lora",
      what: `the adapter "${name}" (${method.name}) cannot be the one before: ${listed(problems)}`,
      expected: "a LoRA on linear layers with one rank, and nothing else",
    });
  }
  return tasks.length > 0 ? [...tasks] : [...earlier, r!];
}

/** Factors of the tasks before, with their scale in B: s B' = s' B. */
async function carried(call: FollowCall<OLoraConfig>): Promise<Record<string, Float32Array>> {
  const { target, previous } = call;
  const config = previous.config as LoraConfig;
  const ratio = scaling(config) / scaleOf(target.config);
  const { outFeatures } = target.layer;
  const read = (names: readonly string[]) =>
    Promise.all(names.filter((name) => previous.states.has(name)).map((name) => call.read(name)));
  const joinedB = columnsOf(await read([EARLIER_B, B]), outFeatures);
  return {
    [EARLIER_A]: rowsOf(await read([EARLIER_A, A])),
    [EARLIER_B]: ratio === 1 ? joinedB : joinedB.map((value) => value * ratio),
  };
}

/** Matrices one below the other. */
function rowsOf(matrices: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(matrices.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const matrix of matrices) {
    all.set(matrix, at);
    at += matrix.length;
  }
  return all;
}

/** Matrices side by side. */
function columnsOf(matrices: readonly Float32Array[], rows: number): Float32Array {
  const widths = matrices.map(({ length }) => length / rows);
  const total = widths.reduce((a, b) => a + b, 0);
  const all = new Float32Array(rows * total);
  for (let row = 0, at = 0; row < rows; row++) {
    for (const [i, matrix] of matrices.entries()) {
      all.set(matrix.subarray(row * widths[i]!, (row + 1) * widths[i]!), at);
      at += widths[i]!;
    }
  }
  return all;
}

/** All tasks in one pair. */
async function pack(call: PackCall<OLoraConfig>): Promise<PackedAdapter> {
  const { config, targets } = call;
  const { earlier, r, tasks } = config;
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const { layer, states } of targets) {
    const { inFeatures, outFeatures } = layer;
    const read = (names: readonly string[]) =>
      Promise.all(
        names.filter((name) => states.has(name)).map(async (name) => (await call.read(states.get(name)!.name))!),
      );
    const a = rowsOf(await read([EARLIER_A, A]));
    const b = columnsOf(await read([EARLIER_B, B]), outFeatures);
    tensors.set(call.key(layer.name, A), { shape: [a.length / inFeatures, inFeatures], data: a });
    tensors.set(call.key(layer.name, B), { shape: [outFeatures, b.length / outFeatures], data: b });
  }
  if (earlier.length === 0) return { tensors, settings: { o_lora_tasks: tasks } };
  const all = [...earlier, r];
  const total = all.reduce((x, y) => x + y, 0);
  return {
    tensors,
    settings: { r: total, lora_alpha: scaleOf(config) * total, use_rslora: false, o_lora_tasks: all },
  };
}

function ranks(wire: string | undefined, about: string): Setting<readonly number[]> {
  const is = (value: unknown) => Array.isArray(value) && value.every((r) => Number.isInteger(r) && r >= 1);
  return {
    ...(wire === undefined ? {} : { wire }),
    default: [],
    about,
    problems: (name, value) => (is(value) ? [] : [`${name} is ${shownValue(value)}, not a list of ranks`]),
  };
}
