/** Whether there is something to train on, and whether what is trained on teaches to stop. */
import { DataError, listed } from "../../errors.ts";
import { countFates, type DataReport, type Fate } from "./report.ts";

/**
 * @throws DataError when no row is left, or when in conversations no example at all ends with a stop token that is trained:
 *   a model that never sees one goes on until it is cut off. Or when all texts are of one class
 */
export function checkReport(report: DataReport): void {
  const { part, stage, rows, examples, stopTrained, truncated, template, cutoffLen, classes } = report;
  if (rows.count === 0) throw nothingLeft(report);
  const present = classes?.counts.filter(({ count }) => count > 0) ?? [];
  if (part === "train" && present.length === 1) {
    throw new DataError({
      where: report.datasets.map(({ name }) => name).join(", "),
      what: "all examples are of one and the same class: there is nothing to tell apart",
      got: `${present[0]!.count} × ${JSON.stringify(present[0]!.label)}`,
      hint: "`lowrank data CONFIG` shows what became of the others",
    });
  }
  if (stage === "cls") return;
  if (part === "validation" || stage === "pt" || stopTrained > 0) return;
  const where = report.datasets.map(({ name }) => name).join(", ");
  const share = `0 of ${examples} examples`;
  if (truncated.stopLost === examples) {
    throw new DataError({
      where,
      what: "no example ends with a stop token that is trained on: all of them were cut to cutoff_len, and lost theirs",
      got: share,
      hint: `raise cutoff_len (now ${cutoffLen}; the longest example has ${truncated.longest} tokens), or leave long ones out: over_length: drop`,
    });
  }
  const named = template === undefined ? "" : ` with template ${template.name}`;
  throw new DataError({
    where,
    what: `no example ends with a stop token that is trained on${named}: the model would never learn to end an answer (EOS)`,
    got: share,
    hint:
      "name the token that ends a text or a turn as eos_token in tokenizer_config.json, or in eos_token_id of " +
      "generation_config.json; or use a template that ends answers with it, such as `template: default`",
  });
}

function nothingLeft({ part, read, dropped, bad, datasets }: DataReport): DataError {
  const fates = [...bad, ...dropped];
  return new DataError({
    where: datasets.map(({ name }) => name).join(", "),
    what: `nothing is left to ${part === "train" ? "train on" : "evaluate on"}`,
    got: `${read} records, of which ${countFates(bad)} are no samples and ${countFates(dropped)} were left out${reasons(fates)}`,
    hint: "`lowrank data CONFIG` shows what became of them; a larger cutoff_len keeps what is too long",
  });
}

function reasons(fates: readonly Fate[]): string {
  const said = fates.map(({ reason, count, places }) => `${count} × ${reason} (${places[0] ?? ""})`);
  return said.length === 0 ? "" : `: ${listed(said)}`;
}
