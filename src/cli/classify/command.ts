/** `lowrank classify`: the classes of texts. */
import { type Command, Option } from "commander";
import { ENGINE_DEVICES } from "../../runtime/runtime.ts";
import { interruptible } from "../interrupt.ts";
import { integer } from "../options.ts";
import { type ClassifyOptions, runClassify } from "./run-classify.ts";

export function addClassifyCommand(program: Command): void {
  program
    .command("classify")
    .description("tell the classes of texts, with a classifier or an adapter that was trained with stage: cls")
    .argument("<model>", "folder of a classifier or of its adapter, or its name on the Hugging Face hub")
    .argument("[texts...]", "the texts")
    .option("--pair <text>", "a second text, read after each of the texts")
    .option("--input <file>", "texts of a file: .txt by lines, .jsonl, .json, .csv, .tsv or .parquet by columns")
    .option("--text-columns <names>", "column of the text, or two with a comma (default: found by name)", names)
    .option("--label-column <name>", "column of the right class, to count how often it is told (default: label)")
    .option("--model <name>", "the base of an adapter (default: the one that it names)")
    .option("--cutoff-len <n>", "most tokens of a text (default: the model's positions)", integer(1))
    .option("--batch-size <n>", "texts that are read at a time", integer(1), 16)
    .addOption(new Option("--device <device>", "where to compute (default: cpu)").choices(ENGINE_DEVICES))
    .option("--storage <name>", "storage of the base's weights, such as nf4: `lowrank storages` lists them")
    .option("--threads <n>", "threads of the engine (default: one per core)", integer(1))
    .option("--revision <name>", "branch, tag or commit on the hub")
    .option("--offline", "download nothing")
    .option("--json", "one JSON object per text")
    .action(async (model: string, texts: string[], options: ClassifyOptions) => {
      await interruptible((signal) => runClassify(model, texts, options, { signal }));
    });
}

function names(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}
