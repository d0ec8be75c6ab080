/** `lowrank demo`: complete jobs on real data, to watch. */
import { type Command, Option } from "commander";
import { ENGINE_DEVICES } from "../../runtime/runtime.ts";
import { interruptible } from "../interrupt.ts";
import { integer, positive } from "../options.ts";
import { type Cifar10DemoOptions, runCifar10Demo } from "./cifar10.ts";

export function addDemoCommands(program: Command): void {
  program
    .command("demo")
    .description("complete jobs on real data, to watch")
    .command("cifar10")
    .description(
      "LoRA on an image classifier: train it, adapt it with 0.07 % of its parameters, switch the adapter off and on",
    )
    .option("--data <dir>", "folder with CIFAR-10's binary files, or `synthetic` (default: download them)")
    .option("--epochs <n>", "epochs of the base model", integer(1), 2)
    .option("--lora-epochs <n>", "epochs of LoRA, and of the control", integer(1), 2)
    .option("--batch-size <n>", "images per step", integer(1), 8)
    .option("--lr <rate>", "learning rate of Adam", positive, 1e-3)
    .option("--rank <r>", "rank of LoRA", integer(1), 1)
    .option("--alpha <a>", "alpha of LoRA; its updates are scaled by alpha / rank", positive, 1)
    .addOption(
      new Option("--form <form>", "how LoRA is computed: Wx + sB(Ax), or (W + sBA)x")
        .choices(["activation", "weight"])
        .default("activation"),
    )
    .option("--limit-train <n>", "use the first n training images", integer(1))
    .option("--limit-test <n>", "use the first n test images", integer(1))
    .option("--seed <n>", "seed of everything random", integer(0), 0)
    .addOption(new Option("--device <device>", "where to compute").choices(ENGINE_DEVICES).default("cpu"))
    .option("--threads <n>", "threads of the engine, 0 for one per core", integer(0), 0)
    .option("--out <dir>", "folder for what is made", "lowrank-out/cifar10")
    .option("--json", "print one JSON object on stdout, and everything else on stderr")
    .action(async (options: Cifar10DemoOptions) => {
      await interruptible((signal) => runCifar10Demo(options, signal));
    });
}
