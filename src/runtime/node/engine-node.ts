/** ONNX Runtime, its sessions and the buffers of the states. Lives in the engine's thread. */
import { open } from "node:fs/promises";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { EngineError } from "../../errors.ts";
import { allocate, type DType, elementBytes, type TypedArray } from "../../ir/dtype.ts";
import { sizeOfShape } from "../../ir/ndarray.ts";
import { encodeModel } from "../../onnx/model.ts";
import type { FileTensor, Tensor } from "../runtime.ts";
import { runInPlace } from "./in-place-node.ts";
import type { CompiledModel, EngineOptions } from "./protocol-node.ts";

/** Where a state is. */
type State =
  | { readonly in: "memory"; readonly tensor: Tensor }
  | { readonly in: "file"; readonly tensor: FileTensor }
  | { readonly in: "gpu"; readonly tensor: OrtTensor; readonly dtype: DType; readonly shape: readonly number[] };

interface Loaded {
  readonly session: InferenceSession;
  readonly compiled: CompiledModel;
  /** Arrays for results, kept from run to run while their shape stays. */
  readonly results: Map<string, Tensor>;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #states = new Map<string, State>();
  readonly #loaded = new Map<number, Loaded>();
  /** Sessions that copy one tensor between memory and the GPU, by data type and direction. */
  readonly #copiers = new Map<string, Promise<InferenceSession>>();
  #nextId = 1;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  async compile(compiled: CompiledModel): Promise<number> {
    for (const { name } of compiled.states) this.#state(name);
    const session = await this.#load(compiled.model, compiled, gpuOutputs(compiled));
    const id = this.#nextId++;
    this.#loaded.set(id, { session, compiled, results: new Map() });
    return id;
  }

  async run(
    executable: number,
    feeds: Readonly<Record<string, Tensor>>,
    shapes: Readonly<Record<string, readonly number[]>>,
  ): Promise<Record<string, Tensor>> {
    const loaded = this.#loaded.get(executable);
    if (loaded === undefined) throw new EngineError({ what: "this executable has been disposed" });
    const inputs: Record<string, OrtTensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) inputs[name] = toOrt(tensor, tensor.shape);
    return this.#options.device === "webgpu"
      ? this.#runOnGpu(loaded, inputs)
      : this.#runInMemory(loaded, inputs, shapes);
  }

  async release(executable: number): Promise<void> {
    const loaded = this.#loaded.get(executable);
    this.#loaded.delete(executable);
    await loaded?.session.release();
  }

  write(name: string, tensor: Tensor): void {
    const old = this.#states.get(name);
    if (old?.in === "memory" && old.tensor.dtype === tensor.dtype && old.tensor.data.length === tensor.data.length) {
      // Keep the buffer: its pages are there already.
      old.tensor.data.set(tensor.data as never);
      this.#states.set(name, { in: "memory", tensor: { ...tensor, data: old.tensor.data } });
      return;
    }
    this.free(name);
    this.#states.set(name, { in: "memory", tensor });
  }

  map(name: string, tensor: FileTensor): void {
    this.free(name);
    this.#states.set(name, { in: "file", tensor });
  }

  async read(name: string): Promise<Tensor> {
    const state = this.#state(name);
    if (state.in === "memory") return state.tensor;
    if (state.in === "file") return readFileTensor(state.tensor);
    const copier = await this.#copier(state.dtype, state.shape.length, "download");
    const { y } = await copier.run({ x: state.tensor });
    return { dtype: state.dtype, shape: state.shape, data: y!.data as TypedArray };
  }

  free(name: string): void {
    const state = this.#states.get(name);
    if (state?.in === "gpu") state.tensor.dispose();
    this.#states.delete(name);
  }

  async close(): Promise<void> {
    for (const id of [...this.#loaded.keys()]) await this.release(id);
    for (const name of [...this.#states.keys()]) this.free(name);
    for (const copier of this.#copiers.values()) await (await copier).release();
    this.#copiers.clear();
  }

  async #runInMemory(
    loaded: Loaded,
    inputs: Record<string, OrtTensor>,
    shapes: Readonly<Record<string, readonly number[]>>,
  ): Promise<Record<string, Tensor>> {
    const { session, compiled } = loaded;
    const views = new Map<string, OrtTensor>();
    for (const { name, dims } of compiled.states) {
      const view = toOrt(await this.#inMemory(name), dims);
      views.set(name, view);
      inputs[name] = view;
    }
    const outputs: Record<string, OrtTensor> = {};
    // The new contents go where the old ones are: the graph was checked to allow it (ir/passes/in-place.ts).
    for (const { output, state } of compiled.updates) outputs[output] = views.get(state)!;
    const results: Record<string, Tensor> = {};
    for (const { output, name, dtype } of compiled.outputs) {
      const result = keep(loaded.results, name, dtype, shapes[name]!);
      results[name] = result;
      outputs[output] = toOrt(result, result.shape);
    }
    await runInPlace(session, inputs, outputs);
    return results;
  }

  async #runOnGpu({ session, compiled }: Loaded, inputs: Record<string, OrtTensor>): Promise<Record<string, Tensor>> {
    for (const { name, dims } of compiled.states) inputs[name] = await this.#onGpu(name, dims);
    const got = await session.run(inputs);
    for (const { output, state } of compiled.updates) {
      const { dtype, shape } = this.#describe(state);
      this.free(state);
      this.#states.set(state, { in: "gpu", tensor: got[output] as OrtTensor, dtype, shape });
    }
    const results: Record<string, Tensor> = {};
    for (const { output, name, dtype } of compiled.outputs) {
      const tensor = got[output] as OrtTensor;
      results[name] = { dtype, shape: tensor.dims, data: tensor.data as TypedArray };
    }
    return results;
  }

  #state(name: string): State {
    const state = this.#states.get(name);
    if (state === undefined) throw new EngineError({ where: name, what: "there is no such state" });
    return state;
  }

  #describe(name: string): { dtype: DType; shape: readonly number[] } {
    const state = this.#state(name);
    return state.in === "gpu" ? state : state.tensor;
  }

  async #inMemory(name: string): Promise<Tensor> {
    const state = this.#state(name);
    if (state.in === "memory") return state.tensor;
    const tensor = await this.read(name);
    this.#states.set(name, { in: "memory", tensor });
    return tensor;
  }

  async #onGpu(name: string, dims: readonly number[]): Promise<OrtTensor> {
    const state = this.#state(name);
    if (state.in === "gpu") return state.tensor;
    const { dtype, shape } = this.#describe(name);
    const copier = await this.#copier(dtype, dims.length, "upload");
    const { y } = await copier.run({ x: toOrt(await this.read(name), dims) });
    this.#states.set(name, { in: "gpu", tensor: y as OrtTensor, dtype, shape });
    return y as OrtTensor;
  }

  /** A session that copies a tensor to or from the GPU. Reading a GPU tensor in any other way ends the process. */
  #copier(dtype: DType, rank: number, direction: "upload" | "download"): Promise<InferenceSession> {
    const key = `${direction} ${dtype} ${rank}`;
    const known = this.#copiers.get(key);
    if (known !== undefined) return known;
    const shape = Array.from({ length: rank }, (_, i) => ({ name: `d${i}` }));
    const model = encodeModel({
      name: "copy",
      nodes: [{ opType: "Identity", domain: "", name: "copy", inputs: ["x"], outputs: ["y"], attrs: {} }],
      initializers: [],
      inputs: [{ name: "x", dtype, shape }],
      outputs: [{ name: "y", dtype, shape }],
    });
    const made = this.#load(model, { prepack: false }, { y: direction === "upload" ? "gpu-buffer" : "cpu" });
    this.#copiers.set(key, made);
    return made;
  }

  #load(
    model: Uint8Array,
    settings: { readonly prepack: boolean; readonly optimizedModelPath?: string },
    gpu: Record<string, "gpu-buffer" | "cpu">,
  ): Promise<InferenceSession> {
    const { device, threads } = this.#options;
    return InferenceSession.create(model, {
      executionProviders: [device],
      ...(threads > 0 ? { intraOpNumThreads: threads } : {}),
      ...(device === "webgpu" ? { preferredOutputLocation: gpu } : {}),
      ...(settings.optimizedModelPath === undefined ? {} : { optimizedModelFilePath: settings.optimizedModelPath }),
      // Both would double the peak of a training step.
      enableMemPattern: false,
      enableCpuMemArena: false,
      // Warnings about freed initializers and placement are for the engine's developers.
      logSeverityLevel: 3,
      extra: {
        session: {
          model_external_initializers_file_folder_path: "/",
          disable_prepacking: settings.prepack ? "0" : "1",
          // On a GPU nothing may run on the CPU unnoticed.
          disable_cpu_ep_fallback: device === "webgpu" ? "1" : "0",
        },
        // It would merge recomputed nodes with the first ones, and undo checkpointing.
        optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" },
      },
    });
  }
}

function gpuOutputs(compiled: CompiledModel): Record<string, "gpu-buffer" | "cpu"> {
  return Object.fromEntries([
    ...compiled.updates.map(({ output }) => [output, "gpu-buffer"] as const),
    ...compiled.outputs.map(({ output }) => [output, "cpu"] as const),
  ]);
}

function toOrt(tensor: Tensor, dims: readonly number[]): OrtTensor {
  return new OrtTensor(tensor.dtype as "float32", tensor.data as Float32Array, dims);
}

function keep(kept: Map<string, Tensor>, name: string, dtype: DType, shape: readonly number[]): Tensor {
  const known = kept.get(name);
  if (known !== undefined && known.shape.join() === shape.join()) return known;
  const made: Tensor = { dtype, shape, data: allocate(dtype, sizeOfShape(shape)) };
  kept.set(name, made);
  return made;
}

async function readFileTensor({ dtype, shape, path, byteOffset }: FileTensor): Promise<Tensor> {
  const data = allocate(dtype, sizeOfShape(shape));
  const bytes = new Uint8Array(data.buffer);
  const file = await open(path);
  try {
    // One read takes at most 2 GiB.
    const step = 1 << 30;
    for (let at = 0; at < bytes.length; at += step) {
      const length = Math.min(step, bytes.length - at);
      const { bytesRead } = await file.read(bytes, at, length, byteOffset + at);
      if (bytesRead !== length) {
        throw new EngineError({
          where: path,
          what: "the file is shorter than when it was opened",
          got: `${at + bytesRead} of ${data.length * elementBytes(dtype)} bytes at ${byteOffset}`,
        });
      }
    }
  } finally {
    await file.close();
  }
  return { dtype, shape, data };
}
