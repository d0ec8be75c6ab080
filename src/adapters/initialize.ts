/** An adapter's states on a device: where they start, and when they are no longer needed. */
import type { ParameterSpec } from "../nn/module.ts";
import type { Device } from "../runtime/runtime.ts";
import { Random, streamOf } from "../random.ts";
import { type AdaptedLayer, type Adapter, adapterStates } from "./adapter.ts";
import type { Copy } from "./copies.ts";
import type { MethodParameter, SharedStartCall, Start } from "./method.ts";

/** The weights of a base, for methods that start from them. */
export interface BaseWeights {
  /** Values of a parameter: of a quantised one, what it stands for. */
  read(parameter: string): Promise<Float32Array>;
  /** The values that a weight has after it was stored as this parameter is. Absent: they are stored as they are. */
  roundTrip?(parameter: string): ((weight: Float32Array) => Float32Array) | undefined;
  /** Values of a parameter before it was stored in fewer bits. Absent: nobody knows them. */
  original?(parameter: string): Promise<Float32Array>;
}

type Tokenize = NonNullable<SharedStartCall<object>["tokenize"]>;

/**
 * Gives an adapter's parameters their starting values: those of the method are drawn, each from a stream of its own, by its
 * name, or made of the base's weights; copies have those of the base.
 * @param device with the base on it, if there are copies
 * @param base Default: its weights are states of the device
 * @param tokenize for methods that start from a text. Default: they cannot
 */
export async function initializeAdapter(
  device: Device,
  adapter: Adapter,
  seed: number,
  base: BaseWeights = statesOf(device, adapter),
  tokenize?: Tokenize,
): Promise<void> {
  await makeStates(device, adapter, base, seed, () => true, tokenize === undefined ? {} : { tokenize });
  for (const copy of new Map([...adapter.copies.values()].map((each) => [each.name, each])).values()) {
    if (copy.derived === true) continue;
    await device.write(copy.name, { dtype: "float32", shape: copy.shape, data: await base.read(copy.from) });
  }
}

/** The states that a file does not hold, made again. */
export async function deriveAdapter(
  device: Device,
  adapter: Adapter,
  base: BaseWeights = statesOf(device, adapter),
): Promise<void> {
  await makeStates(device, adapter, base, 0, ({ derived }) => derived === true, { isGiven: true });
}

/** Takes an adapter's states off a device. */
export async function freeAdapter(device: Device, adapter: Adapter): Promise<void> {
  for (const { name } of adapterStates(adapter)) await device.free(name);
}

async function makeStates(
  device: Device,
  adapter: Adapter,
  base: BaseWeights,
  seed: number,
  wanted: (spec: MethodParameter | Copy) => boolean,
  { isGiven = false, tokenize }: { readonly isGiven?: boolean; readonly tokenize?: Tokenize },
): Promise<void> {
  const { method, model, targets, shared, copies, config } = adapter;
  const random = (name: string) => new Random(seed, streamOf(name));
  const write = async (spec: ParameterSpec, made: Float32Array | undefined) => {
    const { name, shape, init } = spec;
    const length = shape.reduce((a, b) => a * b, 1);
    await device.write(name, { dtype: "float32", shape, data: made ?? init(random(name), length) });
  };
  for (const target of targets) {
    const specs = [...target.states].filter(([, spec]) => wanted(spec));
    const replaced = copies.get(target.layer.weight);
    const isReplaced = replaced?.derived === true && wanted(replaced);
    if (specs.length === 0 && !isReplaced) continue;
    const start = await startOf(adapter, target, base, seed, isGiven ? device : undefined);
    for (const [parameter, spec] of specs) await write(spec, start?.values[parameter]);
    if (isReplaced)
      await device.write(replaced.name, { dtype: "float32", shape: replaced.shape, data: start!.weight! });
  }
  const common = [...shared].filter(([, spec]) => wanted(spec));
  if (common.length === 0) return;
  const layers = targets.map(({ layer }) => layer);
  const values = await method.startShared?.({
    model,
    config,
    layers,
    base: (parameter) => base.read(parameter),
    random: (parameter) => random(shared.get(parameter)?.name ?? parameter),
    ...(tokenize === undefined ? {} : { tokenize }),
  });
  for (const [parameter, spec] of common) await write(spec, values?.[parameter]);
}

async function startOf(
  { method, model }: Adapter,
  { layer, config, states }: AdaptedLayer,
  base: BaseWeights,
  seed: number,
  given: Device | undefined,
): Promise<Start | undefined> {
  const weight = model.tied?.[layer.weight] ?? layer.weight;
  const stored = base.roundTrip?.(weight);
  return method.start?.({
    layer,
    config,
    weight: () => base.read(weight),
    ...(stored === undefined ? {} : { stored }),
    ...(base.original === undefined ? {} : { original: () => base.original!(weight) }),
    ...(given === undefined
      ? {}
      : {
          given: async (parameter: string) =>
            Float32Array.from((await given.read(states.get(parameter)!.name)).data as Float32Array),
        }),
    random: (parameter) => new Random(seed, streamOf(states.get(parameter)?.name ?? parameter)),
  });
}

function statesOf(device: Device, { model: { tied = {} } }: Adapter): BaseWeights {
  return {
    read: async (parameter) =>
      Float32Array.from((await device.read(tied[parameter] ?? parameter)).data as Float32Array),
  };
}
