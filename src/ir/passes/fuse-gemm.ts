/**
 * Gives a product of matrices the sum that follows it: C + s·(A B) becomes one Gemm. That is the bias of a linear layer,
 * and the branch of a low-rank adapter: neither its scaling nor its addition goes through memory again.
 */
import type { Graph, Node, Value } from "../graph.ts";
import type { ConstantAttrs } from "../ops/constant.ts";
import { type GemmAttrs, gemmOp } from "../ops/gemm.ts";
import type { MatMulAttrs } from "../ops/matmul.ts";
import { sameShape } from "../shape.ts";
import { readers, rewrite } from "./rewrite.ts";

/** `sum` = c + alpha · (the product of `matmul`). */
interface Fusion {
  readonly matmul: Node;
  readonly alpha: number;
  readonly c: Value;
}

export function fuseGemm(graph: Graph): Graph {
  const readersOf = readers(graph);
  // New states are written over old ones, which only elementwise kernels may do.
  const written = new Set(graph.updates.values());
  const kept = new Set([...graph.outputs.values(), ...written]);
  const once = (value: Value) => readersOf.get(value)?.length === 1 && !kept.has(value);
  const copies = new Map<Value, Value>();
  const note = (from: readonly Value[], to: readonly Value[]) => from.forEach((value, i) => copies.set(value, to[i]!));
  return rewrite(graph, {
    node(node, inputs, into) {
      note(node.inputs, inputs);
      const fusion = written.has(node.outputs[0]!) ? undefined : fusionOf(node, once);
      const outputs = fusion === undefined ? into.copy(node, inputs) : [fused(fusion, copies, into)];
      note(node.outputs, outputs);
      return outputs;
    },
  });
}

function fusionOf(sum: Node, once: (value: Value) => boolean): Fusion | undefined {
  if (sum.op.name !== "add") return undefined;
  const [x, y] = sum.inputs as [Value, Value];
  // The second term first: of a layer and its adapter, the adapter's product is the small one.
  for (const [product, c] of [[y, x] as const, [x, y] as const]) {
    if (product === c || !once(product) || !sameShape(product.type.shape, sum.outputs[0]!.type.shape)) continue;
    const plain = scaledProduct(product, once);
    if (plain !== undefined && c.type.shape.length <= 2) return { ...plain, c };
  }
  return undefined;
}

function scaledProduct(value: Value, once: (value: Value) => boolean): { matmul: Node; alpha: number } | undefined {
  const node = value.producer;
  if (node === undefined || value.type.dtype !== "float32") return undefined;
  if (node.op.name === "matmul") return value.type.shape.length === 2 ? { matmul: node, alpha: 1 } : undefined;
  if (node.op.name !== "mul") return undefined;
  const factor = node.inputs.find(({ type, producer }) => type.shape.length === 0 && producer?.op.name === "constant");
  const product = node.inputs.find((input) => input !== factor);
  if (factor === undefined || product === undefined || !once(product)) return undefined;
  const inner = scaledProduct(product, once);
  const scale = (factor.producer!.attrs as ConstantAttrs).values[0]!;
  return inner === undefined ? undefined : { matmul: inner.matmul, alpha: inner.alpha * scale };
}

function fused({ matmul, alpha, c }: Fusion, copies: ReadonlyMap<Value, Value>, into: Graph): Value {
  const [a, b] = matmul.inputs;
  const attrs: GemmAttrs = { ...(matmul.attrs as MatMulAttrs), alpha };
  return into.insteadOf(matmul, () =>
    into.apply(gemmOp, [copies.get(a!)!, copies.get(b!)!, copies.get(c)!], attrs),
  )[0]!;
}
