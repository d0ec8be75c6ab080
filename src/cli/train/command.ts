/** `lowrank train`: fine-tunes as a LLaMA-Factory configuration says. */
import type { Command } from "commander";
import { interruptible } from "../interrupt.ts";
import { runTrain } from "./run-train.ts";

export function addTrainCommand(program: Command): void {
  program
    .command("train")
    .description("fine-tune a language model as a LLaMA-Factory configuration says")
    .argument("[config]", "a YAML or JSON file, such as those in recipes/")
    .argument("[overrides...]", "key=value, in place of what the file says")
    .action(async (config: string | undefined, overrides: string[]) => {
      const isOverride = config !== undefined && /^\w+=/.test(config);
      const path = isOverride ? undefined : config;
      await interruptible((signal) => runTrain(path, isOverride ? [config, ...overrides] : overrides, { signal }));
    });
}
