/**
 * LoRA: h = W x + s·B(A x), with W frozen, A [r, in], B [out, r] and s = alpha / r.
 *
 * Source: Hu et al. 2021, arXiv 2106.09685, §4.1; A starts random and B at zero, so that training starts from the base.
 * Its "random Gaussian" is PEFT's `gaussian`; the default is Kaiming-uniform, as in the authors' code and in PEFT.
 * rsLoRA (Kalajdzievski 2023, arXiv 2312.03732): s = alpha / √r.
 *
 * Two forms compute the same: *activation* W x + s·B(A x), and *weight* (W + s·B A) x. The first never makes a matrix of
 * W's size; the second takes fewer operations when there are more rows than in·out / (in + out) (RunLoRA, arXiv
 * 2312.03415, Table 1: fwd1 against fwd2). The order of the products in the gradients is chosen by cost in
 * ir/passes/reassociate.ts.
 *
 * On a convolution, A is a convolution to r channels with the layer's own kernel and stride, B a 1×1 one, as in PEFT.
 */
import { ConfigError, listed } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { cast } from "../ir/ops/cast.ts";
import { conv } from "../ir/ops/conv.ts";
import { scalar } from "../ir/ops/constant.ts";
import { less } from "../ir/ops/less.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { randomUniform } from "../ir/ops/random-uniform.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { elementCount, sizeOf } from "../ir/shape.ts";
import { type Init, kaimingUniform, normal, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer } from "../nn/module.ts";
import type { AdapterCall, MergeCall, Method, MethodConfig } from "./method.ts";

/**
 * How A starts: `kaiming` U(-1/√in, 1/√in), PEFT's default; `gaussian` N(0, 1/r²), as PEFT's; `standard-normal` N(0, 1),
 * as in the CIFAR-10 demonstration. B starts at zero.
 */
export type LoraInit = (typeof INITS)[number];

const INITS = ["kaiming", "gaussian", "standard-normal"] as const;

/** `auto` takes the form with the fewest operations for the typical number of rows. */
export type LoraForm = (typeof FORMS)[number];

const FORMS = ["activation", "weight", "auto"] as const;

export interface LoraConfig extends MethodConfig {
  /** Rank. Default: 8. */
  readonly r: number;
  /** Default: 8, as in PEFT. */
  readonly alpha: number;
  /** Probability of dropping an element of A's input while training, in [0, 1). Default: 0. Activation form only. */
  readonly dropout: number;
  /** Scale by alpha / √r instead of alpha / r. Default: false. */
  readonly useRslora: boolean;
  /** Default: `kaiming`. */
  readonly init: LoraInit;
  /** Default: `activation`. Where another adapter comes first on a layer, `activation` whatever this says. */
  readonly form: LoraForm;
}

export const lora: Method<LoraConfig> = {
  name: "lora",
  source: "Hu et al. 2021, arXiv 2106.09685",

  configure(options) {
    const config: LoraConfig = {
      r: 8,
      alpha: 8,
      dropout: 0,
      useRslora: false,
      init: "kaiming",
      form: "activation",
      ...options,
    };
    const { r, alpha, dropout, useRslora, init, form } = config;
    const wrong: string[] = [];
    const check = (holds: boolean, name: string, got: unknown, expected: string) => {
      if (!holds) wrong.push(`${name} is ${typeof got === "string" ? `"${got}"` : String(got)}, not ${expected}`);
    };
    check(Number.isInteger(r) && r >= 1, "r", r, "an integer >= 1");
    check(Number.isFinite(alpha), "alpha", alpha, "a finite number");
    check(dropout >= 0 && dropout < 1, "dropout", dropout, "a probability, 0 <= p < 1");
    check(typeof useRslora === "boolean", "useRslora", useRslora, "true or false");
    check(INITS.includes(init), "init", init, `one of ${INITS.join(", ")}`);
    check(FORMS.includes(form), "form", form, `one of ${FORMS.join(", ")}`);
    if (dropout > 0 && form === "weight") {
      wrong.push(`form is "weight" with dropout ${dropout}: it has no input of A to drop elements of`);
    }
    if (wrong.length > 0) throw new ConfigError({ where: "lora", what: listed(wrong) });
    return config;
  },

  parameters(layer, { r, init }) {
    const kernel = layer.kind === "conv2d" ? layer.kernel : [];
    if (layer.kind === "conv2d" && (layer.options.groups ?? 1) !== 1) {
      throw new ConfigError({
        where: layer.name,
        what: "LoRA on a convolution in groups is not defined",
        got: `${layer.options.groups} groups`,
        hint: "leave this layer out of the targets",
      });
    }
    const fanIn = layer.inFeatures * kernel.reduce((a, b) => a * b, 1);
    const unit = kernel.map(() => 1);
    return [
      { name: "lora_A.weight", shape: [r, layer.inFeatures, ...kernel], init: initialA(init, r, fanIn) },
      { name: "lora_B.weight", shape: [layer.outFeatures, r, ...unit], init: zeros },
    ];
  },

  forward(call) {
    const { config, layer, x } = call;
    const [A, B] = matrices(call.parameters);
    const s = scaling(config);
    if (chooseForm(call) === "weight") return call.apply(x, add(call.weight(), scaled(product(layer, B, A), s)));
    const input = dropped(call);
    const Ax = layer.kind === "linear" ? multiplyRows(input, A) : conv(input, A, layer.options);
    const BAx = layer.kind === "linear" ? multiplyRows(Ax, B) : conv(Ax, B);
    return add(call.previous(), scaled(BAx, s));
  },

  merged: ({ layer, config, parameters, weight }: MergeCall<LoraConfig>) => {
    const [A, B] = matrices(parameters);
    return add(weight, scaled(product(layer, B, A), scaling(config)));
  },
};

/** Number of trained elements on linear layers: Σ r (in + out) (Hu et al. 2021, §5.1). */
export function loraElements(
  layers: readonly { readonly inFeatures: number; readonly outFeatures: number }[],
  r: number,
): number {
  return layers.reduce((sum, { inFeatures, outFeatures }) => sum + r * (inFeatures + outFeatures), 0);
}

/** s = alpha / r, or alpha / √r. */
export function scaling({ r, alpha, useRslora }: Pick<LoraConfig, "r" | "alpha" | "useRslora">): number {
  return alpha / (useRslora ? Math.sqrt(r) : r);
}

function initialA(init: LoraInit, r: number, fanIn: number): Init {
  switch (init) {
    case "kaiming":
      return kaimingUniform(fanIn);
    case "gaussian":
      return normal(1 / r);
    case "standard-normal":
      return normal(1);
  }
}

function matrices(parameters: Readonly<Record<string, Value>>): [Value, Value] {
  return [parameters["lora_A.weight"]!, parameters["lora_B.weight"]!];
}

/** B A, in the shape of the layer's weight. */
function product(layer: Layer, B: Value, A: Value): Value {
  if (layer.kind === "linear") return matmul(B, A);
  const r = A.type.shape[0]!;
  const flat = matmul(reshape(B, [layer.outFeatures, r]), reshape(A, [r, -1]));
  return reshape(flat, [layer.outFeatures, ...A.type.shape.slice(1)]);
}

function scaled(x: Value, s: number): Value {
  return s === 1 ? x : mul(x, scalar(x.graph, s));
}

/** x with elements set to 0 with probability p and the rest divided by 1 - p; x itself when not training. */
function dropped({ x, config: { dropout: p }, random }: AdapterCall<LoraConfig>): Value {
  if (p === 0 || random === undefined) return x;
  const u = randomUniform(random.seed, { stream: random.stream, shape: x.type.shape });
  const keep = cast(less(u, scalar(x.graph, 1 - p)), x.type.dtype);
  return mul(x, mul(keep, scalar(x.graph, 1 / (1 - p))));
}

function chooseForm({ config, layer, x, tracing, random, first }: AdapterCall<LoraConfig>): "activation" | "weight" {
  // The weight form starts from the base's weight, and would lose what other adapters have added to the output.
  if (!first) return "activation";
  if (config.form !== "auto") return config.form;
  if (layer.kind !== "linear" || (config.dropout > 0 && random !== undefined)) return "activation";
  const rows = elementCount(x.type.shape.slice(0, -1));
  let b: number;
  try {
    b = sizeOf(rows, tracing.typicalSizes);
  } catch {
    return "activation";
  }
  return cheaperForm(b, layer.inFeatures, layer.outFeatures);
}

/** fwd1 takes 2bio + 2br(i + o) operations, fwd2 takes 2bio + 2iro: whatever r, the second is less iff b > io / (i + o). */
export function cheaperForm(b: number, i: number, o: number): "activation" | "weight" {
  return b * (i + o) > i * o ? "weight" : "activation";
}
