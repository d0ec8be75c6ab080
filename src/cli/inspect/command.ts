/** `lowrank inspect`: what a model or an adapter is, and what training would need, before anything runs. */
import type { Command } from "commander";
import { readRunConfig } from "../../config/index.ts";
import { ConfigError } from "../../errors.ts";
import { resolveFolder } from "../../hub/resolve.ts";
import { interruptible } from "../interrupt.ts";
import { integer, positive } from "../options.ts";
import { adapterFacts } from "./adapter.ts";
import { whatIs } from "./kind.ts";
import { modelFacts, type TrainingSettings } from "./model.ts";
import { tensorFacts } from "./tensors.ts";
import { adapterText, modelText, tensorText } from "./text.ts";

interface Flags {
  readonly model?: string;
  readonly config?: string;
  readonly loraRank?: number;
  readonly loraAlpha?: number;
  readonly loraTarget?: string;
  readonly full?: true;
  readonly batch?: number;
  readonly cutoffLen?: number;
  readonly supervised?: number;
  readonly gradientCheckpointing?: true;
  readonly all?: true;
  readonly revision?: string;
  readonly offline?: true;
  readonly json?: true;
}

export function addInspectCommand(program: Command): void {
  program
    .command("inspect")
    .description("show what a model or an adapter is, and the memory that training would need")
    .argument("[path]", "folder of a model or an adapter, a name on the hub, or a .safetensors file")
    .argument("[overrides...]", "key=value, after --config")
    .option("--model <name>", "for an adapter: its base, to compare the updates with its weights")
    .option("--config <file>", "plan the training of this configuration; its model is the path, if there is none")
    .option("--lora-rank <r>", "plan LoRA of this rank (default: 8)", integer(1))
    .option("--lora-alpha <a>", "its alpha (default: twice the rank)", positive)
    .option("--lora-target <names>", "its targets, with commas between them (default: all)")
    .option("--full", "plan the training of every weight")
    .option("--batch <n>", "rows of a micro-batch (default: 1)", integer(1))
    .option(
      "--cutoff-len <n>",
      "tokens of a row (default: 2048, or the model's positions if they are fewer)",
      integer(1),
    )
    .option("--supervised <share>", "share of the tokens that are trained on (default: 1)", positive)
    .option("--gradient-checkpointing", "plan with gradient checkpointing")
    .option("--all", "list everything that is listed in groups otherwise")
    .option("--revision <name>", "branch, tag or commit on the hub")
    .option("--offline", "download nothing")
    .option("--json", "print one JSON object on stdout")
    .action(async (path: string | undefined, overrides: readonly string[], flags: Flags) => {
      await interruptible((signal) => runInspect(path, overrides, flags, signal));
    });
}

async function runInspect(
  path: string | undefined,
  overrides: readonly string[],
  flags: Flags,
  signal: AbortSignal,
): Promise<void> {
  const isOverride = path !== undefined && path.includes("=") && flags.config !== undefined;
  const keys = isOverride ? [path, ...overrides] : overrides;
  const planned = flags.config === undefined ? undefined : await configured(flags.config, keys);
  const name = (isOverride ? undefined : path) ?? planned?.model;
  if (name === undefined) {
    throw new ConfigError({
      where: "inspect",
      what: "there is nothing to look at",
      hint: "`lowrank inspect PATH`, with the folder of a model or an adapter, or a name on the hub",
    });
  }
  const { revision, offline } = flags;
  const hub = {
    signal,
    ...(revision === undefined ? {} : { revision }),
    ...(offline === undefined ? {} : { offline }),
  };
  const found = await whatIs(name, hub);
  const print = (facts: object, text: () => string) => {
    process.stdout.write(`${flags.json ? JSON.stringify(facts, null, 2) : text()}\n`);
  };
  switch (found.kind) {
    case "model": {
      const settings = withFlags(planned?.settings, flags);
      const facts = await modelFacts(name, found.dir, found.hasWeights, settings);
      return print(facts, () => modelText(facts));
    }
    case "adapter": {
      const base =
        flags.model === undefined ? undefined : (await resolveFolder(flags.model, { kind: "model", ...hub })).dir;
      const facts = await adapterFacts(name, found.dir, base);
      return print(facts, () => adapterText(facts, flags.all === true, found.run));
    }
    case "tensors": {
      const facts = await tensorFacts(found.path);
      return print(facts, () => tensorText(facts, flags.all === true));
    }
  }
}

async function configured(
  path: string,
  overrides: readonly string[],
): Promise<{ model: string; settings: Omit<TrainingSettings, "supervised"> }> {
  const { config } = await readRunConfig(path, overrides, "train");
  const { freezeTrainableLayers, freezeTrainableModules, freezeExtraModules } = config;
  return {
    model: config.modelNameOrPath,
    settings: {
      finetuningType: config.finetuningType,
      peftConfig: config.peftConfig,
      rank: config.loraRank,
      alpha: config.loraAlpha,
      useRslora: config.useRslora,
      target: config.loraTarget,
      modulesToSave: config.additionalTarget ?? [],
      freeze: { freezeTrainableLayers, freezeTrainableModules, freezeExtraModules },
      batch: config.perDeviceTrainBatchSize,
      cutoffLength: config.cutoffLen,
      checkpoint: config.gradientCheckpointing,
      ...(config.optimizerMemoryBudget === null ? {} : { optimizerBudget: config.optimizerMemoryBudget }),
    },
  };
}

/** What is planned: the configuration, with what flags say in its place; undefined if neither says anything. */
function withFlags(
  given: Omit<TrainingSettings, "supervised"> | undefined,
  flags: Flags,
): TrainingSettings | undefined {
  const { loraRank, loraAlpha, loraTarget, full, batch, cutoffLen, supervised = 1, gradientCheckpointing } = flags;
  const said = [loraRank, loraAlpha, loraTarget, full, batch, cutoffLen, flags.supervised, gradientCheckpointing];
  if (given === undefined && said.every((flag) => flag === undefined)) return undefined;
  if (supervised > 1) {
    throw new ConfigError({ where: "--supervised", what: "is a share", got: supervised, expected: "at most 1" });
  }
  const rank = loraRank ?? given?.rank ?? 8;
  const alpha = loraAlpha ?? (loraRank === undefined ? given?.alpha : undefined) ?? 2 * rank;
  const length = cutoffLen ?? given?.cutoffLength;
  return {
    finetuningType: full === true ? "full" : (given?.finetuningType ?? "lora"),
    peftConfig: given?.peftConfig ?? null,
    useRslora: given?.useRslora ?? false,
    modulesToSave: given?.modulesToSave ?? [],
    ...(given?.freeze === undefined ? {} : { freeze: given.freeze }),
    rank,
    alpha,
    target: loraTarget === undefined ? (given?.target ?? "all") : targetsOf(loraTarget),
    batch: batch ?? given?.batch ?? 1,
    supervised,
    checkpoint: gradientCheckpointing ?? given?.checkpoint ?? false,
    ...(given?.optimizerBudget === undefined ? {} : { optimizerBudget: given.optimizerBudget }),
    ...(length === undefined ? {} : { cutoffLength: length }),
  };
}

function targetsOf(text: string): "all" | string[] {
  const names = text.split(",").map((name) => name.trim());
  return names.some((name) => name === "all" || name === "all-linear") ? "all" : names.filter((name) => name !== "");
}
