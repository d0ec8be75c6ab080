/**
 * The contract of methods of virtual tokens, as tests on small language models: grouped-query attention, a table of
 * positions, a sliding window. Whatever a batch looks like (packed, padded, cached, in pieces), an example sees its own
 * virtual tokens, and computes what it does alone.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { virtualTokens } from "../../src/lm/adapted-sequence.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { Conversation } from "../../src/lm/conversation.ts";
import { getPeftModel, type PeftConfig, PeftModel } from "../../src/lm/peft-model.ts";
import { supervisedFeeds, supervisedRows } from "../../src/lm/rows.ts";
import { sequenceFeeds } from "../../src/lm/sequence.ts";
import { Random } from "../../src/random.ts";
import { Trainer } from "../../src/train/trainer.ts";

const BASES = ["qwen2-tied", "gpt2", "mistral-window"] as const;
/** Float32 through three blocks, in another order of sums. */
const ROUNDING = 2e-5;
const P = 3;

export interface VirtualCase {
  readonly name: string;
  /** Three virtual tokens. */
  readonly config: PeftConfig & { readonly numVirtualTokens: typeof P };
  /** An encoder makes the file's values on saving: loaded, they are used as they are. */
  readonly isEncoded?: boolean;
}

export function describeVirtualTokens({ name, config, isEncoded = false }: VirtualCase): void {
  for (const folder of BASES) {
    describe(`${name}, ${folder}`, () => {
      let base: CausalLMModel;
      let dir: string;
      before(async () => {
        base = await AutoModelForCausalLM.fromPretrained(`golden/causal-lm/${folder}`, { threads: 1 });
        dir = await mkdtemp(join(tmpdir(), "lowrank-virtual-"));
      });
      afterEach(async () => {
        for (const adapter of base.language.adapters.keys()) await base.language.remove(adapter);
      });
      after(async () => {
        await base.dispose();
        await rm(dir, { recursive: true });
      });
      const peft = () => getPeftModel(base, config, { seed: 3 });

      it("has an effect from the start, and none when it is off", async () => {
        const input = { inputIds: [[5, 9, 2, 30]] };
        const plain = (await base.forward(input)).logits;
        const model = peft();
        const adapted = (await model.forward(input)).logits.slice(-plain.length);
        assert.ok(difference(adapted, plain) > 1e-2);
        model.disableAdapter();
        assert.deepEqual((await model.forward(input)).logits, plain);
      });

      it("shares no batch with rows that do without it", async () => {
        const model = peft();
        const inputIds = [
          [5, 9],
          [2, 3],
        ];
        await assert.rejects(model.forward({ inputIds, adapterNames: ["default", "__base__"] }), (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, /changes the sequence .* cannot share a batch/);
          return true;
        });
      });

      it("generates with a cache, in a batch, what the whole sequence gives row by row", async () => {
        const model = peft();
        const prompts = [[5, 9, 2, 30], [7], [11, 4, 8]];
        const { rows } = await model.generate({ inputIds: prompts, maxNewTokens: 4, eosTokenId: [], doSample: false });
        for (const [b, prompt] of prompts.entries()) {
          const ids = [...prompt];
          for (let i = 0; i < 4; i++) {
            const { logits, dims } = await model.forward({ inputIds: [ids] });
            const last = logits.subarray(-dims[2]);
            ids.push(last.indexOf(Math.max(...last)));
          }
          assert.deepEqual(rows[b], ids.slice(prompt.length));
        }
      });

      it("goes on in a conversation as from the beginning", async () => {
        const model = peft();
        await model.forward({ inputIds: [[1]] });
        const options = { maxNewTokens: 2, doSample: false } as const;
        const talk = new Conversation(base.language);
        const first = await talk.generate([5, 9, 2], ["default"], options);
        const prompt = [5, 9, 2, ...first.rows[0]!, 6];
        const second = await talk.generate(prompt, ["default"], options);
        assert.equal(first.reusedTokens, 0);
        // The last new token has not been computed.
        assert.equal(second.reusedTokens, 4);
        await talk.forget();
        const again = await talk.generate(prompt, ["default"], options);
        assert.deepEqual(second.rows, again.rows);
        await talk.forget();
      });

      it("gives every packed example its own virtual tokens", async () => {
        const model = peft();
        await model.forward({ inputIds: [[1]] });
        const { language } = base;
        const virtual = virtualTokens([language.adapter("default")]);
        const examples = [
          [5, 9, 2, 30],
          [7, 1],
          [11, 4, 8],
        ].map((ids) => ({ inputIds: Int32Array.from(ids), labels: Int32Array.from(ids) }));
        const lossOf = async (rows: Parameters<typeof supervisedRows>[0]) => {
          const batch = supervisedRows(rows, 0, virtual);
          const feeds = {
            ...sequenceFeeds(language.model, batch),
            ...supervisedFeeds(batch, 2, 1 / batch.rows.length),
          };
          return {
            loss: await language.loss(
              feeds,
              rows.map(() => ["default"]),
              2,
            ),
            batch,
          };
        };
        const apart = await lossOf(examples);
        const join = (key: "inputIds" | "labels") => Int32Array.from(examples.flatMap((one) => [...one[key]]));
        const packed = await lossOf([{ inputIds: join("inputIds"), labels: join("labels"), lengths: [4, 2, 3] }]);
        assert.equal(packed.batch.length, 9 + 3 * P);
        assert.equal(packed.batch.rows.length, apart.batch.rows.length);
        assert.equal(packed.batch.rows.length, virtual.predict ? 9 : 6);
        assert.ok(Math.abs(packed.loss / apart.loss - 1) < ROUNDING, `${packed.loss}, apart ${apart.loss}`);
        // Without virtual tokens of its own the second example would see those of the first.
        const { virtual: places } = packed.batch;
        assert.deepEqual([...places!], [1, 2, 3, 0, 0, 0, 0, 1, 2, 3, 0, 0, 1, 2, 3, 0, 0, 0]);
      });

      it("trains what it brings and nothing else, learns, and is resumed bit for bit", async () => {
        const before = await statesOf(base);
        const whole = await train(base, config, join(dir, "whole"));
        const { logHistory } = whole;
        const losses = logHistory.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
        assert.ok(losses.at(-1)! < losses[0]! - 0.02, `losses ${losses.join(", ")}`);
        for (const [state, data] of await statesOf(base)) assert.deepEqual(data, before.get(state), state);
        const resumed = await train(base, config, join(dir, "resumed"), join(dir, "whole", "checkpoint-3"));
        assert.deepEqual([...resumed.states.keys()], [...whole.states.keys()]);
        for (const [state, data] of whole.states) {
          assert.deepEqual(resumed.states.get(state), data, state);
          assert.notDeepEqual(data, whole.started.get(state), `${state} has not moved`);
        }
        const file = (run: string) => readFile(join(dir, run, "checkpoint-6", "adapter_model.safetensors"));
        assert.ok((await file("resumed")).equals(await file("whole")));
      });

      it("is evaluated as forward computes its loss", async () => {
        const model = peft();
        const inputIds = [[5, 9, 2, 30, 7]];
        const { loss } = await model.forward({ inputIds, labels: inputIds });
        const evalDataset = [{ inputIds: inputIds[0]! }];
        const { evalLoss } = await new Trainer({ model, trainDataset: evalDataset, evalDataset }).evaluate();
        assert.ok(Math.abs(evalLoss / loss! - 1) < ROUNDING, `${evalLoss}, not ${loss!}`);
      });

      it("takes the same steps with gradient checkpointing", async () => {
        const plain = await train(base, config, join(dir, "plain"));
        const again = await train(base, { ...config }, join(dir, "again"), undefined, true);
        for (const [state, data] of plain.states) {
          assert.ok(difference(again.states.get(state)!, data) < 1e-4, state);
        }
      });

      it("computes the same after saving and loading", async () => {
        const model = peft();
        const input = { inputIds: [[5, 9, 2, 30]] };
        const { logits } = await model.forward(input);
        await model.savePretrained(join(dir, "saved"));
        await model.deleteAdapter("default");
        const loaded = await PeftModel.fromPretrained(base, join(dir, "saved"));
        const again = (await loaded.forward(input)).logits;
        if (isEncoded) assert.ok(difference(again, logits) < ROUNDING);
        else assert.deepEqual(again, logits);
        // Loaded, there is one table, which is written as it was read.
        assert.equal(base.language.adapter("default").shared.size, 1);
        await loaded.savePretrained(join(dir, "again"));
        for (const one of ["adapter_model.safetensors", "adapter_config.json"]) {
          assert.ok((await readFile(join(dir, "again", one))).equals(await readFile(join(dir, "saved", one))), one);
        }
      });

      it("cannot be merged, and says why", async () => {
        await assert.rejects(peft().mergeAdapter(), (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.problem.hint ?? "", /no weight/);
          return true;
        });
      });

      it("refuses targets, and sizes of another model", () => {
        assert.throws(() => getPeftModel(base, { ...config, targetModules: ["q_proj"] }), /has no targets/);
        assert.throws(
          () => getPeftModel(base, { ...config, tokenDim: 7, numLayers: 9 }),
          (error) => {
            assert.ok(error instanceof ConfigError);
            assert.match(error.message, /token_dim is 7, not \d+/);
            assert.match(error.message, /num_layers is 9, not 3|num_layers is 9, not 2/);
            return true;
          },
        );
      });
    });
  }

  describe(`${name}: usable context`, () => {
    it("is refused where nothing would be left, with rotations too", async () => {
      for (const folder of ["gpt2", "qwen2-tied"]) {
        const base = await AutoModelForCausalLM.fromPretrained(`golden/causal-lm/${folder}`, { threads: 1 });
        const { maxPositions: N } = base.language.model;
        assert.throws(
          () => getPeftModel(base, { ...config, numVirtualTokens: N }),
          new RegExp(`leaves no room for tokens: the model has ${N} positions: got ${N} virtual tokens`),
        );
        await base.dispose();
      }
    });

    it("falls from N to N - P where positions are in a table", async () => {
      const base = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/gpt2", { threads: 1 });
      const { maxPositions: N } = base.language.model;
      const model = getPeftModel(base, config);
      const ids = (count: number) => Array.from({ length: count }, (_, i) => 1 + (i % 30));
      const left = N - P;
      await model.forward({ inputIds: [ids(left)] });
      await assert.rejects(model.forward({ inputIds: [ids(left + 1)] }), /3 of which are taken by virtual tokens/);
      const { rows, reasons } = await model.generate({ inputIds: [ids(left - 2)], maxNewTokens: 9, eosTokenId: [] });
      assert.deepEqual([rows[0]!.length, reasons], [3, ["context"]]);
      await assert.rejects(model.generate({ inputIds: [ids(left + 1)] }), /and 3 virtual tokens of the adapter/);
      assert.throws(
        () => new Trainer({ model, trainDataset: [{ inputIds: ids(left + 1) }] }),
        /3 of which are taken by virtual tokens/,
      );
      const starts: unknown[] = [];
      await new Trainer({
        model,
        trainDataset: [{ inputIds: ids(left) }],
        args: { maxSteps: 1 },
        callbacks: [{ onStart: ({ context }) => void starts.push(context) }],
      }).train();
      assert.deepEqual(starts, [{ virtual_tokens: P, usable_context: left }]);
      await model.dispose();
    });
  });
}

interface Trained {
  readonly logHistory: readonly Readonly<Record<string, number>>[];
  /** Of the adapter, at the start and at the end. */
  readonly started: ReadonlyMap<string, Float32Array>;
  readonly states: ReadonlyMap<string, Float32Array>;
}

/** Six steps on the same few rows of different lengths, with a checkpoint after the third. */
async function train(
  base: CausalLMModel,
  config: PeftConfig,
  outputDir: string,
  resumeFrom?: string,
  gradientCheckpointing = false,
): Promise<Trained> {
  const model = getPeftModel(base, config, { seed: 4 });
  const { device } = base.language;
  const random = new Random(6);
  const trainDataset = [7, 4, 6, 5].map((length) => ({ inputIds: Array.from({ length }, () => random.integer(40)) }));
  const read = async () => {
    const { parameters } = base.language.adapter("default");
    const states = new Map<string, Float32Array>();
    for (const { name } of parameters)
      states.set(name, Float32Array.from((await device.read(name)).data as Float32Array));
    return states;
  };
  await model.forward({ inputIds: [[1]] });
  const started = await read();
  const args = {
    outputDir,
    perDeviceTrainBatchSize: 2,
    gradientAccumulationSteps: 2,
    learningRate: 0.03,
    lrSchedulerType: "constant",
    maxSteps: 6,
    loggingSteps: 1,
    saveSteps: 3,
    gradientCheckpointing,
  } as const;
  const trainer = new Trainer({ model, trainDataset, args });
  const { logHistory } = await trainer.train(resumeFrom === undefined ? {} : { resumeFrom });
  const states = await read();
  await model.deleteAdapter("default");
  return { logHistory, started, states };
}

async function statesOf({ language }: CausalLMModel): Promise<Map<string, Float32Array>> {
  const states = new Map<string, Float32Array>();
  for (const { name } of language.model.parameters) {
    states.set(name, Float32Array.from((await language.device.read(name)).data as Float32Array));
  }
  return states;
}

/** Largest difference, as a part of the largest element. */
function difference(got: Float32Array, want: Float32Array): number {
  assert.equal(got.length, want.length);
  let [worst, largest] = [0, 0];
  want.forEach((value, i) => {
    worst = Math.max(worst, Math.abs(value - got[i]!));
    largest = Math.max(largest, Math.abs(value));
  });
  return worst / largest;
}
