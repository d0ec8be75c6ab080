/** `lowrank chat`: a conversation with a model and its adapters. */
import { type Command, Option } from "commander";
import { ENGINE_DEVICES } from "../../runtime/runtime.ts";
import { integer, number, positive, share } from "../options.ts";
import { runChat } from "./run.ts";
import type { ChatOptions } from "./setup.ts";

export function addChatCommand(program: Command): void {
  program
    .command("chat")
    .description("talk to a model, with adapters that can be switched; /help in the chat lists what can be said")
    .argument("[config]", "a LLaMA-Factory configuration (.yaml or .json); what options say wins")
    .argument("[overrides...]", "key=value, in place of the configuration's")
    .option("--model <dir|id>", "folder of the model, or its name on the Hugging Face hub")
    .option("--adapter <path>", "adapter, or NAME=PATH; may be given several times, the first one is on", collect)
    .option("--template <name>", "chat template by LLaMA-Factory's name (default: the model's own)")
    .option("--no-template", "no chat: the model goes on with the text")
    .option("--system <text>", "system prompt")
    .option("--max-new-tokens <n>", "tokens of an answer at most (default: the model's, or 1024)", integer(1))
    .option("--temperature <t>", "logits are divided by it; 0 is --greedy (default: the model's)", number(0))
    .option("--top-k <n>", "draw from so many tokens; 0: all (default: the model's, or 50)", integer(0))
    .option("--top-p <p>", "draw from the likeliest tokens of this probability together (default: the model's)", share)
    .option("--min-p <p>", "draw from tokens of this share of the likeliest one's probability", number(0, 1))
    .option("--repetition-penalty <x>", "above 1: tokens that are there become less likely", positive)
    .option("--greedy", "always the likeliest token")
    .option("--seed <n>", "seed of the draws", integer(0))
    .option("--threads <n>", "threads of the engine (default: one per core)", integer(1))
    .addOption(new Option("--device <device>", "where to compute (default: cpu)").choices(ENGINE_DEVICES))
    .option("--storage <name>", "storage of the weights, such as nf4: `lowrank storages` lists them")
    .option("--offline", "download nothing")
    .option("--revision <name>", "branch, tag or commit of the model on the hub")
    .option("--prompt <text>", "one answer, then exit; - reads the question from stdin")
    .option("--json", "one JSON object per answer")
    .addHelpText("after", "\nWithout a terminal, every line of stdin is a question, or a command such as /base.")
    .action((config: string | undefined, overrides: string[], options: ChatOptions) =>
      runChat(config, overrides, options),
    );
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
