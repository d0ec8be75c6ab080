/** `lowrank data`: looks at the data of a run. */
import type { Command } from "commander";
import { interruptible } from "../interrupt.ts";
import { type DataCommandOptions, runData } from "./run-data.ts";

export function addDataCommand(program: Command): void {
  program
    .command("data")
    .description("what the model will really see of a run's data: counts, lengths, and samples with what is trained on")
    .argument("[config]", "configuration of the run (.yaml or .json)")
    .argument("[overrides...]", "key=value, in place of the configuration's: max_samples=100")
    .option("--json", "print the report as one JSON object")
    .action(async (config: string | undefined, overrides: string[], options: DataCommandOptions) => {
      // Without a file, all keys are given here.
      const isKey = config !== undefined && /^[a-z_]+=/.test(config);
      const path = isKey ? undefined : config;
      await interruptible((signal) => runData(path, isKey ? [config, ...overrides] : overrides, options, { signal }));
    });
}
