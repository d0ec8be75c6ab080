/** The format of a data set, told from its first records. */
import { DataError, listed } from "../../../errors.ts";
import type { JsonRecord } from "../readers/reader.ts";
import { alpaca } from "./alpaca.ts";
import { ColumnTable } from "./column-table.ts";
import type { Detected } from "./format.ts";
import { FORMATS } from "./index.ts";
import { openai } from "./openai.ts";
import { detectWeakPairs, promptCompletion } from "./prompt-completion.ts";
import { sharegpt } from "./sharegpt.ts";
import { text } from "./text.ts";
import { refuseUnsupported } from "./unsupported.ts";
import { withUnused } from "./unused.ts";

/**
 * What says most comes first: a list of messages is one whatever stands beside it (often the same prompt once more), and
 * `text` may be a mere rendering of the other columns. Within a tier nothing is preferred.
 */
const TIERS: readonly ((table: ColumnTable) => Detected[])[] = [
  (table) => [...openai.detect(table), ...sharegpt.detect(table)],
  (table) => alpaca.detect(table),
  (table) => promptCompletion.detect(table),
  (table) => [...detectWeakPairs(table), ...text.detect(table)],
];

/**
 * @param dataset what the records are of, for messages
 * @throws DataError listing the columns when the format is unknown, ambiguous or not supported
 */
export function detectFormat(records: readonly JsonRecord[], dataset: string): Detected {
  const table = new ColumnTable(records);
  refuseUnsupported(table, dataset);
  for (const tier of TIERS) {
    const found = tier(table);
    if (found.length === 1) return withUnused(found[0]!, table);
    if (found.length > 1) throw ambiguous(found, table, dataset);
  }
  throw new DataError({
    where: dataset,
    what: "the format is not known",
    got: table.names.length === 0 ? "records without columns" : `columns ${table.describe()}`,
    expected: FORMATS.map(({ name, shape }) => `${name} ${shape}`).join(", or "),
    hint: table.has("label") ? `stage: cls trains a classifier of texts; or ${mappingHint}` : mappingHint,
  });
}

const mappingHint =
  'rename the columns, or map them in dataset_info.json: {"NAME": {"file_name": …, "columns": {"prompt": …, "response": …}}}';

function ambiguous(found: readonly Detected[], table: ColumnTable, dataset: string): DataError {
  return new DataError({
    where: dataset,
    what: `the format is ambiguous: ${listed(found.map(({ format, why }) => `${format.name} by ${why}`))}`,
    got: `columns ${table.describe()}`,
    hint: mappingHint,
  });
}
