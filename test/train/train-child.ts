/** `node train-child.js OUTPUT_DIR`: trains to the end, from the last checkpoint if there is one. To be killed. */
import { readFileSync } from "node:fs";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { PeftModel } from "../../src/lm/peft-model.ts";
import { lastCheckpoint } from "../../src/train/run/checkpoint-store.ts";
import type { TrainRow } from "../../src/train/train-rows.ts";
import { Trainer } from "../../src/train/trainer.ts";

const outputDir = process.argv[2]!;
const { rows } = JSON.parse(readFileSync("golden/trainer/run.json", "utf8")) as { rows: TrainRow[] };
const model = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
const peft = await PeftModel.fromPretrained(model, "golden/trainer/adapter", { isTrainable: true });
const trainer = new Trainer({
  model: peft,
  trainDataset: rows,
  args: {
    outputDir,
    perDeviceTrainBatchSize: 2,
    learningRate: 0.01,
    numTrainEpochs: 8,
    loggingSteps: 3,
    saveSteps: 1,
    saveTotalLimit: 2,
  },
  callbacks: [{ onSave: ({ step }) => void process.stdout.write(`saved ${step}\n`) }],
});
const last = await lastCheckpoint(outputDir);
await trainer.train(last === undefined ? {} : { resumeFrom: last.path });
await peft.savePretrained(`${outputDir}/final`);
await peft.dispose();
