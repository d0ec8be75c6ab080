/**
 * The inner loops of dense linear algebra in float64, two numbers at a time: several times as fast as the same loops in
 * JavaScript, and wherever JavaScript runs. Addresses are bytes in the {@link Arena}'s memory.
 */
import { type Code, doWhile, f64, f64x2, get, i32, set, type ValueType, when, wasmModule } from "./assembler.ts";

export interface Kernels {
  /**
   * C += A B for a column of tiles of 2 × 8. A: `tiles` blocks of [depth, 2], B: [depth, 8], C: row-major, `stride` bytes from
   * row to row. `depth` ≥ 1.
   */
  readonly panel: (tiles: number, depth: number, a: number, b: number, c: number, stride: number) => void;
  /**
   * y += G x for the symmetric G whose lower triangle is at `g`, `stride` bytes from row to row, 4 `blocks` rows. y and x end
   * where that does.
   */
  readonly symmetric: (blocks: number, g: number, stride: number, x: number, y: number) => void;
  /** xᵀ y over 4 `blocks` numbers, `blocks` ≥ 1. */
  readonly dot: (blocks: number, x: number, y: number) => number;
  /** y += factor · x over 4 `blocks` numbers, `blocks` ≥ 1. */
  readonly addScaled: (blocks: number, factor: number, x: number, y: number) => void;
}

interface WebAssemblyApi {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}
/** The types of the browser's globals are not among those that this is compiled with. */
const webAssembly = (): WebAssemblyApi => (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

const PAGE_BYTES = 2 ** 16;
const BYTES = 8;
const PAIR_BYTES = 2 * BYTES;
/** Of a product: as many sums as registers hold. */
export const TILE_ROWS = 2;
export const TILE_COLUMNS = 8;
/** Numbers of a vector that are taken at a time. */
export const BLOCK = 4;

/** Memory, and the kernels that work in it. */
export class Arena {
  readonly kernels: Kernels;
  /** The whole memory. */
  readonly numbers: Float64Array<ArrayBuffer>;

  /** @param length float64 numbers that fit */
  constructor(length: number) {
    const { Memory, Instance } = webAssembly();
    const memory = new Memory({ initial: Math.ceil((length * BYTES) / PAGE_BYTES) });
    this.kernels = new Instance(compiled(), { env: { memory } }).exports as Kernels;
    this.numbers = new Float64Array(memory.buffer);
  }
}

let module: object | undefined;

function compiled(): object {
  const { Module } = webAssembly();
  module ??= new Module(wasmModule([panel(), symmetric(), dotKernel(), addScaledKernel()]));
  return module;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const types = (...groups: readonly (readonly [ValueType, number])[]): ValueType[] =>
  groups.flatMap(([type, count]) => range(count).map(() => type));
/** local += value */
const advance = (local: number, value: Code): Code => set(local, i32.add(get(local), value));
/** Loops while a counter has not come to 0. */
const countDown = (counter: number, body: Code): Code =>
  doWhile([...body, ...set(counter, i32.sub(get(counter), i32.const(1)))], get(counter));
/** local += a b */
const accumulate = (local: number, a: Code, b: Code): Code => set(local, f64x2.add(get(local), f64x2.mul(a, b)));

function panel() {
  const [tiles, depth, a, b, c, stride] = [0, 1, 2, 3, 4, 5];
  const [left, at] = [6, 7];
  const pairs = range(TILE_COLUMNS / 2);
  const sums = range(TILE_ROWS).map((r) => pairs.map((p) => 8 + r * pairs.length + p));
  const columns = pairs.map((p) => 16 + p);
  const splat = 20;
  const tile: Code = [
    ...sums.flat().flatMap((sum) => set(sum, f64x2.zero)),
    ...set(at, get(b)),
    ...set(left, get(depth)),
    // One step at a time: where there are more, compilers move loads forward and run out of registers.
    ...countDown(left, [
      ...pairs.flatMap((p) => set(columns[p]!, f64x2.load(get(at), p * PAIR_BYTES))),
      ...sums.flatMap((row, r) => [
        ...set(splat, f64x2.loadSplat(get(a), r * BYTES)),
        ...pairs.flatMap((p) => accumulate(row[p]!, get(columns[p]!), get(splat))),
      ]),
      ...advance(a, i32.const(TILE_ROWS * BYTES)),
      ...advance(at, i32.const(TILE_COLUMNS * BYTES)),
    ]),
    ...sums.flatMap((row) => [
      ...pairs.flatMap((p) =>
        f64x2.store(get(c), f64x2.add(f64x2.load(get(c), p * PAIR_BYTES), get(row[p]!)), p * PAIR_BYTES),
      ),
      ...advance(c, get(stride)),
    ]),
  ];
  return {
    name: "panel",
    params: types(["i32", 6]),
    locals: types(["i32", 2], ["v128", 13]),
    body: countDown(tiles, tile),
  };
}

function symmetric() {
  const [blocks, g, stride, x, y] = [0, 1, 2, 3, 4];
  // Of the current four rows: their numbers left of the diagonal block in pairs, their addresses, and where x and y are.
  const [pairs, left, xAt, yAt, xRow, yRow] = [5, 6, 7, 8, 9, 10];
  const rows = range(BLOCK).map((i) => 11 + i);
  const sums = range(BLOCK).map((i) => 15 + i);
  const own = range(BLOCK).map((i) => 19 + i);
  const [xs, ys, element] = [23, 24, 25];
  const along: Code = [
    ...set(xs, f64x2.load(get(xAt))),
    ...set(ys, f64x2.load(get(yAt))),
    ...range(BLOCK).flatMap((r) => [
      ...set(element, f64x2.load(get(rows[r]!))),
      ...accumulate(sums[r]!, get(element), get(xs)),
      ...accumulate(ys, get(element), get(own[r]!)),
      ...advance(rows[r]!, i32.const(16)),
    ]),
    ...f64x2.store(get(yAt), get(ys)),
    ...advance(xAt, i32.const(16)),
    ...advance(yAt, i32.const(16)),
  ];
  const add = (address: Code, at: number, value: Code): Code =>
    f64.store(address, f64.add(f64.load(address, at), value), at);
  const block: Code = [
    ...set(rows[0]!, get(g)),
    ...[1, 2, 3].flatMap((r) => set(rows[r]!, i32.add(get(rows[r - 1]!), get(stride)))),
    ...set(g, i32.add(get(rows[3]!), get(stride))),
    ...range(BLOCK).flatMap((r) => [
      ...set(sums[r]!, f64x2.zero),
      ...set(own[r]!, f64x2.loadSplat(get(xRow), r * BYTES)),
    ]),
    ...set(xAt, get(x)),
    ...set(yAt, get(y)),
    ...set(left, get(pairs)),
    ...when(get(left), countDown(left, along)),
    // The addresses of the rows are at the diagonal block now.
    ...range(BLOCK).flatMap((r) => [
      ...add(get(yRow), r * BYTES, f64.add(f64x2.lane(get(sums[r]!), 0), f64x2.lane(get(sums[r]!), 1))),
      ...range(r + 1).flatMap((k) => [
        ...add(get(yRow), r * BYTES, f64.mul(f64.load(get(rows[r]!), k * BYTES), f64.load(get(xRow), k * BYTES))),
        ...(k === r
          ? []
          : add(get(yRow), k * BYTES, f64.mul(f64.load(get(rows[r]!), k * BYTES), f64.load(get(xRow), r * BYTES)))),
      ]),
    ]),
    ...advance(pairs, i32.const(BLOCK / 2)),
    ...advance(xRow, i32.const(BLOCK * BYTES)),
    ...advance(yRow, i32.const(BLOCK * BYTES)),
  ];
  return {
    name: "symmetric",
    params: types(["i32", 5]),
    locals: types(["i32", 10], ["v128", 11]),
    body: [...set(xRow, get(x)), ...set(yRow, get(y)), ...countDown(blocks, block)],
  };
}

function dotKernel() {
  const [blocks, x, y, sum0, sum1] = [0, 1, 2, 3, 4];
  return {
    name: "dot",
    params: types(["i32", 3]),
    locals: types(["v128", 2]),
    result: "f64" as const,
    body: [
      ...countDown(blocks, [
        ...accumulate(sum0, f64x2.load(get(x)), f64x2.load(get(y))),
        ...accumulate(sum1, f64x2.load(get(x), 16), f64x2.load(get(y), 16)),
        ...advance(x, i32.const(BLOCK * BYTES)),
        ...advance(y, i32.const(BLOCK * BYTES)),
      ]),
      ...set(sum0, f64x2.add(get(sum0), get(sum1))),
      ...f64.add(f64x2.lane(get(sum0), 0), f64x2.lane(get(sum0), 1)),
    ],
  };
}

function addScaledKernel() {
  const [blocks, factor, x, y, splat] = [0, 1, 2, 3, 4];
  const add = (at: number): Code =>
    f64x2.store(get(y), f64x2.add(f64x2.load(get(y), at), f64x2.mul(f64x2.load(get(x), at), get(splat))), at);
  return {
    name: "addScaled",
    params: ["i32", "f64", "i32", "i32"] as const,
    locals: types(["v128", 1]),
    body: [
      ...set(splat, f64x2.splat(get(factor))),
      ...countDown(blocks, [
        ...add(0),
        ...add(16),
        ...advance(x, i32.const(BLOCK * BYTES)),
        ...advance(y, i32.const(BLOCK * BYTES)),
      ]),
    ],
  };
}
