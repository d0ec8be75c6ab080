/** ONNX Runtime: its sessions, and the memory that their states are in. Lives in the engine's thread. */
import type { InferenceSession } from "onnxruntime-node";
import { EngineError } from "../../errors.ts";
import type { FileTensor, Tensor } from "../runtime.ts";
import { CpuMemory } from "./cpu-memory-node.ts";
import { GpuMemory } from "./gpu-memory-node.ts";
import type { Memory } from "./memory-node.ts";
import type { CompiledModel, EngineOptions } from "./protocol-node.ts";
import { openSession } from "./session-node.ts";

interface Loaded {
  readonly session: InferenceSession;
  readonly compiled: CompiledModel;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #memory: Memory;
  readonly #loaded = new Map<number, Loaded>();
  #nextId = 1;

  private constructor(options: EngineOptions, memory: Memory) {
    this.#options = options;
    this.#memory = memory;
  }

  /** @throws EngineError if the device is a GPU and there is none */
  static async open(options: EngineOptions): Promise<Engine> {
    return new Engine(options, options.device === "webgpu" ? await GpuMemory.open(options) : new CpuMemory());
  }

  async compile(compiled: CompiledModel): Promise<number> {
    this.#memory.check(compiled);
    const { model, ...settings } = compiled;
    const locations = this.#memory.locations(compiled);
    const session = await openSession(model, this.#options, { ...settings, locations });
    const id = this.#nextId++;
    // The session has its own copy of the model.
    this.#loaded.set(id, { session, compiled: { ...compiled, model: new Uint8Array() } });
    return id;
  }

  async run(
    executable: number,
    feeds: Readonly<Record<string, Tensor>>,
    shapes: Readonly<Record<string, readonly number[]>>,
  ): Promise<Record<string, Tensor>> {
    const loaded = this.#loaded.get(executable);
    if (loaded === undefined) throw new EngineError({ what: "this executable has been disposed" });
    return this.#memory.run(loaded.session, loaded.compiled, feeds, shapes);
  }

  async release(executable: number): Promise<void> {
    const loaded = this.#loaded.get(executable);
    if (loaded === undefined) return;
    this.#loaded.delete(executable);
    await this.#memory.detach(loaded.session);
    await loaded.session.release();
  }

  write(name: string, tensor: Tensor): Promise<void> {
    return this.#memory.write(name, tensor);
  }

  map(name: string, tensor: FileTensor): Promise<void> {
    return this.#memory.map(name, tensor);
  }

  read(name: string): Promise<Tensor> {
    return this.#memory.read(name);
  }

  free(name: string): Promise<void> {
    return this.#memory.free(name);
  }

  async close(): Promise<void> {
    await this.#memory.close();
    for (const { session } of this.#loaded.values()) await session.release();
    this.#loaded.clear();
  }
}
