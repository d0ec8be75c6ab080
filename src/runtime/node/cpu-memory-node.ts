/** States in arrays that runs write in place: the graph was checked to allow it (ir/passes/in-place.ts). */
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { allocate, type DType } from "../../ir/dtype.ts";
import { sizeOfShape } from "../../ir/ndarray.ts";
import type { FileTensor, Tensor } from "../runtime.ts";
import { runInPlace } from "./in-place-node.ts";
import { expectFit, type HostState, isPaged, type Memory, readHost, stateOf, toOrt } from "./memory-node.ts";
import { PagedStates } from "./paged-states-node.ts";
import type { CompiledModel } from "./protocol-node.ts";

export class CpuMemory implements Memory {
  readonly #states = new Map<string, HostState>();
  readonly #paged = new PagedStates();
  /** Arrays for the results of a session, kept from run to run while their shape stays. */
  readonly #results = new WeakMap<InferenceSession, Map<string, Tensor>>();

  check(compiled: CompiledModel): void {
    for (const state of compiled.states) expectFit(state, stateOf(this.#states, state.name).tensor);
    this.#paged.expect([...this.#pagedIn(compiled).values()]);
  }

  locations(): undefined {
    return undefined;
  }

  async write(name: string, tensor: Tensor): Promise<void> {
    const old = this.#states.get(name);
    if (old?.in === "memory" && old.tensor.dtype === tensor.dtype && old.tensor.data.length === tensor.data.length) {
      // Keep the buffer: its pages are there already.
      old.tensor.data.set(tensor.data as never);
      this.#states.set(name, { in: "memory", tensor: { ...tensor, data: old.tensor.data } });
      return;
    }
    await this.#replace(name, { in: "memory", tensor });
  }

  async map(name: string, tensor: FileTensor): Promise<void> {
    if (tensor.writable) await this.#paged.enter(name, tensor);
    await this.#replace(name, { in: "file", tensor });
  }

  async read(name: string): Promise<Tensor> {
    const state = stateOf(this.#states, name);
    return isPaged(state) ? this.#paged.read(state.tensor) : readHost(state);
  }

  async free(name: string): Promise<void> {
    await this.#replace(name, undefined);
  }

  async run(
    session: InferenceSession,
    compiled: CompiledModel,
    feeds: Readonly<Record<string, Tensor>>,
    shapes: Readonly<Record<string, readonly number[]>>,
  ): Promise<Record<string, Tensor>> {
    this.check(compiled);
    const inputs: Record<string, OrtTensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) inputs[name] = toOrt(tensor, tensor.shape);
    const views = new Map<string, OrtTensor>();
    const paged = this.#pagedIn(compiled);
    const loaded = await this.#paged.load([...paged.values()]);
    const pages = new Map([...paged.keys()].map((name, i) => [name, loaded[i]!]));
    for (const { name, dims } of compiled.states) {
      const state = stateOf(this.#states, name);
      const tensor = pages.get(name) ?? (state.in === "memory" ? state.tensor : await this.#load(name, state));
      const view = toOrt(tensor, dims ?? tensor.shape);
      views.set(name, view);
      inputs[name] = view;
    }
    const outputs: Record<string, OrtTensor> = {};
    for (const { output, state } of compiled.updates) outputs[output] = views.get(state)!;
    const kept = this.#resultsOf(session);
    const results: Record<string, Tensor> = {};
    for (const { output, name, dtype } of compiled.outputs) {
      const result = keep(kept, name, dtype, shapes[name]!);
      results[name] = result;
      outputs[output] = toOrt(result, result.shape);
    }
    await runInPlace(session, inputs, outputs);
    for (const { state } of compiled.updates) {
      const file = paged.get(state);
      if (file !== undefined) await this.#paged.write(file, pages.get(state)!.data);
    }
    return results;
  }

  // Arrays know nothing of sessions.
  async detach(): Promise<void> {}

  async close(): Promise<void> {
    this.#states.clear();
    await this.#paged.close();
  }

  async #replace(name: string, state: HostState | undefined): Promise<void> {
    const old = this.#states.get(name);
    if (state === undefined) this.#states.delete(name);
    else this.#states.set(name, state);
    const stays = isPaged(state) && old?.in === "file" && old.tensor.path === state.tensor.path;
    if (isPaged(old) && !stays) await this.#paged.leave(name, old.tensor);
  }

  /** States of a model that stay in files. */
  #pagedIn({ states }: CompiledModel): Map<string, FileTensor> {
    return new Map(
      states.flatMap(({ name }) => {
        const state = this.#states.get(name);
        return isPaged(state) ? [[name, state.tensor] as const] : [];
      }),
    );
  }

  async #load(name: string, state: HostState): Promise<Tensor> {
    const tensor = await readHost(state);
    this.#states.set(name, { in: "memory", tensor });
    return tensor;
  }

  #resultsOf(session: InferenceSession): Map<string, Tensor> {
    const known = this.#results.get(session) ?? new Map<string, Tensor>();
    this.#results.set(session, known);
    return known;
  }
}

function keep(kept: Map<string, Tensor>, name: string, dtype: DType, shape: readonly number[]): Tensor {
  const known = kept.get(name);
  if (known !== undefined && known.shape.join() === shape.join()) return known;
  const made: Tensor = { dtype, shape, data: allocate(dtype, sizeOfShape(shape)) };
  kept.set(name, made);
  return made;
}
