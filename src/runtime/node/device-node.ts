/**
 * ONNX Runtime as a device, in a thread of its own: runs block the thread that makes them, and the main thread has
 * signals, progress bars and requests to attend to.
 */
import { Worker } from "node:worker_threads";
import { EngineError } from "../../errors.ts";
import type { Graph } from "../../ir/graph.ts";
import { optimize } from "../../ir/passes/index.ts";
import { hasIntegerProducts, saturates } from "../../ir/passes/narrow-rows.ts";
import type { Type } from "../../ir/op.ts";
import { type Shape, sizeOf, sizesOf } from "../../ir/shape.ts";
import { lower, type Lowered } from "../../onnx/lower.ts";
import { encodeModel, type FileSlice } from "../../onnx/model.ts";
import { elementBytes } from "../../ir/dtype.ts";
import { sizeOfShape } from "../../ir/ndarray.ts";
import { bindSizes } from "../bind.ts";
import type { CompileOptions, Device, EngineDevice, Executable, FileTensor, Tensor } from "../runtime.ts";
import { SENTINEL } from "./in-place-node.ts";
import { explainNoKernel, NoKernelError } from "./no-kernel-node.ts";
import { BUSY, CLOSING, type CompiledModel, type Message, type Reply, type Request } from "./protocol-node.ts";

export interface OrtOptions {
  /**
   * Default: "cpu". "webgpu" needs a GPU, see docs/webgpu.md; nothing falls back to the CPU. "cuda" needs the engine's CUDA
   * libraries: frozen weights stay on the GPU, states that are trained cross over at every run.
   */
  readonly device?: EngineDevice;
  /** Threads of the engine. Default: one per core. */
  readonly threads?: number;
}

/** How long the end of the process waits for the engine's thread. */
const EXIT_PATIENCE_MS = 10_000;

/** Starts the engine. @throws EngineError if it cannot be loaded, or finds no GPU */
export async function ortDevice(options: OrtOptions = {}): Promise<Device> {
  const device = new OrtDevice(options.device ?? "cpu");
  await device.open(options.threads ?? 0);
  return device;
}

class OrtDevice implements Device {
  readonly kind: EngineDevice;
  readonly #flags = new Int32Array(new SharedArrayBuffer(8));
  // Options such as --input-type, which are about the main script, would end the thread at once.
  readonly #worker = new Worker(new URL("./worker-node.js", import.meta.url), {
    workerData: this.#flags,
    execArgv: [],
  });
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #mapped = new Map<string, FileTensor>();
  /** Of every state, for graphs in which its sizes are named dimensions. */
  readonly #shapes = new Map<string, readonly number[]>();
  /** Whether the engine's products of bytes saturate. */
  #saturates: Promise<boolean> | undefined;
  #nextId = 1;
  /** Why nothing can be asked any more. */
  #ended: EngineError | undefined;

  constructor(kind: EngineDevice) {
    this.kind = kind;
    // A device that waits for nothing does not keep the process alive.
    this.#worker.unref();
    this.#worker.on("message", (reply: Reply) => this.#settle(reply));
    this.#worker.on("error", (cause) =>
      this.#end(
        new EngineError({
          what: "the engine's thread failed",
          cause,
          got: cause instanceof Error ? cause.message : undefined,
        }),
      ),
    );
    this.#worker.on("exit", () => this.#end(new EngineError({ what: "the device has been disposed" })));
    process.on("exit", this.#waitForThread);
  }

  async open(threads: number): Promise<void> {
    try {
      await this.#ask({ type: "open", options: { device: this.kind, threads } });
    } catch (error) {
      await this.#worker.terminate();
      throw error;
    }
  }

  async compile(graph: Graph, options: CompileOptions = {}): Promise<Executable> {
    const optimized = optimize(graph, {
      device: this.kind,
      typicalSizes: options.typicalSizes ?? {},
      narrowRows: hasIntegerProducts(graph) && (await this.#productsSaturate()),
      reassociate: options.reassociate ?? true,
    });
    const { executable, lowered } = await this.#load(optimized, options, stateShapes(graph)).catch(
      async (error: unknown) => {
        throw error instanceof NoKernelError
          ? await explainNoKernel(optimized, this.kind, (alone) => this.#compiles(alone))
          : error;
      },
    );
    // From the first run on, the file no longer has what the state holds.
    for (const state of lowered.updates.keys()) this.#mapped.delete(state);
    const feedTypes = new Map(
      optimized.inputs.filter(({ kind }) => kind === "feed").map(({ value }) => [value.name, value.type]),
    );
    const sized = new Map(
      optimized.inputs.flatMap(({ kind, value }) =>
        kind === "state" && !isKnown(value.type.shape) ? [[value.name, value.type]] : [],
      ),
    );
    return {
      run: async (feeds) => {
        const sizes = bindSizes(sized, this.#held(sized), bindSizes(feedTypes, feeds));
        const given: Record<string, Tensor> = {};
        for (const name of feedTypes.keys()) given[name] = feeds[name]!;
        for (const [name, shape] of lowered.shapeInputs) given[name] = int64Vector(sizesOf(shape, sizes));
        for (const [name, count] of lowered.countInputs) given[name] = int32Scalar(sizeOf(count, sizes));
        const shapes = Object.fromEntries(
          [...optimized.outputs].map(([name, value]) => [name, sizesOf(value.type.shape, sizes)]),
        );
        return (await this.#ask({ type: "run", executable, feeds: given, shapes })) as Record<string, Tensor>;
      },
      dispose: async () => {
        if (this.#ended === undefined) await this.#ask({ type: "release", executable });
      },
    };
  }

  /** @param shapes of the states, by name, before passes changed how the graph sees them */
  async #load(
    graph: Graph,
    options: CompileOptions,
    shapes: ReadonlyMap<string, readonly number[]>,
  ): Promise<{ executable: number; lowered: Lowered }> {
    const weights = new Map<string, FileSlice>();
    for (const name of options.frozen ?? []) {
      const file = this.#mapped.get(name);
      if (file !== undefined) weights.set(name, fileSlice(file));
    }
    // On WebGPU new states are new buffers; elsewhere they are written into the arrays of the old ones.
    const target =
      this.kind === "webgpu" ? { device: "webgpu" as const } : { device: "cpu" as const, sentinel: SENTINEL };
    const lowered = lower(graph, { weights, ...target });
    const states = graph.inputs.filter(({ kind, value }) => kind === "state" && !weights.has(value.name));
    const compiled: CompiledModel = {
      model: encodeModel(lowered.onnx),
      states: states.map(({ value: { name, type } }) => ({
        name,
        dtype: type.dtype,
        ...(isKnown(type.shape) ? { shape: shapes.get(name)!, dims: sizesOf(type.shape) } : {}),
      })),
      updates: [...lowered.updates].map(([state, output]) => ({ state, output })),
      outputs: [...lowered.outputs].map(([name, output]) => ({
        name,
        output,
        dtype: graph.outputs.get(name)!.type.dtype,
      })),
      prepack: options.prepack ?? false,
      arena: options.arena ?? false,
      narrow: graph.inputs.some(({ value: { name, type } }) => weights.has(name) && type.dtype !== "float32"),
      ...(options.optimizedModelPath === undefined ? {} : { optimizedModelPath: options.optimizedModelPath }),
    };
    return { executable: (await this.#ask({ type: "compile", compiled })) as number, lowered };
  }

  /** Tried once, when it is first asked. */
  #productsSaturate(): Promise<boolean> {
    this.#saturates ??= saturates(async (graph, feeds) => {
      const { executable } = await this.#load(graph, {}, new Map());
      const shapes = Object.fromEntries([...graph.outputs].map(([name, { type }]) => [name, sizesOf(type.shape)]));
      const results = await this.#ask({ type: "run", executable, feeds, shapes });
      await this.#ask({ type: "release", executable });
      return results as Record<string, Tensor>;
    });
    return this.#saturates;
  }

  /** Whether the device has kernels for a graph without states. */
  async #compiles(graph: Graph): Promise<boolean> {
    try {
      const { executable } = await this.#load(graph, {}, new Map());
      await this.#ask({ type: "release", executable });
      return true;
    } catch (error) {
      if (error instanceof NoKernelError) return false;
      throw error;
    }
  }

  async write(name: string, tensor: Tensor): Promise<void> {
    this.#mapped.delete(name);
    this.#shapes.set(name, tensor.shape);
    await this.#ask({ type: "write", name, tensor });
  }

  async map(name: string, tensor: FileTensor): Promise<void> {
    if (tensor.writable) this.#mapped.delete(name);
    else this.#mapped.set(name, tensor);
    this.#shapes.set(name, tensor.shape);
    await this.#ask({ type: "map", name, tensor });
  }

  async read(name: string): Promise<Tensor> {
    return (await this.#ask({ type: "read", name })) as Tensor;
  }

  async free(name: string): Promise<void> {
    this.#mapped.delete(name);
    this.#shapes.delete(name);
    await this.#ask({ type: "free", name });
  }

  async dispose(): Promise<void> {
    if (this.#ended !== undefined) return;
    await this.#ask({ type: "close" });
    await this.#worker.terminate();
  }

  /** What the states of these names are like now. */
  #held(types: ReadonlyMap<string, Type>): Record<string, { dtype: Type["dtype"]; shape: readonly number[] }> {
    const held = [...types].flatMap(([name, { dtype }]) => {
      const shape = this.#shapes.get(name);
      return shape === undefined ? [] : [[name, { dtype, shape }] as const];
    });
    return Object.fromEntries(held);
  }

  #ask(request: Request): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
      const message: Message = { id, request };
      this.#worker.postMessage(message);
    });
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new (reply.noKernel ? NoKernelError : EngineError)(reply.problem));
  }

  /**
   * A process that ends takes its threads with it. The engine does not survive that in the middle of a call: the process
   * would abort instead of giving its exit status.
   */
  readonly #waitForThread = (): void => {
    Atomics.store(this.#flags, CLOSING, 1);
    const deadline = Date.now() + EXIT_PATIENCE_MS;
    while (Atomics.load(this.#flags, BUSY) === 1 && Date.now() < deadline) {
      Atomics.wait(this.#flags, BUSY, 1, deadline - Date.now());
    }
  };

  #end(reason: EngineError): void {
    process.off("exit", this.#waitForThread);
    this.#ended ??= reason;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}

function fileSlice({ dtype, shape, path, byteOffset }: FileTensor): FileSlice {
  return { path, byteOffset, byteLength: sizeOfShape(shape) * elementBytes(dtype) };
}

function stateShapes(graph: Graph): Map<string, number[]> {
  const states = graph.inputs.filter(({ kind, value }) => kind === "state" && isKnown(value.type.shape));
  return new Map(states.map(({ value }) => [value.name, sizesOf(value.type.shape)]));
}

function isKnown(shape: Shape): boolean {
  return shape.every(({ size }) => size !== undefined);
}

function int64Vector(values: readonly number[]): Tensor {
  return { dtype: "int64", shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

function int32Scalar(value: number): Tensor {
  return { dtype: "int32", shape: [], data: Int32Array.of(value) };
}
