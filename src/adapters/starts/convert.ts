/**
 * What a start took from the base, put into the file: s·(B A − B₀ A₀) is the update of a plain LoRA of twice the rank,
 * A' = [A; A₀], B' = [B, −B₀], whose scale stays the same when alpha doubles (with rsLoRA: times √2). It works on the base as it
 * is. After PEFT's `subtract_mutated_init`, which gets alpha patterns with rsLoRA wrong and leaves out what is not a linear
 * layer's: embeddings, copies.
 */
import type { LoraConfig } from "../lora.ts";
import type { AdaptedLayer } from "../adapter.ts";
import type { PackCall, PackedAdapter } from "../method.ts";

type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** @returns undefined if no layer's start took anything */
export async function convertStarts<C extends LoraConfig>(call: PackCall<C>): Promise<PackedAdapter | undefined> {
  const { config, targets } = call;
  if (!targets.some(({ states }) => states.has("initial_A.weight"))) return undefined;
  const tensors: Tensors = new Map();
  for (const target of targets) {
    for (const [parameter, spec] of target.states) {
      if (spec.derived === true) continue;
      const data = (await call.read(spec.name))!;
      const name = call.key(target.layer.name, parameter);
      const doubled = await doubledFactor(call, target, parameter, spec.shape, data);
      tensors.set(name, doubled ?? { shape: spec.shape, data });
    }
  }
  const factor = config.useRslora ? Math.SQRT2 : 2;
  return {
    tensors,
    settings: {
      init_lora_weights: true,
      r: 2 * config.r,
      lora_alpha: factor * config.alpha,
      rank_pattern: times(config.rankPattern, 2),
      alpha_pattern: times(config.alphaPattern, factor),
    },
  };
}

function times(pattern: Readonly<Record<string, number>>, factor: number): Record<string, number> {
  return Object.fromEntries(Object.entries(pattern).map(([name, value]) => [name, factor * value]));
}

/** A with A₀ below it, B with −B₀ beside it, or zeros where nothing was taken; undefined for other parameters. */
async function doubledFactor<C extends LoraConfig>(
  call: PackCall<C>,
  { states }: AdaptedLayer<C>,
  parameter: string,
  shape: readonly number[],
  data: Float32Array,
): Promise<{ readonly shape: readonly number[]; readonly data: Float32Array } | undefined> {
  const isA = parameter === "lora_A.weight" || parameter === "lora_embedding_A";
  if (!isA && parameter !== "lora_B.weight" && parameter !== "lora_embedding_B") return undefined;
  const initial = states.get(isA ? "initial_A.weight" : "initial_B.weight");
  const taken = initial === undefined ? new Float32Array(data.length) : (await call.read(initial.name))!;
  const both = new Float32Array(2 * data.length);
  if (isA) {
    both.set(data);
    both.set(taken, data.length);
    return { shape: [2 * shape[0]!, ...shape.slice(1)], data: both };
  }
  const [out, r] = shape as [number, number];
  for (let i = 0; i < out; i++) {
    for (let k = 0; k < r; k++) {
      both[i * 2 * r + k] = data[i * r + k]!;
      both[i * 2 * r + r + k] = -taken[i * r + k]!;
    }
  }
  return { shape: [out, 2 * r, ...shape.slice(2)], data: both };
}
