/**
 * Multiplies three matrices in the order that takes the fewest operations: (P Q) R or P (Q R).
 *
 * Low-rank adaptation lives on this. Written down naively, the gradient of B in (W + s·B A) x is (dY xᵀ) Aᵀ, through a
 * matrix as large as W; dY (A x)ᵀ is the same and never makes it (RunLoRA, arXiv 2312.03415, §3; LoRA's own gradients).
 * A product V = P Q that several products use is taken apart only if that is cheaper for all of them together.
 */
import type { Graph, Node, Value } from "../graph.ts";
import { type MatMulAttrs, matmul } from "../ops/matmul.ts";
import { mul } from "../ops/mul.ts";
import { type DimSizes, sizeOf } from "../shape.ts";
import { removeDeadCode } from "./dead-code.ts";
import { readers, rewrite } from "./rewrite.ts";
import { sizesForChoices } from "./typical-sizes.ts";

/** A matrix, or its transpose, read by a product. */
interface Factor {
  readonly value: Value;
  readonly transposed: boolean;
}

/** A product `V·R` or `R·V` (with transposes), where V = `left · right` times a scalar. */
interface Chain {
  readonly node: Node;
  readonly first: Factor;
  readonly second: Factor;
  readonly third: Factor;
  /** Whether V is the first two (`V·R`) or the last two (`R·V`). */
  readonly inner: "first" | "last";
  readonly scale: Value | undefined;
}

export function reassociate(graph: Graph, typicalSizes: DimSizes): Graph {
  let result = graph;
  // A new order can make room for another one. Each round saves operations, so that there is a last one.
  for (;;) {
    const chains = findChains(result, typicalSizes);
    if (chains.size === 0) return result;
    result = reorder(result, chains);
  }
}

/** Products to be computed in another order. No two of them count on the same product staying or going. */
function findChains(graph: Graph, typicalSizes: DimSizes): Map<Node, Chain> {
  const readersOf = readers(graph);
  const kept = new Set([...graph.outputs.values(), ...graph.updates.values()]);
  const sizes = sizesForChoices(typicalSizes);
  const size = (factor: Factor, axis: 0 | 1) =>
    sizeOf(factor.value.type.shape[factor.transposed ? 1 - axis : axis]!, sizes);
  /** Multiplications in both orders, and in the outer product of the present one. */
  const costs = ({ first, second, third, inner }: Chain) => {
    const [m, k, l, n] = [size(first, 0), size(first, 1), size(second, 1), size(third, 1)];
    const [left, right] = [m * k * l + m * l * n, k * l * n + m * k * n];
    return inner === "first" ? { outer: m * l * n, other: right } : { outer: m * k * n, other: left };
  };

  const chains = new Map<Node, Chain>();
  const taken = new Set<Node>();
  for (const node of graph.nodes) {
    const [value] = node.outputs;
    if (!isMatrixProduct(node) || kept.has(value!)) continue;
    const found = uses(value!, readersOf, kept);
    if (found === undefined || found.length === 0) continue;
    const group = [node, ...found.map(({ reader }) => reader)];
    if (new Set(group).size < group.length || group.some((member) => taken.has(member))) continue;
    const all = found.map(({ reader, through, scale }) => chain(node, reader, through, scale));
    const { transA, transB } = attrs(node);
    const [a, b] = [
      { value: node.inputs[0]!, transposed: transA },
      { value: node.inputs[1]!, transposed: transB },
    ];
    const now = all.reduce((sum, c) => sum + costs(c).outer, size(a, 0) * size(a, 1) * size(b, 1));
    const then = all.reduce((sum, c) => sum + costs(c).other, 0);
    if (then >= now) continue;
    for (const c of all) chains.set(c.node, c);
    for (const member of group) taken.add(member);
  }
  return chains;
}

function reorder(graph: Graph, chains: ReadonlyMap<Node, Chain>): Graph {
  const copies = new Map<Value, Value>();
  const reordered = rewrite(graph, {
    node(node, inputs, into) {
      node.inputs.forEach((input, i) => copies.set(input, inputs[i]!));
      const found = chains.get(node);
      const outputs =
        found === undefined ? into.copy(node, inputs) : [into.insteadOf(node, () => inOtherOrder(found, copies))];
      node.outputs.forEach((output, i) => copies.set(output, outputs[i]!));
      return outputs;
    },
  });
  return removeDeadCode(reordered);
}

function inOtherOrder({ first, second, third, inner, scale }: Chain, copies: ReadonlyMap<Value, Value>): Value {
  const copied = ({ value, transposed }: Factor): Factor => ({ value: copies.get(value)!, transposed });
  const [a, b, c] = [copied(first), copied(second), copied(third)];
  const plain = (value: Value): Factor => ({ value, transposed: false });
  const result = inner === "first" ? product(a, plain(product(b, c))) : product(plain(product(a, b)), c);
  return scale === undefined ? result : mul(result, copies.get(scale)!);
}

function product(a: Factor, b: Factor): Value {
  return matmul(a.value, b.value, { transA: a.transposed, transB: b.transposed });
}

function isMatrixProduct(node: Node): boolean {
  return node.op.name === "matmul" && node.inputs.every(({ type }) => type.shape.length === 2);
}

function attrs(node: Node): MatMulAttrs {
  return node.attrs as MatMulAttrs;
}

interface Use {
  readonly reader: Node;
  /** The value that the reader reads: V, or V times `scale`. */
  readonly through: Value;
  readonly scale: Value | undefined;
}

/** The products that read `value`, directly or scaled; `undefined` if anything else reads it. */
function uses(value: Value, readersOf: ReadonlyMap<Value, Node[]>, kept: ReadonlySet<Value>): Use[] | undefined {
  const found: Use[] = [];
  const collect = (through: Value, scale: Value | undefined): boolean =>
    (readersOf.get(through) ?? []).every((reader) => {
      if (isMatrixProduct(reader) && reader.inputs[0] !== reader.inputs[1]) {
        found.push({ reader, through, scale });
        return true;
      }
      const factor = reader.inputs.find((input) => input !== through);
      if (reader.op.name !== "mul" || scale !== undefined || factor === undefined) return false;
      if (factor.type.shape.length > 0 || kept.has(reader.outputs[0]!)) return false;
      return collect(reader.outputs[0]!, factor);
    });
  return collect(value, undefined) ? found : undefined;
}

function chain(inner: Node, reader: Node, through: Value, scale: Value | undefined): Chain {
  const { transA, transB } = attrs(reader);
  const asLeft = reader.inputs[0] === through;
  const flipped = asLeft ? transA : transB;
  const p: Factor = { value: inner.inputs[0]!, transposed: attrs(inner).transA };
  const q: Factor = { value: inner.inputs[1]!, transposed: attrs(inner).transB };
  // (P Q)ᵀ = Qᵀ Pᵀ.
  const [v1, v2] = flipped ? [flip(q), flip(p)] : [p, q];
  const r: Factor = asLeft
    ? { value: reader.inputs[1]!, transposed: transB }
    : { value: reader.inputs[0]!, transposed: transA };
  return asLeft
    ? { node: reader, first: v1, second: v2, third: r, inner: "first", scale }
    : { node: reader, first: r, second: v1, third: v2, inner: "last", scale };
}

function flip({ value, transposed }: Factor): Factor {
  return { value, transposed: !transposed };
}
