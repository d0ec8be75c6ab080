/** ΔW of every method that can be merged, against the weights that PEFT makes by merging. */
import assert from "node:assert/strict";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { LowrankError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { addProduct, openPairs } from "../../src/analysis/weight-pairs.ts";
import type { Matrix } from "../../src/linear-algebra/svd.ts";
import { transposed } from "../../src/linear-algebra/svd.ts";

const METHODS = new URL("../../../golden/peft-methods/", import.meta.url).pathname;
const BASES = new URL("../../../golden/causal-lm/", import.meta.url).pathname;

/** Nothing of these is a weight of a layer: vectors, or what is put before the text. */
const WITHOUT_MATRICES = /^(p-tuning|prefix|prompt|ln-tuning)/;
/** PEFT starts its approximation from other random numbers, and the file does not hold what it found. */
const NOT_REPEATABLE = /^pissa-niter$/;
/** PEFT takes the decomposition of the base in float32. */
const FROM_DECOMPOSITION = /^(pissa|olora)/;

for (const name of await readdir(METHODS)) {
  const dir = join(METHODS, name);
  if (!(await stat(dir)).isDirectory() || WITHOUT_MATRICES.test(name) || NOT_REPEATABLE.test(name)) continue;
  const expected = join(dir, "expected.safetensors");
  if ((await stat(expected).catch(() => undefined)) === undefined) continue;
  const tolerance = FROM_DECOMPOSITION.test(name) ? 2e-5 : 2e-6;

  test(`${name}: W + ΔW is the weight that PEFT merges`, async (t) => {
    const { base: family } = JSON.parse(await readFile(join(dir, "expected.json"), "utf8")) as { base: string };
    const merged = await openSafetensors(expected);
    if (![...merged.tensors.keys()].some((key) => key.startsWith("merged."))) {
      await merged.close();
      return t.skip("PEFT's file has no merged weights");
    }
    const pairs = await openPairs(join(BASES, family), dir, { embeddings: true });
    try {
      let compared = 0;
      for (const pair of pairs.pairs) {
        const key = `merged.${pair.name}`;
        if (!merged.tensors.has(key)) continue;
        const { base, tuned, delta } = await pair.load();
        const stored = await merged.readFloat32(key);
        const [rows, columns] = merged.tensors.get(key)!.shape as [number, number];
        const isTurned = rows !== pair.shape[0] || pair.name.includes(".c_");
        const wanted = isTurned ? transposed({ rows, columns, data: stored }) : Float64Array.from(stored);
        const dense = "kind" in delta ? product(delta, pair.shape) : delta;
        let [change, off] = [0, 0];
        for (let i = 0; i < wanted.length; i++) {
          change += (wanted[i]! - base!.data[i]!) ** 2;
          off += (wanted[i]! - base!.data[i]! - dense.data[i]!) ** 2;
          assert.ok(
            Math.abs(tuned!.data[i]! - wanted[i]!) < tolerance * (1 + Math.abs(wanted[i]!)),
            `${pair.name}[${i}]`,
          );
        }
        // float32 of the merged file beside a large W.
        assert.ok(Math.sqrt(off) < 5 * tolerance * Math.sqrt(change), `${pair.name}: ${Math.sqrt(off / change)}`);
        assert.ok(change > 0, pair.name);
        compared++;
      }
      assert.ok(compared > 0, "no weight was compared");
    } finally {
      await pairs.close();
      await merged.close();
    }
  });
}

test("methods that cannot be merged say why", async () => {
  const error = await rejected(openPairs(join(BASES, "qwen2-tied"), join(METHODS, "prefix")));
  assert.match(error.message, /prefix.*cannot be merged/s);
});

function product(delta: Parameters<typeof addProduct>[1], [rows, columns]: readonly [number, number]): Matrix {
  const data = new Float64Array(rows * columns);
  addProduct(data, delta);
  return { rows, columns, data };
}

async function rejected(promise: Promise<unknown>): Promise<LowrankError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof LowrankError, String(error));
  return error;
}
