/** Runs the steps of a language model: accumulates micro-batches, looks at the numbers, and only then updates. */
import type { Adapter } from "../adapters/adapter.ts";
import { NumericError } from "../errors.ts";
import { supervisedFeeds, type SupervisedRows } from "../lm/rows.ts";
import { sequenceFeeds } from "../lm/sequence.ts";
import type { CausalLm } from "../models/causal-lm.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { CompileOptions, Device, Executable, Feeds, Tensor } from "../runtime/runtime.ts";
import { CLIP_FEED, KEEP_FEED, type LmGraphs, scalarFeed } from "./lm-graphs.ts";
import { afterOnHost } from "./method-steps.ts";
import { scalarTensor, type StepperState, stepSeed, zeroTensor } from "./stepper.ts";
import { SEED_FEED } from "./training-graph.ts";

export interface LmStepperOptions {
  readonly model: CausalLm;
  /** Those that the update graph was made with. */
  readonly optimizers: readonly Optimizer[];
  readonly chunks: number;
  /** Global norm that gradients are clipped to; 0 does not clip. */
  readonly maxGradNorm: number;
  /** Seed of everything random in the graph, such as dropout. */
  readonly seed: number;
  readonly compile: CompileOptions;
  /** Those that the graphs were made with, and the length of the run, for what their methods do after a step. */
  readonly adapters?: readonly Adapter[];
  readonly totalSteps?: number;
  /** Goes on where a run was when {@link LmStepper.state} was taken. */
  readonly resume?: StepperState;
}

export interface LmStepResult {
  /** Mean over the supervised tokens of the step, in nats. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradNorm: number;
  readonly supervised: number;
}

export class LmStepper {
  readonly #device: Device;
  readonly #graphs: LmGraphs;
  readonly #options: LmStepperOptions;
  readonly #accumulate: Executable;
  readonly #norm: Executable;
  readonly #update: Executable;
  readonly #after: Executable | undefined;
  readonly #seed: number;
  readonly #usesSeed: boolean;
  #step: number;

  private constructor(
    device: Device,
    graphs: LmGraphs,
    options: LmStepperOptions,
    [accumulate, norm, update, after]: readonly [Executable, Executable, Executable, Executable | undefined],
  ) {
    this.#after = after;
    this.#device = device;
    this.#graphs = graphs;
    this.#options = options;
    this.#accumulate = accumulate;
    this.#norm = norm;
    this.#update = update;
    this.#seed = options.resume?.seed ?? options.seed;
    this.#step = options.resume?.steps ?? 0;
    this.#usesSeed = graphs.accumulate.inputs.some(({ value }) => value.name === SEED_FEED);
  }

  /** Compiles the graphs. The parameters must be on the device. */
  static async create(device: Device, graphs: LmGraphs, options: LmStepperOptions): Promise<LmStepper> {
    for (const { name, shape } of graphs.gradients) await device.write(name, zeroTensor(shape));
    for (const { name, shape } of graphs.slots) {
      await device.write(name, options.resume?.slots.get(name) ?? zeroTensor(shape));
    }
    // The same large results come and go at every block: kept memory is not mapped and cleared each time, and, with nothing
    // between them that lives longer, takes less of it than the allocator of the C library.
    const compile = { arena: true, ...options.compile, frozen: graphs.frozen };
    const accumulate = await device.compile(graphs.accumulate, compile);
    const norm = await device.compile(graphs.norm);
    const update = await device.compile(graphs.update);
    const after = graphs.after === undefined ? undefined : await device.compile(graphs.after);
    return new LmStepper(device, graphs, options, [accumulate, norm, update, after]);
  }

  /** Steps taken. */
  get steps(): number {
    return this.#step;
  }

  /** What {@link LmStepperOptions.resume} needs, besides the parameters. */
  async state(): Promise<StepperState> {
    const slots = new Map<string, Tensor>();
    for (const { name } of this.#graphs.slots) slots.set(name, await this.#device.read(name));
    return { steps: this.#step, seed: this.#seed, slots };
  }

  /**
   * One step over all `batches` together.
   * @throws NumericError if the loss or the norm of the gradients is not finite; the parameters are as before the step
   */
  async step(batches: readonly SupervisedRows[], learningRate: number): Promise<LmStepResult> {
    const step = this.#step + 1;
    const supervised = batches.reduce((sum, { rows }) => sum + rows.length, 0);
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      const results = await this.#accumulate.run(this.#feeds(batch, 1 / supervised, i, step));
      loss += Number(results.loss!.data[0]);
      if (!Number.isFinite(loss)) throw notFinite(`step ${step}`, "loss", loss, learningRate);
    }
    const gradNorm = Number((await this.#norm.run({})).grad_norm!.data[0]);
    if (!Number.isFinite(gradNorm)) throw notFinite(`step ${step}`, "norm of the gradients", gradNorm, learningRate);
    const clip = this.#clip(gradNorm);
    await this.#update.run({ ...clip, ...this.#scalarFeeds(step, learningRate) });
    if (this.#after !== undefined) {
      const outputs = await this.#after.run(clip);
      const { adapters = [], totalSteps = Infinity } = this.#options;
      await afterOnHost(this.#device, adapters, outputs, { step, totalSteps });
    }
    this.#step = step;
    return { loss, gradNorm, supervised };
  }

  #feeds(batch: SupervisedRows, weight: number, micro: number, step: number): Feeds {
    const { model, chunks } = this.#options;
    return {
      ...sequenceFeeds(model, batch),
      ...supervisedFeeds(batch, chunks, weight),
      [KEEP_FEED]: scalarTensor("float32", micro === 0 ? 0 : 1),
      ...(this.#usesSeed ? { [SEED_FEED]: scalarTensor("int32", stepSeed(stepSeed(this.#seed, step), micro)) } : {}),
    };
  }

  #clip(gradNorm: number): Feeds {
    const { maxGradNorm } = this.#options;
    const clip = maxGradNorm > 0 ? Math.min(1, maxGradNorm / (gradNorm + 1e-6)) : 1;
    return { [CLIP_FEED]: scalarTensor("float32", clip) };
  }

  #scalarFeeds(step: number, learningRate: number): Feeds {
    const known = new Set(this.#graphs.update.inputs.map(({ value }) => value.name));
    const feeds: Record<string, Tensor> = {};
    for (const optimizer of this.#options.optimizers) {
      for (const rate of this.#graphs.rates) {
        const values = optimizer.scalarsAt(step, rate * learningRate);
        for (const name of optimizer.scalars) {
          const feed = scalarFeed(name, rate);
          if (known.has(feed)) feeds[feed] = scalarTensor("float32", values[name]!);
        }
      }
    }
    return feeds;
  }

  /** Frees what was compiled, and the gradients. Parameters and optimizer states stay on the device. */
  async dispose(): Promise<void> {
    for (const executable of [this.#accumulate, this.#norm, this.#update, this.#after]) await executable?.dispose();
    for (const { name } of this.#graphs.gradients) await this.#device.free(name);
  }
}

function notFinite(where: string, what: string, got: number, learningRate: number): NumericError {
  return new NumericError({
    where,
    what: `the ${what} is ${got}`,
    expected: "a finite number",
    hint: `use a lower learning rate (now ${learningRate}), or clip the gradients`,
  });
}
