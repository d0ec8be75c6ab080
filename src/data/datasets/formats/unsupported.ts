/** Data that this package does not train on yet: refused by name, since dropping a part of it would be silent. */
import { DataError } from "../../../errors.ts";
import { asList } from "./format.ts";
import type { ColumnTable } from "./column-table.ts";

const MEDIA = ["images", "image", "videos", "video", "audios", "audio"];
const PREFERENCE = [
  ["chosen", "rejected"],
  ["chosen_messages", "rejected_messages"],
] as const;

/** @throws DataError when the columns are those of preference, KTO or multimodal data */
export function refuseUnsupported(table: ColumnTable, dataset: string): void {
  const pair = PREFERENCE.find((names) => names.every((name) => table.has(name)));
  if (pair !== undefined) throw preferenceError(dataset, `columns ${pair.map((name) => `"${name}"`).join(" and ")}`);
  const conversation = ["messages", "conversations", "completion", "response"].some((name) => table.has(name));
  const kto = ["label", "kto_tag"].find((name) => table.isBoolean(name));
  if (kto !== undefined && conversation) throw ktoError(dataset, `column "${kto}" is true or false`);
  const media = MEDIA.find((name) => table.values(name).some((value) => value !== "" && asList(value)?.length !== 0));
  if (media !== undefined) throw mediaError(dataset, `column "${media}"`);
}

/** @param got what told so */
export function preferenceError(dataset: string, got: string): DataError {
  return new DataError({
    where: dataset,
    what: "this is preference data (DPO, ORPO, SimPO, reward models), which is not supported yet",
    got,
    expected: "one answer for each question (stage sft), or plain text (stage pt)",
    hint: "to train on the chosen answers alone, write them to a file of their own as the answers",
  });
}

export function ktoError(dataset: string, got: string): DataError {
  return new DataError({
    where: dataset,
    what: "this is KTO data (answers marked good or bad), which is not supported yet",
    got,
    expected: "answers that are all to be learnt (stage sft), or plain text (stage pt)",
    hint: "to train on the good answers alone, write them to a file without that column",
  });
}

export function mediaError(dataset: string, got: string): DataError {
  return new DataError({
    where: dataset,
    what: "images, videos and audios are not supported",
    got,
    expected: "text alone",
    hint: "take that column away if the texts make sense without it",
  });
}
