/**
 * A bidirectional LSTM over one sequence, step by step:
 *
 *     i, f, o = σ(W x + b + U h + c), g = tanh(…); c' = f ∘ c + i ∘ g; h' = o ∘ tanh(c')
 *
 * Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000, as in PyTorch: the gates i, f, g, o are
 * stacked in this order, each layer reads both directions of the one before, and starts from zeros. Parameters have
 * PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, and the same with `_reverse`.
 *
 * Each step is about 15 nodes for each layer and direction: meant for short sequences.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { concat } from "../ir/ops/concat.ts";
import { mul } from "../ir/ops/mul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sigmoid } from "../ir/ops/sigmoid.ts";
import { slice } from "../ir/ops/slice.ts";
import { tanh } from "../ir/ops/tanh.ts";
import { uniform } from "./init.ts";
import { multiplyRows } from "./linear.ts";
import type { ParameterSpec } from "./module.ts";

/** @param prefix what comes before PyTorch's names */
export function lstmParameters(prefix: string, inputs: number, hidden: number, layers: number): ParameterSpec[] {
  const init = uniform(1 / Math.sqrt(hidden));
  return Array.from({ length: layers }, (_, layer) =>
    ["", "_reverse"].flatMap((direction): ParameterSpec[] => {
      const name = (what: string) => `${prefix}${what}_l${layer}${direction}`;
      return [
        { name: name("weight_ih"), shape: [4 * hidden, layer === 0 ? inputs : 2 * hidden], init },
        { name: name("weight_hh"), shape: [4 * hidden, hidden], init },
        { name: name("bias_ih"), shape: [4 * hidden], init },
        { name: name("bias_hh"), shape: [4 * hidden], init },
      ];
    }),
  ).flat();
}

/**
 * @param x [T, in], T known when the graph is traced
 * @param parameter by PyTorch's name
 * @param between what happens to the output of each layer but the last, such as dropout
 * @returns [T, 2h]: forward, then backward
 */
export function lstm(
  x: Value,
  layers: number,
  parameter: (name: string) => Value,
  between: (x: Value, layer: number) => Value = (y) => y,
): Value {
  let y = x;
  for (let layer = 0; layer < layers; layer++) {
    const input = layer === 0 ? y : between(y, layer);
    const directions = ["", "_reverse"].map((direction) =>
      oneDirection(input, direction !== "", (what) => parameter(`${what}_l${layer}${direction}`)),
    );
    y = concat(directions, 1);
  }
  return y;
}

function oneDirection(x: Value, isReverse: boolean, parameter: (what: string) => Value): Value {
  const steps = x.type.shape[0]!.size!;
  const recurrent = parameter("weight_hh"); // [4h, h]
  const hidden = recurrent.type.shape[1]!.size!;
  const bias = reshape(add(parameter("bias_ih"), parameter("bias_hh")), [1, -1]);
  const fromInput = add(multiplyRows(x, parameter("weight_ih")), bias); // [T, 4h]
  const outputs: Value[] = [];
  let state: { h: Value; c: Value } | undefined;
  for (let i = 0; i < steps; i++) {
    const t = isReverse ? steps - 1 - i : i;
    const own = slice(fromInput, 0, t, t + 1); // [1, 4h]
    const gates = state === undefined ? own : add(own, multiplyRows(state.h, recurrent));
    const gate = (k: number) => slice(gates, 1, k * hidden, (k + 1) * hidden);
    const fresh = mul(sigmoid(gate(0)), tanh(gate(2)));
    const c = state === undefined ? fresh : add(mul(sigmoid(gate(1)), state.c), fresh);
    const h = mul(sigmoid(gate(3)), tanh(c));
    outputs[t] = h;
    state = { h, c };
  }
  return concat(outputs, 0);
}
