/** `lowrank storages`: what frozen weights can be stored as, what that takes, and how far it is off. */
import type { Command } from "commander";
import { readModel, storedTask } from "../../lm/read-model.ts";
import { matchTensors } from "../../formats/model/match.ts";
import { openCheckpoint } from "../../formats/safetensors/index.ts";
import { resolveFolder } from "../../hub/resolve.ts";
import { storageOfParameters } from "../../lm/quantization.ts";
import { STORAGES } from "../../quant/index.ts";
import { bitsPerParameter, relativeRmse, storageError, type StorageError } from "../../quant/measure.ts";
import type { Storage, StorageOptions } from "../../quant/storage.ts";
import { Random } from "../../random.ts";
import { interruptible } from "../interrupt.ts";
import { table } from "../terminal/table.ts";

/** A matrix of a usual size: what a storage takes hardly depends on it. */
const USUAL = [4096, 4096];
/** Numbers that are drawn: enough for three digits of an error. */
const SHAPE = [1024, 1024];
const SEED = 0;

interface Flags {
  readonly revision?: string;
  readonly offline?: true;
  readonly json?: true;
}

interface StorageFacts {
  readonly name: string;
  readonly double_quantization: boolean;
  readonly bits_per_parameter: number;
  /** √(Σ error² / Σ weight²) for weights drawn from N(0, 1). */
  readonly relative_rmse: number;
  /** The same for the parameters of the model that it would store. */
  readonly model?: { readonly parameters: number; readonly bits_per_parameter: number; readonly relative_rmse: number };
  readonly summary: string;
  readonly source: string;
}

export function addStoragesCommand(program: Command): void {
  program
    .command("storages")
    .description("list what frozen weights can be stored as: bits per parameter, and errors")
    .argument("[model]", "folder of a model, or its name on the hub: errors on its weights, too")
    .option("--revision <name>", "branch, tag or commit on the hub")
    .option("--offline", "download nothing")
    .option("--json", "print one JSON array on stdout")
    .action(async (model: string | undefined, flags: Flags) => {
      await interruptible((signal) => runStorages(model, flags, signal));
    });
}

interface Choice {
  readonly storage: Storage;
  readonly options: StorageOptions;
}

const CHOICES: readonly Choice[] = STORAGES.flatMap((storage) =>
  [false, ...(storage.hasConstants ? [true] : [])].map((doubleQuantization) => ({
    storage,
    options: { doubleQuantization },
  })),
);

async function runStorages(model: string | undefined, flags: Flags, signal: AbortSignal): Promise<void> {
  const { revision, offline, json } = flags;
  const onModel =
    model === undefined
      ? undefined
      : await measureModel(
          (
            await resolveFolder(model, {
              kind: "model",
              signal,
              ...(revision === undefined ? {} : { revision }),
              ...(offline === undefined ? {} : { offline }),
            })
          ).dir,
          signal,
        );
  const random = new Random(SEED);
  const drawn = Float32Array.from({ length: SHAPE[0]! * SHAPE[1]! }, () => random.normal());
  const facts = CHOICES.map(({ storage, options }, i): StorageFacts => {
    return {
      name: storage.name,
      double_quantization: options.doubleQuantization,
      bits_per_parameter: bitsPerParameter(storage, USUAL, options),
      relative_rmse: relativeRmse([storageError(storage, drawn, SHAPE, options)]),
      ...(onModel === undefined ? {} : { model: onModel[i]! }),
      summary: storage.summary,
      source: storage.source,
    };
  });
  process.stdout.write(json === true ? `${JSON.stringify(facts, null, 2)}\n` : `${storagesText(facts)}\n`);
}

/** One entry for each choice; weights are read once, one at a time. */
async function measureModel(dir: string, signal: AbortSignal): Promise<NonNullable<StorageFacts["model"]>[]> {
  const { model, match } = await readModel(dir, { taskOf: storedTask });
  const checkpoint = await openCheckpoint(dir);
  try {
    const { parameters } = matchTensors(checkpoint, model.parameters, match);
    const rules = CHOICES.map((choice) => storageOfParameters(model, choice));
    const specs = new Map(model.parameters.map((spec) => [spec.name, spec]));
    const sums = CHOICES.map(() => ({ errors: [] as StorageError[], parameters: 0, bits: 0 }));
    for (const { name, stored, shape } of parameters) {
      signal.throwIfAborted();
      const values = await checkpoint.readFloat32(stored);
      CHOICES.forEach(({ storage, options }, i) => {
        if (rules[i]!(specs.get(name)!) === undefined) return;
        sums[i]!.errors.push(storageError(storage, values, shape, options));
        sums[i]!.parameters += values.length;
        sums[i]!.bits += values.length * bitsPerParameter(storage, shape, options);
      });
    }
    return sums.map(({ errors, parameters: count, bits }) => ({
      parameters: count,
      bits_per_parameter: bits / count,
      relative_rmse: relativeRmse(errors),
    }));
  } finally {
    await checkpoint.close();
  }
}

function storagesText(facts: readonly StorageFacts[]): string {
  const hasModel = facts.some(({ model }) => model !== undefined);
  const rows = facts.map(
    ({ name, double_quantization: double, bits_per_parameter: bits, relative_rmse: error, model, summary }) => [
      `${name}${double ? " + double" : ""}`,
      bits.toFixed(3),
      errorText(error),
      ...(model === undefined
        ? []
        : [
            model.parameters.toLocaleString("en-US"),
            model.bits_per_parameter.toFixed(3),
            errorText(model.relative_rmse),
          ]),
      double ? "constants in 8 bits" : summary,
    ],
  );
  const header = [
    "storage",
    "bits",
    "error on N(0, 1)",
    ...(hasModel ? ["stored of the model", "its bits", "its error"] : []),
    "what it is",
  ];
  return [
    table(rows, { header }),
    "",
    "bits: of one weight, constants included; error: root of the mean square, relative to that of the weights",
  ].join("\n");
}

function errorText(error: number): string {
  return error === 0 ? "0" : error.toPrecision(3);
}
