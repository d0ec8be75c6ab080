/** How two models are compared, and the operators that a merged one executes. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { CHECK_LIMITS, compareLogits, exceeded, logitsOf, summarize } from "../../src/lm/merge-check.ts";
import { compareOperators, isSameList, noteGraphs, operatorsOf } from "../../src/lm/operators.ts";
import { PeftModel } from "../../src/lm/peft-model.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { writeLora } from "../support/lora-folder.ts";

suite("comparing logits", () => {
  // Three places, four tokens; the last two places belong to tokens that were generated.
  const expected = Float32Array.of(1, 2, 3, 0, 5, 1, 0, 0, 0, 0, 1, 4);

  test("the same logits do not differ", () => {
    assert.deepEqual(compareLogits(expected, expected, 4, 2), {
      maxLogit: 0,
      largest: 5,
      meanKl: 0,
      agreed: 2,
      greedy: 2,
      places: 3,
    });
  });

  test("largest difference, mean KL, and agreement where tokens were generated", () => {
    const got = expected.slice();
    // Place 0 predicts the first generated token, place 1 the second one; nothing was generated after place 2.
    got.set([6], 4);
    got.set([1, 2, 3.5], 0);
    got[4] = 0.5;
    const { maxLogit, meanKl, agreed, greedy } = compareLogits(expected, got, 4, 2);
    assert.equal(maxLogit, 4.5);
    assert.equal(greedy, 2);
    assert.equal(agreed, 1);
    const kl = (p: number[], q: number[]) => {
      const norm = (logits: number[]) => {
        const sum = logits.reduce((total, x) => total + Math.exp(x), 0);
        return logits.map((x) => Math.exp(x) / sum);
      };
      const [a, b] = [norm(p), norm(q)];
      return a.reduce((total, x, i) => total + x * Math.log(x / b[i]!), 0);
    };
    const wanted = (kl([1, 2, 3, 0], [1, 2, 3.5, 0]) + kl([5, 1, 0, 0], [0.5, 1, 0, 0])) / 3;
    assert.ok(Math.abs(meanKl - wanted) < 1e-9, `${meanKl} instead of ${wanted}`);
  });

  test("a logit that is no number is infinitely far away", () => {
    const got = expected.slice();
    got[7] = NaN;
    const difference = compareLogits(expected, got, 4, 2);
    assert.equal(difference.maxLogit, Infinity);
    assert.equal(difference.meanKl, Infinity);
    assert.equal(exceeded([difference], CHECK_LIMITS.bfloat16).length, 2);
  });

  test("texts count by their places", () => {
    const text = { largest: 1, agreed: 1, greedy: 2 };
    const all = summarize([
      { ...text, maxLogit: 0.5, meanKl: 1, places: 1 },
      { ...text, maxLogit: 0.25, meanKl: 0, places: 3 },
    ]);
    assert.deepEqual(all, { maxLogit: 0.5, largest: 1, meanKl: 0.25, agreed: 2, greedy: 4, places: 4 });
  });

  test("the limit of a logit grows with the logits, unless it is absolute", () => {
    const difference = { maxLogit: 2.5e-4, largest: 30, meanKl: 0, agreed: 16, greedy: 16, places: 20 };
    assert.deepEqual(exceeded([difference], CHECK_LIMITS.float32), []);
    assert.deepEqual(exceeded([{ ...difference, largest: 3 }], CHECK_LIMITS.float32), [
      "logits differ by up to 2.5e-4 (allowed: 1.0e-4)",
    ]);
    const absolute = { maxLogit: 1e-4, isAbsolute: true, meanKl: Infinity, agreement: 0 };
    assert.equal(exceeded([difference], absolute).length, 1);
  });

  test("KL and greedy tokens have limits of their own", () => {
    const difference = { maxLogit: 0.01, largest: 3, meanKl: 0.05, agreed: 60, greedy: 128, places: 200 };
    assert.deepEqual(exceeded([difference], CHECK_LIMITS.bfloat16), [
      `mean KL is 0.05 nats (allowed: 0.01)`,
      "60 of 128 greedy tokens agree (needed: 103)",
    ]);
  });
});

suite("operators", () => {
  const base = "golden/causal-lm/qwen2-tied";
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-operators-"));
    await writeLora(dir, base, { targetModules: ["q_proj", "down_proj"] });
  });
  after(() => rm(dir, { recursive: true }));

  test("a merged model executes the base's operators, one with an adapter does not", async () => {
    const device = noteGraphs(await ortDevice({ threads: 1 }));
    try {
      const model = await AutoModelForCausalLM.fromPretrained(base, { device });
      const ids = [3, 8, 1, 20];
      const lastOperators = async (adapters: readonly string[]) => {
        const before = device.graphs.length;
        await logitsOf({ language: model.language, adapters }, ids);
        const compiled = device.graphs.slice(before);
        assert.equal(compiled.length, 1);
        return operatorsOf(compiled[0]!, device.kind);
      };
      const alone = await lastOperators([]);
      assert.ok(alone.length > 50, `${alone.length} operators`);
      const peft = await PeftModel.fromPretrained(model, dir);
      const adapted = compareOperators(alone, await lastOperators(["default"]));
      assert.equal(isSameList(adapted), false);
      // Two products more for each of the two layers of a block, at least.
      const products = adapted.extra.filter((operator) => /^(matmul|gemm)/.test(operator));
      assert.ok(products.length >= 4 * model.language.model.blocks, `${products.length} products more`);
      const merged = await peft.mergeAndUnload();
      assert.equal(merged.language.adapters.size, 0);
      assert.deepEqual(await lastOperators([]), alone);
    } finally {
      await device.dispose();
    }
  });

  test("lists are compared with how often an operator is in them, and in which order", () => {
    assert.deepEqual(compareOperators(["a", "b", "a"], ["a", "b", "b"]), {
      extra: ["b"],
      missing: ["a"],
      reordered: false,
    });
    assert.deepEqual(compareOperators(["a", "b"], ["b", "a"]), { extra: [], missing: [], reordered: true });
  });
});
