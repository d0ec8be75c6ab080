/** Parameters on a device: starting values, checkpoints, and which of them are trained. */
import { ConfigError, FormatError, listed } from "../errors.ts";
import { openCheckpoint, type TensorToWrite, writeSafetensors } from "../formats/safetensors/index.ts";
import type { ParameterSpec } from "../nn/module.ts";
import { Random, streamOf } from "../random.ts";
import type { Device } from "../runtime/runtime.ts";

/**
 * Gives parameters their starting values. Each is drawn from a stream of its own, by its name: adding or removing one does
 * not change the others.
 */
export async function initializeParameters(
  device: Device,
  parameters: readonly ParameterSpec[],
  seed: number,
): Promise<void> {
  for (const { name, shape, init } of parameters) {
    const length = shape.reduce((a, b) => a * b, 1);
    await device.write(name, { dtype: "float32", shape, data: init(new Random(seed, streamOf(name)), length) });
  }
}

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

/**
 * Names of the parameters that stay trainable when those that match are frozen.
 * @param frozen names, or patterns that match part of a name
 * @throws ConfigError if an entry matches nothing
 */
export function freezeByName(
  parameters: readonly ParameterSpec[],
  frozen: readonly (string | RegExp)[],
): ReadonlySet<string> {
  const matches = (pattern: string | RegExp, name: string) =>
    // `search` starts at the beginning whatever the flags are; `test` remembers where it was.
    typeof pattern === "string" ? pattern === name : name.search(pattern) >= 0;
  const unmatched = frozen.filter((pattern) => !parameters.some(({ name }) => matches(pattern, name)));
  if (unmatched.length > 0) {
    const given = listed(unmatched.map((pattern) => `"${String(pattern)}"`));
    throw new ConfigError({
      where: "freeze",
      what: `${given}: matches none of the ${parameters.length} parameters`,
      hint: `the parameters are ${parameters
        .map(({ name }) => name)
        .slice(0, 10)
        .join(", ")}${parameters.length > 10 ? ", …" : ""}`,
    });
  }
  return new Set(parameters.flatMap(({ name }) => (frozen.some((pattern) => matches(pattern, name)) ? [] : [name])));
}
