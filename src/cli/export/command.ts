/** `lowrank export`: adapters merged into a model, as one model in a folder, checked against what was trained. */
import { type Command, Option } from "commander";
import { readRunConfig, type RunConfig } from "../../config/index.ts";
import { positionSettings } from "../../config/positions.ts";
import { storageSettings } from "../../config/storage.ts";
import { ConfigError, LowrankError } from "../../errors.ts";
import type { WeightDtype } from "../../formats/model/config.ts";
import { readCheckPrompts } from "../../lm/check-prompts.ts";
import { type ExportOptions, type ExportProgress, exportModel } from "../../lm/export-model.ts";
import { AGAINST, type Against } from "../../lm/storage-cost.ts";
import { interruptible } from "../interrupt.ts";
import { integer, positive } from "../options.ts";
import { PhaseBars } from "../terminal/phase-bars.ts";
import { reportText } from "./report-text.ts";
import { trainedStorage } from "./trained-storage.ts";

const DTYPES = ["float32", "bfloat16", "float16"] as const satisfies readonly WeightDtype[];
const BYTES_PER_GB = 1e9;

interface Flags {
  readonly model?: string;
  readonly adapter: readonly string[];
  readonly out?: string;
  readonly dtype?: WeightDtype;
  readonly shardSize?: number;
  readonly template?: string;
  readonly checkPrompts?: string;
  readonly threshold?: number;
  readonly storage?: string;
  readonly doubleQuantization?: true;
  readonly against?: Against;
  readonly check: boolean;
  readonly revision?: string;
  readonly offline?: true;
  readonly threads?: number;
  readonly json?: true;
}

/** The exported model is not the one that was trained. */
class MergeCheckFailed extends LowrankError {
  constructor(problems: readonly string[], dir: string) {
    super("MERGE_CHECK", {
      where: dir,
      what: `the merge check failed: ${problems.join("; ")}`,
      hint: "merge_report.json has the numbers for each prompt; --threshold X allows logits to differ by X",
    });
  }
}

export function addExportCommand(program: Command): void {
  program
    .command("export")
    .description("merge adapters into a model, write it as one model, and check it against what was trained")
    .argument("[config]", "YAML of LLaMA-Factory, or JSON, with model_name_or_path, adapter_name_or_path, export_dir")
    .argument("[overrides...]", "key=value, after the file")
    .option("--model <name>", "folder of the base, or its name on the hub")
    .option("--adapter <name>", "folder of an adapter, or its name on the hub; may be given several times", collect, [])
    .option("--out <dir>", "folder to write")
    .addOption(new Option("--dtype <type>", "type of the weights (default: that of the base)").choices(DTYPES))
    .option("--shard-size <gb>", "GB of a file at most (default: 5)", positive)
    .option("--template <name>", "chat template, for models that have none of their own")
    .option("--check-prompts <file>", "prompts of the check: a line each, or .json, .jsonl (default: 8 short texts)")
    .option(
      "--threshold <x>",
      "largest difference of a logit that passes, in place of the limits of the type",
      positive,
    )
    .option("--storage <name>", "storage of the base in training (default: as the adapter's training_args.yaml says)")
    .option("--double-quantization", "with --storage: the constants of blocks were stored in 8 bits")
    .addOption(
      new Option(
        "--against <weights>",
        "merge into what the storage made of the weights, or into the original ones (default: dequantised)",
      ).choices(AGAINST),
    )
    .option("--no-check", "do not compare the result with what was trained")
    .option("--revision <name>", "branch, tag or commit of the base on the hub")
    .option("--offline", "download nothing")
    .option("--threads <n>", "threads of the engine (default: one per core)", integer(1))
    .option("--json", "print the report as JSON on stdout, and everything else on stderr")
    .action(async (config: string | undefined, overrides: readonly string[], flags: Flags) => {
      await interruptible((signal) => runExport(config, overrides, flags, signal));
    });
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function runExport(
  config: string | undefined,
  overrides: readonly string[],
  flags: Flags,
  signal: AbortSignal,
): Promise<void> {
  const say = (text: string) => (flags.json ? process.stderr : process.stdout).write(`${text}\n`);
  const { options, notes } = await optionsOf(config, overrides, flags);
  for (const note of notes) process.stderr.write(`note: ${note}\n`);
  const bars = new PhaseBars(LABELS);
  const onProgress = (progress: ExportProgress) => bars.show(progress);
  const { report, dir } = await exportModel({ ...options, signal, onProgress }).finally(() => bars.end());
  if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else say(reportText(report));
  if (report.verdict === "failed") throw new MergeCheckFailed(report.problems, dir);
  say(`\nwritten to ${dir}`);
}

/** Flags win over the file. @throws ConfigError if model or folder are missing */
async function optionsOf(
  config: string | undefined,
  overrides: readonly string[],
  flags: Flags,
): Promise<{ options: ExportOptions; notes: readonly string[] }> {
  // Without a file the first `key=value` stands where the file would.
  const isOverride = config !== undefined && config.includes("=") && !/\.(ya?ml|json)$/.test(config);
  const [file, keys] = isOverride ? [undefined, [config, ...overrides]] : [config, overrides];
  const read = file === undefined && keys.length === 0 ? undefined : await readRunConfig(file, keys, "export");
  const given = read === undefined ? {} : fromConfig(read.config);
  const { model = given.model, out = given.out, adapter, check } = flags;
  const missing = [...(model === undefined ? ["--model"] : []), ...(out === undefined ? ["--out"] : [])];
  if (model === undefined || out === undefined) {
    throw new ConfigError({
      where: "export",
      what: `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing`,
      hint: "`lowrank export CONFIG.yaml`, or `lowrank export --model M --adapter A --out DIR`",
    });
  }
  const prompts = flags.checkPrompts === undefined ? undefined : await readCheckPrompts(flags.checkPrompts);
  const { dtype, template, threshold, revision, offline, threads, shardSize, against } = flags;
  const adapters = adapter.length > 0 ? adapter : (given.adapters ?? []);
  const storage = flags.storage ?? given.storage;
  const trained = storage === undefined ? await trainedStorage(adapters) : { settings: {}, notes: [] };
  return {
    notes: [...(read?.notes ?? []), ...trained.notes],
    options: {
      ...given,
      ...trained.settings,
      ...(storage === undefined
        ? {}
        : { storage, doubleQuantization: flags.doubleQuantization ?? given.doubleQuantization ?? false }),
      model,
      out,
      adapters,
      check,
      ...(against === undefined ? {} : { against }),
      ...(dtype === undefined ? {} : { dtype }),
      ...(template === undefined ? {} : { template }),
      ...(threshold === undefined ? {} : { threshold }),
      ...(revision === undefined ? {} : { revision }),
      ...(offline === undefined ? {} : { offline }),
      ...(threads === undefined ? {} : { threads }),
      ...(shardSize === undefined ? {} : { maxShardBytes: shardSize * BYTES_PER_GB }),
      ...(prompts === undefined ? {} : { prompts }),
    },
  };
}

function fromConfig(config: RunConfig): Partial<ExportOptions> {
  const { exportDir, exportDtype, template, cacheDir, hfHubToken, threads, offline } = config;
  return {
    model: config.modelNameOrPath,
    adapters: config.adapterNameOrPath ?? [],
    maxShardBytes: config.exportSize * BYTES_PER_GB,
    revision: config.modelRevision,
    ...storageSettings(config),
    ...positionSettings(config),
    ...(exportDir === null ? {} : { out: exportDir }),
    ...(exportDtype === "auto" ? {} : { dtype: exportDtype }),
    ...(template === null ? {} : { template }),
    ...(cacheDir === null ? {} : { cacheDir }),
    ...(hfHubToken === null ? {} : { token: hfHubToken }),
    ...(threads === null ? {} : { threads }),
    ...(offline ? { offline } : {}),
  };
}

const LABELS: Readonly<Record<ExportProgress["phase"], string>> = {
  hash: "checksums",
  convert: "convert weights",
  write: "merge and write",
  check: "compare",
};
