/**
 * `node dist/scripts/peft-adapters.js FOLDER`: writes adapters of an MLP, of a convolution net and of the language models in
 * golden/peft-language, with an input and our logits beside each, for golden/make/peft_reads_ours.py to load in PEFT. No test
 * needs Python; this pair is run by hand when the format changes.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { adapterHook, attach, type AttachOptions, withCopies } from "../src/adapters/adapter.ts";
import { initializeAdapter } from "../src/adapters/initialize.ts";
import { lora, type LoraConfig } from "../src/adapters/lora.ts";
import { addWeightedAdapter } from "../src/adapters/weighted.ts";
import { readModelConfig } from "../src/formats/model/config.ts";
import { mapParameters } from "../src/formats/model/parameters.ts";
import { saveAdapter } from "../src/formats/peft/index.ts";
import { Graph } from "../src/ir/graph.ts";
import { reshape } from "../src/ir/ops/reshape.ts";
import { sequenceFeeds, wholeSequence } from "../src/lm/sequence.ts";
import { familyOf } from "../src/models/index.ts";
import { Random, streamOf } from "../src/random.ts";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import type { Device, Tensor } from "../src/runtime/runtime.ts";
import {
  batchOf,
  convRig,
  logitsOf,
  mlpRig,
  readAll,
  scatterParameters,
  tracingOf,
} from "../src/testing/method-rig.ts";

interface Case {
  readonly name: string;
  readonly options: AttachOptions<LoraConfig>;
}

const config = { r: 4, alpha: 10 } as const;

const CASES: readonly Case[] = [
  { name: "mlp", options: { targetModules: ["fc1", "fc3"], config: { ...config, init: "gaussian" } } },
  { name: "mlp-all-linear", options: { config: { r: 3, alpha: 5, useRslora: true, dropout: 0.1, form: "auto" } } },
  { name: "mlp-pattern", options: { targetModules: /fc[23]/, config: { r: 2, alpha: 7, init: "standard-normal" } } },
  { name: "mlp-lora-bias", options: { bias: "lora_only", config: { ...config, loraBias: true } } },
  { name: "conv", options: { targetModules: ["conv1", "fc"], config: { r: 2, alpha: 3, loraBias: true } } },
];

const LANGUAGE_CASES: Readonly<Record<"qwen2" | "gpt2", readonly Case[]>> = {
  qwen2: [
    { name: "default", options: { config } },
    {
      name: "patterns",
      options: {
        targetModules: "all-linear",
        excludeModules: ["o_proj"],
        config: {
          ...config,
          useRslora: true,
          rankPattern: { "layers.0.mlp.up_proj": 3, q_proj: 2, "(.*)up_proj": 5 },
          alphaPattern: { [String.raw`layers\.\d\.mlp\..*`]: 3 },
        },
      },
    },
    {
      name: "blocks",
      options: { targetModules: ["q_proj", "mlp.up_proj"], layersToTransform: [1], layersPattern: "layers", config },
    },
    { name: "bias-all", options: { bias: "all", modulesToSave: ["norm"], config } },
    { name: "bias-lora-only", options: { bias: "lora_only", targetModules: ["q_proj", "o_proj"], config } },
    { name: "head", options: { modulesToSave: ["lm_head"], config } },
    { name: "embedding-copy", options: { modulesToSave: ["embed_tokens"], config } },
    { name: "tied-copy", options: { modulesToSave: ["lm_head"], ensureWeightTying: true, config } },
    { name: "block", options: { modulesToSave: ["layers.1"], config } },
    {
      name: "embedding",
      options: { targetModules: ["embed_tokens", "v_proj"], config: { ...config, init: "random" } },
    },
    {
      name: "embedding-and-head",
      options: { targetModules: String.raw`lm_head|model\.embed_tokens|.*\.q_proj`, config },
    },
  ],
  gpt2: [
    { name: "default", options: { config } },
    {
      name: "all-linear",
      options: { targetModules: "all-linear", config: { ...config, rankPattern: { "mlp.c_proj": 3 } } },
    },
    {
      name: "bias-and-modules",
      options: { targetModules: ["c_proj"], bias: "all", modulesToSave: ["ln_f", "wpe"], config },
    },
    { name: "embedding", options: { targetModules: ["c_fc", "wte", "wpe", "lm_head"], config } },
  ],
};

const IDS = [
  [3, 17, 0, 28, 5, 11],
  [8, 8, 21, 2, 14, 9],
];

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write("give a folder to write to\n");
  process.exit(1);
}
const device = await ortDevice();
for (const one of CASES) await writeCase(device, join(folder, one.name), one);
for (const family of ["qwen2", "gpt2"] as const) {
  for (const one of LANGUAGE_CASES[family]) await writeLanguageCase(device, folder, family, one);
}
await device.dispose();

async function writeCase(on: Device, dir: string, { name, options }: Case): Promise<void> {
  const rig = name === "conv" ? convRig([1, 0]) : mlpRig();
  // Any name: it is not a part of the file.
  const adapter = attach(rig.model, lora, { name: "mine", ...options });
  await scatterParameters(on, [...rig.model.parameters, ...adapter.parameters]);
  await saveAdapter(on, adapter, dir);
  const { x } = batchOf(rig, 9);
  const base = Object.fromEntries([...(await readAll(on, rig.model.parameters))].map(([key, t]) => [key, flat(t)]));
  const logits = flat(await logitsOf(on, rig, x, [adapter]));
  await writeFile(join(dir, "expected.json"), JSON.stringify({ base, x: flat(x), logits }));
}

async function writeLanguageCase(on: Device, root: string, family: "qwen2" | "gpt2", one: Case): Promise<void> {
  const golden = fileURLToPath(new URL(`../../golden/peft-language/${family}`, import.meta.url));
  const { defaultTargets, build } = familyOf(family);
  const model = { ...build(await readModelConfig(golden)), defaultTargets };
  await mapParameters(on, model.parameters, join(golden, "model.safetensors"));
  const adapter = attach(model, lora, { name: "mine", ...one.options });
  await initializeAdapter(on, adapter, 1);
  for (const { name, shape } of adapter.parameters) {
    const random = new Random(3, streamOf(name));
    const start = (await on.read(name)).data as Float32Array;
    await on.write(name, { dtype: "float32", shape, data: start.map((value) => value + 0.2 * random.normal()) });
  }
  const length = IDS[0]!.length;
  const tokens = Int32Array.from(IDS.flat());
  const feeds = sequenceFeeds(model, {
    batch: IDS.length,
    length,
    tokens,
    segments: tokens.map(() => 1),
    positions: tokens.map((_, i) => i % length),
  });
  // Mixed with itself it is another adapter with the same effect, of twice the rank.
  const mixed = await addWeightedAdapter(on, [adapter, adapter], [0.25, 0.75], {
    name: "mixed",
    combinationType: "cat",
  });
  for (const [written, suffix] of [
    [adapter, ""],
    [mixed, "-mixed"],
  ] as const) {
    const graph = new Graph();
    const tracing = withCopies({ ...tracingOf(graph), adapt: adapterHook([written]) }, [written], model.tied);
    const hidden = model.hidden(tracing, wholeSequence(graph, model));
    graph.output("logits", model.head(tracing, reshape(hidden, [-1, model.hiddenSize])));
    const executable = await on.compile(graph);
    const { logits } = await executable.run(feeds);
    await executable.dispose();
    const dir = join(root, `${family}-${one.name}${suffix}`);
    await saveAdapter(on, written, dir, { taskType: "CAUSAL_LM" });
    await writeFile(join(dir, "expected.json"), JSON.stringify({ input_ids: IDS, logits: flat(logits!) }));
  }
}

function flat({ shape, data }: Tensor): { shape: readonly number[]; data: number[] } {
  return { shape, data: Array.from<number | bigint, number>(data, Number) };
}
