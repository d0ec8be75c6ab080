/**
 * Hot swap: another adapter's numbers in the states of one that graphs have been compiled with, so that nothing is compiled
 * again. After PEFT's `hotswap_adapter`.
 */
import { ConfigError, listed } from "../errors.ts";
import type { ParameterSpec } from "../nn/module.ts";
import type { Device } from "../runtime/runtime.ts";
import { type AdaptedLayer, type Adapter } from "./adapter.ts";
import { freeAdapter } from "./initialize.ts";
import { lora, type LoraConfig, scaling } from "./lora.ts";
import { INITIAL_A } from "./low-rank.ts";

/**
 * Puts the numbers of one LoRA adapter into another one's states, and frees its own. A lower rank is filled up with zeros, B is
 * multiplied by the ratio of the scalings, layers that only the old adapter has are switched off, and copies that only it
 * has become those of the base. To make room for higher ranks, attach an adapter of the highest one and swap into that.
 *
 * @param existing keeps its name, its layers and its settings
 * @param incoming on the same device, under another name
 * @throws ConfigError if they are not both LoRA, or `incoming` has layers, copies, biases or ranks that `existing` has no room
 *   for. Nothing has changed then
 */
export async function hotswapAdapter(device: Device, existing: Adapter, incoming: Adapter): Promise<void> {
  const pairs = pair(existing, incoming);
  for (const { into, from } of pairs) await swapLayer(device, into, from);
  const written = new Set<string>();
  for (const [parameter, copy] of existing.copies) {
    if (written.has(copy.name)) continue;
    written.add(copy.name);
    await device.write(copy.name, await device.read(incoming.copies.get(parameter)?.name ?? copy.from));
  }
  await freeAdapter(device, incoming);
}

interface Pair {
  readonly into: AdaptedLayer<LoraConfig>;
  /** Undefined where the new adapter does nothing. */
  readonly from: AdaptedLayer<LoraConfig> | undefined;
}

function pair(existing: Adapter, incoming: Adapter): Pair[] {
  const where = `hot swap of "${incoming.name}" into "${existing.name}"`;
  if (!isLora(existing) || !isLora(incoming)) {
    const got = `${incoming.method.name} into ${existing.method.name}`;
    throw new ConfigError({ where, what: "only LoRA adapters can be swapped", got });
  }
  if (existing.name === incoming.name) throw new ConfigError({ where, what: "both have the same states" });
  const room = new Map(existing.targets.map((target) => [target.layer.name, target]));
  const problems = [
    ...incoming.targets.flatMap((target) => misfits(target, room.get(target.layer.name))),
    ...[...incoming.copies.keys()].flatMap((name) => (existing.copies.has(name) ? [] : [`${name} is not copied`])),
  ];
  if (problems.length > 0) {
    throw new ConfigError({
      where,
      what: listed(problems),
      hint: "load it beside the other one instead, or attach an adapter with room for both",
    });
  }
  const sources = new Map(incoming.targets.map((target) => [target.layer.name, target]));
  return existing.targets.map((into) => ({ into, from: sources.get(into.layer.name) }));
}

function isLora(adapter: Adapter): adapter is Adapter<LoraConfig> {
  return adapter.method.name === lora.name;
}

function misfits(from: AdaptedLayer<LoraConfig>, into: AdaptedLayer<LoraConfig> | undefined): string[] {
  const { name } = from.layer;
  if (into === undefined) return [`${name} is not adapted`];
  const [wanted, there] = [from.config.r, into.config.r];
  return [
    ...(wanted > there ? [`${name} has room for rank ${there} and not ${wanted}`] : []),
    ...(from.config.loraBias && !into.config.loraBias ? [`${name} has no room for the bias of lora_bias`] : []),
    ...[from, into].flatMap(({ config, states }) =>
      states.has(INITIAL_A)
        ? [
            `${name} has what the start "${config.init}" took from the base: save that adapter and load it, as a plain LoRA`,
          ]
        : [],
    ),
    ...(scaling(into.config) === 0 ? [`${name} is scaled by 0`] : []),
  ];
}

async function swapLayer(device: Device, into: AdaptedLayer<LoraConfig>, from: Pair["from"]): Promise<void> {
  for (const [parameter, spec] of into.states) {
    const data = new Float32Array(spec.shape.reduce((a, b) => a * b, 1));
    const source = from?.states.get(parameter);
    if (source !== undefined) {
      const values = (await device.read(source.name)).data as Float32Array;
      const ratio = scaling(from!.config) / scaling(into.config);
      fill(data, spec, values, source, parameter.includes("_A") ? 1 : ratio);
    }
    await device.write(spec.name, { dtype: "float32", shape: spec.shape, data });
  }
}

/** Puts values into the first rows, or the first columns, of a state with more of them. */
function fill(
  data: Float32Array,
  spec: ParameterSpec,
  values: Float32Array,
  source: ParameterSpec,
  ratio: number,
): void {
  // A [r, ...]: more rows follow. B [out, r, ...]: each row goes on; a bias has the same length.
  const [width, wide] = [source.shape, spec.shape].map((shape) => (shape[0] === spec.shape[0] ? rowLength(shape) : 0));
  if (width === 0 || wide === 0 || width === wide) {
    for (const [i, value] of values.entries()) data[i] = value * ratio;
    return;
  }
  for (const [i, value] of values.entries()) data[Math.floor(i / width!) * wide! + (i % width!)] = value * ratio;
}

function rowLength(shape: readonly number[]): number {
  return shape.slice(1).reduce((a, b) => a * b, 1);
}
