/**
 * A trained GPT-2 of three blocks that sorts numbers, and what was seen inside of it: every activation of the first block,
 * the output of the others, and the logits.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { ModelConfigFile } from "../../src/formats/model/config.ts";
import { Graph } from "../../src/ir/graph.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { sequenceFeeds, wholeSequence } from "../../src/lm/sequence.ts";
import type { TextModel } from "../../src/models/text-model.ts";
import { gpt2 } from "../../src/models/gpt2.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Results } from "../../src/runtime/runtime.ts";
import { tracingOf } from "../../src/testing/method-rig.ts";
import { assertClose } from "../support/close.ts";
import { sharedData } from "../support/shared-data.ts";

const weightsPath = sharedData("gpt-nano-sort/gpt-nano-sort-model.json");
const partialsPath = sharedData("gpt-nano-sort/gpt-nano-sort-t0-partials.json");
const skip = existsSync(weightsPath) ? false : `${weightsPath} is absent`;

interface Stored {
  readonly shape: readonly number[];
  /** float32, base64 */
  readonly data: string;
}

/** Both sides compute in float32, in another order. */
const ROUNDING = 1e-5;

suite("gpt-nano-sort", { skip }, () => {
  let device: Device;
  let model: TextModel;
  let partials: ReadonlyMap<string, Float32Array>;
  let tokens: Int32Array;
  let results: Results;

  before(async () => {
    partials = new Map([...(await readArrays(partialsPath))].map(([name, { data }]) => [name, data]));
    tokens = Int32Array.from(partials.get("idx")!);
    const settings = { vocab_size: 3, n_embd: 48, n_head: 3, n_layer: 3, n_positions: 11, tie_word_embeddings: false };
    model = gpt2.build(new ModelConfigFile(settings, "config.json"));
    device = await ortDevice({ threads: 1 });
    const arrays = await readArrays(weightsPath);
    for (const { name, shape } of model.parameters) {
      const { shape: stored, data } = arrays.get(name)!;
      // These linear layers are PyTorch's, [out, in]; GPT-2's are stored the other way round.
      const turned = model.layers.some(
        (layer) => layer.kind === "linear" && layer.fanInFanOut && layer.weight === name,
      );
      assert.deepEqual(turned ? stored.toReversed() : stored, shape, name);
      await device.write(name, { dtype: "float32", shape, data: turned ? transposed(data, shape) : data });
    }
    results = await run();
  });

  after(() => device.dispose());

  async function run(): Promise<Results> {
    const graph = new Graph();
    const sequence = wholeSequence(graph, model);
    const attend: typeof sequence.attend = (call) => {
      const y = sequence.attend(call);
      if (call.block === 0) for (const name of ["q", "k", "v"] as const) graph.output(name, call[name]);
      return y;
    };
    const tracing = tracingOf(graph);
    // What the file calls inputs and outputs of layers.
    const outputs = new Map([
      ["transformer.wte", "tok_emb"],
      ["transformer.h.0.attn.c_attn", "qkv"],
      ["transformer.h.0.attn.c_proj", "yProj"],
      ["transformer.h.0.mlp.c_fc", "fc"],
      ["transformer.h.0.mlp.c_proj", "mlp"],
    ]);
    const inputs = new Map([
      ["transformer.h.0.attn.c_attn", "ln1"],
      ["transformer.h.0.attn.c_proj", "y"],
      ["transformer.h.0.mlp.c_fc", "ln2"],
      ["transformer.h.0.mlp.c_proj", "gelu"],
    ]);
    const hidden = model.hidden(
      {
        ...tracing,
        adapt(call) {
          const { name } = call.layer;
          const y = call.output();
          if (inputs.has(name)) graph.output(inputs.get(name)!, call.x);
          if (outputs.has(name)) graph.output(outputs.get(name)!, y);
          return y;
        },
      },
      { ...sequence, attend },
      (block, x) => graph.output(`block${block}`, x),
    );
    graph.output("ln_f", hidden);
    graph.output("lm_head", model.head(tracing, reshape(hidden, [-1, model.hiddenSize])));
    const executable = await device.compile(graph);
    const rows = {
      batch: 3,
      length: 11,
      tokens,
      segments: new Int32Array(33).fill(1),
      positions: Int32Array.from({ length: 33 }, (_, i) => i % 11),
    };
    return executable.run(sequenceFeeds(model, rows));
  }

  test("every activation", () => {
    const names = Object.keys(results);
    assert.equal(names.length, 17);
    for (const name of names) {
      assertClose(results[name]!.data, partials.get(name)!, { ofLargest: ROUNDING }, name);
    }
  });

  test("it sorts", () => {
    const logits = results["lm_head"]!.data as Float32Array;
    for (let row = 0; row < 3; row++) {
      const predicted = Array.from({ length: 6 }, (_, i) => {
        const at = (row * 11 + 5 + i) * 3;
        const three = logits.subarray(at, at + 3);
        return three.indexOf(Math.max(...three));
      });
      assert.deepEqual(
        predicted,
        [...tokens.subarray(row * 11, row * 11 + 6)].toSorted((a, b) => a - b),
        `row ${row}`,
      );
    }
  });
});

async function readArrays(path: string): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
  const { config: _, ...stored } = JSON.parse(await readFile(path, "utf8")) as Record<string, Stored>;
  return new Map(
    Object.entries(stored).map(([name, { shape, data }]) => {
      const bytes = Uint8Array.from(Buffer.from(data, "base64"));
      return [name, { shape, data: new Float32Array(bytes.buffer) }];
    }),
  );
}

/** @param shape of the result */
function transposed(data: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  return Float32Array.from(data, (_, i) => data[(i % columns!) * rows! + Math.floor(i / columns!)]!);
}
