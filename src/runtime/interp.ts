/** The judge: runs a graph in float64 by each operation's `evaluate`. Slow, and as plain as possible. */
import { EngineError } from "../errors.ts";
import { allocate } from "../ir/dtype.ts";
import { evaluate } from "../ir/evaluate.ts";
import { type Graph, results, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray } from "../ir/ndarray.ts";
import type { DimSizes } from "../ir/shape.ts";
import { bindSizes } from "./bind.ts";
import type { Device, Tensor } from "./runtime.ts";

export interface Interpretation {
  readonly outputs: Readonly<Record<string, NdArray>>;
  /** New contents of updated states, by name. */
  readonly updates: Readonly<Record<string, NdArray>>;
  /** Any value of the graph that was computed. */
  of(value: Value): NdArray;
}

/**
 * @param inputs an array for every feed and state that is used
 * @param sizes of named dimensions that no input shows
 */
export function interpret(
  graph: Graph,
  inputs: Readonly<Record<string, NdArray>>,
  sizes: DimSizes = {},
): Interpretation {
  const types = new Map(graph.inputs.map(({ value }) => [value.name, value.type]));
  const typed = Object.fromEntries(
    graph.inputs.flatMap(({ value }) => {
      const input = inputs[value.name];
      return input === undefined ? [] : [[value.name, { dtype: value.type.dtype, shape: input.shape }]];
    }),
  );
  const allSizes = bindSizes(types, typed, sizes);
  const given = new Map(graph.inputs.map(({ value }) => [value, inputs[value.name]!]));
  const values = evaluate(graph, given, results(graph), allSizes);
  const of = (value: Value): NdArray => {
    const array = values.get(value);
    if (array === undefined) throw new EngineError({ where: value.name, what: "value was not computed" });
    return array;
  };
  return {
    outputs: Object.fromEntries([...graph.outputs].map(([name, value]) => [name, of(value)])),
    updates: Object.fromEntries([...graph.updates].map(([state, value]) => [state.name, of(value)])),
    of,
  };
}

/** The interpreter as a device: float64 inside, whatever the data types say. */
export function interpDevice(): Device {
  const states = new Map<string, { tensor: Tensor; array: NdArray }>();
  const get = (name: string) => {
    const state = states.get(name);
    if (state === undefined) throw new EngineError({ where: name, what: "there is no such state" });
    return state;
  };
  return {
    kind: "interp",
    async compile(graph) {
      const names = graph.inputs.filter((input) => input.kind === "state").map((input) => input.value.name);
      names.forEach(get);
      return {
        async run(feeds) {
          const arrays = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toArray(tensor)]));
          for (const name of names) arrays[name] = get(name).array;
          const { outputs, updates } = interpret(graph, arrays);
          for (const [name, array] of Object.entries(updates)) states.set(name, { ...get(name), array });
          return Object.fromEntries(
            [...graph.outputs].map(([name, value]) => [name, toTensor(outputs[name]!, value.type.dtype)]),
          );
        },
        async dispose() {},
      };
    },
    async write(name, tensor) {
      states.set(name, { tensor, array: toArray(tensor) });
    },
    async map(name) {
      throw new EngineError({ where: name, what: "the reference interpreter does not map files" });
    },
    async read(name) {
      const { tensor, array } = get(name);
      return toTensor(array, tensor.dtype);
    },
    async free(name) {
      states.delete(name);
    },
    async dispose() {
      states.clear();
    },
  };
}

function toArray(tensor: Tensor): NdArray {
  return ndarray(tensor.shape, tensor.data instanceof BigInt64Array ? Array.from(tensor.data, Number) : tensor.data);
}

function toTensor(array: NdArray, dtype: Tensor["dtype"]): Tensor {
  const data = allocate(dtype, array.data.length);
  if (data instanceof BigInt64Array) array.data.forEach((value, i) => (data[i] = BigInt(value)));
  else data.set(array.data);
  return { dtype, shape: array.shape, data };
}
