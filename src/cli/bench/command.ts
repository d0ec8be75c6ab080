/** `lowrank bench`: measures this machine. */
import { type Command, Option } from "commander";
import { interruptible } from "../interrupt.ts";
import { integer, share } from "../options.ts";
import { type BenchGenerateOptions, runBenchGenerate } from "./generate.ts";
import { SHAPE_NAMES } from "./shapes.ts";
import { BENCH_STORAGES } from "./storages.ts";
import { type BenchTrainOptions, runBenchTrain } from "./train.ts";

export function addBenchCommands(program: Command): void {
  const bench = program.command("bench").description("measure this machine, on random weights: nothing is downloaded");
  addTrain(bench);
  addGenerate(bench);
}

function addTrain(bench: Command): void {
  shared(bench.command("train").description("time and memory of a LoRA step of a language model"))
    .option("--tokens <n>", "tokens of a sequence", integer(2), 512)
    .option("--batch <n>", "sequences of a step", integer(1), 1)
    .option("--supervised <share>", "share of the tokens that are trained on, the last ones", share, 0.25)
    .option("--gradient-checkpointing", "compute activations again instead of keeping them")
    .option("--method <name>", "tuning method, of those that are put on layers", "lora")
    .option("--r <r>", "rank", integer(1), 8)
    .option("--steps <n>", "steps that are timed, after two that are not", integer(1), 5)
    .action(async (options: BenchTrainOptions) => {
      await interruptible((signal) => runBenchTrain(options, signal));
    });
}

function addGenerate(bench: Command): void {
  shared(bench.command("generate").description("speed of generation, against what memory allows"))
    .option("--prompt-tokens <n>", "tokens of the prompt", integer(1), 128)
    .option("--new-tokens <n>", "tokens that are generated", integer(2), 64)
    .action(async (options: BenchGenerateOptions) => {
      await interruptible((signal) => runBenchGenerate(options, signal));
    });
}

/** What all measurements of a model can be told. */
function shared(command: Command): Command {
  return command
    .option("--shape <name>", `shape of the model: ${SHAPE_NAMES.join(", ")}`, "qwen2.5-0.5b")
    .addOption(
      new Option("--storage <type>", "storage of the frozen weights").choices(BENCH_STORAGES).default("float32"),
    )
    .option("--threads <n>", "threads of the engine, 0 for one per core", integer(0), 0)
    .option("--layers <n>", "take only so many layers of the shape", integer(1))
    .option("--keep", "keep the file of random weights in the cache for the next time")
    .option("--json", "print one JSON object");
}
