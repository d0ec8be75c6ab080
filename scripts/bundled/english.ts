/** The little English grammar that the generated text needs: articles, plurals, verb forms, lists, sentence starts. */

/** Words that are written with a vowel and spoken with a consonant, or the other way round. */
const ARTICLE_EXCEPTIONS: readonly (readonly [RegExp, "a" | "an"])[] = [
  [/^(uni|use|one|ewe)/i, "a"],
  [/^(hour|honest)/i, "an"],
];

/** `"a"` or `"an"`, as the first word asks. */
export function article(phrase: string): "a" | "an" {
  for (const [pattern, answer] of ARTICLE_EXCEPTIONS) if (pattern.test(phrase)) return answer;
  return /^[aeiou]/i.test(phrase) ? "an" : "a";
}

const IRREGULAR_PLURALS: Readonly<Record<string, string>> = {
  child: "children",
  fish: "fish",
  foot: "feet",
  goose: "geese",
  knife: "knives",
  leaf: "leaves",
  loaf: "loaves",
  man: "men",
  mouse: "mice",
  person: "people",
  scarf: "scarves",
  shelf: "shelves",
  sheep: "sheep",
  thief: "thieves",
  tooth: "teeth",
  wolf: "wolves",
  woman: "women",
};

/** The plural of a noun; of several words, the last one changes ("toy boat", "toy boats"). */
export function plural(noun: string): string {
  const [, before = "", last = noun] = /^(.* )?(\S+)$/.exec(noun) ?? [];
  const known = IRREGULAR_PLURALS[last];
  if (known !== undefined) return before + known;
  const compound = /^(.+)(man|woman)$/.exec(last);
  if (compound !== null) return before + compound[1] + IRREGULAR_PLURALS[compound[2]!];
  if (/[^aeiou]y$/.test(last)) return `${before}${last.slice(0, -1)}ies`;
  if (/(s|x|z|ch|sh|ato)$/.test(last)) return `${before}${last}es`;
  return `${before}${last}s`;
}

/** Changes the first word of a phrase, and keeps the rest ("bake bread", "bakes bread"). */
function firstWord(phrase: string, change: (verb: string) => string): string {
  const end = phrase.indexOf(" ");
  return end < 0 ? change(phrase) : change(phrase.slice(0, end)) + phrase.slice(end);
}

/** Third person singular of a verb phrase: "carry letters" gives "carries letters". */
export function third(phrase: string): string {
  return firstWord(phrase, (verb) => {
    if (verb === "have") return "has";
    if (/[^aeiou]y$/.test(verb)) return `${verb.slice(0, -1)}ies`;
    return /(s|x|z|ch|sh|o)$/.test(verb) ? `${verb}es` : `${verb}s`;
  });
}

/** The consonant is doubled before -ing and -ed. */
const DOUBLED = new Set([
  "swim",
  "run",
  "sit",
  "dig",
  "cut",
  "hit",
  "put",
  "get",
  "hop",
  "knit",
  "stop",
  "hug",
  "travel",
]);

/** The -ing form of a verb phrase: "bake bread" gives "baking bread". */
export function gerund(phrase: string): string {
  return firstWord(phrase, (verb) => {
    if (DOUBLED.has(verb)) return `${verb}${verb.at(-1)}ing`;
    if (verb.endsWith("ie")) return `${verb.slice(0, -2)}ying`;
    return /[^aeiou]?[^e]e$/.test(verb) ? `${verb.slice(0, -1)}ing` : `${verb}ing`;
  });
}

/** "bread", "bread and milk", "bread, milk and honey". */
export function listOf(words: readonly string[], and = "and"): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${and} ${words.at(-1)}`;
}

export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Capital letters at the starts of sentences, and "an" before a vowel. Speech opens with the capital that it was given. */
export function tidy(text: string): string {
  return capital(text.trim())
    .replaceAll(/ {2,}/g, " ")
    .replaceAll(/ (?=[,.!?])/g, "")
    .replaceAll(/\b([Aa])n? (?=([A-Za-z]+))/g, (whole, letter: string, _next, at: number, all: string) => {
      const word = all.slice(at + whole.length);
      return letter + article(word).slice(1) + " ";
    })
    .replaceAll(/(?<=[.!?] "?|[.]" "?)([a-z])/g, (letter) => letter.toUpperCase());
}
