/** Parameters on a device: starting values, and which of them are trained. Files of them: formats/model/parameters.ts. */
import { ConfigError, listed } from "./errors.ts";
import type { ParameterSpec } from "./nn/module.ts";
import { Random, streamOf } from "./random.ts";
import type { Device } from "./runtime/runtime.ts";

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
