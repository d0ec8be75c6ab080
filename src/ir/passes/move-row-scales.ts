/**
 * Multiplies the small side: a matrix whose rows have factors, or that has one factor, and which only products of matrices
 * read, stays as it is. The factors go to the results of the products, diag(m) X W = diag(m) (X W), or where rows are
 * summed over to the other operand, (diag(m) X)ᵀ H = Xᵀ (diag(m) H).
 *
 * That is the derivative of a loss per row on its way through a vocabulary head, [N, D] instead of [N, V], and the scaling
 * of a low-rank adapter in its gradients, [N, r] instead of [N, out].
 */
import type { Graph, Node, Value } from "../graph.ts";
import { type MatMulAttrs, matmul } from "../ops/matmul.ts";
import { mul } from "../ops/mul.ts";
import { reshape } from "../ops/reshape.ts";
import { type DimSizes, elementCount, isOne, sameShape, type Shape, sizeOf } from "../shape.ts";
import { removeDeadCode } from "./dead-code.ts";
import { readers, rewrite } from "./rewrite.ts";
import { sizesForChoices } from "./typical-sizes.ts";

/** X times a factor per row, or times one factor. */
interface Scaled {
  readonly x: Value;
  /** [N, 1] or [] */
  readonly factors: Value;
}

export function moveRowScales(graph: Graph, typicalSizes: DimSizes): Graph {
  const readersOf = readers(graph);
  const kept = new Set([...graph.outputs.values(), ...graph.updates.values()]);
  const sizes = sizesForChoices(typicalSizes);
  const elements = (value: Value) => sizeOf(elementCount(value.type.shape), sizes);

  /** Scaled matrices, by their values. */
  const moved = new Map<Value, Scaled>();
  for (const { outputs, inputs, op } of graph.nodes) {
    const [value] = outputs;
    const scaled = op.name === "mul" && !kept.has(value!) ? scaledRows(value!, inputs) : undefined;
    const products = readersOf.get(value!) ?? [];
    if (scaled === undefined || products.length === 0 || !products.every((node) => isProductWith(node, value!)))
      continue;
    // One that has factors on both sides keeps those of the other.
    if (products.some((node) => node.inputs.some((input) => moved.has(input)))) continue;
    const cost = products.reduce((sum, node) => sum + elements(scaledInstead(node, value!, scaled)), 0);
    if (cost < elements(value!)) moved.set(value!, scaled);
  }
  if (moved.size === 0) return graph;

  const copies = new Map<Value, Value>();
  const result = rewrite(graph, {
    node(node, inputs, into) {
      node.inputs.forEach((input, i) => copies.set(input, inputs[i]!));
      const at = isMatrixProduct(node) ? node.inputs.findIndex((input) => moved.has(input)) : -1;
      const outputs =
        at < 0
          ? into.copy(node, inputs)
          : [into.insteadOf(node, () => product(node, at, moved.get(node.inputs[at]!)!, copies))];
      node.outputs.forEach((output, i) => copies.set(output, outputs[i]!));
      return outputs;
    },
  });
  return removeDeadCode(result);
}

function scaledRows(value: Value, inputs: readonly Value[]): Scaled | undefined {
  const { shape } = value.type;
  if (shape.length !== 2 || isOne(shape[1]!)) return undefined;
  const column: Shape = [shape[0]!, { name: "", size: 1 }];
  const factors = inputs.find(({ type }) => type.shape.length === 0 || sameShape(type.shape, column));
  const x = inputs.find((input) => input !== factors && sameShape(input.type.shape, shape));
  return factors === undefined || x === undefined ? undefined : { x, factors };
}

function isMatrixProduct(node: Node): boolean {
  return node.op.name === "matmul" && node.inputs.every(({ type }) => type.shape.length === 2);
}

function isProductWith(node: Node, value: Value): boolean {
  return isMatrixProduct(node) && node.inputs[0] !== node.inputs[1] && node.inputs.includes(value);
}

/** Whether the product sums over rows of its operand `at` that have factors of their own. */
function sumsOverRows(node: Node, at: number, { factors }: Scaled): boolean {
  if (factors.type.shape.length === 0) return false;
  const { transA, transB } = node.attrs as MatMulAttrs;
  return at === 0 ? transA : !transB;
}

/** What gets the factors instead of `value`. */
function scaledInstead(node: Node, value: Value, scaled: Scaled): Value {
  const at = node.inputs.indexOf(value);
  return sumsOverRows(node, at, scaled) ? node.inputs[1 - at]! : node.outputs[0]!;
}

function product(node: Node, at: number, scaled: Scaled, copies: ReadonlyMap<Value, Value>): Value {
  const attrs = node.attrs as MatMulAttrs;
  const [x, factors] = [copies.get(scaled.x)!, copies.get(scaled.factors)!];
  const other = copies.get(node.inputs[1 - at]!)!;
  const multiply = (a: Value, b: Value) => (at === 0 ? matmul(a, b, attrs) : matmul(b, a, attrs));
  /** Factors of the rows, or of the columns, of a matrix. */
  const times = (matrix: Value, rows: boolean) =>
    mul(matrix, rows || factors.type.shape.length === 0 ? factors : reshape(factors, [1, -1]));
  if (!sumsOverRows(node, at, scaled)) return times(multiply(x, other), at === 0);
  const summedIsFirst = at === 0 ? !attrs.transB : attrs.transA;
  return multiply(x, times(other, summedIsFirst));
}
