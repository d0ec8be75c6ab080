/** `lowrank continual`: one model, several tasks one after the other, several methods; the protocol of the papers on any model. */
import { type Command, InvalidArgumentError } from "commander";
import { interruptible } from "../interrupt.ts";
import { integer } from "../options.ts";
import { type ContinualFlags, runContinual } from "./run.ts";

export function addContinualCommand(program: Command): void {
  program
    .command("continual")
    .description("tune a model on several tasks one after the other, and see what it forgets")
    .argument("<recipe>", "tasks and methods, such as recipes/continual-bundled.yaml")
    .option("--model <dir>", "folder of the model (default: what the recipe says, or else the bundled one)")
    .option("--data <dir>", "folder that the paths of the tasks are below (default: that of the recipe)")
    .option("--out <dir>", "folder of the report (default: lowrank-out/NAME, after the recipe)")
    .option("--jobs <dir>", "folder of the results (default: jobs, in that of the report)")
    .option("--seeds <seeds>", "in place of the recipe's: 0,1,2", seedList)
    .option("--any-code", "take results that another version of the code has made")
    .option("--threads <n>", "threads of the engine (default: one per core)", integer(1))
    .action(async (recipe: string, flags: ContinualFlags) => {
      await interruptible(async (signal) => {
        if ((await runContinual(recipe, flags, { signal })) > 0) process.exitCode = 1;
      });
    });
}

function seedList(text: string): number[] {
  const seeds = text.split(",").map((part) => Number(part.trim() || NaN));
  if (seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)) return [...new Set(seeds)];
  throw new InvalidArgumentError("expected whole numbers >= 0 with commas between.");
}
