/**
 * Frozen weights that are stored in another way than as float32 values: in fewer bits, in several tensors. What reads them
 * in a graph asks for one of three things, the cheapest that will do.
 */
import type { Graph, Value } from "../ir/graph.ts";

/** What a storage may want to know of a product. */
export interface MultiplyOptions {
  /**
   * Rows of the product's derivative have one large element, and many small ones that count: those of a vocabulary head,
   * softmax − label. Default: false.
   */
  readonly peaked?: boolean;
}

/** One stored weight in a graph. */
export interface StoredWeight {
  /** W in float32, of the parameter's shape: made where it is asked for, at every call anew. */
  value(): Value;
  /**
   * The product of a linear layer without its bias, x Wᵀ for W [out, in]. Derivatives flow to x, none to W, and W is not
   * kept between the two passes. Shapes: [rows, in] -> [rows, out].
   * @param fanInFanOut W is stored as [in, out]: the product is x W
   */
  multiply(x: Value, fanInFanOut: boolean, options?: MultiplyOptions): Value;
  /** Rows of a table W [in, out] for int32 tokens [...]: [..., out]. */
  rows(tokens: Value): Value;
}

/** Which parameters of a model are stored so. */
export interface StoredWeights {
  /** The weight as a graph reads it; undefined for a parameter whose float32 values are a state of the same name. */
  in(graph: Graph, name: string): StoredWeight | undefined;
  /** Names of the states that hold them. */
  readonly states: ReadonlySet<string>;
}
