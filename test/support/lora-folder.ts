/** Folders of adapters for tests, as PEFT has them, whose updates are not zero. */
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, type LoraConfig } from "../../src/lm/peft-model.ts";

/** A LoRA of rank 4 and alpha 10 on every linear layer, drawn from a seed, for the model in `base`. */
export async function writeLora(dir: string, base: string, config: Partial<LoraConfig> = {}, seed = 0): Promise<void> {
  const model = await AutoModelForCausalLM.fromPretrained(base, { threads: 1 });
  try {
    const peft = getPeftModel(
      model,
      { peftType: "LORA", r: 4, loraAlpha: 10, targetModules: "all-linear", initLoraWeights: false, ...config },
      { seed },
    );
    await peft.savePretrained(dir);
  } finally {
    await model.dispose();
  }
}
