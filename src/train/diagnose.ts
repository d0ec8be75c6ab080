/** Where numbers stopped being finite: the first tensor in the order of the graph, and the rows of the batch. */
import { adapterHook, resolveParameter } from "../adapters/adapter.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { abs } from "../ir/ops/abs.ts";
import { reduceMax } from "../ir/ops/reduce-max.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { dim, shapeOf } from "../ir/shape.ts";
import { adaptedSequence } from "../lm/adapted-sequence.ts";
import type { Rows } from "../lm/sequence.ts";
import { sequenceFeeds, wholeSequence } from "../lm/sequence.ts";
import { shiftedSequence } from "../models/shifted-attention.ts";
import type { Tracing } from "../nn/module.ts";
import type { Trainable } from "../lm/trainable.ts";

export interface Diagnosis {
  /** Name of the first layer or block whose output is not finite. Absent: all of them are. */
  readonly tensor?: string;
  /** Indices of the rows of the batch in which it is not. */
  readonly rows: readonly number[];
  /** Names of trained parameters that are not finite themselves. */
  readonly parameters: readonly string[];
}

/**
 * Runs the forward pass once more, looking at every layer.
 * @param groups that tokens attend in while training: see models/shifted-attention.ts. Default: they are not
 */
export async function diagnose(
  { language, trained, adapters }: Trainable,
  rows: Rows,
  groups?: number,
): Promise<Diagnosis> {
  const { device, model } = language;
  const parameters: string[] = [];
  for (const { name } of trained) {
    const { data } = await device.read(name);
    if (!(data as Float32Array).every(Number.isFinite)) parameters.push(name);
  }
  const graph = new Graph();
  const stateOf = resolveParameter(adapters, model.tied);
  const seen: string[] = [];
  const watch = (name: string, x: Value) => {
    seen.push(name);
    const perRow = reshape(x, [dim("B"), -1]);
    graph.output(name, reduceMax(abs(perRow), [1]));
  };
  const hook = adapters.length === 0 ? undefined : adapterHook(adapters);
  const tracing: Tracing = {
    graph,
    training: false,
    typicalSizes: {},
    parameter: (name, shape) => graph.state(stateOf(name), { dtype: "float32", shape: shapeOf(shape) }),
    adapt: (call) => {
      const y = hook === undefined ? call.output() : hook(call);
      watch(call.layer.name, y);
      return y;
    },
  };
  const sequence = adaptedSequence(tracing, model, wholeSequence(graph, model), adapters);
  const hidden = model.hidden(tracing, groups === undefined ? sequence : shiftedSequence(sequence, groups));
  watch("hidden states after the last norm", hidden);
  const executable = await device.compile(graph, { frozen: model.parameters.map(({ name }) => name) });
  try {
    const results = await executable.run(sequenceFeeds(model, rows));
    for (const tensor of seen) {
      const bad = [...(results[tensor]!.data as Float32Array)].flatMap((x, i) => (Number.isFinite(x) ? [] : [i]));
      if (bad.length > 0) return { tensor, rows: bad, parameters };
    }
    return { rows: [], parameters };
  } finally {
    await executable.dispose();
  }
}
