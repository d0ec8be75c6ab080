/**
 * A training run on a generated task, from the bundled model: all linear layers of the body, their weights alone (no biases,
 * no norms, no embeddings), and a head of classes that is always trained. AdamW without weight decay, linear schedule with
 * warm-up 0.06, batches of 16: the protocol of Shuttleworth et al. 2024, appendix B.3, with more steps and larger learning
 * rates, as a small model wants them.
 *
 * The seed draws the training texts, the head, the adapter and the order. The test texts are the same for every seed.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Adapter } from "../../adapters/adapter.ts";
import { initializeAdapter } from "../../adapters/initialize.ts";
import { mergedWeights } from "../../adapters/merge.ts";
import { adaptable, attachPeft } from "../../lm/peft-config.ts";
import type { Trainable } from "../../lm/trainable.ts";
import { qr } from "../../linear-algebra/columns.ts";
import { countElements, type ParameterSpec } from "../../nn/module.ts";
import { Random, streamOf } from "../../random.ts";
import { canonical } from "../canonical.ts";
import type { JobContext, JobKind } from "../experiment.ts";
import { bundledIdentity } from "../rig/bundled.ts";
import { trainRows } from "../rig/train-rows.ts";
import { checkpointFile, FINAL, type KeptMatrix, writeTuned } from "../rig/weights-file.ts";
import { openWorkbench, type Workbench } from "../rig/workbench.ts";
import { type Example, type GeneratedTask, TASKS } from "../tasks/index.ts";
import { WHO_HAS_MORE } from "../tasks/who-has-more.ts";

export interface TrainSettings {
  /** Name of a generated task. */
  readonly task: string;
  /** Training texts. */
  readonly texts: number;
  readonly steps: number;
  /** The largest one. */
  readonly learningRate: number;
  readonly seed: number;
  readonly tuning: Tuning;
  /** Steps after which weights and measurements are kept besides those of the end. Default: none. */
  readonly checkpoints?: readonly number[];
  /** Documents that forgetting is measured on. Default: all. */
  readonly documents?: number;
}

export type Tuning =
  /** All weights of the layers themselves. */
  | { readonly method: "full" }
  | {
      readonly method: "lora";
      readonly r: number;
      readonly alpha: number;
      /** Endings of the names of layers. Default: all of the body. */
      readonly targets?: readonly string[];
      /** A has orthonormal rows and is not trained: all of its singular values are 1, and stay. Default: false. */
      readonly fixedA?: true;
    }
  /** Any other method that can be merged, by PEFT's settings; the name is for tables. */
  | {
      readonly method: "peft";
      readonly name: string;
      readonly settings: { readonly peftType: string; readonly [setting: string]: unknown };
    };

export interface TrainResult {
  /** On the test texts, 0 to 1. */
  readonly accuracy: number;
  /** On the test texts, in nats. */
  readonly testLoss: number;
  /** Mean loss of each tenth of the steps, in nats. */
  readonly losses: readonly number[];
  /** Loss on text like that of pretraining, in nats per token: what is above that of {@link BASE} was forgotten. */
  readonly pretrainingLoss: number;
  /** Elements that were trained, the head included. */
  readonly trained: number;
  readonly checkpoints: readonly CheckpointResult[];
}

export interface CheckpointResult {
  readonly step: number;
  /** Mean of the losses since the checkpoint before. */
  readonly loss: number;
}

const BATCH = 16;
const TEST_TEXTS = 300;
const TEST_SEED = 1_000_003;
const WARM_UP = 0.06;
const ADAPTER = "default";

export const TRAIN: JobKind<TrainSettings, TrainResult> = {
  name: "train",
  version: 1,
  label({ task, texts, learningRate, seed, tuning }) {
    return `${task} ${texts} texts, ${tuningName(tuning)}, lr ${Number(learningRate.toPrecision(3))}, seed ${seed}`;
  },
  seconds: ({ steps }) => 2 + steps * 0.02,
  async depends(settings) {
    const { train, test } = textsOf(settings);
    return [await bundledIdentity(), hashOf(train), hashOf(test)];
  },
  run: train,
};

/** The bundled model as it is. */
export const BASE: JobKind<Pick<TrainSettings, "documents">, { readonly pretrainingLoss: number }> = {
  name: "base",
  version: 1,
  label: () => "the base as it is",
  seconds: () => 3,
  depends: async () => [await bundledIdentity()],
  async run({ documents }, { threads }) {
    const bench = await openWorkbench({ classes: 2, headSeed: 0, threads });
    try {
      return { pretrainingLoss: await bench.pretrainingLoss(documents) };
    } finally {
      await bench.dispose();
    }
  },
};

/** `lora r=8 α=16` */
export function tuningName(tuning: Tuning): string {
  if (tuning.method === "full") return "full";
  if (tuning.method === "peft") return tuning.name;
  const { r, alpha, targets, fixedA } = tuning;
  const on = targets === undefined ? "" : ` on ${targets.map((name) => name.replace("_proj", "")).join(",")}`;
  return `${fixedA === true ? "lora, B only," : "lora"} r=${r} α=${alpha}${on}`;
}

export function taskNamed(name: string): GeneratedTask {
  const task = [WHO_HAS_MORE, ...TASKS].find((one) => one.name === name);
  if (task === undefined) throw new Error(`there is no task "${name}"`);
  return task;
}

function textsOf({ task, texts, seed }: Pick<TrainSettings, "task" | "texts" | "seed">) {
  return { train: taskNamed(task).generate(seed, texts), test: testTexts(task) };
}

/** The same for all. */
export function testTexts(task: string): readonly Example[] {
  return taskNamed(task).generate(TEST_SEED, TEST_TEXTS, "test");
}

function hashOf(texts: readonly Example[]): string {
  return createHash("sha256").update(canonical(texts)).digest("hex").slice(0, 32);
}

async function train(settings: TrainSettings, context: JobContext): Promise<TrainResult> {
  const { task, seed, steps, learningRate, tuning, checkpoints = [] } = settings;
  const texts = textsOf(settings);
  const { labels } = taskNamed(task);
  const bench = await openWorkbench({ classes: labels.length, headSeed: seed, threads: context.threads });
  try {
    const tuned = await startTuning(bench, tuning, seed);
    const reached: CheckpointResult[] = [];
    const keep = async (file: string) => {
      const { shape, name } = bench.head;
      const data = (await bench.device.read(name)).data as Float32Array;
      await writeTuned(
        join(context.folder, file),
        bench.layers,
        await tuned.kept(),
        { name, shape, data },
        tuned.scaling,
      );
    };
    const since: number[] = [];
    const losses = await trainRows(
      { language: bench.classifier, what: tuningName(tuning), trained: tuned.trained, adapters: tuned.adapters },
      await bench.rowsOf(texts.train, seed),
      {
        length: { steps },
        batchSize: BATCH,
        learningRate,
        warmupRatio: WARM_UP,
        seed,
        padId: bench.tokenizer.padId,
      },
      {
        signal: context.signal,
        async onStep({ step, loss }) {
          since.push(loss);
          context.progress(step / steps);
          if (!checkpoints.includes(step)) return;
          reached.push({ step, loss: mean(since.splice(0)) });
          await keep(checkpointFile(step));
        },
      },
    );
    await keep(FINAL);
    await tuned.merge();
    await bench.changed();
    const { accuracy, loss } = await bench.test(texts.test);
    return {
      accuracy,
      testLoss: loss,
      losses: tenths(losses),
      pretrainingLoss: await bench.pretrainingLoss(settings.documents),
      trained: countElements(tuned.trained),
      checkpoints: reached,
    };
  } finally {
    await bench.dispose();
  }
}

interface StartedTuning extends Pick<Trainable, "trained" | "adapters"> {
  /** alpha / r; 1 where there are no factors. */
  readonly scaling: number;
  /** By the names of layers, as they are now. */
  kept(): Promise<ReadonlyMap<string, KeptMatrix>>;
  /** Writes tuned matrices in the place of the base's. */
  merge(): Promise<void>;
}

async function startTuning(bench: Workbench, tuning: Tuning, seed: number): Promise<StartedTuning> {
  const { classifier: language, device, layers, head } = bench;
  const read = async (name: string) => (await device.read(name)).data as Float32Array;
  if (tuning.method === "full") {
    const weights = new Set(layers.map(({ weight }) => weight));
    const trained = language.model.parameters.filter(({ name }) => weights.has(name) || name === head.name);
    return {
      trained,
      adapters: [],
      scaling: 1,
      async kept() {
        const found = new Map<string, KeptMatrix>();
        for (const { name, weight } of layers) found.set(name, { tuned: await read(weight) });
        return found;
      },
      merge: async () => {},
    };
  }
  const adapter = await newAdapter(bench, tuning, seed);
  const isFixed = tuning.method === "lora" && tuning.fixedA === true;
  const own = adapter.parameters.filter(({ name }) => !isFixed || !name.includes(LORA_A));
  const trained: readonly ParameterSpec[] = [...own, head];
  const merge = async () => {
    const merged = mergedWeights(device, adapter);
    for (const { weight } of adapter.targets.map(({ layer }) => layer)) {
      const tensor = await merged.read(weight);
      await device.write(weight, tensor);
    }
    await language.remove(ADAPTER);
  };
  const isLora = tuning.method === "lora";
  return {
    trained,
    adapters: [adapter],
    scaling: isLora ? tuning.alpha / tuning.r : 1,
    async kept() {
      const found = new Map<string, KeptMatrix>();
      const merged = isLora ? undefined : mergedWeights(device, adapter);
      for (const { layer, states } of adapter.targets) {
        const state = (ending: string) => read([...states].find(([name]) => name.startsWith(ending))![1].name);
        found.set(
          layer.name,
          merged === undefined
            ? { A: await state(LORA_A), B: await state(LORA_B) }
            : { tuned: (await merged.read(layer.weight)).data as Float32Array },
        );
      }
      return found;
    },
    merge,
  };
}

const [LORA_A, LORA_B] = ["lora_A", "lora_B"];

async function newAdapter(
  { classifier: language, device, layers }: Workbench,
  tuning: Exclude<Tuning, { method: "full" }>,
  seed: number,
): Promise<Adapter> {
  const all = [...new Set(layers.map(({ name }) => name.split(".").at(-1)!))];
  const settings =
    tuning.method === "peft"
      ? { targetModules: all, ...tuning.settings }
      : { peftType: "LORA", r: tuning.r, loraAlpha: tuning.alpha, targetModules: tuning.targets ?? all };
  // The head is trained itself, as in full fine-tuning, and not as a copy.
  const { newModules: _head, ...body } = adaptable(language.model, all);
  const adapter = attachPeft(body, ADAPTER, settings);
  await initializeAdapter(device, adapter, seed);
  if (tuning.method === "lora" && tuning.fixedA === true) {
    for (const { states } of adapter.targets) {
      const { name, shape } = [...states].find(([one]) => one.startsWith(LORA_A))![1];
      await device.write(name, {
        dtype: "float32",
        shape,
        data: orthonormalRows(shape, new Random(seed, streamOf(name))),
      });
    }
  }
  await language.add(adapter);
  return adapter;
}

/** [r, in] */
function orthonormalRows([r, length]: readonly number[], random: Random): Float32Array {
  const drawn = Array.from({ length: r! }, () => Float64Array.from({ length: length! }, () => random.normal()));
  return Float32Array.from(qr(drawn).Q.flatMap((row) => Array.from(row)));
}

function tenths(losses: readonly number[]): number[] {
  const parts = Math.min(10, losses.length);
  return Array.from({ length: parts }, (_, i) =>
    mean(losses.slice(Math.floor((i * losses.length) / parts), Math.floor(((i + 1) * losses.length) / parts))),
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
