/**
 * `node dist/scripts/text-heads.js FOLDER`: writes classifiers and masked models, saved from those of golden/text-heads, and
 * adapters of them, with our logits beside each, for golden/make/heads_read_ours.py to load in transformers and PEFT. No test
 * needs Python; this pair is run by hand when the format changes.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AutoModelForSequenceClassification } from "../src/lm/classification-model.ts";
import { AutoModelForMaskedLM } from "../src/lm/masked-lm-model.ts";
import { getPeftModel, type PeftConfig } from "../src/lm/peft-model.ts";

interface Batch {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly token_type_ids?: readonly (readonly number[])[];
}

const GOLDEN = fileURLToPath(new URL("../../golden/text-heads", import.meta.url));
const LORA = { peftType: "LORA", r: 3, loraAlpha: 7, initLoraWeights: false };

const CASES: Readonly<Record<string, readonly PeftConfig[]>> = {
  "bert-classes": [LORA, { ...LORA, targetModules: "all-linear" }, { peftType: "PROMPT_TUNING", numVirtualTokens: 2 }],
  "roberta-classes": [LORA, { ...LORA, bias: "all" }, { peftType: "PREFIX_TUNING", numVirtualTokens: 2 }],
  "qwen2-classes": [{ ...LORA, taskType: "SEQ_CLS", modulesToSave: ["norm"] }],
  "gpt2-classes": [{ ...LORA, useDora: true }],
  "roberta-masked": [LORA, { ...LORA, modulesToSave: ["lm_head"] }],
  "bert-masked": [{ peftType: "IA3", initIa3Weights: false }],
};

const [out] = process.argv.slice(2);
if (out === undefined) throw new Error("usage: text-heads.js FOLDER");
for (const [base, configs] of Object.entries(CASES)) {
  const { input_ids, attention_mask, token_type_ids } = JSON.parse(
    await readFile(join(GOLDEN, base, "batch.json"), "utf8"),
  ) as Batch;
  const input = {
    inputIds: input_ids,
    attentionMask: attention_mask,
    ...(token_type_ids === undefined ? {} : { tokenTypeIds: token_type_ids }),
  };
  const loader = base.endsWith("masked") ? AutoModelForMaskedLM : AutoModelForSequenceClassification;
  const model = await loader.fromPretrained(join(GOLDEN, base));
  const saved = join(out, base);
  await model.savePretrained(saved);
  const { logits, dims } = await model.forward(input);
  await writeFile(join(saved, "expected.json"), JSON.stringify({ ...input, logits: Array.from(logits), dims }));
  for (const [i, config] of configs.entries()) {
    const peft = getPeftModel(model as Parameters<typeof getPeftModel>[0], config);
    const folder = join(out, `${base}-adapter-${i}`);
    await peft.savePretrained(folder);
    const adapted = (await peft.forward(input as never)) as { logits: Float32Array };
    await writeFile(
      join(folder, "expected.json"),
      JSON.stringify({ ...input, base, logits: Array.from(adapted.logits), dims }),
    );
    await peft.deleteAdapter("default");
  }
  await model.dispose();
}
