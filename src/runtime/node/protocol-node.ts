/** What the main thread and the engine's thread say to each other. Everything here survives structured cloning. */
import type { DType } from "../../ir/dtype.ts";
import type { Problem } from "../../errors.ts";
import type { EngineDevice, FileTensor, Tensor } from "../runtime.ts";

export interface EngineOptions {
  readonly device: EngineDevice;
  /** Threads of the engine's own pool; 0 lets it choose (one per core). */
  readonly threads: number;
}

/** Where a session leaves an output. */
export type OutputLocation = "gpu-buffer" | "cpu";
export type OutputLocations = Readonly<Record<string, OutputLocation>>;

/** An input that is a state. */
export interface StateInput {
  readonly name: string;
  readonly dtype: DType;
  /** The shape that the state must have. Absent: any, its sizes are named dimensions of the graph. */
  readonly shape?: readonly number[];
  /**
   * As many elements, in the dimensions under which the model sees them: large updates see a state in tiles. Absent: the
   * state's own.
   */
  readonly dims?: readonly number[];
}

/** A model, and which of its inputs and outputs are states. */
export interface CompiledModel {
  readonly model: Uint8Array;
  readonly states: readonly StateInput[];
  /** Output name to the state that it replaces. */
  readonly updates: readonly { readonly output: string; readonly state: string }[];
  /** Other outputs: name in the model, name in the results. */
  readonly outputs: readonly { readonly output: string; readonly name: string; readonly dtype: DType }[];
  readonly prepack: boolean;
  readonly arena: boolean;
  /** Some constants are frozen weights in other types than float32: nothing that is computed of them may be kept. */
  readonly narrow: boolean;
  readonly optimizedModelPath?: string;
}

export type Request =
  | { readonly type: "open"; readonly options: EngineOptions }
  | { readonly type: "compile"; readonly compiled: CompiledModel }
  | {
      readonly type: "run";
      readonly executable: number;
      readonly feeds: Readonly<Record<string, Tensor>>;
      /** Shapes of the results, by name. */
      readonly shapes: Readonly<Record<string, readonly number[]>>;
    }
  | { readonly type: "release"; readonly executable: number }
  | { readonly type: "write"; readonly name: string; readonly tensor: Tensor }
  | { readonly type: "map"; readonly name: string; readonly tensor: FileTensor }
  | { readonly type: "read"; readonly name: string }
  | { readonly type: "free"; readonly name: string }
  | { readonly type: "close" };

/** Shared flags, by index: whether the thread is answering, and whether it must not begin again. */
export const BUSY = 0;
export const CLOSING = 1;

export interface Message {
  readonly id: number;
  readonly request: Request;
}

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly problem: Problem;
      /** Whether the problem is a node without a kernel. */
      readonly noKernel: boolean;
    };
