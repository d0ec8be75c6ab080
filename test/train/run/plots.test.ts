import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { emaSmoothed, emaWeight, writeLossPlots } from "../../../src/train/run/plots.ts";
import { temporaryFolder } from "./temporary-folder.ts";

suite("pictures of a run", () => {
  test("smoothing is LLaMA-Factory's", () => {
    // Of its `smooth` function.
    const expected = [3, 2.0897011951624602, 2.4631957068323436, 1.1312504036594422];
    for (const [i, value] of emaSmoothed([3, 2, 2.5, 1]).entries()) {
      assert.ok(Math.abs(value - (expected[i] ?? NaN)) < 1e-12, `${value}`);
    }
    assert.deepEqual(emaSmoothed([]), []);
    assert.ok(emaWeight(10_000) < 0.9001);
  });

  test("each loss that the log has becomes an SVG and a PNG, the smooth line over a faint one", async (context) => {
    const dir = await temporaryFolder(context);
    const history = Array.from({ length: 200 }, (_, i) => ({ step: i + 1, epoch: i / 100, loss: 2 + (i % 2) }));
    const written = await writeLossPlots(dir, [...history, { step: 200, epoch: 2, eval_loss: 1.5 }]);
    const names = ["eval_loss", "loss"].flatMap((name) => [`training_${name}.png`, `training_${name}.svg`]);
    assert.deepEqual((await readdir(dir)).toSorted(), names);
    assert.deepEqual(written.toSorted(), names.map((name) => join(dir, name)).toSorted());
    const svg = await readFile(join(dir, "training_loss.svg"), "utf8");
    assert.match(svg, /stroke-opacity="0\.4"/);
    assert.match(svg, /exponential moving average, weight 0\.90/);
    const png = await readFile(join(dir, "training_loss.png"));
    assert.equal(png.toString("latin1", 1, 4), "PNG");
  });

  test("a log without a loss, or with none that is finite, gives no picture", async (context) => {
    const dir = await temporaryFolder(context);
    assert.deepEqual(await writeLossPlots(dir, [{ step: 1, epoch: 1, train_loss: 1 }]), []);
    assert.deepEqual(await writeLossPlots(dir, [{ step: 1, epoch: 1, loss: NaN }]), []);
    assert.deepEqual(await readdir(dir), []);
  });
});
