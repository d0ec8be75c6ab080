/** The files of the bundled instruction set. */

import { type InstructionRow, instructionRows } from "./instruction-rows.ts";

const SEED = 7;

/** Every file, by name. */
export function instructionFiles(): Record<string, string> {
  const { train, test } = instructionRows(SEED);
  const columns = { prompt: "instruction", query: "input", response: "output" };
  const info = {
    instructions: { file_name: "instructions.jsonl", columns },
    instructions_test: { file_name: "instructions-test.jsonl", columns },
    moods: { file_name: "moods.jsonl", columns: { text: "text", label: "label" } },
    moods_test: { file_name: "moods-test.jsonl", columns: { text: "text", label: "label" } },
    pretraining_sample: { file_name: "pretraining-held-out.jsonl", columns: { prompt: "text" } },
  };
  return {
    "instructions.jsonl": jsonl(train),
    "instructions-test.jsonl": jsonl(test),
    "dataset_info.json": JSON.stringify(info, null, 2) + "\n",
  };
}

function jsonl(rows: readonly InstructionRow[]): string {
  return rows.map((row) => JSON.stringify(row) + "\n").join("");
}
