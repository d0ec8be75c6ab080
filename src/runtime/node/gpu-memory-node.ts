/**
 * States in buffers of the GPU. A run leaves new contents in new buffers, which are the inputs of the next run; the old
 * ones are freed. Nothing passes through JavaScript but feeds, results, and what is written or read.
 *
 * A buffer belongs to the session that made it, and must not outlive it: releasing the session first ends the process.
 */
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { EngineError } from "../../errors.ts";
import type { DType, TypedArray } from "../../ir/dtype.ts";
import type { FileTensor, Tensor } from "../runtime.ts";
import { GpuCopies } from "./gpu-copies-node.ts";
import { expectFit, type HostState, isPaged, type Memory, readHost, stateOf, toOrt } from "./memory-node.ts";
import { PagedStates } from "./paged-states-node.ts";
import type { CompiledModel, EngineOptions, OutputLocations } from "./protocol-node.ts";

interface GpuState {
  readonly in: "gpu";
  readonly tensor: OrtTensor;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The session that made the buffer. Absent: one that lives as long as this memory. */
  readonly maker?: InferenceSession;
}

/** What the engine's copying kernel takes. */
const HOLDABLE: readonly DType[] = ["float32", "float16", "int32", "uint32"];

export class GpuMemory implements Memory {
  readonly #states = new Map<string, HostState | GpuState>();
  readonly #paged = new PagedStates();
  readonly #copies: GpuCopies;

  private constructor(copies: GpuCopies) {
    this.#copies = copies;
  }

  /** @throws EngineError if there is no GPU to use */
  static async open(options: EngineOptions): Promise<GpuMemory> {
    return new GpuMemory(await GpuCopies.open(options));
  }

  check({ states }: CompiledModel): void {
    for (const state of states) {
      const { name, dtype } = state;
      if (!HOLDABLE.includes(dtype)) {
        throw new EngineError({
          where: name,
          what: "a GPU holds no states of this type",
          got: dtype,
          expected: HOLDABLE.join(", "),
          hint: 'use another type, a feed instead of a state, or the device "cpu"',
        });
      }
      expectFit(state, this.#typeOf(name));
    }
  }

  locations({ updates, outputs }: CompiledModel): OutputLocations {
    return Object.fromEntries([
      ...updates.map(({ output }) => [output, "gpu-buffer"] as const),
      ...outputs.map(({ output }) => [output, "cpu"] as const),
    ]);
  }

  async write(name: string, tensor: Tensor): Promise<void> {
    await this.#replace(name, { in: "memory", tensor });
  }

  async map(name: string, tensor: FileTensor): Promise<void> {
    if (tensor.writable) await this.#paged.enter(name, tensor);
    await this.#replace(name, { in: "file", tensor });
  }

  async read(name: string): Promise<Tensor> {
    const state = stateOf(this.#states, name);
    if (isPaged(state)) return this.#paged.read(state.tensor);
    if (state.in !== "gpu") return readHost(state);
    const { dtype, shape } = state;
    return { dtype, shape, data: await this.#copies.download(state.tensor, dtype, shape.length) };
  }

  async free(name: string): Promise<void> {
    await this.#replace(name, undefined);
  }

  async run(
    session: InferenceSession,
    compiled: CompiledModel,
    feeds: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>> {
    this.check(compiled);
    const inputs: Record<string, OrtTensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) inputs[name] = toOrt(tensor, tensor.shape);
    const pages = new Map<string, OrtTensor>();
    for (const { name } of compiled.states) {
      const state = stateOf(this.#states, name);
      const tensor = isPaged(state) ? await this.#page(state.tensor) : await this.#onGpu(name);
      if (isPaged(state)) pages.set(name, tensor);
      inputs[name] = tensor;
    }
    const got = await session.run(inputs);
    for (const page of pages.values()) page.dispose();
    for (const { output, state } of compiled.updates) {
      const { dtype, shape } = this.#typeOf(state);
      const tensor = got[output]!;
      const old = stateOf(this.#states, state);
      if (isPaged(old)) {
        await this.#paged.write(old.tensor, await this.#copies.download(tensor, dtype, shape.length));
        tensor.dispose();
      } else await this.#replace(state, { in: "gpu", tensor, dtype, shape, maker: session });
    }
    const results: Record<string, Tensor> = {};
    for (const { output, name, dtype } of compiled.outputs) {
      const { dims, data } = got[output]!;
      results[name] = { dtype, shape: dims, data: bitsOf(dtype, data as TypedArray) };
    }
    return results;
  }

  async detach(session: InferenceSession): Promise<void> {
    for (const [name, state] of this.#states) {
      if (state.in !== "gpu" || state.maker !== session) continue;
      const { dtype, shape } = state;
      const tensor = await this.#copies.upload(state.tensor, dtype, shape.length);
      await this.#replace(name, { in: "gpu", tensor, dtype, shape });
    }
  }

  async close(): Promise<void> {
    for (const name of this.#states.keys()) await this.free(name);
    await this.#paged.close();
    await this.#copies.close();
  }

  #typeOf(name: string): { readonly dtype: DType; readonly shape: readonly number[] } {
    const state = stateOf(this.#states, name);
    return state.in === "gpu" ? state : state.tensor;
  }

  async #onGpu(name: string): Promise<OrtTensor> {
    const state = stateOf(this.#states, name);
    if (state.in === "gpu") return state.tensor;
    const { dtype, shape } = state.tensor;
    const tensor = await this.#copies.upload(toOrt(await readHost(state), shape), dtype, shape.length);
    await this.#replace(name, { in: "gpu", tensor, dtype, shape });
    return tensor;
  }

  /** A paged state on the GPU, for one run. */
  async #page(state: FileTensor): Promise<OrtTensor> {
    const { dtype, shape } = state;
    return this.#copies.upload(toOrt(await this.#paged.read(state), shape), dtype, shape.length);
  }

  async #replace(name: string, state: HostState | GpuState | undefined): Promise<void> {
    const old = this.#states.get(name);
    if (old?.in === "gpu") old.tensor.dispose();
    if (state === undefined) this.#states.delete(name);
    else this.#states.set(name, state);
    const stays = isPaged(state) && old?.in === "file" && old.tensor.path === state.tensor.path;
    if (isPaged(old) && !stays) await this.#paged.leave(name, old.tensor);
  }
}

/** Where JavaScript has a `Float16Array`, the engine uses it; everything here holds bit patterns. */
export function bitsOf(dtype: DType, data: TypedArray): TypedArray {
  if (dtype !== "float16" || data instanceof Uint16Array) return data;
  return new Uint16Array(data.buffer, data.byteOffset, data.length);
}
