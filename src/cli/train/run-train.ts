/** `lowrank train`: from a configuration to an adapter or a model, with everything that a person wants to see. */
import { readRunConfig, type RunConfig } from "../../config/read.ts";
import { checkReport } from "../../data/report/check.ts";
import { type PreparedRows, prepareRows } from "../../data/rows/prepare.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import type { PretrainedModel } from "../../lm/pretrained-model.ts";
import type { Trainable } from "../../lm/trainable.ts";
import { checkContext } from "../../lm/usable-context.ts";
import { ConfigError } from "../../errors.ts";
import type { TrainerCallback } from "../../train/run/events.ts";
import { isEvalRow, type LogRow } from "../../train/run/log-rows.ts";
import { tensorboardLog } from "../../train/run/tensorboard-log.ts";
import { Trainer } from "../../train/trainer.ts";
import type { TrainOutput } from "../../train/training-run.ts";
import { knownClasses } from "../data/classes.ts";
import { configuredTemplate, openConfiguredDatasets, openTokenizer } from "../data/open-data.ts";
import { PrepareView } from "../data/prepare-view.ts";
import { renderReport } from "../data/render-report.ts";
import { Interrupted } from "../interrupt.ts";
import { colorDepth, type Output } from "../terminal/output.ts";
import { versions } from "../versions.ts";
import { configuredAnalysis } from "./analysis.ts";
import { DownloadView } from "../download-view.ts";
import { loadConfiguredClassifier, loadConfiguredModel, trainableOf } from "./load-model.ts";
import { checkpointToResume, prepareOutputDir } from "./output-dir.ts";
import { saveLabels, saveTokenizer, writeOutputs } from "./outputs.ts";
import { ProgressView } from "./progress-view.ts";

/** Columns where the stream does not tell. */
const COLUMNS = 100;

export interface TrainStreams {
  readonly signal?: AbortSignal;
  /** Default: stderr. Everything is said here: a run's results are its files. */
  readonly log?: Output;
  /** Told of the run, besides those that the configuration asks for. */
  readonly callbacks?: readonly TrainerCallback[];
  /** Called when all is trained, evaluated and written, and the model is still there. */
  readonly whenTrained?: (run: TrainedRun) => Promise<void>;
}

export interface TrainedRun {
  readonly config: RunConfig;
  readonly trainable: Trainable;
  readonly tokenizer: Tokenizer;
  readonly history: readonly LogRow[];
}

/**
 * Runs a configuration to its end.
 * @throws Interrupted after an interrupted run has been saved; and what its parts throw, in words for a person
 */
export async function runTrain(
  path: string | undefined,
  overrides: readonly string[],
  { signal, log = process.stderr, callbacks = [], whenTrained }: TrainStreams = {},
): Promise<TrainOutput> {
  const read = await readRunConfig(path, overrides, "train");
  const say = (line: string) => void log.write(`${line}\n`);
  for (const note of read.notes) say(`note: ${note}`);
  const resumeFrom = await checkpointToResume(read.config);

  const downloads = new DownloadView(log);
  const hooks = { onProgress: downloads.show, onNotice: downloads.note, ...(signal === undefined ? {} : { signal }) };
  const tokenizer = await openTokenizer(read.config, hooks);
  const { known, ...ofModel } = await knownClasses(read.config, tokenizer);
  const opened = await openConfiguredDatasets(read.config, hooks, known);
  const { classes } = opened;
  const { padTokenId } = ofModel;
  const config = classes === undefined ? read.config : { ...read.config, labels: classes.names, numLabels: null };
  const template = configuredTemplate(config, tokenizer, opened);
  const view = new PrepareView(log);
  let prepared: PreparedRows;
  try {
    prepared = await prepareRows(
      opened,
      tokenizer,
      template,
      { ...config, ...ofModel },
      {
        onNotice: view.note,
        onProgress: view.show,
        ...(signal === undefined ? {} : { signal }),
      },
    );
  } finally {
    view.stop();
  }
  const reports = [prepared.train.report, ...(prepared.validation === undefined ? [] : [prepared.validation.report])];
  const style = { color: colorDepth(log) > 1, width: log.columns ?? COLUMNS };
  log.write(`${reports.map((report) => renderReport(report, { ...style, sampleCharacters: 1500 })).join("\n")}\n`);
  for (const report of reports) checkReport(report);

  const loading = {
    onDownload: downloads.show,
    onConvert: downloads.converting,
    ...(signal === undefined ? {} : { signal }),
  };
  const model =
    classes === undefined
      ? await loadConfiguredModel(config, loading)
      : await loadConfiguredClassifier(
          config,
          { labels: classes.names, ...(padTokenId === undefined ? {} : { padTokenId }) },
          loading,
        );
  downloads.stop();
  try {
    checkVocabulary(tokenizer.vocabSize, model);
    const { newlyInitialized } = model;
    if (newlyInitialized.length > 0) say(`starts at random, and is trained: ${newlyInitialized.join(", ")}`);
    const trainable = await trainableOf(model, config, say);
    for (const { lengths } of reports) {
      checkContext(model.language.model, trainable.adapters, "cutoff_len", lengths?.max ?? 0);
    }
    await prepareOutputDir(config, say);
    const saveTexts = async (dir: string) => {
      await saveTokenizer(dir, tokenizer, template);
      // The names of a model's classes are in its config.json; an adapter has no place for them.
      if (classes !== undefined && trainable.adapters.length > 0) await saveLabels(dir, classes.names);
    };
    const progress = new ProgressView({ stream: log });
    const warn = (text: string) => progress.note(text);
    const analysis = await configuredAnalysis(config, { model, trainable, tokenizer, warn });
    const trainer = new Trainer({
      model: { trainable: () => trainable },
      trainDataset: prepared.train.rows,
      ...(prepared.validation === undefined ? {} : { evalDataset: prepared.validation.rows }),
      settings: config,
      callbacks: [
        progress,
        ...(config.reportTo.includes("tensorboard")
          ? [tensorboardLog(config.loggingDir === null ? {} : { loggingDir: config.loggingDir })]
          : []),
        ...analysis,
        ...callbacks,
      ],
      padId: tokenizer.padId,
      alsoSave: (dir) => saveTexts(dir),
    });
    const output = await trainer.train({
      ...(signal === undefined ? {} : { signal }),
      ...(resumeFrom === undefined ? {} : { resumeFrom }),
    });
    if (output.reason === "interrupted") {
      const again = overrides.filter((override) => !override.startsWith("overwrite_output_dir="));
      const words = [...(path === undefined ? [] : [path]), ...again, "resume_from_checkpoint=true"];
      say(`to go on: lowrank train ${words.map(quoted).join(" ")}`);
      throw new Interrupted();
    }
    await trainable.save(config.outputDir);
    await saveTexts(config.outputDir);
    const evaluated = () => trainer.history.findLast((row) => isEvalRow(row) && row.step === output.weightsOfStep);
    if (config.doEval && prepared.validation !== undefined && evaluated() === undefined) {
      await trainer.evaluate(signal === undefined ? {} : { signal });
    }
    const evaluation = evaluated();
    const pictures = await writeOutputs({
      config,
      history: trainer.history,
      ...(evaluation !== undefined && isEvalRow(evaluation) ? { evaluation } : {}),
      totalSteps: output.globalStep,
      versions: await versions(),
    });
    say(`saved: ${trainable.what} in ${config.outputDir}`);
    if (classes !== undefined) say(`use it: lowrank classify ${quoted(config.outputDir)} "a text"`);
    if (pictures.length > 0) say(`loss:  ${pictures.filter((picture) => picture.endsWith(".svg")).join(", ")}`);
    await whenTrained?.({ config, trainable, tokenizer, history: trainer.history });
    return output;
  } finally {
    await model.dispose();
  }
}

/** As a shell takes it. */
function quoted(word: string): string {
  return /^[\w./:,=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function checkVocabulary(tokens: number, { language, dir }: PretrainedModel): void {
  const { vocabSize } = language.model;
  if (tokens <= vocabSize) return;
  throw new ConfigError({
    where: dir,
    what: "the tokenizer has tokens that the model has no embedding for",
    got: `${tokens} tokens`,
    expected: `at most ${vocabSize}`,
    hint: "tokenizer and model are not of the same checkpoint",
  });
}
