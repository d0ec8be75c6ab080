/**
 * LoRA-FA: LoRA whose A stays what it started as. Only B learns, so that the backward pass keeps A x, [rows, r], and not x.
 * B's gradient is made the one whose update comes closest to that of W's own gradient: dB ← (1/s²)·dB·(A Aᵀ + δ)⁻¹.
 *
 * Source: Zhang et al. 2023, arXiv 2308.03303; the correction is that of PEFT's `create_lorafa_optimizer` (δ = 1e-8), and of
 * Wang et al. 2024, arXiv 2407.18242, eq. 8. PEFT rounds it to bfloat16 where it can; here it is float32. Files are LoRA's.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { affine } from "../ir/ops/affine.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { largestEigen } from "../linear-algebra/symmetric.ts";
import { zeros } from "../nn/init.ts";
import { checkLora, LORA_FILE, lora, type LoraConfig, startLora } from "./lora.ts";
import { factorParameters, scaling } from "./low-rank.ts";
import type { Method } from "./method.ts";

/** (A Aᵀ + δ)⁻¹, [r, r]. */
const INVERSE = "gram_inverse";
const DELTA = 1e-8;
/** Of the largest eigenvalue: below it there is no inverse. torch.linalg.pinv takes r times float32's rounding. */
const ROUNDING = 2 ** -23;

export const loraFa: Method<LoraConfig> = {
  ...lora,
  name: "lora-fa",
  source: "Zhang et al. 2023, arXiv 2308.03303",
  about: "LoRA that trains B only, with a gradient that makes up for it",
  // What PEFT wrote is a LoRA.
  file: { ...LORA_FILE, as: lora.name },

  check: (config) => [...checkLora(config), ...(config.alpha === 0 ? ["alpha is 0: B has no gradient"] : [])],

  parameters(layer, config) {
    if (layer.kind === "embedding") {
      throw new ConfigError({
        where: layer.name,
        what: "LoRA-FA on an embedding would train nothing: A starts at zero there, and stays",
        hint: "leave this layer out of the targets",
      });
    }
    const { r } = config;
    const [A, ...others] = factorParameters(layer, config);
    return [
      { ...A!, frozen: true },
      ...others,
      { name: INVERSE, shape: [r, r], init: zeros, frozen: true, derived: true },
    ];
  },

  async start(call) {
    const { layer, config } = call;
    const made = await startLora(call);
    const [spec] = factorParameters(layer, config);
    const drawn = () =>
      spec!.init(
        call.random(spec!.name),
        spec!.shape.reduce((a, b) => a * b, 1),
      );
    const A = call.given === undefined ? (made.values[spec!.name] ?? drawn()) : await call.given(spec!.name);
    return { ...made, values: { ...made.values, [spec!.name]: A, [INVERSE]: gramInverse(A, config.r) } };
  },

  gradient({ config, parameter, gradient, parameters }) {
    if (parameter !== "lora_B.weight") return gradient;
    const { shape } = gradient.type;
    const rows: Value = reshape(gradient, [-1, config.r]);
    return reshape(affine(matmul(rows, parameters[INVERSE]!), 1 / scaling(config) ** 2), shape);
  },
};

/** The inverse of A Aᵀ + δ for A [r, n], without the directions that A lacks. */
export function gramInverse(A: Float32Array, r: number): Float32Array {
  const n = A.length / r;
  const gram = new Float64Array(r * r);
  for (let i = 0; i < r; i++) {
    for (let j = 0; j < r; j++) {
      let sum = i === j ? DELTA : 0;
      for (let k = 0; k < n; k++) sum += A[i * n + k]! * A[j * n + k]!;
      gram[i * r + j] = sum;
    }
  }
  const { values, vectors } = largestEigen(gram, r);
  const inverse = new Float64Array(r * r);
  for (const [k, value] of values.entries()) {
    if (value <= r * ROUNDING * values[0]!) continue;
    const vector = vectors[k]!;
    for (let i = 0; i < r; i++) {
      for (let j = 0; j < r; j++) inverse[i * r + j]! += (vector[i]! * vector[j]!) / value;
    }
  }
  return Float32Array.from(inverse);
}
