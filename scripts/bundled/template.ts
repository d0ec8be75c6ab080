/**
 * Sentence templates: `{A|B}` picks one of several wordings (nested, and empty ones too), `$name` and `$A.he` put in a
 * value. A template is parsed once.
 */

import type { Random } from "../../src/random.ts";
import { tidy } from "./english.ts";

/** What the `$names` of a template stand for. */
export type Values = Readonly<Record<string, string>>;

type Node = string | { readonly name: string } | { readonly choices: readonly Template[] };
type Template = readonly Node[];

const parsed = new Map<string, Template>();

function parse(text: string): Template {
  let at = 0;
  const sequence = (inside: boolean): Template => {
    const nodes: Node[] = [];
    while (at < text.length) {
      const letter = text[at]!;
      if (inside && (letter === "|" || letter === "}")) break;
      if (letter === "{") {
        const choices: Template[] = [];
        do {
          at++;
          choices.push(sequence(true));
        } while (text[at] === "|");
        if (text[at] !== "}") throw new Error(`template without its closing brace: ${text}`);
        at++;
        nodes.push({ choices });
      } else if (letter === "$") {
        const name = /^\$([A-Za-z]+(?:\.[A-Za-z]+)?)/.exec(text.slice(at))?.[1];
        if (name === undefined) throw new Error(`"$" without a name: ${text}`);
        at += name.length + 1;
        nodes.push({ name });
      } else {
        const rest = text.slice(at);
        const end = rest.search(inside ? /[{$|}]/ : /[{$]/);
        const plain = end < 0 ? rest : rest.slice(0, end);
        nodes.push(plain);
        at += plain.length;
      }
    }
    return nodes;
  };
  return sequence(false);
}

/** Draws words and sentences. */
export class Writer {
  readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.random.integer(list.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** `count` different items, in random order; all of them if there are fewer. */
  sample<T>(list: readonly T[], count: number): T[] {
    return [...this.random.permutation(list.length).subarray(0, count)].map((i) => list[i]!);
  }

  chance(probability: number): boolean {
    return this.random.uniform() < probability;
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.random.integer(high - low + 1);
  }

  /**
   * One wording of a template, with capitals and articles in order.
   * @throws Error when the template names a value that is not given: a mistake in the template
   */
  say(template: string, values: Values = {}): string {
    return tidy(this.fill(template, values));
  }

  /** Like {@link Writer.say}, for a part of a sentence. */
  fill(template: string, values: Values = {}): string {
    let nodes = parsed.get(template);
    if (nodes === undefined) {
      nodes = parse(template);
      parsed.set(template, nodes);
    }
    return this.#expand(nodes, values, template);
  }

  #expand(nodes: Template, values: Values, template: string): string {
    let text = "";
    for (const node of nodes) {
      if (typeof node === "string") text += node;
      else if ("choices" in node) text += this.#expand(this.pick(node.choices), values, template);
      else {
        const value = values[node.name];
        if (value === undefined) throw new Error(`no value for $${node.name} in: ${template}`);
        text += value;
      }
    }
    return text;
  }
}
