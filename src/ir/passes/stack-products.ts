/**
 * Puts products with small matrices together where they share something: adapters of layers that read the same rows, such as
 * q, k and v, or gate and up.
 *
 * - x A₁ᵀ, x A₂ᵀ become columns of x [A₁; A₂]ᵀ, where A₁ and A₂ are inputs of the graph;
 * - D₁ᵀ x, D₂ᵀ x become rows of [D₁, D₂]ᵀ x: their gradients;
 * - D₁ A₁ + D₂ A₂ becomes [D₁, D₂] [A₁; A₂]: what flows back to x; and D₁ B₁ᵀ + D₂ B₂ᵀ likewise: several adapters of a layer.
 *
 * Large matrices are then read, and large sums written, once instead of once for each layer; what is copied is small.
 */
import { type Graph, type Node, reachable, results, type Value } from "../graph.ts";
import { add } from "../ops/add.ts";
import { concat } from "../ops/concat.ts";
import { matmul, type MatMulAttrs } from "../ops/matmul.ts";
import { mul } from "../ops/mul.ts";
import { slice } from "../ops/slice.ts";
import { type DimSizes, sameShape, sizeOf } from "../shape.ts";
import { removeDeadCode } from "./dead-code.ts";
import { readers, rewrite } from "./rewrite.ts";
import { sizesForChoices } from "./typical-sizes.ts";

/** Largest rank with which products are held back by memory and not by arithmetic. */
const SMALL = 64;
/** A rank is so many times smaller than what it stands between. */
const FEW = 4;
/** Rows below which copying the small matrices costs more than it saves. */
const FEW_ROWS = 32;

/** Products that become one. */
interface Group {
  readonly kind: "columns" | "rows";
  /** In the order of the graph. */
  readonly members: readonly Node[];
}

/** D A, or D Bᵀ, times a scalar if there is one. */
interface Product {
  readonly node: Node;
  readonly scale?: Value;
}

/** A sum of several terms, of which some products are to become one. */
interface Sum {
  readonly products: readonly Product[];
  readonly others: readonly Value[];
}

export function stackProducts(graph: Graph, typicalSizes: DimSizes): Graph {
  const nodes = reachable(graph, results(graph));
  const sizes = sizesForChoices(typicalSizes);
  const groups = new Ordered(nodes, findGroups(nodes, sizes));
  const sums = findSums(graph, nodes, sizes);
  if (groups.of.size === 0 && sums.size === 0) return graph;

  const graphInputs = graph.inputs.map(({ value }) => value);
  const copies = new Map<Value, Value>();
  const stacked = new Map<Group, readonly Value[]>();
  const result = rewrite(
    graph,
    {
      node(node, inputs, into) {
        // Inputs of the graph, which no node of the copy has to have read yet.
        const copyOf = (value: Value) => copies.get(value) ?? into.inputs[graphInputs.indexOf(value)]!.value;
        node.inputs.forEach((input, i) => copies.set(input, inputs[i]!));
        const group = groups.of.get(node);
        const sum = sums.get(node.outputs[0]!);
        let outputs: readonly Value[];
        if (group !== undefined) {
          const parts = stacked.get(group) ?? into.insteadOf(node, () => stack(group, copyOf));
          stacked.set(group, parts);
          outputs = [parts[group.members.indexOf(node)]!];
        } else if (sum !== undefined) {
          outputs = [into.insteadOf(node, () => stackedSum(sum, copyOf))];
        } else {
          outputs = into.copy(node, inputs);
        }
        node.outputs.forEach((output, i) => copies.set(output, outputs[i]!));
        return outputs;
      },
    },
    groups.sorted(),
  );
  return removeDeadCode(result);
}

/** The results of a group's members. */
function stack({ kind, members }: Group, copyOf: (value: Value) => Value): Value[] {
  const [at, axis] = kind === "columns" ? [1, 1] : [0, 0];
  const small = concat(
    members.map(({ inputs }) => copyOf(inputs[at]!)),
    kind === "columns" ? 0 : 1,
  );
  const shared = copyOf(members[0]!.inputs[1 - at]!);
  const product =
    kind === "columns" ? matmul(shared, small, { transB: true }) : matmul(small, shared, { transA: true });
  let start = 0;
  return members.map(({ outputs }) => {
    const end = start + outputs[0]!.type.shape[axis]!.size!;
    const part = slice(product, axis, start, end);
    start = end;
    return part;
  });
}

function stackedSum({ products, others }: Sum, copyOf: (value: Value) => Value): Value {
  const { transB } = products[0]!.node.attrs as MatMulAttrs;
  const first = products.map(({ node, scale }) => {
    const D = copyOf(node.inputs[0]!);
    return scale === undefined ? D : mul(D, copyOf(scale));
  });
  const second = products.map(({ node }) => copyOf(node.inputs[1]!));
  const product = matmul(concat(first, 1), concat(second, transB ? 1 : 0), { transB });
  return others.length === 0 ? product : add(others.map(copyOf).reduce(add), product);
}

function findGroups(nodes: readonly Node[], sizes: DimSizes): Group[] {
  const found = new Map<string, { kind: Group["kind"]; members: Node[] }>();
  for (const node of nodes) {
    const kind = kindOf(node, sizes);
    if (kind === undefined) continue;
    const shared = node.inputs[kind === "columns" ? 0 : 1]!;
    const key = [kind, shared.id, node.region, node.recomputes].join();
    const group = found.get(key);
    if (group === undefined) found.set(key, { kind, members: [node] });
    else group.members.push(node);
  }
  for (const { kind, members } of found.values()) {
    if (kind === "columns") members.sort((p, q) => p.inputs[1]!.id - q.inputs[1]!.id);
  }
  return [...found.values()].filter(({ members }) => members.length > 1);
}

function kindOf(node: Node, sizes: DimSizes): Group["kind"] | undefined {
  if (!isMatrixProduct(node)) return undefined;
  const { transA, transB } = node.attrs as MatMulAttrs;
  const [a, b] = node.inputs as [Value, Value];
  const [rows, columns] = node.outputs[0]!.type.shape;
  if (!transA && transB && isSmall(columns!.size, b.type.shape[1]!.size) && b.producer === undefined) {
    return sizeOf(rows!, sizes) >= FEW_ROWS ? "columns" : undefined;
  }
  if (transA && !transB && isSmall(rows!.size, columns!.size)) {
    return sizeOf(a.type.shape[0]!, sizes) >= FEW_ROWS ? "rows" : undefined;
  }
  return undefined;
}

/** Sums that have more than one product with a small inner dimension among their terms, by their values. */
function findSums(graph: Graph, nodes: readonly Node[], sizes: DimSizes): Map<Value, Sum> {
  const readersOf = readers(graph);
  // New states are written over old ones, which only elementwise kernels may do.
  const updated = new Set(graph.updates.values());
  const kept = new Set([...graph.outputs.values(), ...updated]);
  const once = (value: Value) => readersOf.get(value)?.length === 1 && !kept.has(value);
  const isSum = (value: Value, like: Value) =>
    value.producer?.op.name === "add" &&
    value.producer.inputs[0] !== value.producer.inputs[1] &&
    value.producer.inputs.every(({ type }) => sameShape(type.shape, like.type.shape));
  const inner = new Set<Value>();
  const sums = new Map<Value, Sum>();
  // From the last one: what is a part of a larger sum is no sum of its own.
  for (const node of nodes.toReversed()) {
    const root = node.outputs[0]!;
    const isMatrix = root.type.shape.length === 2 && root.type.dtype === "float32";
    if (inner.has(root) || updated.has(root) || !isMatrix || !isSum(root, root)) continue;
    const terms: Value[] = [];
    const collect = (value: Value) => {
      const { producer } = value;
      const isPart =
        value === root ||
        (once(value) &&
          isSum(value, root) &&
          producer!.recomputes === node.recomputes &&
          producer!.region === node.region);
      if (!isPart) return void terms.push(value);
      inner.add(value);
      producer!.inputs.forEach(collect);
    };
    collect(root);
    const found = new Map(
      terms.flatMap((term) => {
        const product = lowRank(term, node, once, sizes);
        return product === undefined ? [] : [[term, product] as const];
      }),
    );
    const alike = [false, true].map((transB) =>
      [...found].filter(([, product]) => (product.node.attrs as MatMulAttrs).transB === transB),
    );
    const chosen = new Map(alike[0]!.length >= alike[1]!.length ? alike[0] : alike[1]);
    if (chosen.size < 2) continue;
    // In one order wherever they stand, so that their second matrices are put together once.
    const products = [...chosen.values()].sort((p, q) => p.node.inputs[1]!.id - q.node.inputs[1]!.id);
    sums.set(root, { products, others: terms.filter((term) => !chosen.has(term)) });
  }
  return sums;
}

/** `term` as D A or D Bᵀ, with a small inner dimension. */
function lowRank(term: Value, sum: Node, once: (value: Value) => boolean, sizes: DimSizes): Product | undefined {
  const node = term.producer;
  if (node === undefined || !once(term) || node.recomputes !== sum.recomputes || node.region !== sum.region) {
    return undefined;
  }
  if (node.op.name === "mul") {
    const scale = node.inputs.find(({ type }) => type.shape.length === 0);
    const scaled = node.inputs.find((input) => input !== scale);
    if (scale === undefined || scaled === undefined) return undefined;
    const product = lowRank(scaled, sum, once, sizes);
    return product === undefined || product.scale !== undefined ? undefined : { ...product, scale };
  }
  if (!isMatrixProduct(node) || (node.attrs as MatMulAttrs).transA) return undefined;
  const [rows, rank] = node.inputs[0]!.type.shape;
  const isLow = isSmall(rank!.size, term.type.shape[1]!.size) && sizeOf(rows!, sizes) >= FEW_ROWS;
  return isLow ? { node } : undefined;
}

function isMatrixProduct(node: Node): boolean {
  return (
    node.op.name === "matmul" && node.inputs.every(({ type }) => type.shape.length === 2 && type.dtype === "float32")
  );
}

/** Whether a size is that of a rank beside one of features. */
function isSmall(rank: number | undefined, features: number | undefined): boolean {
  return rank !== undefined && rank <= SMALL && (features === undefined || FEW * rank <= features);
}

/** Groups that can be computed at once, and an order in which what one of them needs comes before all of its members. */
class Ordered {
  /** By member. */
  readonly of = new Map<Node, Group>();
  readonly #nodes: readonly Node[];

  constructor(nodes: readonly Node[], groups: readonly Group[]) {
    this.#nodes = nodes;
    for (const group of groups)
      if (this.#isPossible(group)) for (const member of group.members) this.of.set(member, group);
  }

  /** Not if one member needs another's result, whatever the way. */
  #isPossible({ members }: Group): boolean {
    const seen = new Set<Node>();
    const stack = members.flatMap(({ inputs }) => producers(inputs));
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (members.includes(node)) return false;
      if (seen.has(node)) continue;
      seen.add(node);
      stack.push(...this.#before(node));
    }
    return true;
  }

  #before(node: Node): Node[] {
    const group = this.of.get(node);
    return group === undefined ? producers(node.inputs) : group.members.flatMap(({ inputs }) => producers(inputs));
  }

  /** The nodes as they were, but for those that have to come earlier. */
  sorted(): Node[] {
    const done = new Set<Node>();
    for (const start of this.#nodes) {
      const stack = [start];
      while (stack.length > 0) {
        const node = stack.at(-1)!;
        const missing = done.has(node) ? [] : this.#before(node).filter((other) => !done.has(other));
        if (missing.length > 0) stack.push(...missing);
        else done.add(stack.pop()!);
      }
    }
    return [...done];
  }
}

function producers(values: readonly Value[]): Node[] {
  return values.flatMap(({ producer }) => producer ?? []);
}
