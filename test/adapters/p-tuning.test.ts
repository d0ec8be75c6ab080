/** P-tuning: PEFT's files, numbers and training; the contract of virtual tokens. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { pTuning } from "../../src/adapters/p-tuning.ts";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel } from "../../src/lm/peft-model.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { describeLeftPadded, describePromptCase } from "./prompt-cases.ts";
import { describeVirtualTokens } from "./virtual-contract.ts";

describePromptCase(pTuning, { folder: "p-tuning-mlp", config: { numVirtualTokens: 4, encoderHiddenSize: 9 } });
describePromptCase(pTuning, {
  folder: "p-tuning-lstm",
  config: { numVirtualTokens: 4, encoderReparameterizationType: "LSTM", encoderHiddenSize: 6 },
});
describeLeftPadded("p-tuning-lstm");

describeVirtualTokens({
  name: "MLP",
  config: { peftType: "P_TUNING", numVirtualTokens: 3, encoderHiddenSize: 7 },
  isEncoded: true,
});
describeVirtualTokens({
  name: "LSTM with dropout",
  config: {
    peftType: "P_TUNING",
    numVirtualTokens: 3,
    encoderReparameterizationType: "LSTM",
    encoderHiddenSize: 5,
    encoderDropout: 0.2,
  },
  isEncoded: true,
});

it("drops out between the layers of the LSTM while training, and only then", async () => {
  const base = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
  const run = async (encoderDropout: number, seed: number) => {
    const lstm = { encoderReparameterizationType: "LSTM", encoderHiddenSize: 5, encoderDropout };
    const model = getPeftModel(base, { peftType: "P_TUNING", numVirtualTokens: 3, ...lstm }, { seed: 3 });
    const { logits } = await model.forward({ inputIds: [[5, 9, 2]] });
    const trainDataset = [{ inputIds: [5, 9, 2, 7] }];
    const { trainingLoss } = await new Trainer({ model, trainDataset, args: { maxSteps: 1, seed } }).train();
    await model.deleteAdapter("default");
    return { logits, trainingLoss };
  };
  const [plain, dropped, other] = [await run(0, 1), await run(0.5, 1), await run(0.5, 2)];
  assert.deepEqual(dropped.logits, plain.logits);
  assert.notEqual(dropped.trainingLoss, plain.trainingLoss);
  assert.notEqual(dropped.trainingLoss, other.trainingLoss);
  await base.dispose();
});
