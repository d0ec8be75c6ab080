/**
 * LoKr: ΔW = s·w1 ⊗ w2, a Kronecker product of w1 [a, c] and w2 [b, d] with a·b = out and c·d = in; s = alpha / r. w2 is
 * w2_a w2_b of rank r where that is smaller, and with `decompose_both` w1 as well.
 *
 * Source: Yeh et al. 2023, "LyCORIS", arXiv 2309.14859, §3.3; Edalati et al. 2022, "KronA", arXiv 2212.10650. Sizes,
 * conditions and starts are PEFT's: w1 (or w1_a) starts at zero, the others Kaiming-uniform.
 *
 * On linear layers ΔW is never made: x [rows, c·d] is taken as c rows of d numbers, and multiplied by w2 along d and by w1
 * along c, whichever first takes fewer operations. A convolution's w2 is [b, d, kh, kw], and its ΔW is made, and made again
 * for the backward pass.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { kaimingUniform, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer, ParameterSpec } from "../nn/module.ts";
import {
  adaptable,
  addUpdate,
  alongOutputs,
  alongRows,
  applyUpdate,
  checkPatterns,
  cpProduct,
  droppedOutputs,
  isEffective,
  LYCORIS_LACKS,
  LYCORIS_SETTINGS,
  type LycorisConfig,
  scaled,
  shaped,
  weightShape,
} from "./lycoris.ts";
import type { AdapterCall, Method } from "./method.ts";
import { flag, integer, oneOf } from "./settings.ts";

/**
 * What starts at zero: `zero-w1`, PEFT's default; `lycoris` w2 (or w2_b), as in that library; `random` nothing: PEFT's
 * `init_weights: false`, for tests.
 */
export type LokrInit = (typeof INITS)[number];

const INITS = ["zero-w1", "lycoris", "random"] as const;

export interface LokrConfig extends LycorisConfig {
  /** w1 is a product of rank r too, where that is smaller. Default: false. */
  readonly decomposeBoth: boolean;
  /** Size of w1 that is aimed at; -1: the square root of the weight's. Default: -1. */
  readonly decomposeFactor: number;
  /** Outputs that `rank_dropout` leaves are divided by the part of them that is left. Default: false. */
  readonly rankDropoutScale: boolean;
  /** Default: `zero-w1`. */
  readonly init: LokrInit;
}

export const lokr: Method<LokrConfig> = {
  name: "lokr",
  source: "Yeh et al. 2023, arXiv 2309.14859",
  about: "adds a Kronecker product of two small matrices to each weight",
  settings: {
    ...LYCORIS_SETTINGS,
    decomposeBoth: flag("decompose_both", false, "the left matrix is a product of rank r too"),
    decomposeFactor: integer("decompose_factor", -1, "size of the left matrix; -1: near the square root", { min: -1 }),
    rankDropoutScale: flag("rank_dropout_scale", false, "what rank_dropout leaves is scaled up"),
    init: {
      ...oneOf(undefined, "zero-w1", "what starts at zero", INITS),
      wire: "init_weights",
      read: (value) => (value === false ? "random" : value === "lycoris" ? value : "zero-w1"),
      write: (init) => (init === "lycoris" ? init : init === "zero-w1"),
    },
  },
  file: { type: "LOKR", lacks: LYCORIS_LACKS },
  gated: true,
  check: checkPatterns,

  parameters(layer, config) {
    const { r, init, decomposeBoth } = config;
    const { a, b, c, d, kernel } = sizes(layer, config);
    const start = (name: string, shape: readonly number[], isZero: boolean): ParameterSpec => {
      const fanIn = shape.slice(1).reduce((p, q) => p * q, 1);
      return { name, shape, init: isZero ? zeros : kaimingUniform(fanIn) };
    };
    const isWhole = (sides: readonly number[]) => r >= Math.max(...sides) / 2;
    const isZeroed = init === "zero-w1";
    const left =
      decomposeBoth && !isWhole([a, c])
        ? [start("lokr_w1_a", [a, r], isZeroed), start("lokr_w1_b", [r, c], false)]
        : [start("lokr_w1", [a, c], isZeroed)];
    const isLast = init === "lycoris";
    if (isWhole([b, d])) return [...left, start("lokr_w2", [b, d, ...kernel], isLast)];
    if (isEffective(layer, config)) {
      const t = start("lokr_t2", [r, r, ...kernel], false);
      return [...left, t, start("lokr_w2_a", [r, b], false), start("lokr_w2_b", [r, d], isLast)];
    }
    const columns = kernel.reduce((p, q) => p * q, d);
    return [...left, start("lokr_w2_a", [b, r], false), start("lokr_w2_b", [r, columns], isLast)];
  },

  forward(call) {
    const drop = droppedOutputs(call, call.config.rankDropoutScale);
    if (call.layer.kind === "linear") {
      const y = product(call);
      return addUpdate(call, drop === undefined ? y : mul(y, alongOutputs(call, drop)));
    }
    const { layer, config, parameters, tracing } = call;
    const delta = () => {
      const made = update(layer, config, parameters);
      return drop === undefined ? made : mul(made, alongRows(made, drop));
    };
    return addUpdate(
      call,
      tracing.graph.cheap(() => applyUpdate(call, delta())),
    );
  },

  merged: ({ layer, config, parameters, weight }) => add(weight, update(layer, config, parameters)),

  isIdle(parameters) {
    const isZero = (values: ArrayLike<number>) => Array.prototype.every.call(values, (value) => value === 0);
    return Object.values(parameters).some(isZero);
  },
};

/**
 * Two factors m·n of a size. @param factor m itself if it divides the size; otherwise m <= n with m at most this, and as
 * near the square root as can be; -1: no limit
 */
export function factorization(size: number, factor: number): readonly [number, number] {
  if (factor > 0 && size % factor === 0) return [factor, size / factor];
  const limit = factor === -1 ? size : factor;
  const below = (n: number) => Math.min(limit, Math.floor(Math.sqrt(n)));
  for (let m = below(size); m > 1; m--) if (size % m === 0) return [m, size / m];
  return [1, size];
}

/** w1 is [a, c] and w2 [b, d, ...kernel]. */
function sizes(layer: Layer, { decomposeFactor }: LokrConfig) {
  const [out, inputs, ...kernel] = weightShape(adaptable(layer, "LoKr"));
  const [a, b] = factorization(out!, decomposeFactor);
  const [c, d] = factorization(inputs!, decomposeFactor);
  return { a, b, c, d, kernel };
}

/** s·w1, [a, c]: the scale goes where there is least to multiply. */
function leftOf({ r, alpha }: LokrConfig, parameters: Readonly<Record<string, Value>>): Value {
  const whole = parameters["lokr_w1"] ?? matmul(parameters["lokr_w1_a"]!, parameters["lokr_w1_b"]!);
  return scaled(whole, alpha / r);
}

/** x (s·w1 ⊗ w2)ᵀ: [rows, c·d] -> [rows, a·b]. */
function product({ layer, config, parameters, x }: AdapterCall<LokrConfig>): Value {
  const { a, b, c, d } = sizes(layer, config);
  const w1 = leftOf(config, parameters);
  const [w2, w2a, w2b] = ["lokr_w2", "lokr_w2_a", "lokr_w2_b"].map((name) => parameters[name]);
  // The order of the products with the two factors of w2 is a matter of ir/passes/reassociate.ts.
  const byRight = (rows: Value) =>
    w2 === undefined ? multiplyRows(multiplyRows(rows, w2b!), w2a!) : multiplyRows(rows, w2);
  const turned = (blocks: Value, rows: number, columns: number) =>
    transpose(reshape(blocks, [-1, rows, columns]), [0, 2, 1]);
  if (c * b * (d + a) <= a * d * (c + b)) {
    const right = byRight(reshape(x, [-1, d])); // [rows·c, b]
    const left = multiplyRows(reshape(turned(right, c, b), [-1, c]), w1); // [rows·b, a]
    return reshape(turned(left, b, a), [-1, a * b]);
  }
  const left = multiplyRows(reshape(turned(x, c, d), [-1, c]), w1); // [rows·d, a]
  return reshape(byRight(reshape(turned(left, d, a), [-1, d])), [-1, a * b]);
}

/** ΔW, in the shape of the layer's weight. */
function update(layer: Layer, config: LokrConfig, parameters: Readonly<Record<string, Value>>): Value {
  const { a, b, c, d, kernel } = sizes(layer, config);
  const { lokr_w2: w2, lokr_w2_a: w2a, lokr_w2_b: w2b, lokr_t2: t2 } = parameters;
  const right = w2 ?? (t2 === undefined ? matmul(w2a!, w2b!) : cpProduct(t2, w2a!, w2b!));
  const cells = kernel.reduce((p, q) => p * q, 1);
  const blocks = mul(shaped(leftOf(config, parameters), [a, 1, c, 1, 1]), shaped(right, [1, b, 1, d, cells]));
  return shaped(blocks, [a * b, c * d, ...kernel]);
}
