/** `lowrank methods`: everything that `finetuning_type` can be. */
import type { Command } from "commander";
import { MODEL_CONFIG_FILE, readModelConfig } from "../../formats/model/config.ts";
import { resolveFolder } from "../../hub/resolve.ts";
import type { TextModel } from "../../models/text-model.ts";
import { familyOf } from "../../models/index.ts";
import { modelOfShape } from "../bench/shapes.ts";
import { interruptible } from "../interrupt.ts";
import { table } from "../terminal/table.ts";
import { allMethodFacts, type MethodFacts } from "./facts.ts";

/** Model that elements are counted on where none is named. */
export const REFERENCE_SHAPE = "qwen2.5-0.5b";

interface Flags {
  readonly model?: string;
  readonly revision?: string;
  readonly offline?: true;
  readonly json?: true;
}

export function addMethodsCommand(program: Command): void {
  program
    .command("methods")
    .description("list the tuning methods: what each trains, whether it can be merged, and its files")
    .option("--model <name>", `folder of a model, or its name on the hub (default: the shape of ${REFERENCE_SHAPE})`)
    .option("--revision <name>", "branch, tag or commit on the hub")
    .option("--offline", "download nothing")
    .option("--json", "print one JSON array on stdout")
    .action(async (flags: Flags) => {
      await interruptible((signal) => runMethods(flags, signal));
    });
}

async function runMethods({ model: name, revision, offline, json }: Flags, signal: AbortSignal): Promise<void> {
  const model =
    name === undefined
      ? modelOfShape(REFERENCE_SHAPE)
      : await modelOf(
          (
            await resolveFolder(name, {
              kind: "model",
              files: [MODEL_CONFIG_FILE],
              signal,
              ...(revision === undefined ? {} : { revision }),
              ...(offline === undefined ? {} : { offline }),
            })
          ).dir,
        );
  const facts = allMethodFacts(model);
  process.stdout.write(`${json === true ? JSON.stringify(facts, null, 2) : methodsText(facts, name)}\n`);
}

async function modelOf(dir: string): Promise<TextModel> {
  const config = await readModelConfig(dir);
  const model = familyOf(config.modelType).build(config);
  config.check();
  return model;
}

export function methodsText(facts: readonly MethodFacts[], model: string | undefined): string {
  const rows = facts.map((each) => [
    each.name,
    each.trainable === null ? "-" : each.trainable.toLocaleString("en-US"),
    each.trainable_percent === null ? "-" : `${each.trainable_percent.toPrecision(3)}%`,
    each.mergeable ? "yes" : "no",
    each.peft_type ?? "whole model",
    each.peft_type === null ? "-" : each.in_peft ? "yes" : "no",
    plain(each.summary),
  ]);
  const header = ["method", "trained", "of all", "merges", "files", "in PEFT", "what it does"];
  const align = ["left", "right", "right", "left", "left", "left", "left"] as const;
  const unmergeable = facts.flatMap(({ name, unmergeable: why }) => (why === undefined ? [] : [`${name}: ${why}`]));
  const absent = facts.flatMap(({ name, not_on_model: why }) => (why === undefined ? [] : [`${name}: ${why}`]));
  return [
    table(rows, { header, align }),
    "",
    `trained: elements on ${model ?? `a model of the shape of ${REFERENCE_SHAPE}`}, with the method's own targets and settings`,
    ...titled("cannot be put on this model as they are", absent),
    ...titled("cannot be merged", unmergeable),
  ].join("\n");
}

function titled(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
}

function plain(text: string): string {
  return text.replaceAll("`", "");
}
