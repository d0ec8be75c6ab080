import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ConfigError, FormatError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import {
  checkIdentity,
  type Identity,
  readTrainingState,
  type TrainingState,
  writeTrainingState,
} from "../../../src/train/run/training-state.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Numbers that are easily lost: not a number, infinities, -0, the smallest and the largest, and one with every digit. */
const AWKWARD = [NaN, Infinity, -Infinity, -0, 5e-324, Number.MAX_VALUE, 0.1 + 0.2];

function example(): TrainingState {
  const random = new Random(7);
  random.normal();
  const slot = {
    shape: [2, 4],
    read: async () => ({ dtype: "float32" as const, shape: [2, 4], data: Float32Array.from([...AWKWARD, 1 / 3]) }),
  };
  return {
    stepper: { steps: 30, seed: 42, slots: new Map([["optimizer/a.lora_A.weight/m", slot]]) },
    progress: {
      globalStep: 30,
      epoch: 1,
      positionInEpoch: 17,
      tokensSeen: 123_456_789_012,
      samplesSkipped: 2,
      elapsedMs: 1234.5678,
      lossSum: 0.1 + 0.2,
      nested: { awkward: AWKWARD },
    },
    random: { data: random.state() },
    identity: { learning_rate: 0.1, dataset: ["a", "b"] },
    trainer: {
      globalStep: 30,
      epoch: 1.5,
      maxSteps: 60,
      numTrainEpochs: 3,
      trainBatchSize: 2,
      loggingSteps: 10,
      saveSteps: 10,
      evalSteps: 10,
      numInputTokensSeen: 5,
      totalFlos: 1e15,
      logHistory: [{ epoch: 1.5, loss: 1 / 3, learning_rate: 9.999e-5, step: 30 }],
      bestMetric: 0.1 + 0.2,
      bestGlobalStep: 20,
      bestModelCheckpoint: "out/checkpoint-20",
      statefulCallbacks: { EarlyStoppingCallback: { args: {}, attributes: { early_stopping_patience_counter: 1 } } },
    },
  };
}

/** With the contents of the slots in the place of what reads them. */
async function atHand(state: TrainingState): Promise<object> {
  const slots = await Promise.all(
    [...state.stepper.slots].map(async ([name, slot]) => ({ name, shape: slot.shape, tensor: await slot.read() })),
  );
  return { ...state, stepper: { ...state.stepper, slots } };
}

suite("the state of a run", () => {
  test("comes back bit for bit", async (context) => {
    const dir = await temporaryFolder(context);
    const state = example();
    await writeTrainingState(dir, state);
    const read = await readTrainingState(dir);
    // deepStrictEqual tells -0 from 0 and takes NaN as equal to itself.
    assert.deepStrictEqual(await atHand(read), await atHand(state));
    const [[, before], [, after]] = [[...state.stepper.slots][0]!, [...read.stepper.slots][0]!];
    assert.deepEqual(
      new Uint8Array((await after.read()).data.buffer),
      new Uint8Array((await before.read()).data.buffer),
    );
    const [one, other] = [state, read].map(({ random }) => Random.fromState(random["data"]!));
    assert.equal(one?.normal(), other?.normal());
  });

  test("trainer_state.json has the keys of transformers, sorted, with an indent of 2", async (context) => {
    const dir = await temporaryFolder(context);
    await writeTrainingState(dir, example());
    const text = await readFile(join(dir, "trainer_state.json"), "utf8");
    assert.ok(text.startsWith('{\n  "best_global_step": 20,\n  "best_metric": 0.30000000000000004,\n'), text);
    // Fields of TrainerState in transformers 5.
    assert.deepEqual(
      Object.keys(JSON.parse(text) as object),
      (
        "best_global_step best_metric best_model_checkpoint epoch eval_steps global_step is_hyper_param_search " +
        "is_local_process_zero is_world_process_zero log_history logging_steps max_steps num_input_tokens_seen " +
        "num_train_epochs save_steps stateful_callbacks total_flos train_batch_size trial_name trial_params"
      ).split(" "),
    );
  });

  test("files that do not belong together, or are missing, are named", async (context) => {
    const dir = await temporaryFolder(context);
    const write = async (file: string, change: (text: string) => string) => {
      await writeTrainingState(dir, example());
      await writeFile(join(dir, file), change(await readFile(join(dir, file), "utf8")));
    };
    const fails = (message: RegExp) =>
      assert.rejects(readTrainingState(dir), (error) => error instanceof FormatError && message.test(error.message));

    await write("trainer_state.json", (text) => text.replace('"global_step": 30', '"global_step": 20'));
    await fails(/different steps: got resume\.json: 30, trainer_state\.json: 20/);
    await write("trainer_state.json", (text) => text.replace('"log_history": [', '"log_history": [3,'));
    await fails(/trainer_state\.json: is not the state of a trainer: got log_history/);
    await write("resume.json", (text) => text.replace('"format_version": 2', '"format_version": 3'));
    await fails(/resume\.json: .*format_version 3/);
    await write("resume.json", () => "null");
    await fails(/resume\.json: is not a state/);
    await rm(join(dir, "resume.json"));
    await assert.rejects(
      readTrainingState(dir),
      (error) => error instanceof ConfigError && /weights only/.test(error.message),
    );
    await write("optimizer.safetensors", () => "");
    await fails(/optimizer\.safetensors/);
  });

  test("a configuration with other values is refused, with their names; the order of its keys is nothing", () => {
    checkIdentity({ a: 1, b: [1, { c: 2 }] }, { b: [1, { c: 2 }], a: 1 });
    const refused = (saved: Identity, now: Identity, message: RegExp) =>
      assert.throws(
        () => checkIdentity(saved, now),
        (error) => error instanceof ConfigError && message.test(error.message),
      );
    refused({ a: 1, rate: 0.1 }, { a: 1, rate: 0.2 }, /got rate: 0\.2, expected rate: 0\.1/);
    refused({ a: [1, 2] }, { a: [2, 1] }, /got a: \[2,1\]/);
    refused({ a: 1 }, { a: 1, b: true }, /got b: true, expected b: none/);
  });
});
