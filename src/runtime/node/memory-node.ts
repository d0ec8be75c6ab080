/**
 * Where the states of a device are, as the engine's thread sees it. Two answers: `cpu-memory-node.ts` keeps them in arrays
 * that runs write in place, `gpu-memory-node.ts` in buffers of the GPU.
 */
import { open } from "node:fs/promises";
import { type InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { EngineError } from "../../errors.ts";
import { allocate, type DType, elementBytes } from "../../ir/dtype.ts";
import { sizeOfShape } from "../../ir/ndarray.ts";
import type { FileTensor, Tensor } from "../runtime.ts";
import type { CompiledModel, StateInput, OutputLocations } from "./protocol-node.ts";

export interface Memory {
  /** @throws EngineError unless every state of the model is here, in the form that the model expects */
  check(compiled: CompiledModel): void;
  /** Where sessions leave their outputs, by name. Absent: in arrays. */
  locations(compiled: CompiledModel): OutputLocations | undefined;
  write(name: string, tensor: Tensor): Promise<void>;
  map(name: string, tensor: FileTensor): Promise<void>;
  read(name: string): Promise<Tensor>;
  free(name: string): Promise<void>;
  /**
   * Runs a model once. The new contents of its states take the place of the old ones.
   * @param shapes of the results, by name
   */
  run(
    session: InferenceSession,
    compiled: CompiledModel,
    feeds: Readonly<Record<string, Tensor>>,
    shapes: Readonly<Record<string, readonly number[]>>,
  ): Promise<Record<string, Tensor>>;
  /** Cuts every tie to a session that is about to be released. */
  detach(session: InferenceSession): Promise<void>;
  /** Frees every state. No session may be released before. */
  close(): Promise<void>;
}

/** A state outside the engine. */
export type HostState =
  { readonly in: "memory"; readonly tensor: Tensor } | { readonly in: "file"; readonly tensor: FileTensor };

/** Whether runs read the state from its file and write it back. */
export function isPaged(
  state: { readonly in: string; readonly tensor: unknown } | undefined,
): state is { readonly in: "file"; readonly tensor: FileTensor & { readonly writable: true } } {
  return state?.in === "file" && (state.tensor as FileTensor).writable === true;
}

/** @throws EngineError if there is no such state */
export function stateOf<S>(states: ReadonlyMap<string, S>, name: string): S {
  const state = states.get(name);
  if (state === undefined) throw new EngineError({ where: name, what: "there is no such state" });
  return state;
}

/** @throws EngineError if a state that is held does not fit the one that the graph expects */
export function expectFit(
  { name, dtype, shape }: StateInput,
  held: { readonly dtype: DType; readonly shape: readonly number[] },
): void {
  if ((shape === undefined || held.shape.join() === shape.join()) && held.dtype === dtype) return;
  throw new EngineError({
    where: name,
    what: "the state does not fit the graph",
    got: `${held.dtype}[${held.shape.join(", ")}]`,
    expected: `${dtype}[${shape?.join(", ") ?? "…"}]`,
  });
}

export async function readHost(state: HostState): Promise<Tensor> {
  return state.in === "memory" ? state.tensor : readFileTensor(state.tensor);
}

export function toOrt({ dtype, data }: Tensor, dims: readonly number[]): OrtTensor {
  return new OrtTensor(dtype as "float32", data as Float32Array, dims);
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
