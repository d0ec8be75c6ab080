/** Who has it now? One of two, as in WinoGrande: the verb says it, and what did not happen changes nothing. */
import { generatedTask } from "./task.ts";
import { CHILDREN, COLOURS, TAILS, THINGS } from "./words.ts";

/** What was done with it, as it is told and as it is denied. `second`: the second child has it then. */
const VERBS = [
  { past: "gave", plain: "give", to: "to", second: true },
  { past: "sold", plain: "sell", to: "to", second: true },
  { past: "brought", plain: "bring", to: "to", second: true },
  { past: "threw", plain: "throw", to: "to", second: true },
  { past: "took", plain: "take", to: "from", second: false },
  { past: "bought", plain: "buy", to: "from", second: false },
  { past: "got", plain: "get", to: "from", second: false },
  { past: "won", plain: "win", to: "from", second: false },
] as const;
const DENIED = 0.35;

export const OWNER = generatedTask(
  { name: "owner", about: "which of two children has a thing in the end", labels: ["first", "second"] },
  (words, label) => {
    const denied = words.chance(DENIED);
    const { past, plain, to } = words.pick(VERBS.filter(({ second }) => second === ((label === 1) !== denied)));
    const [first, second] = words.sample(CHILDREN, 2);
    const thing = `the ${words.pick(COLOURS)} ${words.pick(THINGS)}`;
    const did = denied ? `did not ${plain}` : past;
    const text = `${first!} ${did} ${thing} ${to} ${second!}. ${words.pick(TAILS)}`;
    return text;
  },
);
