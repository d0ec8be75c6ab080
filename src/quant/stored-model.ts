/** Parameters that lie on a device in storages, as graphs read them: states with names such as `q_proj.weight.absmax`. */
import type { DType } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import { shapeOf } from "../ir/shape.ts";
import type { StoredWeights } from "../nn/stored-weight.ts";
import type { Storage, StorageOptions, StoredTensor } from "./storage.ts";

/** How one parameter is stored. */
export interface WeightStorage {
  readonly storage: Storage;
  readonly options: StorageOptions;
  /** The parameter's. */
  readonly shape: readonly number[];
}

/** By the parameters' names. A parameter that is not there is a float32 state of its own name. */
export type StoredParameters = ReadonlyMap<string, WeightStorage>;

/** A tensor of a stored parameter, under the name of its state. */
export interface StoredState {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** The states that hold a parameter. */
export function statesOf(parameter: string, { storage, options, shape }: WeightStorage): readonly StoredState[] {
  return storage.tensors(shape, options).map((tensor) => ({ ...tensor, name: stateName(parameter, tensor) }));
}

export function stateName(parameter: string, { name }: Pick<StoredTensor, "name">): string {
  return `${parameter}.${name}`;
}

/** The weights of a model for graphs. */
export function storedModel(parameters: StoredParameters): StoredWeights {
  return {
    in(graph: Graph, name: string) {
      const stored = parameters.get(name);
      if (stored === undefined) return undefined;
      const { storage, options, shape } = stored;
      const states = new Map(statesOf(name, stored).map((state) => [state.name, state]));
      return storage.read({
        graph,
        options,
        shape,
        tensor(tensor) {
          const { name: state, dtype, shape: size } = states.get(stateName(name, { name: tensor }))!;
          return graph.state(state, { dtype, shape: shapeOf(size) });
        },
      });
    },
    states: new Set([...parameters].flatMap(([name, stored]) => statesOf(name, stored).map((state) => state.name))),
  };
}
