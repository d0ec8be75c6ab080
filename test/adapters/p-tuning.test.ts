/** P-tuning: PEFT's files, numbers and training; the contract of virtual tokens. */
import { pTuning } from "../../src/adapters/p-tuning.ts";
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
