import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConfigError } from "../src/errors.ts";
import { Random, splitMix64 } from "../src/random.ts";

describe("SplitMix64", () => {
  test("gives the published outputs of the reference implementation", () => {
    // splitmix64.c (Vigna), seed 1477776061723855037, as in the tests of the Rust crate rand_xoshiro.
    const expected = [
      1985237415132408290n,
      2979275885539914483n,
      13511426838097143398n,
      8488337342461049707n,
      15141737807933549159n,
    ];
    let state = 1477776061723855037n;
    for (const value of expected) {
      const step = splitMix64(state);
      assert.equal(step.value, value);
      state = step.state;
    }
  });
});

describe("Random", () => {
  test("gives the published outputs of xoshiro128** 1.1", () => {
    // xoshiro128starstar.c (Blackman and Vigna), state 1 2 3 4, as in the tests of the Rust crate rand_xoshiro.
    const expected = [
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ];
    const random = Random.fromState({ words: [1, 2, 3, 4], spareNormal: null });
    assert.deepEqual(
      expected.map(() => random.uint32()),
      expected,
    );
  });

  test("fills its state from the seed with SplitMix64, little end first", () => {
    const { words } = new Random(1234567).state();
    // The published first outputs of splitmix64.c for seed 1234567.
    assert.equal(BigInt(words[0]) | (BigInt(words[1]) << 32n), 6457827717110365317n);
    assert.equal(BigInt(words[2]) | (BigInt(words[3]) << 32n), 3203168211198807973n);
  });

  test("seeds and streams give different sequences, and the pair is not symmetric", () => {
    const firsts = new Set<number>();
    for (let seed = -8; seed < 8; seed++) {
      for (let stream = -8; stream < 8; stream++) firsts.add(new Random(seed, stream).uniform());
    }
    assert.equal(firsts.size, 256);
  });

  test("a restored state goes on with exactly the same numbers, through JSON, in the middle of a pair of normals", () => {
    const random = new Random(7);
    random.permutation(10);
    random.normal();
    const saved = JSON.stringify(random.state());
    const draw = (from: Random) => [
      from.normal(),
      from.normal(),
      from.uniform(),
      from.integer(6),
      ...from.permutation(5),
    ];
    const expected = draw(random);
    assert.deepEqual(draw(Random.fromState(JSON.parse(saved) as ReturnType<Random["state"]>)), expected);
  });

  test("refuses a state that no generator can be in", () => {
    assert.throws(() => Random.fromState({ words: [0, 0, 0, 0], spareNormal: null }), ConfigError);
    assert.throws(() => Random.fromState({ words: [1, 2, 3, 2 ** 32], spareNormal: null }), ConfigError);
    assert.throws(() => Random.fromState({ words: [1, 2, 3, 4], spareNormal: NaN }), ConfigError);
  });

  test("uniform stays in [0, 1) and fills sixteen bins evenly", () => {
    const random = new Random(1);
    const bins = Array.from({ length: 16 }, () => 0);
    const draws = 64_000;
    for (let i = 0; i < draws; i++) {
      const value = random.uniform();
      assert.ok(value >= 0 && value < 1);
      bins[Math.floor(value * 16)]! += 1;
    }
    const chiSquare = bins.reduce((sum, seen) => sum + (seen - draws / 16) ** 2 / (draws / 16), 0);
    assert.ok(chiSquare < 37.7, `chi-square ${chiSquare}`); // 99.9th percentile of chi-square with 15 degrees of freedom
  });

  test("normal has the moments of N(0, 1)", () => {
    const random = new Random(2);
    const draws = 100_000;
    const sums = [0, 0, 0, 0];
    for (let i = 0; i < draws; i++) {
      const value = random.normal();
      for (let power = 1; power <= 4; power++) sums[power - 1]! += value ** power / draws;
    }
    // Four standard errors of each moment: sqrt(1, 2, 15, 96) / sqrt(draws).
    const [mean, variance, third, fourth] = sums as [number, number, number, number];
    const error = 4 / Math.sqrt(draws);
    assert.ok(Math.abs(mean) < error, `mean ${mean}`);
    assert.ok(Math.abs(variance - 1) < error * Math.sqrt(2), `variance ${variance}`);
    assert.ok(Math.abs(third) < error * Math.sqrt(15), `third ${third}`);
    assert.ok(Math.abs(fourth - 3) < error * Math.sqrt(96), `fourth ${fourth}`);
  });

  test("permutation holds every index once, and reaches all six orders of three equally often", () => {
    assert.deepEqual(
      [...new Random(3).permutation(1000)].sort((a, b) => a - b),
      [...Array(1000).keys()],
    );
    assert.equal(new Random(3).permutation(0).length, 0);
    const random = new Random(4);
    const seen = new Map<string, number>();
    const draws = 6000;
    for (let i = 0; i < draws; i++) {
      const key = random.permutation(3).join("");
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    assert.equal(seen.size, 6);
    const chiSquare = [...seen.values()].reduce((sum, count) => sum + (count - draws / 6) ** 2 / (draws / 6), 0);
    assert.ok(chiSquare < 20.5, `chi-square ${chiSquare}`); // 99.9th percentile, 5 degrees of freedom
  });

  test("names the bad argument", () => {
    assert.throws(() => new Random(0.5), /seed: not a whole number: got 0\.5/);
    assert.throws(() => new Random(0, NaN), /stream/);
    assert.throws(() => new Random(0).integer(0), ConfigError);
    assert.throws(() => new Random(0).permutation(-1), ConfigError);
  });
});
