import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConfigError } from "../../../src/errors.ts";
import { BestMetric } from "../../../src/train/run/best-metric.ts";
import { EarlyStopping } from "../../../src/train/run/early-stopping.ts";

suite("the best evaluation", () => {
  test("the loss by default, the lower the better; equal is not better, and not a number never", () => {
    const best = new BestMetric();
    assert.equal(best.metric, "eval_loss");
    assert.deepEqual(
      [NaN, 2, 3, 1, 1, NaN].map((value, i) => best.offer(value, i)),
      [false, true, false, true, false, false],
    );
    assert.deepEqual(best.best, { value: 1, step: 3 });
  });

  test("other metrics: the greater the better, unless it is said otherwise", () => {
    assert.equal(new BestMetric({ metric: "eval_perplexity" }).greaterIsBetter, false);
    assert.equal(new BestMetric({ metric: "accuracy", greaterIsBetter: false }).greaterIsBetter, false);
    const best = new BestMetric({ metric: "accuracy" }, { value: 0.5, step: 1 });
    assert.deepEqual([best.offer(0.4, 2), best.offer(0.6, 3)], [false, true]);
  });

  test("a metric that the evaluation does not have is named, with those that it has", () => {
    const best = new BestMetric({ metric: "bleu" });
    assert.throws(
      () => best.valueIn({ eval_loss: 1, eval_perplexity: 2, epoch: 1 }),
      (error) =>
        error instanceof ConfigError && /got eval_bleu, expected eval_loss, eval_perplexity/.test(error.message),
    );
    assert.equal(new BestMetric().valueIn({ eval_loss: 1 }), 1);
  });
});

suite("early stopping", () => {
  /** What each evaluation in turn says. */
  function run(stopping: EarlyStopping, values: readonly number[], best = new BestMetric()): boolean[] {
    return values.map((value, i) => {
      const stop = stopping.observe(best, value);
      best.offer(value, i);
      return stop;
    });
  }

  test("stops after as many evaluations in a row without a gain", () => {
    assert.deepEqual(run(new EarlyStopping({ patience: 2 }), [3, 4, 2, 2, 2.5]), [false, false, false, false, true]);
    assert.deepEqual(run(new EarlyStopping({ patience: 1 }), [NaN, 1]), [true, false]);
  });

  test("a gain below the threshold is none, but becomes the best", () => {
    const best = new BestMetric();
    const stopping = new EarlyStopping({ patience: 2, threshold: 0.1 });
    // 1.95 is the best when 1.9 comes, which is no gain over it: the threshold is against the best, as in transformers.
    assert.deepEqual(run(stopping, [2, 1.95, 1.9], best), [false, false, true]);
    assert.equal(best.best?.value, 1.9);
  });

  test("goes on counting in a resumed run", () => {
    const best = new BestMetric({}, { value: 1, step: 5 });
    const stopping = new EarlyStopping({ patience: 3 }, 2);
    assert.equal(stopping.observe(best, 1.5), true);
    assert.deepEqual(stopping.state(), {
      args: { early_stopping_patience: 3, early_stopping_threshold: 0 },
      attributes: { early_stopping_patience_counter: 3 },
    });
  });

  test("options out of their range are refused", () => {
    assert.throws(() => new EarlyStopping({ patience: 0 }), ConfigError);
    assert.throws(() => new EarlyStopping({ patience: 1, threshold: NaN }), ConfigError);
  });
});
