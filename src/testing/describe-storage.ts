/**
 * The contract that every storage of frozen weights keeps, as tests: what `encode` makes has the types and sizes that are
 * announced; `decode` gives back the weight up to the bound that is given; graphs compute with what `decode` gives, on the
 * engine and in the interpreter, in both passes, for weights stored either way round; what cannot be stored is refused.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { NumericError } from "../errors.ts";
import { allocate } from "../ir/dtype.ts";
import { grad } from "../ir/grad.ts";
import { Graph } from "../ir/graph.ts";
import { sizeOfShape } from "../ir/ndarray.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { dim, shapeOf } from "../ir/shape.ts";
import { statesOf, stateName, storedModel, type WeightStorage } from "../quant/stored-model.ts";
import type { Storage } from "../quant/storage.ts";
import { interpDevice } from "../runtime/interp.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import { randomNumbers } from "./tensors.ts";

export interface StorageCase {
  readonly storage: Storage;
  readonly doubleQuantization?: boolean;
  /** Largest error of an element, as a part of the largest magnitude of `per` consecutive values around it. */
  readonly error: number;
  /** Values that an error is measured against: a block's. Default: the value itself. */
  readonly per?: number;
  /** How far a product may be from that with the decoded weight, as a part of the largest. Default: 2e-6. */
  readonly tolerance?: number;
}

/** Odd sizes, short last blocks, whole blocks, many blocks. */
const SHAPES: readonly (readonly [number, number])[] = [
  [5, 7],
  [6, 64],
  [3, 86],
  [24, 16],
  [40, 448],
];

export function describeStorage({
  storage,
  doubleQuantization = false,
  error,
  per = 1,
  tolerance = 2e-6,
}: StorageCase): void {
  const options = { doubleQuantization };
  const title = `${storage.name}${doubleQuantization ? ", double quantisation" : ""}`;
  describe(title, () => {
    let engine: Device;
    let dir: string;
    before(async () => {
      engine = await ortDevice({ threads: 1 });
      dir = await mkdtemp(join(tmpdir(), "lowrank-storage-"));
    });
    after(async () => {
      await engine.dispose();
      await rm(dir, { recursive: true });
    });

    /** Puts a weight on a device: into a file where the device maps files. */
    async function place(device: Device, name: string, weight: WeightStorage, values: Float32Array): Promise<void> {
      const tensors = storage.encode(values, weight.shape, options);
      for (const tensor of storage.tensors(weight.shape, options)) {
        const data = tensors[tensor.name]!;
        const { dtype, shape } = tensor;
        const state = stateName(name, tensor);
        if (device.kind === "interp") await device.write(state, { dtype, shape, data });
        else {
          const path = join(dir, `${state}-${weight.shape.join("x")}`);
          await writeFile(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
          await device.map(state, { dtype, shape, path, byteOffset: 0 });
        }
      }
    }

    for (const shape of SHAPES) {
      const weight: WeightStorage = { storage, options, shape };
      const values = drawn(sizeOfShape(shape), 1 + shape[1]);
      const decoded = () => storage.decode(storage.encode(values, shape, options), shape, options);

      it(`[${shape.join(", ")}]: tensors are as announced, and stand for the weight`, () => {
        const tensors = storage.encode(values, shape, options);
        const announced = storage.tensors(shape, options);
        assert.deepEqual(Object.keys(tensors).sort(), announced.map(({ name }) => name).sort());
        for (const { name, dtype, shape: size } of announced) {
          assert.equal(tensors[name]!.constructor, allocate(dtype, 0).constructor, name);
          assert.equal(tensors[name]!.length, sizeOfShape(size), name);
        }
        const back = decoded();
        assert.equal(back.length, values.length);
        values.forEach((value, i) => {
          const start = Math.floor(i / per) * per;
          const around = values.subarray(start, start + per).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
          assert.ok(Math.abs(back[i]! - value) <= error * around, `element ${i}: ${value} became ${back[i]}`);
        });
      });

      for (const where of ["interpreter", "engine"] as const) {
        it(`[${shape.join(", ")}]: the ${where} computes with what is decoded, in both passes`, async () => {
          const device = where === "engine" ? engine : interpDevice();
          await place(device, "w", weight, values);
          const W = decoded();
          const model = storedModel(new Map([["w", weight]]));
          const [rows, columns] = shape;
          for (const fanInFanOut of [false, true]) {
            const [fanIn, fanOut] = fanInFanOut ? [rows, columns] : [columns, rows];
            const graph = new Graph();
            const x = graph.feed("x", { dtype: "float32", shape: [dim("N"), dim(fanIn)] });
            const seed = graph.feed("seed", { dtype: "float32", shape: [dim("N"), dim(fanOut)] });
            const tokens = graph.feed("tokens", { dtype: "int32", shape: shapeOf([2, 2]) });
            const stored = model.in(graph, "w")!;
            const y = stored.multiply(x, fanInFanOut);
            const [dx] = grad(reduceSum(mul(y, seed)), [x]);
            graph.output("value", stored.value());
            graph.output("rows", stored.rows(tokens));
            graph.output("y", y);
            graph.output("dx", dx!);
            const executable = await device.compile(graph, { frozen: [...model.states] });
            const [X, S] = [drawn(4 * fanIn, 3), drawn(4 * fanOut, 4)];
            const picked = [rows - 1, 0, 2, 1];
            const got = await executable.run({
              x: { dtype: "float32", shape: [4, fanIn], data: X },
              seed: { dtype: "float32", shape: [4, fanOut], data: S },
              tokens: { dtype: "int32", shape: [2, 2], data: Int32Array.from(picked) },
            });
            await executable.dispose();
            // x Wᵀ and dY W, whichever way round W lies.
            const at = (out: number, inner: number) => W[fanInFanOut ? inner * columns + out : out * columns + inner]!;
            near(got["value"]!, W, 1e-7, "value");
            const table = picked.flatMap((row) => [...W.subarray(row * columns, (row + 1) * columns)]);
            near(got["rows"]!, table, 1e-7, "rows");
            assert.deepEqual(got["rows"]!.shape, [2, 2, columns]);
            near(got["y"]!, product(X, fanIn, fanOut, at), tolerance, "x Wᵀ");
            near(
              got["dx"]!,
              product(S, fanOut, fanIn, (out, inner) => at(inner, out)),
              tolerance,
              "dY W",
            );
          }
        });
      }
    }

    it("zeros stay zeros, and numbers that are not finite are refused", () => {
      const shape = [2, 70];
      const zeros = new Float32Array(140);
      const back = storage.decode(storage.encode(zeros, shape, options), shape, options);
      assert.ok(back.every((value) => value === 0));
      if (storage.name === "float32") return;
      for (const bad of [NaN, Infinity, -Infinity]) {
        const values = new Float32Array(140).fill(0.1);
        values[133] = bad;
        assert.throws(
          () => storage.encode(values, shape, options),
          (thrown) => thrown instanceof NumericError && thrown.message.includes("element 133"),
        );
      }
    });

    it("its states are named after the parameter", () => {
      const states = statesOf("a.weight", { storage, options, shape: [4, 64] });
      assert.ok(states.length > 0 && states.every(({ name }) => name.startsWith("a.weight.")));
    });
  });
}

/** Normally distributed, with an outlier here and there. */
function drawn(length: number, seed: number): Float32Array {
  const next = randomNumbers(seed);
  return Float32Array.from({ length }, (_, i) => {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    return (i % 97 === 5 ? 6 : 1) * 0.05 * normal;
  });
}

/** [4, inner] times the matrix of `at`, whose columns are `outer`. */
function product(
  x: Float32Array,
  inner: number,
  outer: number,
  at: (outer: number, inner: number) => number,
): Float64Array {
  const result = new Float64Array(4 * outer);
  for (let m = 0; m < 4; m++) {
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) result[m * outer + o]! += x[m * inner + i]! * at(o, i);
    }
  }
  return result;
}

function near({ data }: Tensor, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(data.length, expected.length, `${what}: number of elements`);
  const largest = Array.from(expected).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(Number(data[i]) - expected[i]!);
    assert.ok(error <= tolerance * largest, `${what}[${i}]: ${String(data[i])} instead of ${expected[i]}`);
  }
}
