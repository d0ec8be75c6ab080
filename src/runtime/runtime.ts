/**
 * What runs graphs. A device holds named buffers (states) and compiles graphs that read and update them; the graphs that
 * are compiled on one device share its states by name.
 *
 * Implementations: `interp.ts` (float64 reference), `node/device-node.ts` (ONNX Runtime on CPU or WebGPU).
 */
import type { DType, TypedArray } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";

/** A tensor outside a graph. float16 and bfloat16 are bit patterns, bool is 0 and 1. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** A tensor that stays where it is, in a file. */
export interface FileTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Absolute path of the file. */
  readonly path: string;
  /** First byte of the elements (little-endian, row-major), from the start of the file. */
  readonly byteOffset: number;
  /**
   * The state stays in the file: a run that uses it reads it, and writes it back if it updates it. Between runs it takes no
   * memory; all such states together take as much as the run that uses most of them. The device keeps the file open as
   * long as it has such a state of it, so that the file may lose its name meanwhile. Default: the first update moves the
   * state to memory for good, and the file stays as it is.
   */
  readonly writable?: true;
}

export type Feeds = Readonly<Record<string, Tensor>>;
export type Results = Readonly<Record<string, Tensor>>;

export interface CompileOptions {
  /**
   * States that this graph may treat as constants: they are mapped from their file, or copied, when it is compiled, and a
   * later `write` does not reach it. Default: none.
   */
  readonly frozen?: readonly string[];
  /**
   * Rearranges frozen weights for the engine's matrix kernels: faster for few rows (inference, small batches), at the
   * price of a private copy of every weight. Default: false, weights stay mapped from their file.
   */
  readonly prepack?: boolean;
  /**
   * Keeps the memory of intermediate results from run to run, until the executable is disposed: much faster where they are
   * large. It takes up to twice their peak where sizes differ, and less than without where the same sizes come again and
   * again, as in the blocks of a language model. Default: false, freed as soon as possible.
   */
  readonly arena?: boolean;
  /** Typical sizes of named dimensions, for choices that depend on them (such as the order of matrix products). */
  readonly typicalSizes?: Readonly<Record<string, number>>;
  /**
   * Puts products of three matrices into the order that takes the fewest operations. Default: true. Without it a graph is
   * computed in the order in which it was written, for measurements.
   */
  readonly reassociate?: boolean;
  /** Writes the graph as the engine optimised it to this file (ONNX), for inspection. */
  readonly optimizedModelPath?: string;
}

export interface Executable {
  /**
   * Runs the graph once and applies its updates. Runs of one device do not overlap: they wait for each other.
   * @param feeds one tensor for every feed of the graph
   * @throws ShapeError if a feed is missing or does not fit, EngineError if the engine fails
   */
  run(feeds: Feeds): Promise<Results>;
  /** Frees what was compiled. The states stay. */
  dispose(): Promise<void>;
}

/** Where ONNX Runtime computes. */
export const ENGINE_DEVICES = ["cpu", "webgpu", "cuda"] as const;
export type EngineDevice = (typeof ENGINE_DEVICES)[number];

export interface Device {
  readonly kind: "interp" | EngineDevice;
  /** Passes, lowers and loads a graph. Every state of the graph must exist. @throws EngineError */
  compile(graph: Graph, options?: CompileOptions): Promise<Executable>;
  /** Creates a state, or replaces its contents. The array is copied. */
  write(name: string, tensor: Tensor): Promise<void>;
  /** Creates a state whose contents are in a file. They are read only if something updates or reads them. */
  map(name: string, tensor: FileTensor): Promise<void>;
  /** A copy of a state's contents. @throws EngineError if there is no such state */
  read(name: string): Promise<Tensor>;
  /** Frees a state. Executables that use it can no longer run. */
  free(name: string): Promise<void>;
  /** Frees every session, state and thread. Anything afterwards throws EngineError. */
  dispose(): Promise<void>;
}
