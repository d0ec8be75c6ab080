/** Functions between the layers of an MLP, by transformers' names. */
import type { Value } from "../ir/graph.ts";
import { gelu } from "../ir/ops/gelu.ts";
import { relu } from "../ir/ops/relu.ts";
import { silu } from "../ir/ops/silu.ts";
import { tanh } from "../ir/ops/tanh.ts";
import type { ConfigSource } from "./config-source.ts";

export type Activation = (x: Value) => Value;

/** x·Φ(x), not approximated. */
export const exactGelu: Activation = (x) => gelu(x);

const tanhGelu: Activation = (x) => gelu(x, { approximate: "tanh" });

const ACTIVATIONS = new Map<string, Activation>([
  ["gelu_new", tanhGelu],
  ["gelu_pytorch_tanh", tanhGelu],
  ["gelu_fast", tanhGelu],
  ["gelu", exactGelu],
  ["relu", relu],
  ["silu", silu],
  ["swish", silu],
  ["tanh", tanh],
]);

/** The one that a setting names. A name that is not known is a problem of the configuration. */
export function activationOf(config: ConfigSource, key: string, byDefault: string): Activation {
  const name = config.string(key, byDefault);
  const found = ACTIVATIONS.get(name);
  if (found === undefined) {
    config.problem(`${key} is "${name}": supported are ${[...ACTIVATIONS.keys()].join(", ")}`);
  }
  return found ?? exactGelu;
}
