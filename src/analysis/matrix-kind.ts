/**
 * What a tensor of a checkpoint is, by its name and shape alone: an analysis reads checkpoints of any architecture, with or
 * without a `config.json`.
 */

/** What a tensor is to an analysis. */
export type TensorKind =
  /** W [out, in] of a linear layer; of a convolution [out, in · kh · kw] flattened. */
  | "matrix"
  /** A table: one row for each token or position. */
  | "embedding"
  /** The layer that gives scores for a whole vocabulary. */
  | "output"
  /** Anything else. */
  | "none";

/** Last module of a name, such as `embed_tokens`, `wte`, `word_embeddings`. */
const EMBEDDING =
  /(^|_)(wte|wpe|emb|embed|embeds|embeddings?)$|^embed_(tokens|positions|in)$|^(shared|relative_attention_bias)$/;
/** Whole modules: `output.dense` of BERT's blocks is no such layer. */
const OUTPUT = /(^|\.)(lm_head|embed_out|lm_head\.decoder|predictions\.decoder)$|^output$/;
/** Experts that are stored in one tensor: [experts, …, …] is no convolution. */
const EXPERTS = /(^|[._])experts?([._]|$)/;
/** Parameters of a method that are no weights of layers. */
const OWN_WEIGHT = /\.weight$/;

export interface Classified {
  readonly kind: TensorKind;
  /** Why it is not analysed, where it is not. */
  readonly reason?: string;
}

/** @param name of the tensor, such as `model.layers.0.mlp.up_proj.weight` */
export function kindOf(name: string, shape: readonly number[]): Classified {
  const module = name.replace(OWN_WEIGHT, "");
  const last = module.slice(module.lastIndexOf(".") + 1);
  if (shape.length < 2) return { kind: "none", reason: "a vector, no matrix" };
  if (shape.some((size) => size === 0)) return { kind: "none", reason: "has no elements" };
  if (shape.length > 4) return { kind: "none", reason: `has ${shape.length} dimensions` };
  if (shape.length > 2 && EXPERTS.test(name)) return { kind: "none", reason: "several experts in one tensor" };
  if (EMBEDDING.test(last)) return { kind: "embedding", reason: "an embedding table" };
  if (OUTPUT.test(module)) return { kind: "output", reason: "the output layer, which is a table over the vocabulary" };
  if (rows(shape) < 2 || columns(shape) < 2) return { kind: "none", reason: "a vector, no matrix" };
  return { kind: "matrix" };
}

/** [out, in] of a tensor as it is stored: a kernel [out, in, kh, kw] is flattened. */
export function flattened(shape: readonly number[]): [rows: number, columns: number] {
  return [rows(shape), columns(shape)];
}

function rows(shape: readonly number[]): number {
  return shape[0]!;
}

function columns(shape: readonly number[]): number {
  return shape.slice(1).reduce((a, b) => a * b, 1);
}

/**
 * Weights that are stored as [in, out], as those of GPT-2's `Conv1D`. Other models have layers of the same names that are
 * stored as [out, in]: the widening ones tell which they are, since they have more outputs than inputs.
 */
export function transposedWeights(
  tensors: Iterable<readonly [name: string, shape: readonly number[]]>,
): ReadonlySet<string> {
  const named = [...tensors].filter(([name, shape]) => shape.length === 2 && CONV1D.test(name));
  const widening = named.filter(([name]) => /\.(c_attn|c_fc|q_attn)\.weight$/.test(name));
  const isTransposed =
    widening.some(([, [first = 0, second = 0]]) => first < second) &&
    widening.every(([, [first = 0, second = 0]]) => first <= second);
  return new Set(isTransposed ? named.map(([name]) => name) : []);
}

const CONV1D = /\.(attn|crossattention|mlp)\.(c_attn|q_attn|c_proj|c_fc)\.weight$/;
