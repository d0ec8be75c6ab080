/** Do two questions ask for the same? In the manner of QQP. */
import { generatedTask } from "./task.ts";
import { ANIMALS } from "./words.ts";

/** Ways to ask for one thing, with a star for the animal. */
const QUESTIONS: readonly (readonly string[])[] = [
  ["Where does the * live?", "What is the home of the *?", "Where can you find the *?"],
  ["What does the * eat?", "What is the food of the *?", "What do you give the * for supper?"],
  ["What colour is the *?", "What is the colour of the *?", "Which colour has the *?"],
  ["What is a young * called?", "What is the name of a young *?", "What do people call a young *?"],
  ["How many legs has the *?", "On how many legs does the * walk?", "What is the number of legs of the *?"],
];

export const PARAPHRASE = generatedTask(
  {
    name: "paraphrase",
    about: "whether two questions about animals ask for the same",
    labels: ["different", "same"],
  },
  (words, label) => {
    const [animal, another] = words.sample(ANIMALS, 2);
    const [asked, other] = words.sample(QUESTIONS, 2);
    const [first, second] = words.sample(asked!, 2);
    const changed = label === 1 ? "nothing" : words.pick(["animal", "question"] as const);
    const wording = changed === "question" ? words.pick(other!) : second!;
    const about = changed === "animal" ? another! : animal!;
    const text = `${first!.replace("*", animal!.name)} ${wording.replace("*", about.name)}`;
    return { text, key: text };
  },
);
