/** Is it good, or bad? In the manner of SST-2; what is denied is its opposite. */
import { generatedTask } from "./task.ts";
import { CHILDREN } from "./words.ts";

const GOOD = ["happy", "kind", "brave", "clever", "strong", "calm", "proud", "healthy", "rich", "friendly", "gentle"];
const BAD = ["sad", "cruel", "afraid", "foolish", "weak", "angry", "lonely", "sick", "poor", "tired", "ashamed"];
const OPENINGS = [
  "One morning",
  "After school",
  "On Monday",
  "In the evening",
  "At the harbour",
  "In the garden",
  "On the way home",
  "In the winter",
];
const CLOSINGS = ["and the bell rang", "and then it rained", "and the day was over", "and everyone knew it"];
const DENIED = 0.35;

export const SENTIMENT = generatedTask(
  { name: "sentiment", about: "whether a child is well, or not", labels: ["bad", "good"] },
  (words, label) => {
    const denied = words.chance(DENIED);
    const mood = words.pick((label === 1) === denied ? BAD : GOOD);
    const closing = words.chance(0.5) ? `, ${words.pick(CLOSINGS)}` : "";
    const text = `${words.pick(OPENINGS)} ${words.pick(CHILDREN)} was ${denied ? "not " : ""}${mood}${closing}.`;
    return { text };
  },
);
