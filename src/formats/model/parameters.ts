/** Parameters of a device to a safetensors file and back, as they are: float32, under given names. */
import { FormatError, listed } from "../../errors.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import type { Device } from "../../runtime/runtime.ts";
import { openCheckpoint, type TensorToWrite, writeSafetensors } from "../safetensors/index.ts";

/** Writes parameters to a safetensors file, under the names that `nameOf` gives them (default: their own). */
export async function saveParameters(
  device: Device,
  parameters: readonly ParameterSpec[],
  path: string,
  nameOf: (spec: ParameterSpec) => string = ({ name }) => name,
): Promise<void> {
  const tensors = parameters.map((spec): TensorToWrite => {
    const data = async () => (await device.read(spec.name)).data;
    return { name: nameOf(spec), dtype: "F32", shape: spec.shape, data };
  });
  await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
}

/**
 * Puts the tensors of a checkpoint on the device, without reading them: the engine maps them from the file.
 * @throws FormatError listing every parameter that is missing or has another shape or type
 */
export async function mapParameters(device: Device, parameters: readonly ParameterSpec[], path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    const wrong = parameters.flatMap(({ name, shape }) => {
      const entry = checkpoint.tensors.get(name);
      if (entry === undefined) return [`${name} is missing`];
      if (entry.dtype === "F32" && entry.shape.join() === shape.join()) return [];
      return [`${name} is ${entry.dtype}[${entry.shape.join(", ")}] and not F32[${shape.join(", ")}]`];
    });
    if (wrong.length > 0) {
      throw new FormatError({ where: path, what: "does not fit the model", got: listed(wrong) });
    }
    for (const { name, shape } of parameters) {
      const { path: file, byteOffset } = checkpoint.tensors.get(name)!;
      await device.map(name, { dtype: "float32", shape, path: file, byteOffset });
    }
  } finally {
    await checkpoint.close();
  }
}
