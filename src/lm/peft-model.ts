/** A model with adapters, as PEFT's users know it: `PeftModel.fromPretrained`, `setAdapter`, `mergeAndUnload`, … */
import { join } from "node:path";
import { type Adapter, attach } from "../adapters/adapter.ts";
import { merge, type Unmerged, unmerge } from "../adapters/merge.ts";
import { addWeightedAdapter, type WeightedAdapterOptions } from "../adapters/weighted.ts";
import { initializeAdapter } from "../adapters/initialize.ts";
import { ConfigError } from "../errors.ts";
import {
  attachOptions,
  loadAdapter,
  type PeftConfig,
  restoreAdapter,
  saveAdapter,
  type TaskType,
} from "../formats/peft/index.ts";
import { resolveFolder } from "../hub/resolve.ts";
import type { AutoModelForCausalLM, CausalLMModel, HubOptions } from "./causal-lm-model.ts";
import { hubOptions } from "./causal-lm-model.ts";
import { forwardRows, type ForwardInput, type ForwardOutput } from "./forward.ts";
import { type GenerateInput, generateFrom, type GenerateResult } from "./generate-input.ts";
import { BASE, type RowAdapters } from "./language-model.ts";
import { adapterTrainable, countTrainable, type Trainable, trainableText } from "./trainable.ts";

export interface LoadOptions extends HubOptions {
  /** Default: "default". */
  readonly adapterName?: string;
  /** Whether a {@link Trainer} may train it. Default: false, as in PEFT. */
  readonly isTrainable?: boolean;
}

/** Seed of fresh adapters. */
const INITIAL_SEED = 0;

/**
 * Puts a fresh adapter on a model, for training.
 * @param config PEFT's settings in camelCase: `{ peftType: "LORA", r: 8, loraAlpha: 16, targetModules: "all-linear" }`
 * @param options.seed of the random start. Default: 0
 * @throws ConfigError naming every setting that is wrong or cannot be honoured, and every target that matches no layer
 */
export async function getPeftModelAsync(
  model: CausalLMModel,
  config: PeftConfig,
  { adapterName = "default", seed = INITIAL_SEED }: { readonly adapterName?: string; readonly seed?: number } = {},
): Promise<PeftModel> {
  const peft = new PeftModel(model);
  await peft.addAdapter(adapterName, config, { seed });
  return peft;
}
