/**
 * Updates large states a few rows at a time.
 *
 * An optimizer step is a dozen elementwise operations on arrays as large as the model. The engine runs them one after the
 * other, each through main memory; run on a few rows at a time, everything between reading the old state and writing the
 * new one stays in the cache. A gradient that is a product of matrices and that nothing else needs is computed in the
 * same tiles, and never exists as a whole.
 */
import { Graph, type Node, reachable, results, type Value } from "../graph.ts";
import { mapRowsOp, type MapRowsAttrs } from "../ops/map-rows.ts";
import { type MatMulAttrs, matmulOp } from "../ops/matmul.ts";
import { reshape } from "../ops/reshape.ts";
import { transpose } from "../ops/transpose.ts";
import { dim, sameShape, type Shape } from "../shape.ts";
import { memoryOf, readers } from "./rewrite.ts";

/** States below this size stay in the cache anyway. */
const MIN_ELEMENTS = 1 << 18;
/** Elements of one tile: a few such arrays fit a second-level or shared cache. */
const TILE_ELEMENTS = 3 << 16;

/** Nodes that compute one or more updates of one shape, row by row. */
interface Region {
  readonly shape: Shape;
  readonly rows: number;
  readonly nodes: Set<Node>;
}

export function tileUpdates(graph: Graph): Graph {
  const regions = findRegions(graph);
  if (regions.length === 0) return graph;
  const regionOf = new Map<Node, Region>();
  for (const region of regions) for (const node of region.nodes) regionOf.set(node, region);

  const into = new Graph();
  const copies = new Map<Value, Value>();
  const tiled = tiledStates(graph, regions);
  for (const { kind, value } of graph.inputs) {
    const region = tiled.get(value);
    if (region === undefined) {
      copies.set(value, kind === "feed" ? into.feed(value.name, value.type) : into.state(value.name, value.type));
      continue;
    }
    const split = into.state(value.name, { ...value.type, shape: splitRows(region.shape, region.rows) });
    copies.set(value, split);
  }
  /** Whole values: tiled states are seen under their own shape by everything that is not tiled. */
  const whole = (value: Value) => reshape(copies.get(value)!, value.type.shape);
  const pending = new Map(regions.map((region) => [region, region.nodes.size]));
  for (const node of reachable(graph, results(graph))) {
    const region = regionOf.get(node);
    if (region === undefined) {
      const outputs = into.copy(node, node.inputs.map(whole));
      node.outputs.forEach((output, i) => copies.set(output, outputs[i]!));
      continue;
    }
    // A region takes the place of its last node: by then all of its inputs are there.
    const left = pending.get(region)! - 1;
    pending.set(region, left);
    if (left === 0) emitRegion(graph, region, into, copies);
  }
  for (const [state, value] of graph.updates) into.update(copies.get(state)!, copies.get(value)!);
  for (const [name, value] of graph.outputs) into.output(name, whole(value));
  return into;
}

function findRegions(graph: Graph): Region[] {
  const readersOf = readers(graph);
  const outputs = new Set(graph.outputs.values());
  const updates = new Set(graph.updates.values());
  /** Runs of the body see the left matrix and the result in rows, and the right one whole: it must not change meanwhile. */
  const isRowwiseProduct = (node: Node) =>
    node.op.name === matmulOp.name && !graph.updates.has(memoryOf(node.inputs[1]!));
  const taken = new Set<Node>();
  const regions: Region[] = [];
  // From the last update back, so that a weight's region takes in the moments that it is computed from.
  for (const value of [...updates].sort((a, b) => b.id - a.id)) {
    const seed = value.producer;
    if (seed === undefined || taken.has(seed)) continue;
    const shape = value.type.shape;
    const rows = tileRows(shape);
    if (rows === undefined || value.type.dtype !== "float32") continue;
    const nodes = new Set<Node>();
    for (const node of [...graph.nodes].reverse()) {
      const [output] = node.outputs;
      if (node.id > seed.id || taken.has(node) || node.outputs.length !== 1 || outputs.has(output!)) continue;
      const consumers = readersOf.get(output!) ?? [];
      const inside = consumers.every((consumer) => nodes.has(consumer) && consumer.op.name !== matmulOp.name);
      const wanted = node === seed || (consumers.length > 0 && inside);
      const matches = sameShape(output!.type.shape, shape);
      if (wanted && matches && (isRowwiseProduct(node) || isRowwise(node, shape))) nodes.add(node);
    }
    if (!nodes.has(seed)) continue;
    for (const node of nodes) taken.add(node);
    regions.push({ shape, rows, nodes });
  }
  return regions;
}

/** Rows of the result depend on the same rows of inputs of its shape, and on whole values that have no such rows. */
function isRowwise(node: Node, shape: Shape): boolean {
  return (
    node.op.elementwise === true &&
    node.inputs.every(({ type }) => sameShape(type.shape, shape) || type.shape.length < shape.length)
  );
}

/** A number of rows per tile that divides the first axis and fills about a tile. */
function tileRows(shape: Shape): number | undefined {
  const sizes = shape.map((d) => d.size ?? 0);
  const [rows, ...rest] = sizes;
  if (rows === undefined || sizes.reduce((a, b) => a * b, 1) < MIN_ELEMENTS) return undefined;
  const row = rest.reduce((a, b) => a * b, 1);
  const wanted = Math.max(1, TILE_ELEMENTS / row);
  let best = rows;
  for (let r = 1; r < rows; r++) {
    if (rows % r === 0 && Math.abs(Math.log(r / wanted)) < Math.abs(Math.log(best / wanted))) best = r;
  }
  return best < rows && best * 8 > wanted ? best : undefined;
}

/** States that a region updates: they are given to the engine in tiles. */
function tiledStates(graph: Graph, regions: readonly Region[]): Map<Value, Region> {
  const tiled = new Map<Value, Region>();
  for (const [state, value] of graph.updates) {
    const region = regions.find(({ nodes }) => value.producer !== undefined && nodes.has(value.producer));
    if (region !== undefined) tiled.set(state, region);
  }
  return tiled;
}

function splitRows(shape: Shape, rows: number): Shape {
  const [first, ...rest] = shape;
  return [dim(first!.size! / rows), dim(rows), ...rest];
}

function emitRegion(graph: Graph, { shape, rows, nodes }: Region, into: Graph, copies: Map<Value, Value>): void {
  const body = new Graph();
  const inner = new Map<Value, Value>();
  const sliced: Value[] = [];
  const wholes: { outer: Value; name: string }[] = [];
  const tile: Shape = [dim(rows), ...shape.slice(1)];

  const addSliced = (value: Value, outer: Value, tileShape: Shape) => {
    inner.set(value, body.feed(`slice${sliced.length}`, { dtype: value.type.dtype, shape: tileShape }));
    sliced.push(outer);
  };
  const ordered = graph.nodes.filter((node) => nodes.has(node));
  const outside = (value: Value) => value.producer === undefined || !nodes.has(value.producer);
  // Slices come first among the inputs of the body, so they are declared first.
  const lefts = new Map<Node, Value>();
  for (const node of ordered) {
    if (node.op.name === matmulOp.name) {
      const [a] = node.inputs;
      const { transA } = node.attrs as MatMulAttrs;
      const rowsFirst = transA ? transpose(whole(copies, a!), [1, 0]) : whole(copies, a!);
      const [m, k] = rowsFirst.type.shape;
      lefts.set(node, body.feed(`slice${sliced.length}`, { dtype: a!.type.dtype, shape: [dim(rows), k!] }));
      sliced.push(reshape(rowsFirst, splitRows([m!, k!], rows)));
      continue;
    }
    for (const input of node.inputs) {
      if (!outside(input) || inner.has(input) || !sameShape(input.type.shape, shape)) continue;
      addSliced(input, reshape(copies.get(input)!, splitRows(shape, rows)), tile);
    }
  }
  const see = (value: Value): Value => {
    const known = inner.get(value);
    if (known !== undefined) return known;
    const seen = body.feed(`whole${wholes.length}`, value.type);
    wholes.push({ outer: whole(copies, value), name: seen.name });
    inner.set(value, seen);
    return seen;
  };
  for (const node of ordered) {
    const left = lefts.get(node);
    const [output] =
      left === undefined
        ? body.copy(node, node.inputs.map(see))
        : body.apply(matmulOp, [left, see(node.inputs[1]!)], { ...(node.attrs as MatMulAttrs), transA: false });
    inner.set(node.outputs[0]!, output!);
  }
  const updated = [...new Set(graph.updates.values())].filter(
    (value) => value.producer !== undefined && nodes.has(value.producer),
  );
  updated.forEach((value, i) => body.output(`out${i}`, inner.get(value)!));
  const attrs: MapRowsAttrs = { body, sliced: sliced.length };
  const outputs = into.scope("update", () =>
    into.apply(mapRowsOp, [...sliced, ...wholes.map(({ outer }) => outer)], attrs),
  );
  updated.forEach((value, i) => copies.set(value, outputs[i]!));
}

function whole(copies: ReadonlyMap<Value, Value>, value: Value): Value {
  return reshape(copies.get(value)!, value.type.shape);
}
