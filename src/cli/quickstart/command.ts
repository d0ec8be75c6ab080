/** `lowrank quickstart`: the whole job on the bundled model, with nothing to download. */
import type { Command } from "commander";
import { interruptible } from "../interrupt.ts";
import { integer } from "../options.ts";
import { type QuickstartOptions, runQuickstart } from "./run-quickstart.ts";

export function addQuickstartCommand(program: Command): void {
  program
    .command("quickstart")
    .description("LoRA on the bundled model: train it, ask it before and after, merge it, check the merge")
    .option("--out <dir>", "folder for what is made", "lowrank-out/quickstart")
    .option("--prompt <text>", "what the model is asked, besides the questions that are asked anyway")
    .option("--threads <n>", "threads of the engine (default: one per core)", integer(1))
    .action(async (options: QuickstartOptions) => {
      await interruptible((signal) => runQuickstart(options, signal));
    });
}
