/** `lowrank compare`: the same base, data, budget and seeds for every method and storage. */
import { type Command, InvalidArgumentError } from "commander";
import { interruptible } from "../interrupt.ts";
import { runCompare } from "./run-compare.ts";

interface Given {
  readonly out?: string;
  readonly only?: string[];
  readonly seeds?: number[];
  readonly dryRun?: true;
  readonly anyCode?: true;
}

export function addCompareCommand(program: Command): void {
  program
    .command("compare")
    .description("compare tuning methods and storages on the same base, data, budget of tokens and seeds")
    .argument("<file>", "a comparison, such as recipes/compare-methods.yaml")
    .argument("[overrides...]", "key=value, in place of what base: says")
    .option("--out <dir>", "folder of all results (default: lowrank-out/NAME, after the file)")
    .option("--only <cells>", "these cells, with commas between: lora,vera or lora-nf4", list)
    .option("--seeds <seeds>", "in place of the file's: 0,1,2", seedList)
    .option("--dry-run", "check everything and show what there is to do")
    .option("--any-code", "take results that another version of the code has made")
    .action(async (file: string, overrides: string[], options: Given) => {
      await interruptible(async (signal) => {
        const { failed } = await runCompare(file, overrides, options, { signal });
        if (failed.length > 0) process.exitCode = 1;
      });
    });
}

function list(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function seedList(text: string): number[] {
  const seeds = list(text).map(Number);
  if (seeds.length > 0 && seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)) return [...new Set(seeds)];
  throw new InvalidArgumentError("expected whole numbers >= 0 with commas between.");
}
