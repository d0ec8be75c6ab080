/**
 * The contract of an operation: how its outputs look (`infer`), what they are (`evaluate`), how the engine computes
 * them (`onnx`), and how derivatives flow back through it (`vjp`). One file per operation, both directions together.
 */
import type { DType } from "./dtype.ts";
import type { Graph, Value } from "./graph.ts";
import type { NdArray } from "./ndarray.ts";
import type { Shape } from "./shape.ts";

/** Data type and shape of a value. */
export interface Type {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Attributes of a node: plain data, so that nodes can be compared, printed and copied. */
export type Attrs = Readonly<Record<string, unknown>>;

/** What a derivative rule is given. */
export interface VjpContext<A> {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** dL/d(output i), or `undefined` where no derivative reaches that output. */
  readonly cotangents: readonly (Value | undefined)[];
  /** Whether input i needs a derivative. A rule builds nothing for inputs that do not. */
  readonly needs: readonly boolean[];
  readonly attrs: A;
}

/**
 * Vector-Jacobian product: dL/d(input i) from dL/d(outputs). A result may have the shape of the broadcast output: it is
 * summed back to the input's shape by the caller. Entries for inputs that need no derivative are ignored.
 */
export type VjpRule<A> = {
  // Method syntax makes rules comparable in both directions, so that an `Op<A>` can be stored as an `Op`.
  rule(context: VjpContext<A>): readonly (Value | undefined)[];
}["rule"];

/** Where a node is being emitted as ONNX: names of its values, and what it may add. */
export interface OnnxEmitter {
  /** Provider that will run the graph; kernels differ. */
  readonly device: "cpu" | "webgpu";
  /** Adds a node with one output, named `output` if given, and returns the output's name. */
  node(opType: string, inputs: readonly string[], attrs?: OnnxAttrs, output?: string, domain?: string): string;
  /** Adds a node with several outputs. An empty name leaves an optional output out. */
  nodes(
    opType: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attrs?: OnnxAttrs,
    domain?: string,
  ): void;
  /** A small constant tensor; a number makes a scalar. */
  constant(dtype: DType, values: number | readonly number[], shape?: readonly number[]): string;
  /** An int64 vector with the sizes of `shape`, whether they are known now or only when the graph runs. */
  shape(shape: Shape): string;
  /** An int32 scalar with the number of elements of `shape`. Not computed from it: WebGPU has no cast from int64. */
  count(shape: Shape): string;
}

/** Attribute values of ONNX nodes; whole numbers become INT unless wrapped as `{ float: x }`. */
export type OnnxAttrs = Readonly<
  Record<string, number | string | readonly number[] | { readonly float: number } | OnnxBody>
>;

/** A graph run by a node, such as the body of a Scan. */
export interface OnnxBody {
  readonly body: Graph;
  /** How many of the node's inputs are given to the body one slice at a time; the rest are visible to it whole. */
  readonly inputs: number;
}

/** A node as its `onnx` rule sees it. */
export interface OnnxNode<A> {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly inputTypes: readonly Type[];
  readonly outputTypes: readonly Type[];
  readonly attrs: A;
}

export interface Op<A = Attrs> {
  /** The ONNX name where there is one, in camel case. */
  readonly name: string;
  /** Output types from input types. @throws ShapeError */
  infer(inputs: readonly Type[], attrs: A): readonly Type[];
  /** Reference semantics in float64. `outputs` holds the concrete output shapes. */
  evaluate(inputs: readonly NdArray[], attrs: A, outputs: readonly (readonly number[])[]): readonly NdArray[];
  /** Emits nodes that define `node.outputs`. */
  onnx(emit: OnnxEmitter, node: OnnxNode<A>): void;
  readonly vjp: VjpRule<A> | "zero" | "unsupported";
  /**
   * Element i of the output depends on elements i of the (broadcast) inputs only. Such an operation may write over an
   * input, and may run on slices.
   */
  readonly elementwise?: boolean;
  /**
   * The output has the elements of the first input and no others. Engines may let it share the input's memory, or read
   * the input where the output is read.
   */
  readonly view?: boolean;
}
