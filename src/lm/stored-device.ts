/**
 * A device on which some parameters lie in storages (quant/), for those who know parameters as float32 states: `read` gives
 * the values that a stored parameter stands for; `write` puts float32 values in its place, as merging does, and writing the
 * stored values back, as unmerging does, or `free`, brings the stored parameter back. The storage itself never changes.
 */
import type { StoredWeights } from "../nn/stored-weight.ts";
import { stateName, storedModel, type StoredParameters } from "../quant/stored-model.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";

export interface StoredDevice {
  readonly device: Device;
  /** For graphs that are compiled on the device. */
  readonly weights: StoredWeights;
  readonly parameters: StoredParameters;
}

/** @param parameters whose tensors are on `inner` */
export function storedDevice(inner: Device, parameters: StoredParameters): StoredDevice {
  const model = storedModel(parameters);
  /** Stored parameters in whose place there are float32 values now. */
  const replaced = new Set<string>();
  const isStored = (name: string) => parameters.has(name) && !replaced.has(name);
  const decoded = async (name: string): Promise<Tensor> => {
    const { storage, shape, options } = parameters.get(name)!;
    const tensors = storage.tensors(shape, options).map(async (tensor) => {
      return [tensor.name, (await inner.read(stateName(name, tensor))).data] as const;
    });
    const data = storage.decode(Object.fromEntries(await Promise.all(tensors)), shape, options);
    return { dtype: "float32", shape, data };
  };
  const device: Device = {
    kind: inner.kind,
    compile: (graph, options = {}) => {
      const states = graph.inputs.flatMap(({ kind, value }) => (kind === "state" ? [value.name] : []));
      const frozen = [...(options.frozen ?? []), ...states.filter((name) => model.states.has(name))];
      return inner.compile(graph, { ...options, frozen });
    },
    async write(name, tensor) {
      if (parameters.has(name)) {
        const before = await decoded(name);
        if (isSame(before, tensor)) return device.free(name);
        replaced.add(name);
      }
      return inner.write(name, tensor);
    },
    map: (name, tensor) => {
      if (parameters.has(name)) replaced.add(name);
      return inner.map(name, tensor);
    },
    read: (name) => (isStored(name) ? decoded(name) : inner.read(name)),
    async free(name) {
      if (isStored(name)) return;
      replaced.delete(name);
      await inner.free(name);
    },
    dispose: () => inner.dispose(),
  };
  const weights: StoredWeights = {
    in: (graph, name) => (isStored(name) ? model.in(graph, name) : undefined),
    states: model.states,
  };
  return { device, weights, parameters };
}

/** Whether two tensors have the same bits. */
function isSame(a: Tensor, b: Tensor): boolean {
  const bits = ({ data }: Tensor) => new Int32Array(data.buffer, data.byteOffset, data.length);
  if (a.dtype !== "float32" || b.dtype !== "float32" || a.data.length !== b.data.length) return false;
  const [left, right] = [bits(a), bits(b)];
  return left.every((value, i) => value === right[i]);
}
