import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { pythonFloat, pythonJson } from "../../../src/train/run/python-json.ts";

suite("JSON as Python writes it", () => {
  test("keys are sorted, levels indented, empty ones on one line", () => {
    const value = { loss: 1, b: [1, { x: null }], step: 3, empty: {}, none: [], left_out: undefined, text: 'a "b"' };
    assert.equal(
      pythonJson(value, { indent: 2 }),
      `{
  "b": [
    1,
    {
      "x": null
    }
  ],
  "empty": {},
  "loss": 1.0,
  "none": [],
  "step": 3,
  "text": "a \\"b\\""
}`,
    );
    assert.equal(pythonJson({ b: 1, a: [true, "x"] }, { sortKeys: false }), '{"b": 1, "a": [true, "x"]}');
  });

  test("floats look like Python's repr", () => {
    // Each as printed by Python.
    const texts = ["1.0", "5e-05", "1e+22", "0.0001", "123456.789", "1e+16", "-0.0", "1.25e-300", "999999999999999.0"];
    for (const text of texts) assert.equal(pythonFloat(Number(text)), text);
    assert.deepEqual([NaN, Infinity, -Infinity].map(pythonFloat), ["nan", "inf", "-inf"]);
  });

  test("every finite number comes back to its last bit, and the others are null", () => {
    const numbers = [0.1, 1 / 3, 5e-324, Number.MAX_VALUE, 2 ** 53, 1e21, 123456789012345680000];
    assert.deepEqual(JSON.parse(pythonJson(numbers)), numbers);
    assert.equal(pythonJson({ loss: NaN, x: Infinity }), '{"loss": null, "x": null}');
  });

  test("what Python has as a float is one, also where it is whole", () => {
    const row = { epoch: 2, eval_loss: 1, eval_samples_per_second: 4, step: 2, total_tokens: 5, learning_rate: 0 };
    assert.equal(
      pythonJson(row),
      '{"epoch": 2.0, "eval_loss": 1.0, "eval_samples_per_second": 4.0, "learning_rate": 0.0, "step": 2, "total_tokens": 5}',
    );
  });
});
