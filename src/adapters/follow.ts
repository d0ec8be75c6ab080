/** A new adapter that goes on from that of an earlier task: see {@link Method.follow}. */
import { ConfigError, listed } from "../errors.ts";
import type { Device } from "../runtime/runtime.ts";
import { type Adapter, attach, type AttachOptions } from "./adapter.ts";
import type { Method } from "./method.ts";
import { configure } from "./settings.ts";

/**
 * Puts a method on the layers of an earlier adapter. What the new one has of it is read by {@link startFollowing}.
 * @param options `targetModules` may say the same layers once more. Default: those of the earlier one
 * @throws ConfigError if the method knows no earlier adapters, or this one cannot become a part of the new one
 */
export function attachAfter<C extends object>(
  previous: Adapter,
  method: Method<C>,
  options: AttachOptions<C> = {},
): Adapter<C> {
  if (method.follow === undefined) {
    throw new ConfigError({
      where: method.name,
      what: "no adapter of this method goes on from an earlier one",
      hint: "train the earlier one itself, or merge it first",
    });
  }
  const config = method.follow.config(previous, configure(method, options.config));
  const layers = previous.targets.map(({ layer }) => layer.name);
  const next = attach(previous.model, method, { targetModules: layers, ...options, config });
  const named = next.targets.map(({ layer }) => layer.name);
  const missing = layers.filter((name) => !named.includes(name));
  const added = named.filter((name) => !layers.includes(name));
  if (missing.length + added.length > 0) {
    throw new ConfigError({
      where: "target_modules",
      what: `the layers are not those of the earlier adapter: ${listed([
        ...missing.map((name) => `${name} is missing`),
        ...added.map((name) => `${name} is new`),
      ])}`,
      hint: "leave the targets out: they are then the same",
    });
  }
  return { ...next, targetModules: previous.targetModules };
}

/** What a new adapter has of an earlier one, on top of its own start. @param device with both of them on it */
export async function startFollowing(device: Device, adapter: Adapter, previous: Adapter): Promise<void> {
  const before = new Map(previous.targets.map((target) => [target.layer.name, target]));
  for (const target of adapter.targets) {
    const earlier = before.get(target.layer.name)!;
    const values = await adapter.method.follow!.values({
      target,
      previous: earlier,
      read: async (parameter) =>
        Float32Array.from((await device.read(earlier.states.get(parameter)!.name)).data as Float32Array),
    });
    for (const [parameter, data] of Object.entries(values)) {
      const { name, shape } = target.states.get(parameter)!;
      await device.write(name, { dtype: "float32", shape, data });
    }
  }
}
