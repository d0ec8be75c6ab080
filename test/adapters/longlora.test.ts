/** LongLoRA: which tokens attend to which while training, against loops; no token sees a later one; full attention elsewhere. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { adapterHook, attach, withCopies } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { groupsOf, longlora, type LongLoraConfig } from "../../src/adapters/longlora.ts";
import { lora } from "../../src/adapters/lora.ts";
import { configure } from "../../src/adapters/settings.ts";
import { readModelConfig } from "../../src/formats/model/config.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph, reachable, type Value } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { dim, elementCount, sizeOf } from "../../src/ir/shape.ts";
import type { TrainingArguments } from "../../src/config/keys.ts";
import { adaptedSequence } from "../../src/lm/adapted-sequence.ts";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel } from "../../src/lm/peft-model.ts";
import { type Rows, sequenceFeeds, wholeSequence } from "../../src/lm/sequence.ts";
import type { AttentionCall, TextModel } from "../../src/models/text-model.ts";
import { decoder } from "../../src/models/decoder.ts";
import { MODELS } from "../../src/models/index.ts";
import { shiftedSequence } from "../../src/models/shifted-attention.ts";
import { Random } from "../../src/random.ts";
import { interpDevice, interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { describeMethod } from "../../src/testing/describe-method.ts";
import { scatterParameters, tracingOf } from "../../src/testing/method-rig.ts";
import { Trainer } from "../../src/train/trainer.ts";

describeMethod<LongLoraConfig>(
  longlora,
  [
    { name: "default", config: { r: 4, alpha: 10 } },
    { name: "groups of a half, dropout", config: { r: 3, alpha: 5, groupSizeRatio: 0.5, dropout: 0.25 } },
  ],
  {
    elements: (layer, { r }) =>
      layer.kind === "conv2d"
        ? r * layer.inFeatures * layer.kernel[0] * layer.kernel[1] + layer.outFeatures * r
        : // The table of the embedding is trained itself.
          layer.kind === "embedding"
          ? layer.inFeatures * layer.outFeatures
          : r * (layer.inFeatures + layer.outFeatures),
    notInFile: ["form", "init", "loraplusLrRatio", "loraplusLrEmbedding"],
    readAs: lora,
    golden: [],
    models: ["mlp", "conv", "tokens"],
  },
);

/** Both sides compute in float64. */
const EXACT = 1e-12;
/** Of the largest element: float32 against float64. */
const ROUNDING = 1e-5;

interface Sizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly Hkv: number;
  readonly Dh: number;
  readonly Dv: number;
}

/** The graph of shifted attention on feeds; T is known when it runs, or when it is traced. */
function shiftedGraph(
  { T, H, Hkv, Dh, Dv }: Sizes,
  { groups, window, isKnown = false }: { groups: number; window?: number | undefined; isKnown?: boolean },
): { graph: Graph; y: Value; inputs: readonly Value[] } {
  const graph = new Graph();
  const [batch, tokens] = [dim("B"), isKnown ? dim(T) : dim("T")];
  const feed = (name: string, heads: number, width: number) =>
    graph.feed(name, { dtype: "float32", shape: [batch, dim(heads), tokens, dim(width)] });
  const inputs = [feed("q", H, Dh), feed("k", Hkv, Dh), feed("v", Hkv, Dv)] as const;
  const segments = graph.feed("segments", { dtype: "int32", shape: [batch, tokens] });
  const sequence = shiftedSequence(
    {
      tokens: segments,
      segments,
      block: (trace) => trace(),
      attend: () => assert.fail("all tokens attend to all"),
    },
    groups,
  );
  const [q, k, v] = inputs;
  const call: AttentionCall = { block: 0, q, k, v, ...(window === undefined ? {} : { window }) };
  const y = sequence.attend(call);
  graph.output("y", y);
  return { graph, y, inputs };
}

function randomInputs({ B, T, H, Hkv, Dh, Dv }: Sizes, segments: readonly number[], seed = 1): Record<string, NdArray> {
  const random = new Random(seed);
  const array = (shape: readonly number[]) =>
    ndarray(
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    );
  return {
    q: array([B, H, T, Dh]),
    k: array([B, Hkv, T, Dh]),
    v: array([B, Hkv, T, Dv]),
    segments: ndarray([B, T], segments),
  };
}

/** Number of the group of a position, by the intervals of the paper: those of the second half of the heads are shifted. */
function groupOf(t: number, G: number, shifted: boolean): number {
  return Math.floor((shifted ? t + G / 2 : t) / G);
}

/** Which keys a query sees, by loops. */
function sees(
  { T, H }: Sizes,
  segments: readonly number[],
  { groups, window = Infinity }: { groups: number; window?: number | undefined },
): (b: number, h: number, query: number, key: number) => boolean {
  const G = 2 * Math.ceil(T / (2 * groups));
  return (b, h, query, key) => {
    const shifted = h >= Math.floor(H / 2);
    const [mine, other] = [segments[b * T + query]!, segments[b * T + key]!];
    return (
      key <= query && query - key < window && mine === other && groupOf(query, G, shifted) === groupOf(key, G, shifted)
    );
  };
}

/** Attention by loops. Queries of padding are left out: nobody looks at them. */
function reference(
  sizes: Sizes,
  { q, k, v, segments }: Record<string, NdArray>,
  options: { groups: number; window?: number | undefined },
): Map<number, number> {
  const { B, T, H, Hkv, Dh, Dv } = sizes;
  const examples = [...segments!.data];
  const seen = sees(sizes, examples, options);
  const found = new Map<number, number>();
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const kv = Math.floor(h / (H / Hkv));
      for (let t = 0; t < T; t++) {
        if (examples[b * T + t] === 0) continue;
        const keys = [...Array(T).keys()].filter((s) => seen(b, h, t, s));
        const scores = keys.map((s) => {
          let dot = 0;
          for (let d = 0; d < Dh; d++) {
            dot += q!.data[((b * H + h) * T + t) * Dh + d]! * k!.data[((b * Hkv + kv) * T + s) * Dh + d]!;
          }
          return dot / Math.sqrt(Dh);
        });
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((a, w) => a + w, 0);
        for (let d = 0; d < Dv; d++) {
          let sum = 0;
          keys.forEach((s, i) => {
            sum += (weights[i]! / total) * v!.data[((b * Hkv + kv) * T + s) * Dv + d]!;
          });
          found.set(((b * H + h) * T + t) * Dv + d, sum);
        }
      }
    }
  }
  return found;
}

const ones = (count: number) => Array<number>(count).fill(1);

describe("shifted sparse attention", () => {
  it("has the groups [0,4) [4,8) and, shifted, [0,2) [2,6) [6,8) of 8 tokens", () => {
    const sizes = { B: 1, T: 8, H: 2, Hkv: 2, Dh: 3, Dv: 8 };
    const { graph } = shiftedGraph(sizes, { groups: 2 });
    const inputs = randomInputs(sizes, ones(8));
    // Values are unit vectors: the outputs are the weights.
    const unit = Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0));
    const { outputs } = interpret(graph, { ...inputs, v: ndarray([1, 2, 8, 8], [...unit, ...unit]) });
    const keysOf = (head: number, query: number) =>
      [...Array(8).keys()].filter((key) => outputs.y!.data[(head * 8 + query) * 8 + key] !== 0);
    const intervals = [
      [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
      ],
      [
        [0, 1],
        [2, 3, 4, 5],
        [6, 7],
      ],
    ];
    for (const [head, groups] of intervals.entries()) {
      for (const group of groups) {
        group.forEach((query, i) => assert.deepEqual(keysOf(head, query), group.slice(0, i + 1), `${head}/${query}`));
      }
    }
  });

  const packed = [1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0];
  const cases: Record<string, { sizes: Sizes; segments: readonly number[]; groups: number; window?: number }> = {
    "16 tokens in 4 groups": { sizes: { B: 2, T: 16, H: 4, Hkv: 4, Dh: 3, Dv: 5 }, segments: ones(32), groups: 4 },
    "grouped queries": { sizes: { B: 2, T: 16, H: 8, Hkv: 4, Dh: 3, Dv: 3 }, segments: ones(32), groups: 4 },
    "grouped queries that the halves do not divide": {
      sizes: { B: 1, T: 16, H: 6, Hkv: 2, Dh: 3, Dv: 3 },
      segments: ones(16),
      groups: 4,
    },
    "one key head": { sizes: { B: 1, T: 16, H: 4, Hkv: 1, Dh: 3, Dv: 2 }, segments: ones(16), groups: 2 },
    "an odd number of heads": { sizes: { B: 1, T: 16, H: 3, Hkv: 3, Dh: 2, Dv: 3 }, segments: ones(16), groups: 4 },
    "one head": { sizes: { B: 1, T: 16, H: 1, Hkv: 1, Dh: 2, Dv: 3 }, segments: ones(16), groups: 4 },
    "packed examples and padding": {
      sizes: { B: 2, T: 16, H: 4, Hkv: 2, Dh: 3, Dv: 5 },
      segments: packed,
      groups: 2,
    },
    "a sliding window": {
      sizes: { B: 2, T: 16, H: 4, Hkv: 2, Dh: 3, Dv: 5 },
      segments: packed,
      groups: 2,
      window: 3,
    },
    "13 tokens, which are no whole groups": {
      sizes: { B: 2, T: 13, H: 4, Hkv: 2, Dh: 3, Dv: 5 },
      segments: [...ones(13), ...ones(9), 0, 0, 0, 0],
      groups: 4,
    },
    "3 tokens, fewer than groups": { sizes: { B: 1, T: 3, H: 2, Hkv: 2, Dh: 3, Dv: 5 }, segments: ones(3), groups: 4 },
    "one token": { sizes: { B: 1, T: 1, H: 2, Hkv: 2, Dh: 3, Dv: 5 }, segments: ones(1), groups: 4 },
    "three groups": { sizes: { B: 1, T: 18, H: 2, Hkv: 1, Dh: 3, Dv: 5 }, segments: ones(18), groups: 3 },
    "one group": { sizes: { B: 1, T: 10, H: 2, Hkv: 2, Dh: 3, Dv: 5 }, segments: ones(10), groups: 1 },
  };
  for (const [name, { sizes, segments, groups, window }] of Object.entries(cases)) {
    for (const isKnown of [false, true]) {
      it(`is attention under a mask, by loops in float64: ${name}${isKnown ? ", sizes known before" : ""}`, () => {
        const inputs = randomInputs(sizes, segments);
        const { outputs } = interpret(shiftedGraph(sizes, { groups, window, isKnown }).graph, inputs);
        const { B, T, H, Dv } = sizes;
        assert.deepEqual(outputs.y!.shape, [B, H, T, Dv]);
        for (const [i, want] of reference(sizes, inputs, { groups, window })) {
          assert.ok(Math.abs(outputs.y!.data[i]! - want) <= EXACT, `element ${i}: ${outputs.y!.data[i]}, ${want}`);
        }
        assert.ok(outputs.y!.data.every(Number.isFinite));
      });
    }
  }

  it("has the gradients of central differences", () => {
    const sizes = { B: 2, T: 13, H: 4, Hkv: 2, Dh: 3, Dv: 5 };
    const segments = [...ones(7), 2, 2, 2, 2, 2, 2, ...ones(9), 0, 0, 0, 0];
    const { graph, y, inputs } = shiftedGraph(sizes, { groups: 2 });
    const weight = graph.feed("weight", { dtype: "float32", shape: y.type.shape });
    const loss = reduceSum(mul(y, weight));
    graph.output("loss", loss);
    grad(loss, inputs).forEach((gradient, i) => graph.output(inputs[i]!.name, gradient));
    const random = new Random(4);
    const values = randomInputs(sizes, segments);
    const shape = [2, 4, 13, 5];
    values["weight"] = ndarray(
      shape,
      // What padding sees matters to nobody.
      Array.from({ length: 520 }, (_, i) =>
        segments[Math.floor(i / 260) * 13 + (Math.floor(i / 5) % 13)] === 0 ? 0 : random.normal(),
      ),
    );
    const { outputs } = interpret(graph, values);
    for (const { name } of inputs) {
      const { shape: of, data } = values[name]!;
      const direction = data.map(() => random.normal());
      const at = (step: number) =>
        interpret(graph, {
          ...values,
          [name]: ndarray(
            of,
            data.map((value, i) => value + step * direction[i]!),
          ),
        }).outputs.loss!.data[0]!;
      const measured = (at(1e-5) - at(-1e-5)) / 2e-5;
      const derived = outputs[name]!.data.reduce((sum, value, i) => sum + value * direction[i]!, 0);
      assert.ok(Math.abs(measured - derived) <= 1e-7 * Math.hypot(...outputs[name]!.data), name);
    }
  });

  it("computes N·G scores and not N², forward and backward", () => {
    const sizes = { B: 1, T: 1024, H: 4, Hkv: 2, Dh: 8, Dv: 8 };
    const { graph, y, inputs } = shiftedGraph(sizes, { groups: 4 });
    const gradients = grad(reduceSum(y), inputs);
    const known = { B: 1, T: 1024 };
    const count = (value: Value) => sizeOf(elementCount(value.type.shape), known);
    const nodes = reachable(graph, [y, ...gradients]);
    const scores = nodes.filter(({ op }) => op.name === "attention").map(({ outputs }) => count(outputs[1]!));
    assert.equal(
      scores.reduce((a, b) => a + b, 0),
      (4 * 1024 * 1024) / 4,
    );
    const largest = Math.max(...nodes.flatMap(({ outputs }) => outputs).map(count));
    // Half of the heads at a time; a column for the sum over the keys is added in the backward pass.
    assert.ok(largest <= (2 * 1024 * 1024) / 4, `a value has ${largest} elements`);
  });

  it("has the interpreter's numbers on the engine, for rows of any length in one graph", async () => {
    const sizes = { B: 2, T: 16, H: 4, Hkv: 2, Dh: 3, Dv: 5 };
    const { graph } = shiftedGraph(sizes, { groups: 4 });
    const device = await ortDevice({ threads: 1 });
    try {
      const executable = await device.compile(graph);
      for (const T of [16, 13, 3, 40]) {
        const inputs = randomInputs({ ...sizes, T }, ones(2 * T), T);
        const { outputs } = interpret(graph, inputs);
        const feeds = Object.fromEntries(
          Object.entries(inputs).map(([name, { shape, data }]) => [
            name,
            name === "segments"
              ? ({ dtype: "int32", shape, data: Int32Array.from(data) } as const)
              : ({ dtype: "float32", shape, data: Float32Array.from(data) } as const),
          ]),
        );
        const { y } = await executable.run(feeds);
        assert.deepEqual(y!.shape, outputs.y!.shape);
        outputs.y!.data.forEach((want, i) => assert.ok(Math.abs(Number(y!.data[i]) - want) <= ROUNDING));
      }
      await executable.dispose();
    } finally {
      await device.dispose();
    }
  });
});

describe("LongLoRA's settings", () => {
  it("name groups that divide a row", () => {
    for (const ratio of [1, 0.5, 0.333, 0.25, 0.125])
      assert.equal(groupsOf(configure(longlora, { groupSizeRatio: ratio }).groupSizeRatio), Math.round(1 / ratio));
    for (const ratio of [0, 0.3, 1.5])
      assert.throws(() => configure(longlora, { groupSizeRatio: ratio }), /groupSizeRatio/);
  });

  it("train norms and embeddings, by PEFT's modules_to_save, unless they say no", () => {
    const adapter = attach(smallModel(), longlora, { targetModules: ["q_proj"] });
    assert.deepEqual(adapter.modulesToSave, [
      "embed_tokens",
      "input_layernorm",
      "k_norm",
      "norm",
      "post_attention_layernorm",
      "q_norm",
    ]);
    assert.ok(
      adapter.copies.has("model.embed_tokens.weight") && adapter.copies.has("model.layers.1.self_attn.q_norm.weight"),
    );
    assert.ok(!adapter.copies.has("model.layers.0.self_attn.q_proj.bias"));
    const bare = attach(smallModel(), longlora, {
      targetModules: ["q_proj"],
      config: { trainNormsAndEmbeddings: false },
    });
    assert.equal(bare.copies.size, 0);
    const more = attach(smallModel(), longlora, { targetModules: ["q_proj"], modulesToSave: ["lm_head"] });
    assert.ok(more.copies.has("lm_head.weight") && more.copies.has("model.norm.weight"));
  });
});

function smallModel(window?: number): TextModel {
  return decoder({
    modelType: "qwen3",
    vocabSize: 23,
    hiddenSize: 20,
    intermediateSize: 28,
    blocks: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 6,
    normEpsilon: 1e-6,
    rope: { theta: 1e4 },
    maxPositions: 64,
    tied: false,
    qkvBias: true,
    outputBias: false,
    mlpBias: false,
    qkNorm: true,
    window: () => window,
    initializerRange: 0.3,
  });
}

/** Logits of every position of a row. */
async function rowLogits(
  device: Device,
  model: TextModel,
  tokens: readonly number[],
  training: boolean,
  checkpoint = false,
): Promise<number[]> {
  const adapter = attach(model, longlora, { targetModules: "all-linear", config: { r: 2, alpha: 5 } });
  const graph = new Graph();
  const seed = graph.feed("seed", { dtype: "int32", shape: [] });
  const tracing = withCopies(
    { ...tracingOf(graph), training, adapt: adapterHook([adapter], { seed }) },
    [adapter],
    model.tied,
  );
  const sequence = adaptedSequence(tracing, model, wholeSequence(graph, model, { checkpoint }), [adapter], seed);
  graph.output("logits", model.head(tracing, reshape(model.hidden(tracing, sequence), [-1, model.hiddenSize])));
  const length = tokens.length;
  const rows: Rows = {
    batch: 1,
    length,
    tokens: Int32Array.from(tokens),
    segments: new Int32Array(length).fill(1),
    positions: Int32Array.from(tokens.keys()),
  };
  const executable = await device.compile(graph);
  const { logits } = await executable.run({
    ...sequenceFeeds(model, rows),
    seed: { dtype: "int32", shape: [], data: Int32Array.of(1) },
  });
  await executable.dispose();
  return Array.from(logits!.data as Float32Array);
}

async function prepared(model: TextModel): Promise<Device> {
  const device = interpDevice();
  const adapter = attach(model, longlora, { targetModules: "all-linear", config: { r: 2, alpha: 5 } });
  await scatterParameters(device, model.parameters, { seed: 3 });
  await initializeAdapter(device, adapter, 5);
  await scatterParameters(device, adapter.parameters);
  return device;
}

describe("a model that is trained with LongLoRA", () => {
  const families = {
    qwen3: async () => smallModel(),
    "a sliding window": async () => smallModel(5),
    gpt2: async () => MODELS.gpt2.build(await readModelConfig("golden/causal-lm/gpt2")),
  };
  for (const [name, build] of Object.entries(families)) {
    it(`shows no token a later one, at any position: ${name}`, async () => {
      const model = await build();
      const device = await prepared(model);
      const length = Math.min(16, model.maxPositions);
      const tokens = Array.from({ length }, (_, i) => (5 * i + 2) % 19);
      const before = await rowLogits(device, model, tokens, true);
      const width = before.length / length;
      let reached = 0;
      for (let t = 1; t < length; t++) {
        const changed = await rowLogits(device, model, tokens.with(t, (tokens[t]! + 1) % 19), true);
        assert.deepEqual(changed.slice(0, t * width), before.slice(0, t * width), `token ${t} is seen before it comes`);
        assert.notDeepEqual(changed.slice(t * width, (t + 1) * width), before.slice(t * width, (t + 1) * width));
        // Groups overlap: the change leaves its own.
        if (changed.slice((length - 1) * width).some((value, i) => value !== before[(length - 1) * width + i]))
          reached++;
      }
      assert.ok(reached > length / 4 && reached < length - 1, `the last token depends on ${reached} others`);
    });
  }

  it("attends to everything outside training, and computes blocks again to the same numbers", async () => {
    const model = smallModel();
    const device = await prepared(model);
    const tokens = Array.from({ length: 16 }, (_, i) => (5 * i + 2) % 19);
    const [trained, evaluated] = [
      await rowLogits(device, model, tokens, true),
      await rowLogits(device, model, tokens, false),
    ];
    assert.notDeepEqual(trained, evaluated);
    assert.deepEqual(await rowLogits(device, model, tokens, true, true), trained);
    // The first token sees itself only, either way.
    assert.deepEqual(evaluated.slice(0, 23), trained.slice(0, 23));
    const last = await rowLogits(device, model, tokens.with(0, 7), false);
    assert.notDeepEqual(last.slice(-23), evaluated.slice(-23));
  });
});

describe("a run with shifted attention", () => {
  const rows = [...Array(6).keys()].map((i) => ({
    inputIds: Array.from({ length: 9 + (i % 3) }, (_, j) => (3 * j + 7 * i) % 43),
  }));
  const args = {
    perDeviceTrainBatchSize: 3,
    learningRate: 0.02,
    maxSteps: 4,
    lrSchedulerType: "constant",
    loggingSteps: 1,
  } as const;

  it("is the same by shift_attn and by the method, with blocks computed again, and another one than without", async () => {
    const model = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
    try {
      const losses = async (config: Record<string, unknown>, more: TrainingArguments = {}) => {
        const peft = getPeftModel(model, {
          peftType: "LORA",
          r: 3,
          loraAlpha: 7,
          targetModules: "all-linear",
          ...config,
        });
        const trainer = new Trainer({ model: peft, trainDataset: rows, evalDataset: rows, args: { ...args, ...more } });
        const { logHistory } = await trainer.train();
        const { evalLoss } = await trainer.evaluate();
        await peft.deleteAdapter("default");
        return [...logHistory.flatMap(({ loss }) => loss ?? []), evalLoss];
      };
      const method = { method: "longlora", trainNormsAndEmbeddings: false };
      const shifted = await losses(method);
      const plain = await losses({});
      assert.equal(shifted.length, 5);
      assert.ok(
        shifted.every((loss, i) => Math.abs(loss - plain[i]!) > 1e-4),
        `${shifted.join()} ${plain.join()}`,
      );
      assert.deepEqual(await losses({}, { shiftAttn: true }), shifted);
      const again = await losses(method, { gradientCheckpointing: true });
      again.forEach((loss, i) => assert.ok(Math.abs(loss - shifted[i]!) <= ROUNDING * loss));
    } finally {
      await model.dispose();
    }
  });
});
