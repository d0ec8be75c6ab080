/** The pretraining text, document by document: stories, knowledge, and a trace of the chat format. */

import { Random } from "../../src/random.ts";
import { KNOWLEDGE } from "./knowledge.ts";
import { ANIMAL_STORIES } from "./stories/animals.ts";
import { PLAY } from "./stories/play.ts";
import { SEA } from "./stories/sea.ts";
import { TOWN_STORIES } from "./stories/town.ts";
import { Writer } from "./template.ts";
import { IM_END, IM_START } from "./tokenizer-files.ts";

const STORIES = [...PLAY, ...TOWN_STORIES, ...SEA, ...ANIMAL_STORIES];
const KNOWLEDGE_TICKETS = KNOWLEDGE.flatMap(([piece, share]) => Array.from({ length: share }, () => piece));

/** Stories are longer than other texts: about half of the bytes. */
const STORY_SHARE = 0.34;
/**
 * Enough to train the embeddings of the chat tokens, which an adapter leaves as they are. The second speaker only goes on
 * with the story of the first, so that the base model answers no question in this format.
 */
const CHAT_SHARE = 0.02;

function chat(w: Writer): string {
  const sentences = w
    .pick(STORIES)(w)
    .split(/(?<=[.!?]"?) (?=["A-Z])/);
  const cut = Math.max(1, Math.floor(sentences.length / 2));
  const turns = [
    ["user", sentences.slice(0, cut).join(" ")],
    ["assistant", sentences.slice(cut).join(" ")],
  ];
  if (w.chance(0.2)) turns.unshift(["system", "This is a story."]);
  return turns.map(([role, text]) => `${IM_START}${role}\n${text}${IM_END}`).join("\n");
}

/**
 * One document: a paragraph, or a few of them with an empty line between.
 * @param seed of the whole text
 * @param index of the document; each one is drawn on its own, so that any part of the text can be made again
 */
export function documentAt(seed: number, index: number): string {
  const w = new Writer(new Random(seed, index + 1));
  const kind = w.random.uniform();
  if (kind < CHAT_SHARE) return chat(w);
  if (kind < CHAT_SHARE + STORY_SHARE) return w.pick(STORIES)(w);
  const paragraphs = Array.from({ length: w.pick([1, 1, 1, 2, 3]) }, () => w.pick(KNOWLEDGE_TICKETS)(w));
  return paragraphs.join("\n\n");
}

/** Documents 0, 1, 2 … until their text holds at least `bytes` bytes of UTF-8. */
export function* documents(seed: number, bytes: number): Generator<string> {
  let written = 0;
  for (let index = 0; written < bytes; index++) {
    const text = documentAt(seed, index);
    written += Buffer.byteLength(text);
    yield text;
  }
}
