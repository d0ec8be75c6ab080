/** The head that is trained alone: the optimum of a convex function, found whatever the start. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { HeadFitter, type Features } from "../../src/experiments/continual/head-fit.ts";
import { minimize } from "../../src/experiments/continual/lbfgs.ts";
import { decoder } from "../../src/models/decoder.ts";
import { Random } from "../../src/random.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";

suite("L-BFGS", () => {
  test("the valley of Rosenbrock", async () => {
    const result = await minimize(
      async ([x = 0, y = 0]) => ({
        value: (1 - x) ** 2 + 100 * (y - x * x) ** 2,
        gradient: Float64Array.of(-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)),
      }),
      Float64Array.of(-1.2, 1),
      { tolerance: 1e-8 },
    );
    assert.ok(result.converged && result.iterations < 60, `${result.iterations} iterations`);
    for (const value of result.x) assert.ok(Math.abs(value - 1) < 1e-7);
  });

  test("ends where no step goes down", async () => {
    const flat = await minimize(async (x) => ({ value: 0, gradient: x.map(() => 1) }), Float64Array.of(3));
    assert.equal(flat.converged, false);
    assert.deepEqual([...flat.x], [3]);
  });
});

/** Width and classes differ, so that nothing fits by being transposed. */
const [WIDTH, CLASSES, COUNT] = [6, 3, 40];
const L2 = 0.02;

function features(seed: number, scale: number): Features {
  const random = new Random(seed);
  const labels = Array.from({ length: COUNT }, (_, i) => (i * i + i) % CLASSES);
  const data = Float32Array.from({ length: COUNT * WIDTH }, (_, at) => {
    const label = labels[Math.floor(at / WIDTH)]!;
    return scale * (random.normal() + (at % WIDTH === label ? 1.5 : 0));
  });
  return { count: COUNT, width: WIDTH, data, labels };
}

/** The same objective in plain loops, and its minimum by gradient descent. */
function reference({ data, labels }: Features): { loss: number; weights: Float64Array } {
  const size = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);
  const weights = new Float64Array(CLASSES * WIDTH);
  let loss = 0;
  for (let step = 0; step < 4000; step++) {
    const gradient = weights.map((weight) => L2 * weight);
    loss = 0;
    for (let i = 0; i < COUNT; i++) {
      const row = data.subarray(i * WIDTH, (i + 1) * WIDTH).map((value) => value / size);
      const logits = Array.from({ length: CLASSES }, (_, c) =>
        row.reduce((sum, value, k) => sum + value * weights[c * WIDTH + k]!, 0),
      );
      const sum = logits.reduce((all, logit) => all + Math.exp(logit), 0);
      loss += (Math.log(sum) - logits[labels[i]!]!) / COUNT;
      for (let c = 0; c < CLASSES; c++) {
        const part = (Math.exp(logits[c]!) / sum - (c === labels[i] ? 1 : 0)) / COUNT;
        for (let k = 0; k < WIDTH; k++) gradient[c * WIDTH + k]! += part * row[k]!;
      }
    }
    for (let at = 0; at < weights.length; at++) weights[at]! -= gradient[at]!;
  }
  return { loss, weights };
}

test("a linear head has the loss of gradient descent's optimum, at any scale of the hidden states", async () => {
  const model = decoder(
    {
      modelType: "qwen2",
      vocabSize: 11,
      hiddenSize: WIDTH,
      intermediateSize: 8,
      blocks: 1,
      heads: 1,
      kvHeads: 1,
      headDim: WIDTH,
      normEpsilon: 1e-6,
      rope: { theta: 1e4 },
      maxPositions: 8,
      tied: true,
      qkvBias: false,
      outputBias: false,
      mlpBias: false,
      qkNorm: false,
      window: () => undefined,
      initializerRange: 0.05,
    },
    { kind: "classification", classes: CLASSES },
  );
  const device = await ortDevice({ threads: 1 });
  const fitter = await HeadFitter.create(device, model);
  const given = features(1, 1);
  const { loss, weights } = reference(given);
  const head = await fitter.fit(given, L2);
  assert.ok(head.converged);
  // Float32 in the engine, and both end where gradients are below 1e-4.
  assert.ok(Math.abs(head.trainLoss - loss) < 1e-3, `${head.trainLoss} against ${loss}`);
  const right = given.labels.filter((label, i) => {
    const logits = Array.from({ length: CLASSES }, (_, c) =>
      given.data
        .subarray(i * WIDTH, (i + 1) * WIDTH)
        .reduce((sum, value, k) => sum + value * weights[c * WIDTH + k]!, 0),
    );
    return logits.indexOf(Math.max(...logits)) === label;
  }).length;
  assert.equal(head.trainAccuracy, right / COUNT);
  assert.ok(head.trainAccuracy > 0.6 && head.trainAccuracy < 1);
  const large = await fitter.fit({ ...given, data: given.data.map((value) => 37 * value) }, L2);
  assert.ok(Math.abs(large.trainLoss - head.trainLoss) < 1e-4);
  const tests = features(2, 1);
  assert.equal(await head.accuracy(tests), await head.accuracy(tests));
  await fitter.dispose();
  await device.dispose();
});
