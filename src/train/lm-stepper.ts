/** Runs the steps of a language model: accumulates micro-batches, looks at the numbers, and only then updates. */
import type { Adapter } from "../adapters/adapter.ts";
import { EngineError, NumericError } from "../errors.ts";
import { supervisedFeeds, type SupervisedRows } from "../lm/rows.ts";
import { sequenceFeeds } from "../lm/sequence.ts";
import type { TextModel } from "../models/text-model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { CompileOptions, Device, Executable, Feeds, Tensor } from "../runtime/runtime.ts";
import { CLIP_FEED, KEEP_FEED, type LmGraphs, scalarFeed } from "./lm-graphs.ts";
import { afterOnHost } from "./method-steps.ts";
import { OptimizerPages } from "./optimizer-pages.ts";
import { scalarTensor, stepSeed, zeroTensor } from "./stepper.ts";
import { SEED_FEED } from "./training-graph.ts";

export interface LmStepperOptions {
  readonly model: TextModel;
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
  readonly resume?: LmStepperState;
  /** Folder for the file of paged optimizer states; needed if the graphs have some. */
  readonly pagesFolder?: string;
}

/** What a run needs, besides the parameters, to go on as if it had never stopped. */
export interface LmStepperState {
  /** Steps taken. */
  readonly steps: number;
  readonly seed: number;
  /** The optimizer's states, by name: one at a time is in memory. */
  readonly slots: ReadonlyMap<string, StoredSlot>;
}

export interface StoredSlot {
  readonly shape: readonly number[];
  read(): Promise<Tensor>;
}

export interface LmStepResult {
  /** Mean over the supervised tokens of the step, in nats. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradNorm: number;
  readonly supervised: number;
}

interface Compiled {
  readonly accumulate: Executable;
  readonly norm: Executable;
  readonly updates: readonly Executable[];
  readonly after: Executable | undefined;
  readonly pages: OptimizerPages | undefined;
}

export class LmStepper {
  readonly #device: Device;
  readonly #graphs: LmGraphs;
  readonly #options: LmStepperOptions;
  readonly #accumulate: Executable;
  readonly #norm: Executable;
  readonly #updates: readonly Executable[];
  readonly #after: Executable | undefined;
  readonly #seed: number;
  readonly #usesSeed: boolean;
  readonly #pages: OptimizerPages | undefined;
  #step: number;
  /** Why some parameters may be a step ahead of the others. */
  #torn: unknown;

  private constructor(
    device: Device,
    graphs: LmGraphs,
    options: LmStepperOptions,
    { accumulate, norm, updates, after, pages }: Compiled,
  ) {
    this.#after = after;
    this.#pages = pages;
    this.#device = device;
    this.#graphs = graphs;
    this.#options = options;
    this.#accumulate = accumulate;
    this.#norm = norm;
    this.#updates = updates;
    this.#seed = options.resume?.seed ?? options.seed;
    this.#step = options.resume?.steps ?? 0;
    this.#usesSeed = graphs.accumulate.inputs.some(({ value }) => value.name === SEED_FEED);
  }

  /**
   * Compiles the graphs. The parameters must be on the device.
   * @throws ConfigError if there is no room for the paged states
   */
  static async create(device: Device, graphs: LmGraphs, options: LmStepperOptions): Promise<LmStepper> {
    const saved = async (name: string) => options.resume?.slots.get(name)?.read();
    for (const { name, shape } of graphs.gradients) await device.write(name, zeroTensor(shape));
    for (const { name, shape, paged } of graphs.slots) {
      if (!paged) await device.write(name, (await saved(name)) ?? zeroTensor(shape));
    }
    const paged = graphs.slots.filter((slot) => slot.paged);
    const { pagesFolder } = options;
    if (paged.length > 0 && pagesFolder === undefined) throw new TypeError("paged optimizer states need a folder");
    const pages = paged.length === 0 ? undefined : await OptimizerPages.create(device, pagesFolder!, paged, saved);
    try {
      // The same large results come and go at every block: kept memory is not mapped and cleared each time, and, with
      // nothing between them that lives longer, takes less of it than the allocator of the C library.
      const compile = { arena: true, ...options.compile, frozen: graphs.frozen };
      const accumulate = await device.compile(graphs.accumulate, compile);
      const norm = await device.compile(graphs.norm);
      const updates: Executable[] = [];
      for (const { graph } of graphs.updates) updates.push(await device.compile(graph));
      const after = graphs.after === undefined ? undefined : await device.compile(graphs.after);
      return new LmStepper(device, graphs, options, { accumulate, norm, updates, after, pages });
    } catch (error) {
      await pages?.free();
      throw error;
    }
  }

  /** Steps taken. */
  get steps(): number {
    return this.#step;
  }

  /**
   * What {@link LmStepperOptions.resume} needs, besides the parameters. It has to be read before the next step.
   * @throws EngineError if the last step failed after it had changed some parameters
   */
  state(): LmStepperState {
    this.#expectWhole();
    const slots = this.#graphs.slots.map(
      ({ name, shape }) => [name, { shape, read: () => this.#device.read(name) }] as const,
    );
    return { steps: this.#step, seed: this.#seed, slots: new Map(slots) };
  }

  /**
   * One step over all `batches` together.
   * @throws NumericError if the loss or the norm of the gradients is not finite; the parameters are as before the step
   */
  async step(batches: readonly SupervisedRows[], learningRate: number): Promise<LmStepResult> {
    this.#expectWhole();
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
    await this.#update(clip, step, learningRate);
    if (this.#after !== undefined) {
      const outputs = await this.#after.run(clip);
      const { adapters = [], totalSteps = Infinity } = this.#options;
      await afterOnHost(this.#device, adapters, outputs, { step, totalSteps });
    }
    this.#step = step;
    return { loss, gradNorm, supervised };
  }

  async #update(clip: Feeds, step: number, learningRate: number): Promise<void> {
    const scalars = this.#scalarFeeds(step, learningRate);
    try {
      for (const [i, { graph }] of this.#graphs.updates.entries()) {
        const known = graph.inputs.filter(({ value }) => Object.hasOwn(scalars, value.name));
        const own = Object.fromEntries(known.map(({ value }) => [value.name, scalars[value.name]!]));
        await this.#updates[i]!.run({ ...clip, ...own });
      }
    } catch (error) {
      this.#torn = error;
      throw error;
    }
  }

  #expectWhole(): void {
    if (this.#torn === undefined) return;
    throw new EngineError({
      what: "the last step failed after it had changed some of the parameters",
      hint: "go on from the last checkpoint",
      cause: this.#torn,
    });
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
    const feeds: Record<string, Tensor> = {};
    for (const optimizer of this.#options.optimizers) {
      for (const rate of this.#graphs.rates) {
        const values = optimizer.scalarsAt(step, rate * learningRate);
        for (const name of optimizer.scalars) feeds[scalarFeed(name, rate)] = scalarTensor("float32", values[name]!);
      }
    }
    return feeds;
  }

  /**
   * Frees what was compiled, the gradients, and optimizer states that are paged. Parameters and the other states stay on the
   * device.
   */
  async dispose(): Promise<void> {
    for (const executable of [this.#accumulate, this.#norm, ...this.#updates, this.#after]) await executable?.dispose();
    await this.#pages?.free();
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
