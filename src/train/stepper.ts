/** Runs training steps on a device: counts them, feeds the optimizer's scalars, and gives back the loss. */
import { NumericError } from "../errors.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { CompileOptions, Device, Executable, Feeds, Tensor } from "../runtime/runtime.ts";
import { SCALAR_FEED, SEED_FEED, type TrainingGraph } from "./training-graph.ts";

export interface StepperOptions extends CompileOptions {
  readonly optimizer: Optimizer;
  /** Seed of everything random in the graph, such as dropout. Default: 0. */
  readonly seed?: number;
}

export interface StepResult {
  readonly loss: number;
  /** Global norm of the gradients before clipping; present if the graph clips. */
  readonly gradNorm?: number;
}

export class Stepper {
  readonly #executable: Executable;
  readonly #optimizer: Optimizer;
  readonly #seed: number;
  readonly #usesSeed: boolean;
  #step = 0;

  private constructor(executable: Executable, options: StepperOptions, usesSeed: boolean) {
    this.#executable = executable;
    this.#optimizer = options.optimizer;
    this.#seed = options.seed ?? 0;
    this.#usesSeed = usesSeed;
  }

  /** Compiles the graph and sets the optimizer's states to zero. The parameters must be on the device. */
  static async create(device: Device, training: TrainingGraph, options: StepperOptions): Promise<Stepper> {
    for (const { name, shape } of training.slots) await device.write(name, zeroTensor(shape));
    const usesSeed = training.graph.inputs.some(({ value }) => value.name === SEED_FEED);
    return new Stepper(await device.compile(training.graph, options), options, usesSeed);
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
