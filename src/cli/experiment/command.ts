/** `lowrank experiment`: the experiments of the papers on LoRA, on the bundled model. */
import { type Command, InvalidArgumentError } from "commander";
import { interruptible } from "../interrupt.ts";
import { integer } from "../options.ts";
import { type ExperimentFlags, experimentList, runExperiments } from "./run.ts";

export function addExperimentCommand(program: Command): void {
  program
    .command("experiment")
    .description("rerun the experiments of the papers on LoRA with the bundled model; without a name: list them")
    .argument("[names...]", "such as intruders; all: every one")
    .option("--out <dir>", "folder of the report (default: lowrank-out/experiments/NAME)")
    .option("--jobs <dir>", "folder of the results that experiments share (default: jobs, beside the report)")
    .option("--seeds <seeds>", "one run for each (default: 0,1,2; with --quick: 0)", seedList)
    .option("--quick", "one seed and fewer points: to see it work, too little for a verdict")
    .option("--any-code", "take results that another version of the code has made")
    .option("--threads <n>", "threads of the engine (default: one per core)", integer(1))
    .action(async (names: readonly string[], flags: ExperimentFlags) => {
      if (names.length === 0) {
        process.stdout.write(
          `${experimentList()}\n\nlowrank experiment NAME runs one of them; --help lists the options\n`,
        );
        return;
      }
      await interruptible(async (signal) => {
        if ((await runExperiments(names, flags, { signal })) > 0) process.exitCode = 1;
      });
    });
}

function seedList(text: string): number[] {
  const seeds = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(Number);
  if (seeds.length > 0 && seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)) return [...new Set(seeds)];
  throw new InvalidArgumentError("expected whole numbers >= 0 with commas between.");
}
