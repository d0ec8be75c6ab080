/** `lowrank d90`: the intrinsic dimension of a task. */
import type { Command } from "commander";
import { interruptible } from "../interrupt.ts";
import { integer, positive } from "../options.ts";
import { type D90Flags, runD90 } from "./run-d90.ts";

export function addD90Command(program: Command): void {
  program
    .command("d90")
    .description("find the least number of dimensions that is 90% as good as training every weight")
    .argument(
      "<config>",
      "a YAML or JSON file, such as recipes/methods/d90.yaml: its learning_rate is for every weight",
    )
    .argument("[overrides...]", "key=value, in place of what the file says")
    .option("--share <part>", "part of the fall of the held-out loss that is enough (default: 0.9)", positive)
    .option("--min-d <n>", "smallest number of dimensions, a power of two (default: 1)", integer(1))
    .option("--max-d <n>", "largest number of dimensions, a power of two (default: at most 65536)", integer(1))
    .option("--json", "print one JSON object on stdout")
    .action(async (config: string, overrides: readonly string[], flags: D90Flags) => {
      await interruptible((signal) => runD90(config, overrides, flags, signal));
    });
}
