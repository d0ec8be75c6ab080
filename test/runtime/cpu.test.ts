/** The device on CPU: what it promises besides the numbers. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { EngineError, ShapeError } from "../../src/errors.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { sub } from "../../src/ir/ops/sub.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Feeds } from "../../src/runtime/runtime.ts";
import { float32 } from "../support/run.ts";

const MIB = 1 << 20;
const onLinux = process.platform === "linux";

function state(graph: Graph, name: string, shape: readonly number[]): Value {
  return graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
}

/** A state `p` that a run replaces by 2 p + 1, and gives out. */
function doubling(shape: readonly number[] = [2]): Graph {
  const graph = new Graph();
  const p = state(graph, "p", shape);
  const next = add(mul(p, scalar(graph, 2)), scalar(graph, 1));
  graph.update(p, next);
  graph.output("p", next);
  return graph;
}

async function rejects(
  promise: Promise<unknown>,
  type: typeof ShapeError | typeof EngineError,
  message: RegExp,
): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof type, String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe("a device", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 2 });
  });
  after(() => device.dispose());

  test("updates states in place: steps on 128 MiB of them take no memory", async () => {
    const shape = [4096, 4096];
    const graph = new Graph();
    const [p, m] = [state(graph, "p", shape), state(graph, "m", shape)];
    const g = graph.feed("g", { dtype: "float32", shape: shapeOf([4096]) });
    const next = add(mul(m, scalar(graph, 0.5)), g);
    graph.update(m, next);
    graph.update(p, sub(p, mul(next, scalar(graph, 0.25))));
    const start = float32(shape, new Float32Array(4096 * 4096).fill(1));
    await device.write("p", start);
    await device.write("m", { ...start, data: new Float32Array(4096 * 4096) });
    const executable = await device.compile(graph);
    const feeds = {
      g: float32(
        [4096],
        Float32Array.from({ length: 4096 }, (_, i) => i % 7),
      ),
    };

    const before = process.memoryUsage.rss();
    let most = 0;
    for (let step = 0; step < 20; step++) {
      await executable.run(feeds);
      most = Math.max(most, process.memoryUsage.rss() - before);
    }
    // A copy of one state is 64 MiB; what the steps need themselves is some tiles of 0.75 MiB.
    assert.ok(most < 32 * MIB, `the process grew by ${Math.round(most / MIB)} MiB`);

    // m = g (2 - 2⁻¹⁹) and p = 1 - Σ m / 4, after 20 steps: sums of powers of two, exact up to the last digits.
    const { data } = await device.read("p");
    const sum = Array.from({ length: 20 }, (_, i) => 2 - 2 ** -i).reduce((a, b) => a + b);
    for (const at of [0, 1, 4095, 4096 * 2000 + 6, 4096 * 4096 - 1]) {
      const expected = 1 - (((at % 4096) % 7) * sum) / 4;
      assert.ok(Math.abs(Number(data[at]) - expected) < 1e-4, `p[${at}] is ${data[at]} instead of ${expected}`);
    }
    await executable.dispose();
    await device.free("p");
    await device.free("m");
  });

  test("leaves the main thread free while it runs", async () => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf([1000, 1000]) });
    graph.output(
      "y",
      Array.from({ length: 60 }).reduce((h: Value) => tanh(matmul(h, x)), x),
    );
    const executable = await device.compile(graph);
    const x0 = float32([1000, 1000], new Float32Array(1e6).fill(1e-3));
    let running = true;
    const run = executable.run({ x: x0 }).finally(() => (running = false));
    // A blocked thread turns no rounds at all. 60 products of 10⁹ multiplications leave time for more than these.
    let rounds = 0;
    while (running && rounds < 20) {
      await setImmediate();
      rounds++;
    }
    assert.equal(rounds, 20);
    assert.ok(running, "the run was over before the test had turned its rounds");
    await run;
    await executable.dispose();
  });

  test("queues runs, writes and reads in the order in which they are asked for", async () => {
    await device.write("p", float32([2], [0, 10]));
    const executable = await device.compile(doubling());
    const [first, second, read, , third] = await Promise.all([
      executable.run({}),
      executable.run({}),
      device.read("p"),
      device.write("p", float32([2], [5, 6])),
      executable.run({}),
    ]);
    assert.deepEqual([...first["p"]!.data], [1, 21]);
    assert.deepEqual([...second["p"]!.data], [3, 43]);
    assert.deepEqual([...read.data], [3, 43]);
    assert.deepEqual([...third["p"]!.data], [11, 13]);
    await executable.dispose();
  });

  test("gives results that later runs do not change, and reads that are copies", async () => {
    await device.write("p", float32([2], [0, 10]));
    const executable = await device.compile(doubling());
    const first = await executable.run({});
    const read = await device.read("p");
    await executable.run({});
    assert.deepEqual([...first["p"]!.data], [1, 21]);
    assert.deepEqual([...read.data], [1, 21]);
    (read.data as Float32Array).fill(99);
    assert.deepEqual([...(await device.read("p")).data], [3, 43]);
    await executable.dispose();
  });

  test("copies what it is given", async () => {
    const given = float32([2], [1, 2]);
    await device.write("p", given);
    (given.data as Float32Array).fill(99);
    assert.deepEqual([...(await device.read("p")).data], [1, 2]);
  });

  test("shares states among the graphs that are compiled on it", async () => {
    await device.write("p", float32([2], [0, 10]));
    const train = await device.compile(doubling());
    const graph = new Graph();
    graph.output("sum", matmul(reshape(state(graph, "p", [2]), [1, 2]), scalarOnes(graph)));
    const evaluate = await device.compile(graph);
    assert.deepEqual([...(await evaluate.run({}))["sum"]!.data], [10]);
    await train.run({});
    assert.deepEqual([...(await evaluate.run({}))["sum"]!.data], [22]);
    await train.dispose();
    await train.dispose();
    assert.deepEqual([...(await evaluate.run({}))["sum"]!.data], [22]);
    await evaluate.dispose();
  });

  test("says which feed is missing or does not fit", async () => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 3]) });
    const y = graph.feed("y", { dtype: "float32", shape: shapeOf(["B"]) });
    const z = graph.feed("z", { dtype: "int64", shape: shapeOf(["2*B"]) });
    graph.output("sum", add(x, reshape(y, ["B", 1])));
    graph.output("z", z);
    const executable = await device.compile(graph);
    const good: Feeds = {
      x: float32([2, 3], new Float32Array(6)),
      y: float32([2], [1, 2]),
      z: { dtype: "int64", shape: [4], data: new BigInt64Array(4) },
    };
    const fails = (feeds: Feeds, message: RegExp) => rejects(executable.run(feeds), ShapeError, message);
    const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
    await fails(without("y"), /^y: input is missing: expected float32\[B\]$/);
    await fails({ ...good, x: float32([2, 4], new Float32Array(8)) }, /^x: dimension 1 does not fit: got \[2, 4\]/);
    await fails({ ...good, x: float32([6], new Float32Array(6)) }, /^x: input does not fit: got float32\[6\]/);
    await fails({ ...good, y: float32([3], [1, 2, 3]) }, /^y: dimension 0 does not fit: got \[3\], .* with B = 2$/);
    await fails({ ...good, y: { ...good["y"]!, dtype: "float64" } }, /^y: input does not fit: got float64\[2\]/);
    await fails({ ...good, y: float32([2], [1]) }, /^y: data does not fill the tensor: got Float32Array\(1\)/);
    await fails(
      { ...good, z: { ...good["z"]!, data: new Int32Array(4) } },
      /^z: data does .* expected BigInt64Array\(4\)/,
    );
    const six = { dtype: "int64" as const, shape: [6], data: new BigInt64Array(6) };
    await fails({ ...good, z: six }, /^z: dimension 0 does not fit: got \[6\], expected \[2\*B\] with 2\*B = 4$/);
    // And it still runs.
    assert.deepEqual([...(await executable.run(good))["sum"]!.data], [1, 1, 1, 2, 2, 2]);
    await executable.dispose();
  });

  test("says which states there are not, and which do not fit", async () => {
    await device.free("p");
    await rejects(device.compile(doubling()), EngineError, /^p: there is no such state/);
    await rejects(device.read("p"), EngineError, /^p: there is no such state/);
    await device.write("p", float32([3], [1, 2, 3]));
    await rejects(device.compile(doubling()), EngineError, /^p: .*float32\[3\].*float32\[2\]/);
    await device.write("p", float32([2], [1, 2]));
    const executable = await device.compile(doubling());
    await device.free("p");
    await rejects(executable.run({}), EngineError, /^p: there is no such state/);
    await executable.dispose();
    await rejects(executable.run({}), EngineError, /disposed/);
  });
});

function scalarOnes(graph: Graph): Value {
  return reshape(add(mul(scalar(graph, 0), state(graph, "p", [2])), scalar(graph, 1)), [2, 1]);
}

test("a disposed device says so, and its thread is gone", async () => {
  const threads = () => (onLinux ? readdirSync("/proc/self/task").length : 0);
  const before = threads();
  const device = await ortDevice({ threads: 2 });
  await device.write("p", float32([2], [1, 2]));
  const executable = await device.compile(doubling());
  const last = executable.run({});
  await device.dispose();
  await device.dispose();
  // What was asked for before is answered.
  assert.deepEqual([...(await last)["p"]!.data], [3, 5]);
  for (const late of [
    () => device.read("p"),
    () => device.write("p", float32([2], [1, 2])),
    () => device.compile(doubling()),
    () => executable.run({}),
  ]) {
    await rejects(late(), EngineError, /the device has been disposed/);
  }
  await executable.dispose();
  for (let wait = 0; wait < 100 && threads() > before; wait++) await setTimeout(20);
  assert.ok(threads() <= before, `${threads()} threads, ${before} before`);
});

for (const ending of ["await device.dispose();", ""]) {
  test(`a process ends by itself ${ending === "" ? "when its device has nothing to do" : "after dispose"}`, () => {
    const module = new URL("../../src/runtime/node/device-node.js", import.meta.url).href;
    const script = `
      import { ortDevice } from ${JSON.stringify(module)};
      const device = await ortDevice({ threads: 2 });
      await device.write("p", { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) });
      console.log(String((await device.read("p")).data));
      ${ending}
    `;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: "1,2\n", stderr: "" });
  });
}

test(
  "frozen weights stay in their file: only the rows that are read come into memory",
  { skip: !onLinux && "measured with Linux's resident set size" },
  () => {
    const folder = mkdtempSync(join(tmpdir(), "lowrank-mapped-"));
    try {
      const [rows, width] = [65536, 1024];
      const bytes = rows * width * 4;
      const path = join(folder, "weights");
      const file = openSync(path, "w");
      ftruncateSync(file, bytes);
      closeSync(file);
      const script = fileURLToPath(new URL("mapped-peak.js", import.meta.url));
      const printed = execFileSync(process.execPath, [script, path, String(rows), String(width)], { encoding: "utf8" });
      const grown = JSON.parse(printed) as Record<"compiled" | "used" | "changeable", number>;
      // What an engine session itself takes is some 10 MiB.
      assert.ok(grown.compiled < bytes / 5, `compiling took ${grown.compiled >> 20} MiB`);
      assert.ok(grown.used < bytes / 5, `a run took ${grown.used >> 20} MiB`);
      // And the measure sees a weight that is copied.
      assert.ok(grown.changeable > 0.9 * bytes, `a state that graphs may change took ${grown.changeable >> 20} MiB`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test("a device that cannot be used says what to install", { skip: cudaReason() }, async () => {
  const graph = new Graph();
  graph.output("y", graph.feed("x", { dtype: "float32", shape: [] }));
  const device = await ortDevice({ device: "cuda" });
  try {
    await assert.rejects(device.compile(graph), (error: unknown) => {
      assert.ok(error instanceof EngineError);
      assert.match(error.message, /^cuda: the engine cannot use CUDA[\s\S]*npm rebuild onnxruntime-node/);
      return true;
    });
  } finally {
    await device.dispose();
  }
});

/** Skips where CUDA's libraries are installed. */
function cudaReason(): string | false {
  const folder = new URL("../../../node_modules/onnxruntime-node/bin/napi-v6/", import.meta.url);
  const installed = readdirSync(folder, { recursive: true, encoding: "utf8" }).some((name) => name.includes("_cuda"));
  return installed ? "CUDA is installed" : false;
}
