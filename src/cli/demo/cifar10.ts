/**
 * The CIFAR-10 demonstration of LoRA, step by step: a perceptron learns to sort small images; rank-1 LoRA, 0.07 % of its
 * parameters, goes on from there; with the adapter off the old model is back, bit for bit. The control that the published
 * demonstration leaves out is run as well: the same number of further epochs of full training.
 */
import { access, constants, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Adapter, attach } from "../../adapters/adapter.ts";
import { lora } from "../../adapters/lora.ts";
import { type Cifar10, loadCifar10 } from "../../data/cifar10.ts";
import { downloadCifar10 } from "../../data/cifar10-download.ts";
import { type ImageDataset, imageAt } from "../../data/image-dataset.ts";
import { imageGridPng, type LabelledImage } from "../../figures/image-grid.ts";
import { mapParameters, saveParameters } from "../../formats/model/parameters.ts";
import { saveAdapter } from "../../formats/peft/save.ts";
import { mlp } from "../../models/mlp.ts";
import { countElements, type ParameterSpec } from "../../nn/module.ts";
import { ConfigError } from "../../errors.ts";
import { adam } from "../../optim/adam.ts";
import { ortDevice } from "../../runtime/node/device-node.ts";
import type { Device, EngineDevice } from "../../runtime/runtime.ts";
import { type Fit, fitImages, type ImageModel, type Predictions, predictImages } from "../../train/image-classifier.ts";
import { freezeByName, initializeParameters } from "../../parameters.ts";
import { showImages } from "../terminal/image.ts";
import { Progress } from "../terminal/progress.ts";
import { table } from "../terminal/table.ts";
import { lossChart, type Phase, thinned } from "./loss-report.ts";

export interface Cifar10DemoOptions {
  /** Folder, or "synthetic". Absent: download. */
  readonly data?: string;
  readonly epochs: number;
  readonly loraEpochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly rank: number;
  readonly alpha: number;
  readonly form: "activation" | "weight";
  readonly limitTrain?: number;
  readonly limitTest?: number;
  readonly seed: number;
  readonly device: EngineDevice;
  readonly threads: number;
  readonly out: string;
  readonly json?: true;
}

/** What `report.json` and `--json` hold; accuracies are shares, times are seconds. */
export interface Cifar10Report {
  readonly base_params: number;
  readonly lora_params: number;
  readonly total_params: number;
  readonly lora_percent: number;
  readonly accuracy_base: number;
  readonly accuracy_lora_on_before: number;
  readonly accuracy_lora_off_before: number;
  readonly accuracy_lora_on: number;
  readonly accuracy_lora_off: number;
  readonly accuracy_control: number;
  /** Logits with the adapter off after training are those of the base, bit for bit. */
  readonly lora_off_equals_base: boolean;
  readonly epoch_seconds_full: number;
  readonly epoch_seconds_lora: number;
  readonly epoch_ratio: number;
  readonly losses: Readonly<Record<Phase, readonly { readonly step: number; readonly loss: number }[]>>;
  readonly train_images: number;
  readonly test_images: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly out: string;
}

/** Images that are shown before and after. */
const SHOWN = 8;

/** @throws LowrankError for what a user can mend, Interrupted when stopped */
export async function runCifar10Demo(options: Cifar10DemoOptions, signal: AbortSignal): Promise<Cifar10Report> {
  const out = resolve(options.out);
  const say = (text = "") => (options.json ? process.stderr : process.stdout).write(`${text}\n`);
  const step = stepTitles(say);
  await prepareFolder(out);

  step("Load and normalise the images");
  const images = await load(options, signal);
  const { train, test } = images;
  say(
    `${train.count} training and ${test.count} test images of ${train.classNames.length} classes, as (x/255 - 0.5) / 0.5`,
  );

  step("Look at some");
  const samples = firstImages(train, 32);
  await writeFile(
    join(out, "samples.png"),
    imageGridPng(samples, { title: `${setName(options)}: training images`, columns: 8 }),
  );
  showImages(samples.slice(0, SHOWN), {
    path: join(options.out, "samples.png"),
    stream: options.json ? process.stderr : process.stdout,
  });

  const device = await ortDevice({ device: options.device, threads: options.threads });
  try {
    const demo = new Demo(device, options, images, say, signal);
    const report = await demo.run(step, out);
    await writeFile(join(out, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
    say();
    say(
      `Everything is in ${options.out}: report.json, loss.svg, samples.png, predictions.png, base.safetensors, lora/`,
    );
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    return report;
  } finally {
    await device.dispose();
  }
}

class Demo {
  readonly #device: Device;
  readonly #options: Cifar10DemoOptions;
  readonly #images: Cifar10;
  readonly #say: (text?: string) => void;
  readonly #signal: AbortSignal;
  readonly #model: ImageModel = mlp([3072, 4096, 2048, 10]);

  constructor(
    device: Device,
    options: Cifar10DemoOptions,
    images: Cifar10,
    say: (text?: string) => void,
    signal: AbortSignal,
  ) {
    this.#device = device;
    this.#options = options;
    this.#images = images;
    this.#say = say;
    this.#signal = signal;
  }

  async run(step: (title: string) => void, out: string): Promise<Cifar10Report> {
    const { epochs, loraEpochs, rank, alpha, form, seed } = this.#options;
    const device = this.#device;
    const model = this.#model;
    const say = this.#say;
    const basePath = join(out, "base.safetensors");
    const allBase = new Set(model.parameters.map(({ name }) => name));

    step(`Train the 3072-4096-2048-10 perceptron, every parameter, for ${counted(epochs, "epoch")}`);
    await initializeParameters(device, model.parameters, seed);
    const full = await this.#fit("full", { epochs, trainable: allBase });
    const fullSeconds = this.#reportEpochs(full);

    step("Save it, and load it again");
    const trained = await this.#predict("test");
    await saveParameters(device, model.parameters, basePath);
    await mapParameters(device, model.parameters, basePath);
    const base = await this.#predict("test again");
    const reloaded = sameBits(trained.logits, base.logits);
    say(
      `${join(this.#options.out, "base.safetensors")}: the loaded model ${reloaded ? "gives the same logits, bit for bit" : "differs in the last bits of its logits (other kernels)"}`,
    );

    step(`Predict ${SHOWN} images`);
    this.#showPredictions([["base", base]]);

    step("Test it on all test images");
    say(`accuracy of the base: ${percent(base.accuracy)}`);

    step(`Attach LoRA of rank ${rank} to fc1, fc2 and fc3`);
    const adapter: Adapter = attach(model, lora, {
      targetModules: ["fc1", "fc2", "fc3"],
      config: { r: rank, alpha, form, init: "standard-normal" },
    });
    await initializeParameters(device, adapter.parameters, seed);
    const onBefore = await this.#predict("LoRA on", [adapter]);
    const offBefore = await this.#predict("LoRA off");
    say(
      `before training: LoRA on ${percent(onBefore.accuracy)}, off ${percent(offBefore.accuracy)} (B = 0, so nothing changes yet)`,
    );

    step("Count the parameters");
    const counts = this.#countParameters(adapter);

    step(`Freeze everything but LoRA, and train that for ${counted(loraEpochs, "epoch")}`);
    const everything: ParameterSpec[] = [...model.parameters, ...adapter.parameters];
    const trainable = freezeByName(everything, [/^fc\d+\.(weight|bias)$/]);
    say(`trainable: ${[...trainable].join(", ")}`);
    const fitted = await this.#fit("lora", { epochs: loraEpochs, trainable, adapters: [adapter] });
    const loraSeconds = this.#reportEpochs(fitted);
    say(`a LoRA epoch takes ${(loraSeconds / fullSeconds).toFixed(3)} of a full one (published: 0.521)`);

    step("Test with LoRA on and off");
    const on = await this.#predict("LoRA on", [adapter]);
    const off = await this.#predict("LoRA off");
    const offEqualsBase = sameBits(off.logits, base.logits);
    say(`LoRA on ${percent(on.accuracy)}, off ${percent(off.accuracy)}`);
    say(`off ${offEqualsBase ? "is the base, bit for bit" : "DIFFERS from the base"}`);
    await saveAdapter(device, adapter, join(out, "lora"));

    step("The same images again");
    this.#showPredictions([
      ["base", base],
      ["LoRA", on],
    ]);
    await writeFile(join(out, "predictions.png"), this.#predictionsPicture(base, on));

    step(`The control: ${counted(loraEpochs, "further epoch")} of full training from the same checkpoint`);
    const control = await this.#fit("control", { epochs: loraEpochs, trainable: allBase });
    const controlled = await this.#predict("control");
    say(
      table(
        [
          ["base", percent(base.accuracy), counted(epochs, "full epoch")],
          ["base + LoRA", percent(on.accuracy), `and ${counted(loraEpochs, "LoRA epoch")}`],
          ["control", percent(controlled.accuracy), `and ${counted(loraEpochs, "full epoch")}`],
        ],
        { header: ["model", "accuracy", "training"] },
      ),
    );
    const phases = { full: full.losses, lora: fitted.losses, control: control.losses };
    await writeFile(join(out, "loss.svg"), lossChart(phases, setName(this.#options)));

    const { data = "download", ...rest } = this.#options;
    return {
      ...counts,
      accuracy_base: base.accuracy,
      accuracy_lora_on_before: onBefore.accuracy,
      accuracy_lora_off_before: offBefore.accuracy,
      accuracy_lora_on: on.accuracy,
      accuracy_lora_off: off.accuracy,
      accuracy_control: controlled.accuracy,
      lora_off_equals_base: offEqualsBase,
      epoch_seconds_full: fullSeconds,
      epoch_seconds_lora: loraSeconds,
      epoch_ratio: loraSeconds / fullSeconds,
      losses: thinned(phases),
      train_images: this.#images.train.count,
      test_images: this.#images.test.count,
      settings: { data, ...rest },
      seed,
      out,
    };
  }

  async #fit(
    phase: Phase,
    {
      epochs,
      trainable,
      adapters = [],
    }: { epochs: number; trainable: ReadonlySet<string>; adapters?: readonly Adapter[] },
  ): Promise<Fit> {
    const { batchSize, lr, seed } = this.#options;
    const { train } = this.#images;
    const bar = new Progress({ label: `train ${phase}`, total: epochs * train.count, unit: "images" });
    let smooth: number | undefined;
    try {
      const fit = await fitImages(this.#device, train, {
        model: this.#model,
        adapters,
        trainable,
        optimizer: adam(),
        learningRate: lr,
        batchSize,
        epochs,
        seed,
        signal: this.#signal,
        onStep({ epoch, images, loss }) {
          smooth = smooth === undefined ? loss : 0.99 * smooth + 0.01 * loss;
          bar.update(epoch * train.count + images, { epoch: `${epoch + 1}/${epochs}`, loss: smooth });
        },
      });
      bar.finish();
      return fit;
    } finally {
      bar.stop();
    }
  }

  async #predict(label: string, adapters: readonly Adapter[] = []): Promise<Predictions> {
    this.#signal.throwIfAborted();
    const bar = new Progress({ label, total: this.#images.test.count, unit: "images" });
    try {
      const predictions = await predictImages(this.#device, this.#images.test, {
        model: this.#model,
        adapters,
        onBatch: (images) => bar.update(images),
      });
      bar.finish({ accuracy: percent(predictions.accuracy) });
      return predictions;
    } finally {
      bar.stop();
    }
  }

  /** Says what the epochs took. @returns the seconds of one: the last, when there is a first to warm up with */
  #reportEpochs({ epochSeconds, losses }: Fit): number {
    const perEpoch = losses.length / epochSeconds.length;
    epochSeconds.forEach((seconds, i) => {
      const part = losses.slice(Math.round(i * perEpoch), Math.round((i + 1) * perEpoch));
      const mean = part.reduce((a, b) => a + b, 0) / part.length;
      this.#say(`epoch ${i + 1}: ${seconds.toFixed(2)} s, mean loss ${mean.toFixed(3)}`);
    });
    return epochSeconds.at(-1)!;
  }

  #countParameters(adapter: Adapter) {
    const base = countElements(this.#model.parameters);
    const added = countElements(adapter.parameters);
    const rows = adapter.targets.map(({ layer, states }) => {
      const own = this.#model.parameters.filter(({ name }) => name.startsWith(`${layer.name}.`));
      return [layer.name, grouped(countElements(own)), grouped(countElements([...states.values()]))];
    });
    rows.push(["total", grouped(base), grouped(added)]);
    this.#say(table(rows, { header: ["layer", "base", "LoRA"], align: ["left", "right", "right"] }));
    this.#say(`${grouped(base + added)} with LoRA, which adds ${((100 * added) / base).toFixed(3)} %`);
    return {
      base_params: base,
      lora_params: added,
      total_params: base + added,
      lora_percent: Number(((100 * added) / base).toFixed(3)),
    };
  }

  #showPredictions(models: readonly (readonly [string, Predictions])[]): void {
    const { test } = this.#images;
    const name = (index: number | undefined) => test.classNames[index ?? -1] ?? "?";
    const rows = Array.from({ length: Math.min(SHOWN, test.count) }, (_, i) => [
      String(i),
      name(test.labels[i]),
      ...models.map(([, { classes }]) => `${name(classes[i])}${classes[i] === test.labels[i] ? " ✓" : ""}`),
    ]);
    this.#say(table(rows, { header: ["test image", "label", ...models.map(([model]) => model)] }));
  }

  #predictionsPicture(base: Predictions, on: Predictions): Uint8Array {
    const { test } = this.#images;
    const pictures = ([base, on] as const).flatMap(({ classes }, row) =>
      Array.from({ length: Math.min(SHOWN, test.count) }, (_, i): LabelledImage => {
        const right = classes[i] === test.labels[i];
        return {
          pixels: imageAt(test, i),
          label: `${row === 0 ? "base" : "LoRA"}: ${test.classNames[classes[i]!]!}`,
          detail: right ? "right" : `is ${test.classNames[test.labels[i]!]!}`,
          verdict: right ? "right" : "wrong",
        };
      }),
    );
    return imageGridPng(pictures, {
      title: "The same test images, before and after LoRA",
      subtitle: `accuracy on ${test.count} images: base ${percent(base.accuracy)}, with LoRA ${percent(on.accuracy)}`,
      columns: Math.min(SHOWN, test.count),
    });
  }
}

/** @throws ConfigError if the folder cannot be made or written to */
async function prepareFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK);
  } catch (cause) {
    throw new ConfigError({
      where: `--out ${path}`,
      what: "cannot write there",
      got: cause instanceof Error ? cause.message : String(cause),
      hint: "name a folder that can be made or written to",
      cause,
    });
  }
}

async function load(options: Cifar10DemoOptions, signal: AbortSignal): Promise<Cifar10> {
  const limits = {
    seed: options.seed,
    ...(options.limitTrain === undefined ? {} : { limitTrain: options.limitTrain }),
    ...(options.limitTest === undefined ? {} : { limitTest: options.limitTest }),
  };
  return loadCifar10(options.data ?? (await download(signal)), limits);
}

async function download(signal: AbortSignal): Promise<string> {
  let bar: Progress | undefined;
  try {
    return await downloadCifar10({
      signal,
      onProgress(bytes, total) {
        bar ??= new Progress({
          label: "CIFAR-10",
          unit: "B",
          initial: bytes,
          ...(total === undefined ? {} : { total }),
        });
        bar.update(bytes);
      },
      onExtract: () => bar?.finish(),
    });
  } finally {
    bar?.stop();
  }
}

function firstImages(images: ImageDataset, count: number): LabelledImage[] {
  return Array.from({ length: Math.min(count, images.count) }, (_, i) => ({
    pixels: imageAt(images, i),
    label: images.classNames[images.labels[i]!] ?? "?",
  }));
}

function stepTitles(say: (text?: string) => void): (title: string) => void {
  let number = 0;
  return (title) => {
    say();
    say(`${++number}. ${title}`);
  };
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function setName({ data }: Cifar10DemoOptions): string {
  return data === "synthetic" ? "Generated images" : "CIFAR-10";
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function grouped(count: number): string {
  return count.toLocaleString("en-US");
}
