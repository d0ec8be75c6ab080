/** The judge: runs a graph in float64 by each operation's `evaluate`. Slow, and as plain as possible. */
import { EngineError } from "../errors.ts";
import { elementsOf, numbersOf } from "../ir/dtype.ts";
import { evaluate } from "../ir/evaluate.ts";
import { type Graph, type GraphInput, results, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray } from "../ir/ndarray.ts";
import type { DimSizes } from "../ir/shape.ts";
import { bindSizes, checkData } from "./bind.ts";
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
  let disposed = false;
  const open = () => {
    if (disposed) throw new EngineError({ what: "the device has been disposed" });
  };
  const get = (name: string) => {
    open();
    const state = states.get(name);
    if (state === undefined) throw new EngineError({ where: name, what: "there is no such state" });
    return state;
  };
  return {
    kind: "interp",
    async compile(graph) {
      open();
      const typesOf = (wanted: GraphInput["kind"]) =>
        new Map(graph.inputs.flatMap(({ kind, value }) => (kind === wanted ? [[value.name, value.type]] : [])));
      const [feedTypes, stateTypes] = [typesOf("feed"), typesOf("state")];
      for (const name of stateTypes.keys()) get(name);
      let released = false;
      return {
        async run(feeds) {
          open();
          if (released) throw new EngineError({ what: "this executable has been disposed" });
          bindSizes(feedTypes, feeds);
          const arrays: Record<string, NdArray> = {};
          for (const name of feedTypes.keys()) arrays[name] = toArray(feeds[name]!);
          for (const name of stateTypes.keys()) arrays[name] = get(name).array;
          const { outputs, updates } = interpret(graph, arrays);
          for (const [name, array] of Object.entries(updates)) states.set(name, { ...get(name), array });
          return Object.fromEntries(
            [...graph.outputs].map(([name, value]) => [name, toTensor(outputs[name]!, value.type.dtype)]),
          );
        },
        async dispose() {
          released = true;
        },
      };
    },
    async write(name, tensor) {
      open();
      checkData(name, tensor);
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
      disposed = true;
      states.clear();
    },
  };
}

function toArray({ dtype, shape, data }: Tensor): NdArray {
  // A copy: float64 data would be shared with the caller.
  return ndarray(shape, Float64Array.from(numbersOf(dtype, data)));
}

function toTensor({ shape, data }: NdArray, dtype: Tensor["dtype"]): Tensor {
  return { dtype, shape, data: elementsOf(dtype, data) };
}
