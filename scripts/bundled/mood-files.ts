/** The files of the bundled classification task: texts whose class is whether someone is well. */
import { SENTIMENT } from "../../src/experiments/tasks/sentiment.ts";

const SEED = 11;
const SIZES = { train: 480, test: 160 } as const;

/** Every file, by name. */
export function moodFiles(): Record<string, string> {
  return { "moods.jsonl": rowsOf("train"), "moods-test.jsonl": rowsOf("test") };
}

function rowsOf(split: "train" | "test"): string {
  return SENTIMENT.generate(SEED, SIZES[split], split)
    .map(({ text, label }) => `${JSON.stringify({ text, label: SENTIMENT.labels[label]! })}\n`)
    .join("");
}
