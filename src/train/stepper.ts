/** Runs training steps on a device: counts them, feeds the optimizer's scalars, and gives back the loss. */
import { ConfigError, listed, NumericError } from "../errors.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { CompileOptions, Device, Executable, Feeds, Tensor } from "../runtime/runtime.ts";
import { SCALAR_FEED, SEED_FEED, type TrainingGraph } from "./training-graph.ts";

export interface StepperOptions extends CompileOptions {
  readonly optimizer: Optimizer;
  /** Seed of everything random in the graph, such as dropout. Default: 0. */
  readonly seed?: number;
  /** Goes on where a run was when its {@link Stepper.state} was taken. The parameters are restored by the caller. */
  readonly resume?: StepperState;
}

/** What a run needs, besides the parameters, to go on as if it had never stopped. */
export interface StepperState {
  /** Steps taken. */
  readonly steps: number;
  readonly seed: number;
  /** Contents of the optimizer's states, by name. */
  readonly slots: ReadonlyMap<string, Tensor>;
}

export interface StepResult {
  readonly loss: number;
  /** Global norm of the gradients before clipping; present if the graph clips. */
  readonly gradNorm?: number;
}

export class Stepper {
  readonly #device: Device;
  readonly #executable: Executable;
  readonly #slots: TrainingGraph["slots"];
  readonly #optimizer: Optimizer;
  readonly #seed: number;
  readonly #usesSeed: boolean;
  #step: number;

  private constructor(device: Device, executable: Executable, training: TrainingGraph, options: StepperOptions) {
    this.#device = device;
    this.#executable = executable;
    this.#slots = training.slots;
    this.#optimizer = options.optimizer;
    this.#seed = options.resume?.seed ?? options.seed ?? 0;
    this.#step = options.resume?.steps ?? 0;
    this.#usesSeed = training.graph.inputs.some(({ value }) => value.name === SEED_FEED);
  }

  /**
   * Compiles the graph and sets the optimizer's states to zero, or to those of `resume`. The parameters must be on the
   * device.
   * @throws ConfigError if `resume` does not fit the graph, or has another seed than the one asked for
   */
  static async create(device: Device, training: TrainingGraph, options: StepperOptions): Promise<Stepper> {
    const { resume } = options;
    if (resume !== undefined) checkState(resume, training, options.seed);
    for (const { name, shape } of training.slots) {
      await device.write(name, resume?.slots.get(name) ?? zeroTensor(shape));
    }
    return new Stepper(device, await device.compile(training.graph, options), training, options);
  }

  /** What {@link StepperOptions.resume} needs: a copy, which later steps do not change. */
  async state(): Promise<StepperState> {
    const slots = new Map<string, Tensor>();
    for (const { name } of this.#slots) slots.set(name, await this.#device.read(name));
    return { steps: this.#step, seed: this.#seed, slots };
  }

  /** Steps taken. */
  get steps(): number {
    return this.#step;
  }

  /**
   * One step.
   * @param feeds the model's inputs
   * @throws NumericError if the loss is not finite
   */
  async step(feeds: Feeds, learningRate: number): Promise<StepResult> {
    const step = this.#step + 1;
    const given: Record<string, Tensor> = { ...feeds };
    if (this.#usesSeed) given[SEED_FEED] = scalarTensor("int32", stepSeed(this.#seed, step));
    const scalars = this.#optimizer.scalarsAt(step, learningRate);
    for (const name of this.#optimizer.scalars) given[SCALAR_FEED + name] = scalarTensor("float32", scalars[name]!);
    const results = await this.#executable.run(given);
    this.#step = step;
    const loss = Number(results.loss!.data[0]);
    if (!Number.isFinite(loss)) {
      throw new NumericError({
        where: `step ${step}`,
        what: `loss is ${loss}`,
        expected: "a finite number",
        hint: `use a lower learning rate (now ${learningRate})`,
      });
    }
    const norm = results.grad_norm;
    return norm === undefined ? { loss } : { loss, gradNorm: Number(norm.data[0]) };
  }

  /** Frees the compiled step. Parameters and optimizer states stay on the device. */
  async dispose(): Promise<void> {
    await this.#executable.dispose();
  }
}

function checkState(state: StepperState, training: TrainingGraph, seed: number | undefined): void {
  const wrong: string[] = [];
  if (!Number.isSafeInteger(state.steps) || state.steps < 0) wrong.push(`${state.steps} is not a number of steps`);
  if (seed !== undefined && seed !== state.seed) wrong.push(`the seed was ${state.seed} and is now ${seed}`);
  const expected = new Map(training.slots.map(({ name, shape }) => [name, shape]));
  for (const [name, shape] of expected) {
    const slot = state.slots.get(name);
    if (slot === undefined) wrong.push(`${name} is missing`);
    else if (slot.dtype !== "float32" || slot.shape.join() !== shape.join()) {
      wrong.push(`${name} is ${slot.dtype}[${slot.shape.join(", ")}] and not float32[${shape.join(", ")}]`);
    }
  }
  for (const name of state.slots.keys()) if (!expected.has(name)) wrong.push(`nothing in this run is called ${name}`);
  if (wrong.length > 0) {
    throw new ConfigError({
      where: "resume",
      what: "the saved state is not one of this run",
      got: listed(wrong),
      hint: "resume with the model, adapter, optimizer and seed of the run that was saved",
    });
  }
}

export function zeroTensor(shape: readonly number[]): Tensor {
  return { dtype: "float32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
}

export function scalarTensor(dtype: "float32" | "int32", value: number): Tensor {
  return { dtype, shape: [], data: dtype === "int32" ? Int32Array.of(value) : Float32Array.of(value) };
}

/** A 32-bit seed for one step of a run: neighbouring steps and seeds give unrelated ones (MurmurHash3's finalizer). */
export function stepSeed(seed: number, step: number): number {
  let h = Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(step | 0, 0x85ebca77);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
