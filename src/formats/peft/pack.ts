/** What a method is given that writes something else than its parameters as they are. */
import { type Adapter, afterStateName, sharedValues } from "../../adapters/adapter.ts";
import type { PackCall } from "../../adapters/method.ts";
import { EngineError } from "../../errors.ts";
import { Graph } from "../../ir/graph.ts";
import { shapeOf } from "../../ir/shape.ts";
import type { Device } from "../../runtime/runtime.ts";
import { keyOf } from "./tensor-keys.ts";

export function packCall(device: Device, adapter: Adapter): PackCall<object> {
  const { config, targets, shared, method, name } = adapter;
  const read = async (state: string) => {
    try {
      return Float32Array.from((await device.read(state)).data as Float32Array);
    } catch (error) {
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  };
  return {
    config,
    targets,
    shared,
    read,
    readAfter: ({ layer }, state) => read(afterStateName(name, layer, state)),
    async compute(build) {
      const graph = new Graph();
      const parameter = (name: string, shape: readonly number[]) =>
        graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
      graph.output("value", build(sharedValues({ parameter }, adapter)));
      const executable = await device.compile(graph);
      try {
        const { shape, data } = (await executable.run({})).value!;
        return { shape, data: Float32Array.from(data as Float32Array) };
      } finally {
        await executable.dispose();
      }
    },
    key: (layer, parameter) => keyOf(method, layer, parameter),
  };
}
