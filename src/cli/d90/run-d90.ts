/** `lowrank d90`: trains every weight once, and in random subspaces until the least that is good enough is found. */
import { createWriteStream } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { intrinsicDimension } from "../../adapters/intrinsic-dimension.ts";
import { readRunConfig, type RunConfig } from "../../config/read.ts";
import { ConfigError } from "../../errors.ts";
import { readModel } from "../../lm/read-model.ts";
import { attachPeft, adaptable } from "../../lm/peft-config.ts";
import { resolveFolder } from "../../hub/resolve.ts";
import { peftConfigOf } from "../../train/peft-config.ts";
import { type D90Result, findD90, gainOf } from "../../train/d90/find-d90.ts";
import { isEvalRow } from "../../train/run/log-rows.ts";
import { table } from "../terminal/table.ts";
import { runTrain } from "../train/run-train.ts";
import { addMeasured, type Measured, readMeasured, settingsId } from "./measured.ts";

export interface D90Flags {
  /** Part of the fall of the loss that is enough. Default: 0.9. */
  readonly share?: number;
  /** Powers of two. Default of the largest: the largest below the number of adapted weights, at most 2¹⁶. */
  readonly minD?: number;
  readonly maxD?: number;
  readonly json?: true;
}

interface Runs {
  readonly path: string;
  readonly overrides: readonly string[];
  readonly config: RunConfig;
  readonly settings: string;
  readonly known: Map<Measured["d"], Measured>;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

const DEFAULT_MAX_D = 2 ** 16;

/** @throws ConfigError if the configuration has no held-out set; what `runTrain` and `findD90` throw */
export async function runD90(
  path: string,
  overrides: readonly string[],
  { share = 0.9, minD = 1, maxD, json }: D90Flags,
  signal: AbortSignal,
): Promise<void> {
  const { config } = await readRunConfig(path, [...overrides, "finetuning_type=intrinsic-dimension"], "train");
  if (config.evalDataset === null && config.valSize === 0) {
    throw new ConfigError({
      where: path,
      what: "there is no held-out set to measure on",
      hint: "give an eval_dataset, or a val_size",
    });
  }
  const { outputDir } = config;
  const settings = settingsId(common(config));
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  const known = await readMeasured(outputDir, settings);
  const runs: Runs = { path, overrides, config, settings, known, say, signal };
  const weights = await adaptedWeights(config, signal);
  const largest = maxD ?? Math.min(DEFAULT_MAX_D, 2 ** Math.floor(Math.log2(weights)));

  if (!known.has("base") || !known.has("full")) await measureFull(runs);
  const [base, full] = [known.get("base")!.eval_loss, known.get("full")!.eval_loss];
  say(`base: eval_loss ${base.toFixed(4)}; full: ${full.toFixed(4)}`);
  const result = await findD90({
    base,
    full,
    share,
    minD,
    maxD: largest,
    async measure(d) {
      const { eval_loss: loss } = known.get(d) ?? (await measureSubspace(runs, d, weights));
      say(`d = ${d}: eval_loss ${loss.toFixed(4)}, ${(100 * gainOf(loss, { base, full })).toFixed(1)}% of the fall`);
      return loss;
    },
  });
  const facts = { ...result, d90: result.d90 ?? null, share, base, full, adapted_weights: weights };
  process.stdout.write(
    `${json === true ? JSON.stringify(facts, null, 2) : text(result, { base, full, share, weights })}\n`,
  );
}

/** What all runs have in common. */
function common(config: RunConfig): object {
  const { outputDir: _outputDir, loggingDir: _loggingDir, resumeFromCheckpoint: _resume, ...others } = config;
  return others;
}

/** Number of the weights that z moves. */
async function adaptedWeights(config: RunConfig, signal: AbortSignal): Promise<number> {
  const { dir } = await resolveFolder(config.modelNameOrPath, {
    kind: "model",
    revision: config.modelRevision,
    signal,
    ...(config.offline ? { offline: true } : {}),
  });
  const { model, defaultTargets } = await readModel(dir);
  const { targets } = attachPeft(adaptable(model, defaultTargets), "default", peftConfigOf(config));
  return targets.reduce((sum, { layer }) => sum + layer.inFeatures * layer.outFeatures, 0);
}

/** Every weight: its loss before the first step is that of the base. */
async function measureFull(runs: Runs): Promise<void> {
  runs.say("training every weight");
  const { learningRate } = runs.config;
  const losses = await train(runs, "full", ["finetuning_type=full", "peft_config=null"]);
  await keep(runs, { d: "base", eval_loss: losses[0]!, learning_rate: learningRate });
  await keep(runs, { d: "full", eval_loss: losses.at(-1)!, learning_rate: learningRate });
}

/**
 * Adam moves each number by about the learning rate, and what z moves in θ is 1/√(N/d) of that: the rate is multiplied by it,
 * so that weights move as far as when they are trained themselves.
 */
async function measureSubspace(runs: Runs, d: number, weights: number): Promise<Measured> {
  runs.say(`training ${d} ${d === 1 ? "dimension" : "dimensions"}`);
  const rate = runs.config.learningRate * Math.sqrt(weights / d);
  const { seed = intrinsicDimension.settings.seed.default } = (runs.config.peftConfig ?? {}) as {
    readonly seed?: number;
  };
  const losses = await train(runs, String(d), [
    "finetuning_type=intrinsic-dimension",
    `peft_config=${JSON.stringify({ d, seed })}`,
    `learning_rate=${rate}`,
  ]);
  return keep(runs, { d, eval_loss: losses.at(-1)!, learning_rate: rate });
}

async function keep(runs: Runs, measured: Omit<Measured, "settings">): Promise<Measured> {
  const row = { ...measured, settings: runs.settings };
  await addMeasured(runs.config.outputDir, row);
  runs.known.set(row.d, row);
  return row;
}

/** A run of its own, with a log of its own. @returns losses on the held-out set, before the first step and on the way */
async function train(
  { path, overrides, config, signal }: Runs,
  name: string,
  more: readonly string[],
): Promise<number[]> {
  const dir = join(config.outputDir, `d90-${name}`);
  await mkdir(dir, { recursive: true });
  const isFinished = (await stat(join(dir, "all_results.json")).catch(() => undefined)) !== undefined;
  const stream = createWriteStream(join(dir, "output.log"), { flags: "a" });
  let losses: number[] = [];
  try {
    await runTrain(
      path,
      [
        ...overrides,
        ...more,
        "do_eval=true",
        "eval_strategy=no",
        "eval_on_start=true",
        "plot_loss=false",
        "report_to=none",
        `overwrite_output_dir=${isFinished}`,
        `output_dir=${JSON.stringify(dir)}`,
      ],
      {
        signal,
        log: { write: (chunk) => stream.write(chunk) },
        whenTrained: async ({ history }) => {
          losses = history.flatMap((row) => (isEvalRow(row) ? [row.eval_loss] : []));
        },
      },
    );
  } finally {
    await new Promise<void>((resolve) => stream.end(resolve));
  }
  return losses;
}

function text(
  { d90, isLowest, tried }: D90Result,
  { base, full, share, weights }: { base: number; full: number; share: number; weights: number },
): string {
  const row = (name: string, loss: number) => [
    name,
    loss.toFixed(4),
    `${(100 * gainOf(loss, { base, full })).toFixed(1)}%`,
  ];
  const rows = [
    row("0 (base)", base),
    ...tried.map(({ d, loss }) => row(d.toLocaleString("en-US"), loss)),
    row("every weight", full),
  ];
  const percent = `${100 * share}%`;
  const found =
    d90 === undefined
      ? `not even the largest d brings ${percent}: raise --max-d`
      : `d90: ${d90.toLocaleString("en-US")} of ${weights.toLocaleString("en-US")} adapted weights bring ${percent} of the fall`;
  return [
    table(rows, { header: ["d", "eval_loss", "of the fall"], align: ["right", "right", "right"] }),
    "",
    isLowest ? `${found}, or less: it is the smallest that was tried` : found,
  ].join("\n");
}
