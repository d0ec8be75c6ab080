/** Sampling against the processors of transformers' `generate`: golden/sampling.json. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { ConfigError, NumericError } from "../../src/errors.ts";
import { checkSampling, distribution, pickToken, type SamplingOptions } from "../../src/lm/sampling.ts";
import { Random } from "../../src/random.ts";
import { assertClose } from "../support/close.ts";

interface Golden {
  readonly logits: readonly (readonly number[])[];
  readonly seen: readonly (readonly number[])[];
  readonly cases: readonly {
    readonly options: Readonly<Record<string, number>>;
    readonly probabilities: readonly (readonly number[])[];
  }[];
}

const golden = JSON.parse(readFileSync(new URL("../../../golden/sampling.json", import.meta.url), "utf8")) as Golden;

function camel(options: Readonly<Record<string, number>>): SamplingOptions {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

/** Probabilities of all tokens. */
function dense(logits: readonly number[], seen: Iterable<number>, options: SamplingOptions): Float64Array {
  const { ids, probabilities } = distribution(Float32Array.from(logits), new Set(seen), options);
  const all = new Float64Array(logits.length);
  ids.forEach((id, i) => (all[id] = probabilities[i]!));
  return all;
}

suite("sampling", () => {
  for (const { options, probabilities } of golden.cases) {
    test(`draws from what transformers draws from: ${JSON.stringify(options)}`, () => {
      probabilities.forEach((expected, row) => {
        const got = dense(golden.logits[row]!, golden.seen[row]!, camel(options));
        assert.deepEqual(
          Array.from(got, (p) => p > 0),
          expected.map((p) => p > 0),
          "tokens in the draw",
        );
        // A penalty is rounded to float32.
        assertClose(got, expected, { relative: 2e-6 });
      });
    });
  }

  test("keeps as much of a large vocabulary as was asked for", () => {
    const random = new Random(3);
    const logits = Float32Array.from({ length: 50_000 }, () => 3 * random.uniform());
    const all = dense([...logits], [], { topK: 0 });
    for (const topP of [0.01, 0.5, 0.99]) {
      const kept = dense([...logits], [], { topK: 0, topP });
      const inside = all.filter((_, i) => kept[i]! > 0).sort();
      const mass = inside.reduce((a, b) => a + b, 0);
      assert.ok(mass >= topP && mass - inside[0]! < topP, `${mass} for ${topP}`);
      assert.ok(
        all.every((p, i) => kept[i]! > 0 || p <= inside[0]!),
        "the likeliest are kept",
      );
    }
    for (const topK of [1, 2, 1000, 49_999]) {
      const sorted = logits.toSorted().reverse();
      const kept = dense([...logits], [], { topK });
      logits.forEach((logit, i) => assert.equal(kept[i]! > 0, logit >= sorted[topK - 1]!));
    }
  });

  test("draws each token as often as it should, and the same ones for the same seed", () => {
    const logits = [0.3, -1, 2, 1.1, 0];
    const expected = dense(logits, [], { topK: 3 });
    const draw = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 20_000 }, () =>
        pickToken(Float32Array.from(logits), new Set(), { doSample: true, topK: 3 }, random),
      );
    };
    const drawn = draw(1);
    const shares = expected.map((_, id) => drawn.filter((token) => token === id).length / drawn.length);
    // Four standard deviations of a share of one half.
    assertClose(shares, expected, { absolute: 4 * Math.sqrt(0.25 / drawn.length) });
    assert.deepEqual(draw(1), drawn);
    assert.notDeepEqual(draw(2), drawn);
  });

  test("takes the likeliest token otherwise, after the penalty", () => {
    const random = new Random(0);
    const pick = (options: SamplingOptions, ...seen: number[]) =>
      pickToken(Float32Array.of(-1, 4, 3.5, -9), new Set(seen), options, random);
    assert.equal(pick({}, 1), 1);
    assert.equal(pick({ repetitionPenalty: 1.2 }, 1), 2);
    assert.equal(pick({ repetitionPenalty: 1.2 }, 0, 3), 1);
    // A temperature is no obstacle, even one that sampling would refuse.
    assert.equal(pick({ temperature: 0 }), 1);
  });

  test("refuses logits that are not numbers", () => {
    for (const doSample of [false, true]) {
      for (const logits of [
        [1, NaN, 2],
        [NaN, 1],
        [-Infinity, -Infinity],
        [1, Infinity],
      ]) {
        const pick = () => pickToken(Float32Array.from(logits), new Set(), { doSample }, new Random(0));
        assert.throws(pick, NumericError, String(logits));
      }
      const masked = Float32Array.of(-Infinity, 1, -Infinity);
      assert.equal(pickToken(masked, new Set(), { doSample }, new Random(0)), 1);
    }
  });

  test("names every option that is out of its range", () => {
    const options = { doSample: true, temperature: 0, topK: -1, topP: 0, minP: 2, repetitionPenalty: NaN };
    assert.throws(
      () => checkSampling(options),
      (error) =>
        error instanceof ConfigError &&
        Object.keys(options).every((name) => name === "doSample" || error.message.includes(name)),
    );
    checkSampling({ temperature: 0 });
  });
});
