/** `lowrank data`: what a model will really see. */
import { readRunConfig } from "../../config/read.ts";
import { checkReport } from "../../data/report/check.ts";
import { prepareRows, type PreparedRows } from "../../data/rows/prepare.ts";
import { colorDepth, type Output } from "../terminal/output.ts";
import { knownClasses } from "./classes.ts";
import { configuredTemplate, openConfiguredDatasets, openTokenizer } from "./open-data.ts";
import { PrepareView } from "./prepare-view.ts";
import { renderReport } from "./render-report.ts";

export interface DataCommandOptions {
  readonly json?: boolean;
}

/** Columns where the stream does not tell. */
const COLUMNS = 100;

/**
 * Prints the report on stdout; notes and progress go to stderr.
 * @throws ConfigError and DataError for what is wrong with the configuration or the data, among it that nothing can be
 *   learnt from them; the report is printed before
 */
export async function runData(
  path: string | undefined,
  overrides: readonly string[],
  { json = false }: DataCommandOptions,
  { signal, out = process.stdout, log = process.stderr }: { signal?: AbortSignal; out?: Output; log?: Output } = {},
): Promise<void> {
  const { config, notes } = await readRunConfig(path, overrides, "data");
  for (const note of notes) log.write(`note: ${note}\n`);
  const view = new PrepareView(log);
  const hooks = { onNotice: view.note, ...(signal === undefined ? {} : { signal }) };
  const tokenizer = await openTokenizer(config, hooks);
  const { known, ...ofModel } = await knownClasses(config, tokenizer);
  const opened = await openConfiguredDatasets(config, hooks, known);
  const template = configuredTemplate(config, tokenizer, opened);
  let prepared: PreparedRows;
  try {
    prepared = await prepareRows(
      opened,
      tokenizer,
      template,
      { ...config, ...ofModel },
      { ...hooks, onProgress: view.show },
    );
  } finally {
    view.stop();
  }
  const reports = [prepared.train.report, ...(prepared.validation === undefined ? [] : [prepared.validation.report])];
  if (json) {
    const [train, validation] = reports;
    out.write(`${JSON.stringify({ train, validation }, null, 2)}\n`);
  } else {
    const options = { color: colorDepth(out) > 1, width: out.columns ?? COLUMNS };
    out.write(reports.map((report) => renderReport(report, options)).join("\n"));
  }
  for (const report of reports) checkReport(report);
}
