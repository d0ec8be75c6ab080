/** A real Llama of 656,000 parameters, whose tied head is stored and whose embedding is not, against float64 numbers. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { readModelConfig } from "../../src/formats/model/config.ts";
import { loadWeights } from "../../src/formats/model/weights.ts";
import { Graph } from "../../src/ir/graph.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { sequenceFeeds, wholeSequence } from "../../src/lm/sequence.ts";
import type { TextModel } from "../../src/models/text-model.ts";
import { familyOf } from "../../src/models/index.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Executable } from "../../src/runtime/runtime.ts";
import { tracingOf } from "../../src/testing/method-rig.ts";
import { assertClose } from "../support/close.ts";
import { sharedData } from "../support/shared-data.ts";

const folder = sharedData("tinystories-656k");
const skip = existsSync(folder) ? false : `${folder} is absent`;

interface Golden {
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly text_ids: readonly number[];
  readonly loss_text: number;
  readonly input_ids: readonly number[];
  readonly logits_last: readonly number[];
}

suite("tinystories-656k", { skip }, () => {
  let golden: Golden;
  let model: TextModel;
  let device: Device;
  let executable: Executable;

  before(async () => {
    golden = JSON.parse(await readFile(join(folder, "golden_f64.json"), "utf8")) as Golden;
    const config = await readModelConfig(folder);
    const family = familyOf(config.modelType);
    model = family.build(config);
    config.check();
    device = await ortDevice({ threads: 1 });
    await loadWeights(device, model.parameters, folder, { tied: model.tied });
    const graph = new Graph();
    const tracing = tracingOf(graph);
    const tied = {
      ...tracing,
      parameter: (name: string, shape: readonly number[]) => tracing.parameter(model.tied[name] ?? name, shape),
    };
    const hidden = model.hidden(tied, wholeSequence(graph, model));
    graph.output("logits", model.head(tied, reshape(hidden, [-1, model.hiddenSize])));
    executable = await device.compile(graph);
  });

  after(() => device.dispose());

  /** Logits of each token, one row after another. */
  async function logitsOf(ids: readonly number[]): Promise<Float32Array> {
    const rows = {
      batch: 1,
      length: ids.length,
      tokens: Int32Array.from(ids),
      segments: new Int32Array(ids.length).fill(1),
      positions: Int32Array.from(ids, (_, i) => i),
    };
    return (await executable.run(sequenceFeeds(model, rows))).logits!.data as Float32Array;
  }

  test("logits of the last token", async () => {
    const logits = await logitsOf(golden.input_ids);
    // float32 against float64, in two blocks.
    assertClose(logits.subarray(-model.vocabSize), golden.logits_last, { ofLargest: 1e-5 });
  });

  test("mean loss of a text", async () => {
    const ids = golden.text_ids;
    const logits = await logitsOf(ids);
    const losses = ids.slice(1).map((label, t) => {
      const row = logits.subarray(t * model.vocabSize, (t + 1) * model.vocabSize);
      const largest = Math.max(...row);
      return largest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0)) - row[label]!;
    });
    assertClose([losses.reduce((a, b) => a + b) / losses.length], [golden.loss_text], { relative: 1e-6 });
  });

  test("the most likely next token, again and again", async () => {
    const ids = [...golden.prompt_ids];
    while (ids.length < golden.greedy_ids.length) {
      const last = (await logitsOf(ids)).subarray(-model.vocabSize);
      ids.push(last.indexOf(Math.max(...last)));
    }
    assert.deepEqual(ids, golden.greedy_ids);
  });
});
