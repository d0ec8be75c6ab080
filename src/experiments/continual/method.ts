/** How the backbone is tuned on each task of a sequence, and what is kept from one task to the next. */
import { type Adapter, attach } from "../../adapters/adapter.ts";
import { freeAdapter, initializeAdapter } from "../../adapters/initialize.ts";
import { lora } from "../../adapters/lora.ts";
import { merge, type Merged, unmerge } from "../../adapters/merge.ts";
import { oLora } from "../../adapters/o-lora.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { Device } from "../../runtime/runtime.ts";

/** Plain data: part of a job's settings. */
export type ContinualMethod =
  | {
      /** Every linear weight of the backbone. */
      readonly kind: "full";
      readonly learningRate: number;
    }
  | {
      /** A new pair of factors for each task, merged into the weights after it. */
      readonly kind: "lora";
      /** In place of `lora r=8`, where there are several of a rank. */
      readonly name?: string;
      readonly r: number;
      readonly alpha: number;
      readonly learningRate: number;
    }
  | {
      /** One pair of factors, trained on one task after the other. */
      readonly kind: "seq-lora";
      readonly r: number;
      readonly alpha: number;
      readonly learningRate: number;
    }
  | {
      /** A new pair of factors for each task, beside those of the tasks before, which are frozen. */
      readonly kind: "o-lora";
      readonly r: number;
      readonly alpha: number;
      readonly learningRate: number;
      /** Weight of the overlap with the tasks before. */
      readonly lambda1: number;
      /** The paper's penalty, or that of its code. */
      readonly overlap: "squared" | "absolute";
    };

/** `full`, `lora r=8`, `o-lora r=8 squared` */
export function methodLabel(method: ContinualMethod): string {
  switch (method.kind) {
    case "full":
      return "full";
    case "lora":
      return method.name ?? `lora r=${method.r}`;
    case "seq-lora":
      return `seq-lora r=${method.r}`;
    case "o-lora":
      return `o-lora r=${method.r} ${method.lambda1 === 0 ? "without penalty" : method.overlap}`;
  }
}

/** What a method keeps between tasks, besides the weights of the backbone: tensors by name. */
export interface Memory {
  /** Ranks of the tasks before, in their order. */
  readonly ranks: readonly number[];
  /** Factors by the layer's name: A [Σ r, in], row-major; B [out, r] of each task. */
  readonly factors: ReadonlyMap<string, { readonly A: Float32Array; readonly B: readonly Float32Array[] }>;
}

export const EMPTY: Memory = { ranks: [], factors: new Map() };

/** What is trained on one task. */
export interface Attached {
  readonly adapters: readonly Adapter[];
  /** Weights of the backbone that are trained themselves. */
  readonly weights: readonly ParameterSpec[];
}

const NAMES = { A: "lora_A.weight", B: "lora_B.weight", earlierA: "earlier_A.weight", earlierB: "earlier_B.weight" };

/**
 * Puts the method on the backbone for the next task.
 * @param weights those that full fine-tuning trains
 * @param seed of random factors
 */
export async function begin(
  device: Device,
  model: TextModel,
  method: ContinualMethod,
  weights: readonly ParameterSpec[],
  memory: Memory,
  seed: number,
): Promise<Attached> {
  if (method.kind === "full") return { adapters: [], weights };
  const { r, alpha } = method;
  const targetModules = "all-linear";
  // The head is trained itself, as in full fine-tuning, and not as a copy.
  const { newModules: _head, ...body } = model;
  if (method.kind !== "o-lora") {
    const adapter = attach(body, lora, { targetModules, config: { r, alpha } });
    await initializeAdapter(device, adapter, seed);
    if (method.kind === "seq-lora" && memory.ranks.length > 0) {
      await write(device, adapter, memory, { a: NAMES.A, b: NAMES.B });
    }
    return { adapters: [adapter], weights: [] };
  }
  const { lambda1, overlap } = method;
  const config = { r, alpha, lambda1, overlap, earlier: memory.ranks };
  const adapter = attach(body, oLora, { targetModules, config });
  await initializeAdapter(device, adapter, seed);
  if (memory.ranks.length > 0) await write(device, adapter, memory, { a: NAMES.earlierA, b: NAMES.earlierB });
  return { adapters: [adapter], weights: [] };
}

/** The weights with what was learnt in them, for tests; taken out again by {@link restore}. */
export async function show(device: Device, { adapters }: Attached): Promise<Merged | undefined> {
  return adapters.length === 0 ? undefined : merge(device, adapters);
}

/**
 * Ends a task whose update is in the weights: it stays there, or is taken out and kept as factors.
 * @returns what the next task begins with
 */
export async function end(
  device: Device,
  method: ContinualMethod,
  { adapters }: Attached,
  merged: Merged | undefined,
  memory: Memory,
): Promise<Memory> {
  const [adapter] = adapters;
  if (adapter === undefined || merged === undefined) return EMPTY;
  if (method.kind === "full" || method.kind === "lora") {
    await freeAdapter(device, adapter);
    return EMPTY;
  }
  await unmerge(device, merged);
  const own = await factorsOf(device, adapter);
  const factors = new Map(
    [...own].map(([layer, { A, B }]) => {
      const before = method.kind === "o-lora" ? memory.factors.get(layer) : undefined;
      return [layer, { A: joined([...(before === undefined ? [] : [before.A]), A]), B: [...(before?.B ?? []), B] }];
    }),
  );
  await freeAdapter(device, adapter);
  return { ranks: method.kind === "o-lora" ? [...memory.ranks, method.r] : [method.r], factors };
}

/** A [r, in] and B [out, r] of each layer, as they are now. */
export async function factorsOf(
  device: Device,
  { targets }: Adapter,
): Promise<Map<string, { readonly A: Float32Array; readonly B: Float32Array }>> {
  const read = async (name: string) => Float32Array.from((await device.read(name)).data as Float32Array);
  const factors = new Map<string, { readonly A: Float32Array; readonly B: Float32Array }>();
  for (const { layer, states } of targets) {
    const [a, b] = [states.get(NAMES.A)!, states.get(NAMES.B)!];
    factors.set(layer.name, { A: await read(a.name), B: await read(b.name) });
  }
  return factors;
}

async function write(
  device: Device,
  { targets }: Adapter,
  { factors, ranks }: Memory,
  names: { readonly a: string; readonly b: string },
): Promise<void> {
  for (const { layer, states } of targets) {
    const { A, B } = factors.get(layer.name)!;
    const [a, b] = [states.get(names.a)!, states.get(names.b)!];
    await device.write(a.name, { dtype: "float32", shape: a.shape, data: A });
    await device.write(b.name, { dtype: "float32", shape: b.shape, data: sideBySide(B, ranks) });
  }
}

/** [out, r] each, as one [out, Σ r]. */
function sideBySide(blocks: readonly Float32Array[], ranks: readonly number[]): Float32Array {
  const total = ranks.reduce((sum, r) => sum + r, 0);
  const rows = blocks[0]!.length / ranks[0]!;
  const all = new Float32Array(rows * total);
  let column = 0;
  for (const [k, block] of blocks.entries()) {
    const r = ranks[k]!;
    for (let row = 0; row < rows; row++) all.set(block.subarray(row * r, (row + 1) * r), row * total + column);
    column += r;
  }
  return all;
}

function joined(blocks: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(blocks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}
