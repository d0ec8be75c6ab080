/** Models as the engine sees them: names, constants of every type, weights that stay in their file. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { GraphError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import type { DType } from "../../src/ir/dtype.ts";
import { apply, Graph, type Value } from "../../src/ir/graph.ts";
import type { Op } from "../../src/ir/op.ts";
import { add } from "../../src/ir/ops/add.ts";
import { cast } from "../../src/ir/ops/cast.ts";
import { constant, scalar } from "../../src/ir/ops/constant.ts";
import { expand } from "../../src/ir/ops/expand.ts";
import { gelu } from "../../src/ir/ops/gelu.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { relu } from "../../src/ir/ops/relu.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { lower } from "../../src/onnx/lower.ts";
import { encodeModel } from "../../src/onnx/model.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Tensor } from "../../src/runtime/runtime.ts";
import { decodeMessage, messages, modelNodes, strings } from "../support/onnx-file.ts";
import { float32 } from "../support/run.ts";

let device: Device;
let folder: string;
before(async () => {
  device = await ortDevice({ threads: 1 });
  folder = mkdtempSync(join(tmpdir(), "lowrank onnx é "));
});
after(async () => {
  await device.dispose();
  rmSync(folder, { recursive: true });
});

describe("encoding", () => {
  test("a model says its versions, and its graph the names of inputs and outputs", () => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 3]) });
    graph.output("y", relu(x));
    const model = decodeMessage(encodeModel(lower(graph, { device: "cpu" }).onnx));
    assert.deepEqual(
      model.filter(({ field }) => field === 1).map((one) => ("varint" in one ? one.varint : undefined)),
      [10n],
    );
    const opsets = messages(model, 8).map(decodeMessage);
    assert.deepEqual(
      opsets.map((fields) => [strings(fields, 1)[0], fields.find(({ field }) => field === 2)]),
      [
        ["", { field: 2, varint: 21n }],
        ["com.microsoft", { field: 2, varint: 1n }],
      ],
    );
    const [inner] = messages(model, 7).map(decodeMessage);
    assert.deepEqual(
      [11, 12].map((field) => messages(inner!, field).map((info) => strings(decodeMessage(info), 1)[0])),
      [["x"], ["out/y"]],
    );
  });

  test("says what is inside, so that the engine knows which sizes are equal: its plan of memory is slow otherwise", () => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 3]) });
    const inner = relu(x);
    const flags = cast(inner, "bool");
    graph.output("y", tanh(inner));
    graph.output("z", flags);
    const { onnx } = lower(graph, { device: "cpu" });
    const said = new Map(
      onnx.values!.map(({ name, dtype, shape }) => [name, [dtype, ...shape.map((d) => d.size ?? d.name)]]),
    );
    assert.deepEqual(said.get(inner.name), ["float32", "B", 3]);
    assert.deepEqual(said.get(flags.name), ["bool", "B", 3]);
    const published = new Set([...onnx.inputs, ...onnx.outputs].map(({ name }) => name));
    assert.ok([...said.keys()].every((name) => !published.has(name)));
    const [encoded] = messages(decodeMessage(encodeModel(onnx)), 7).map(decodeMessage);
    assert.deepEqual(
      messages(encoded!, 13).map((info) => strings(decodeMessage(info), 1)[0]),
      [...said.keys()],
    );
  });

  test("no name stands for two things, whatever the inputs are called", () => {
    const graph = new Graph();
    const type = { dtype: "float32" as const, shape: shapeOf(["B", 3]) };
    const inputs = ["x", "out/y", "const", "const:1", "shape/B,3", "layer/tanh_9", "body", "new/x", "layer/gelu"];
    const values = inputs.map((name) => graph.feed(name, type));
    const y = graph.scope("layer", () => values.reduce((sum, value) => add(gelu(tanh(sum)), mul(value, value))));
    graph.output("y", add(y, expand(scalar(graph, 0.5), type.shape)));
    graph.output("x", y);
    const { onnx } = lower(graph, { device: "cpu", sentinel: "sentinel" });
    const defined = [
      ...onnx.inputs.map(({ name }) => name),
      ...onnx.initializers.map(({ name }) => name),
      ...onnx.nodes.flatMap(({ outputs }) => outputs),
    ];
    assert.equal(new Set(defined).size, defined.length, defined.join(" "));
  });

  test("a value and a step on the way to another one never share a name", () => {
    // Operation 1 of n makes n steps on the way: some of them get the number of a value.
    const steps: Op = {
      name: "steps",
      infer: ([x]) => [x!],
      evaluate: ([x]) => [x!],
      onnx(emit, node) {
        let name = node.inputs[0]!;
        for (let i = 0; i < 5; i++) name = emit.node("Neg", [name]);
        emit.node("Neg", [name], {}, node.outputs[0]);
      },
      vjp: "unsupported",
    };
    const graph = new Graph();
    let y = graph.feed("x", { dtype: "float32", shape: shapeOf([2]) });
    for (let i = 0; i < 20; i++) y = apply(steps, [y], {});
    graph.output("y", y);
    const outputs = modelNodes(encodeModel(lower(graph, { device: "cpu" }).onnx)).flatMap((node) => node.outputs);
    assert.equal(new Set(outputs).size, outputs.length);
  });

  test("an input cannot have the name of the engine's own output", () => {
    const graph = new Graph();
    graph.output("y", relu(graph.feed("taken", { dtype: "float32", shape: [] })));
    assert.throws(
      () => lower(graph, { device: "cpu", sentinel: "taken" }),
      (error) =>
        error instanceof GraphError && error.message.startsWith("taken: an input of a graph cannot have this name"),
    );
  });
});

async function results(graph: Graph, feeds: Readonly<Record<string, Tensor>> = {}) {
  const executable = await device.compile(graph);
  try {
    return await executable.run(feeds);
  } finally {
    await executable.dispose();
  }
}

describe("on the engine", () => {
  test("names with odd characters", async () => {
    const graph = new Graph();
    const names = [
      "a b",
      "β/γ.weight",
      'quoted "x"',
      "line\nbreak",
      "日本語",
      "a:b|c,d",
      "{}",
      "😀",
      " ",
      "__proto__x",
    ];
    const values = names.map((name) => graph.feed(name, { dtype: "float32", shape: shapeOf([2]) }));
    const sum = values.reduce((a, b) => graph.scope('scope "s" é', () => add(a, b)));
    graph.output("sum of all é", sum);
    const feeds = Object.fromEntries(names.map((name, i) => [name, float32([2], [i, 1])]));
    const got = await results(graph, feeds);
    assert.deepEqual([...got["sum of all é"]!.data], [45, 10]);
  });

  const SPECIAL: readonly (readonly [DType, readonly number[]])[] = [
    ["int64", [-1, 0, 2 ** 53, -(2 ** 53)]],
    ["int32", [-(2 ** 31), 2 ** 31 - 1, 0, -7]],
    ["uint32", [0, 2 ** 32 - 1, 5, 6]],
    ["int8", [-128, 127, 0, 1]],
    ["uint8", [0, 255, 128, 1]],
    ["bool", [1, 0, 0, 1]],
    ["float64", [0.1, -1e300, 2 ** -1074, Infinity]],
    ["float32", [0.5, -0, 2 ** -149, -Infinity]],
  ];
  for (const [dtype, values] of SPECIAL) {
    test(`constants of type ${dtype}`, async () => {
      const graph = new Graph();
      graph.output("y", constant(graph, dtype, [2, 2], values));
      const { y } = await results(graph);
      assert.equal(y!.dtype, dtype);
      assert.deepEqual(y!.shape, [2, 2]);
      assert.deepEqual(Array.from(y!.data, Number), values);
    });
  }

  for (const dtype of ["float16", "bfloat16"] as const) {
    test(`constants of type ${dtype} are numbers, not bit patterns`, async () => {
      const graph = new Graph();
      // 1 + 2⁻⁹ is half way for bfloat16, where ties go to even, and exact for float16.
      const values = [1, -2.5, 0.15625, 1 + 2 ** -9, 65504, 0];
      graph.output("y", cast(constant(graph, dtype, [6], values), "float32"));
      graph.output("bits", constant(graph, "float16", [2], [1, -2]));
      const { y, bits } = await results(graph);
      const rounded = dtype === "float16" ? values : [1, -2.5, 0.15625, 1, 65536, 0];
      assert.deepEqual([...y!.data], rounded);
      assert.deepEqual([...bits!.data], [0x3c00, 0xc000]);
    });
  }

  test("scalars, empty tensors and sizes known by name only", async () => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", "T", 3]) });
    graph.output("flat", reshape(x, ["B*T", 3]));
    graph.output("rows", expand(scalar(graph, 2), shapeOf(["T", "B"])));
    graph.output("scalar", scalar(graph, 7));
    const got = await results(graph, { x: float32([2, 0, 3], []) });
    assert.deepEqual(got["flat"]!.shape, [0, 3]);
    assert.deepEqual(got["rows"]!.shape, [0, 2]);
    assert.deepEqual([got["scalar"]!.shape, [...got["scalar"]!.data]], [[], [7]]);
    const more = await results(graph, { x: float32([2, 1, 3], [1, 2, 3, 4, 5, 6]) });
    assert.deepEqual([...more["flat"]!.data], [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(more["rows"]!.shape, [1, 2]);
  });

  test("weights inside a safetensors file, at whatever offset", async () => {
    const path = join(folder, "weights, with a space.safetensors");
    const weights = [0, 1, 2].map((i) => Float32Array.from({ length: 3000 }, (_, k) => Math.fround(Math.sin(k + i))));
    // Seven bytes before the weights, so that none starts where a float may.
    const entries = Object.fromEntries(
      weights.map(({ byteLength }, i) => [
        `layer ${i}/wé`,
        { dtype: "F32", shape: [60, 50], data_offsets: [7 + i * byteLength, 7 + (i + 1) * byteLength] },
      ]),
    );
    const header = Buffer.from(JSON.stringify({ odd: { dtype: "U8", shape: [7], data_offsets: [0, 7] }, ...entries }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(
      path,
      Buffer.concat([length, header, Buffer.alloc(7), ...weights.map(({ buffer }) => Buffer.from(buffer))]),
    );
    const file = await openSafetensors(path);
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 50]) });
    const names = [0, 1, 2].map((i) => `layer ${i}/wé`);
    const offsets: number[] = [];
    for (const name of names) {
      const entry = file.tensors.get(name)!;
      offsets.push(entry.byteOffset);
      await device.map(name, { dtype: "float32", shape: [60, 50], path: entry.path, byteOffset: entry.byteOffset });
    }
    await file.close();
    assert.ok(offsets.every((offset) => offset % 4 !== 0));
    names.forEach((name, i) => {
      const w = graph.state(name, { dtype: "float32", shape: shapeOf([60, 50]) });
      graph.output(`y${i}`, matmul(x, w, { transB: true }));
    });
    const ones = float32([1, 50], new Float32Array(50).fill(1));
    for (const options of [{}, { frozen: names }, { frozen: names, prepack: true }]) {
      const executable = await device.compile(graph, options);
      const got = await executable.run({ x: ones });
      weights.forEach((data, i) => {
        const sums = Array.from({ length: 60 }, (_, row) =>
          data.subarray(row * 50, row * 50 + 50).reduce((a, b) => a + b, 0),
        );
        // float32 sums of 50 numbers up to 1.
        got[`y${i}`]!.data.forEach((value, row) => assert.ok(Math.abs(Number(value) - sums[row]!) < 1e-5));
      });
      await executable.dispose();
    }
  });
});

test("the same shape that is known by name only is one input of the model", () => {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", "T"]) });
  const flat = (value: Value) => reshape(value, ["B*T"]);
  graph.output("y", add(flat(relu(x)), flat(tanh(x))));
  const { shapeInputs } = lower(graph, { device: "cpu" });
  assert.deepEqual([...shapeInputs.keys()], ["shape/B*T"]);
});
