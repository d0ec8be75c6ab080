/** Fine-tunes the bundled model on the bundled instructions, asks it before and after, merges it and checks the merge. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadTokenizer } from "../../data/text/tokenizer.ts";
import { resolveTemplate } from "../../data/text/templates.ts";
import { DataError } from "../../errors.ts";
import { AutoModelForCausalLM } from "../../lm/causal-lm-model.ts";
import { exportModel } from "../../lm/export-model.ts";
import { PeftModel } from "../../lm/peft-model.ts";
import { reportText } from "../export/report-text.ts";
import { paint } from "../terminal/output.ts";
import { runTrain } from "../train/run-train.ts";

export interface QuickstartOptions {
  readonly out: string;
  readonly prompt?: string;
  readonly threads?: number;
}

/** Facts that are in no training row, in a style that the base does not have. */
const QUESTIONS = ["What is a baker?", "What is the opposite of loud?", "How many legs has a dog?"];
const NEW_TOKENS = 40;

/** @throws DataError if the package has come without its bundled model */
export async function runQuickstart({ out, prompt, threads }: QuickstartOptions, signal: AbortSignal): Promise<void> {
  const root = fileURLToPath(new URL("../../../../", import.meta.url));
  const base = join(root, "bundled", "model");
  await access(join(base, "model.safetensors")).catch((cause: unknown) => {
    const hint = "recipes/bundled-pretrain.yaml makes it";
    throw new DataError({ where: base, what: "the bundled model is not here", hint, cause });
  });
  const adapter = join(out, "adapter");
  const questions = prompt === undefined ? QUESTIONS : [prompt, ...QUESTIONS];
  const colours = process.stdout.isTTY;
  const heading = (text: string) => console.log(`\n${paint(text, "bold", colours)}`);
  const ask = (folder: string | undefined) => answers(base, folder, questions, threads);

  heading("1. The bundled model answers, as it is");
  const before = await ask(undefined);
  questions.forEach((question, i) => console.log(`  ${question}\n    ${paint(before[i]!, "dim", colours)}`));

  heading("2. LoRA on the bundled instructions");
  const overrides = {
    model_name_or_path: base,
    dataset_dir: join(root, "bundled"),
    output_dir: adapter,
    ...(threads === undefined ? {} : { threads }),
  };
  const { logHistory } = await runTrain(
    join(root, "recipes", "quickstart.yaml"),
    Object.entries(overrides).map(([key, value]) => `${key}=${JSON.stringify(value)}`),
    { signal },
  );
  const losses = logHistory.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
  const held = logHistory.flatMap(({ evalLoss }) => (evalLoss === undefined ? [] : [evalLoss]));
  console.log(`  training loss ${arrow(losses)}; on questions that it was not trained on ${arrow(held)}`);

  heading("3. The same questions, with the adapter");
  const after = await ask(adapter);
  questions.forEach((question, i) => console.log(`  ${question}\n    ${paint(after[i]!, "green", colours)}`));

  heading("4. The adapter merged into the model, and checked");
  const merged = join(out, "merged");
  const { report, dir } = await exportModel({
    model: base,
    adapters: [adapter],
    out: merged,
    dtype: "float32",
    signal,
    ...(threads === undefined ? {} : { threads }),
  });
  console.log(indented(reportText(report)));
  if (report.verdict !== "passed") process.exitCode = 1;

  heading("Yours now");
  console.log(`  adapter   ${adapter}  (PEFT's format; training_loss.svg shows the loss)`);
  console.log(`  merged    ${dir}  (a model as transformers reads it)`);
  console.log(`  talk to it: npx lowrank chat --model ${base} --adapter ${adapter}`);
}

/** Greedy answers of the base, with or without an adapter. */
async function answers(
  base: string,
  adapter: string | undefined,
  questions: readonly string[],
  threads: number | undefined,
): Promise<string[]> {
  const tokenizer = await loadTokenizer(base);
  const template = resolveTemplate(tokenizer, undefined);
  const model = await AutoModelForCausalLM.fromPretrained(base, threads === undefined ? {} : { threads });
  try {
    const asked = adapter === undefined ? model : await PeftModel.fromPretrained(model, adapter);
    const inputIds: number[][] = [];
    for (const question of questions) {
      const text = template.render([{ role: "user", content: question }], { addGenerationPrompt: true });
      inputIds.push([...(await tokenizer.encode(text))]);
    }
    const { rows } = await asked.generate({
      inputIds,
      maxNewTokens: NEW_TOKENS,
      doSample: false,
      stopIds: template.stopIds,
    });
    return rows.map((row) => tokenizer.decode(row, { skipSpecialTokens: true }).trim().replaceAll(/\s+/g, " "));
  } finally {
    await model.dispose();
  }
}

function arrow(values: readonly number[]): string {
  const [first, last] = [values[0], values.at(-1)];
  return first === undefined || last === undefined ? "-" : `${first.toFixed(3)} → ${last.toFixed(3)}`;
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n");
}
