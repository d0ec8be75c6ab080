/**
 * Which chat template a run uses. A model's own is the one source of truth, since every other program that runs the model
 * renders with it; a name of LLaMA-Factory's is checked against it, and stands alone only where the model has none.
 */
import { ConfigError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { Message } from "../sample.ts";
import { compileTemplate } from "./chat-template.ts";
import type { JinjaTemplate, RenderOptions } from "./chat-template.ts";
import { endOfTurn, MARK } from "./end-of-turn.ts";
import { slotsToJinja } from "./slots-to-jinja.ts";
import { NAMES_ELSEWHERE, SLOTS } from "./template-slots.ts";
import type { TemplateSlots } from "./template-slots.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatTemplate {
  /** Name of LLaMA-Factory's, or `auto` for the model's own. */
  readonly name: string;
  /** Whether the text comes from the model's own template or from the one that was named. */
  readonly origin: "model" | "named";
  /** Jinja source, to be saved as `chat_template.jinja` beside what is trained with it. */
  readonly source: string;
  /** What a person should know about the choice; often nothing. */
  readonly notes: readonly string[];
  /** Tokens that end an answer: those of the tokenizer and those of the template. */
  readonly stopIds: readonly number[];
  /** @throws DataError when the template refuses the conversation */
  render(messages: readonly Message[], options?: RenderOptions): string;
}

export interface TemplateOptions {
  /**
   * Use the named template even where the model has another of its own (`template_override: true`). Default false: that
   * is an error. The named one is then saved with what is trained, so that it is used wherever that is used.
   */
  readonly override?: boolean;
}

/** Names that have a format of their own here. */
export const TEMPLATE_NAMES: readonly string[] = Object.keys(SLOTS);

/**
 * @param name a name of LLaMA-Factory's; `auto` or undefined: the model's own
 * @throws ConfigError for a name that is misspelt, that has no format here, that writes another text than the model's own
 *   template, or whose stop token the tokenizer lacks; and where there is neither a name nor an own template
 */
export function resolveTemplate(
  tokenizer: Tokenizer,
  name: string | undefined,
  { override = false }: TemplateOptions = {},
): ChatTemplate {
  const own = ownTemplate(tokenizer);
  if (name === undefined || name === "" || name === "auto") {
    if (own === undefined) throw noTemplate(tokenizer);
    return chosen(tokenizer, "auto", "model", own, []);
  }
  const slots = slotsOf(name, own !== undefined);
  const named = compileTemplate(`template ${name}`, slotsToJinja(slots), tokenizer.specialTokens);
  if (own !== undefined && !override) {
    const note = agreement(tokenizer, name, own, named);
    return chosen(tokenizer, name, "model", own, note === undefined ? [] : [note]);
  }
  const stops = stopsOf(tokenizer, name, slots);
  const note =
    own === undefined
      ? `the model has no chat template: "${name}" is used, and saved as chat_template.jinja with what is trained`
      : `"${name}" takes the place of the model's own chat template, and is saved with what is trained`;
  return chosen(tokenizer, name, "named", named, [note], stops);
}

function chosen(
  tokenizer: Tokenizer,
  name: string,
  origin: ChatTemplate["origin"],
  template: JinjaTemplate,
  notes: readonly string[],
  stops: readonly number[] = [],
): ChatTemplate {
  const isGlued = losesSystem(template);
  const glueNote = "the chat template has no place for a system prompt: it is put before the first question";
  return {
    name,
    origin,
    source: template.source,
    notes: isGlued ? [...notes, glueNote] : notes,
    stopIds: [...new Set([...stops, ...tokenizer.stopIds])],
    render: (messages, options) => template.render(isGlued ? systemInQuestion(messages) : messages, options),
  };
}

/** The model's template; the one for tools, where it has one, when there are tools. */
function ownTemplate(tokenizer: Tokenizer): JinjaTemplate | undefined {
  const { dir, chatTemplate, toolChatTemplate, specialTokens } = tokenizer;
  if (chatTemplate === undefined) return undefined;
  const usual = compileTemplate(`chat template of ${dir}`, chatTemplate, specialTokens);
  if (toolChatTemplate === undefined) return usual;
  const forTools = compileTemplate(`chat template "tool_use" of ${dir}`, toolChatTemplate, specialTokens);
  return {
    source: usual.source,
    render: (messages, options) => ((options?.tools?.length ?? 0) > 0 ? forTools : usual).render(messages, options),
  };
}

function slotsOf(name: string, hasOwn: boolean): TemplateSlots {
  const slots = Object.hasOwn(SLOTS, name) ? SLOTS[name as keyof typeof SLOTS] : undefined;
  if (slots !== undefined) return slots;
  const leaveOut = hasOwn
    ? "leave `template` out: the model has a chat template of its own"
    : "`template: default` works with any model";
  if (NAMES_ELSEWHERE.includes(name)) {
    throw new ConfigError({
      where: "template",
      what: `"${name}" is a template of LLaMA-Factory that is not supported by name`,
      hint: hasOwn ? leaveOut : `${leaveOut}; or put the model's chat_template.jinja beside its tokenizer.json`,
    });
  }
  const closest = nearest(name, [...TEMPLATE_NAMES, ...NAMES_ELSEWHERE, "auto"]);
  throw new ConfigError({
    where: "template",
    what: "no such template",
    got: name,
    expected: TEMPLATE_NAMES.join(", "),
    hint: `did you mean "${closest}"? Or ${leaveOut}`,
  });
}

function noTemplate({ dir }: Tokenizer): ConfigError {
  return new ConfigError({
    where: "template",
    what: `needed: the model in ${dir} has no chat template of its own`,
    expected: TEMPLATE_NAMES.join(", "),
    hint: "`template: default` works with any model; `stage: pt` trains on plain text and needs none",
  });
}

function stopsOf(tokenizer: Tokenizer, name: string, { stops = [] }: TemplateSlots): number[] {
  const ids = stops.map((token) => tokenizer.idOf(token));
  if (stops.length > 0 && ids[0] === undefined) {
    throw new ConfigError({
      where: "template",
      what: `"${name}" ends an answer with ${stops[0]}, which the tokenizer in ${tokenizer.dir} does not have as a token`,
      hint: "a model cannot learn to stop with it; `template: default` ends with the token that the tokenizer has",
    });
  }
  return ids.filter((id) => id !== undefined);
}

const QUESTION = MARK;
const ANSWER = "An answer.";
const TURNS: readonly Message[] = [
  { role: "user", content: QUESTION },
  { role: "assistant", content: ANSWER },
  { role: "user", content: "Another question?" },
];

/**
 * Nothing where both write the same text, and a note where they differ in what does not matter: the default system
 * prompt, or white space.
 * @throws ConfigError, with both texts, where they do differ
 */
function agreement(tokenizer: Tokenizer, name: string, own: JinjaTemplate, named: JinjaTemplate): string | undefined {
  const stop = endOfTurn(
    own,
    tokenizer.stopIds.map((id) => tokenizer.tokenOf(id) ?? ""),
  );
  const isSystem = (message: Message): boolean => message.role === "system";
  const system: Message = { role: "system", content: "A system prompt." };
  const probes = [
    { messages: TURNS, addGenerationPrompt: true },
    { messages: TURNS.slice(0, 2), addGenerationPrompt: false },
    ...(losesSystem(own) ? [] : [{ messages: [system, ...TURNS], addGenerationPrompt: true }]),
  ];
  const texts = probes.map(({ messages, addGenerationPrompt }) => {
    const [mine, theirs] = [own, named].map((template) => {
      const text = template.render(messages, { addGenerationPrompt });
      return { text, body: untilStop(fromQuestion(text), addGenerationPrompt ? undefined : stop) };
    });
    return { mine: mine!, theirs: theirs!, hasSystem: messages.some(isSystem) };
  });
  const differs = texts.find(({ mine, theirs }) => squeezed(mine.body) !== squeezed(theirs.body));
  if (differs !== undefined) {
    throw new ConfigError({
      where: "template",
      what: `"${name}" is not what the chat template of the model writes`,
      got: forPerson(differs.theirs.text),
      expected: forPerson(differs.mine.text),
      hint:
        "leave `template` out to train with the model's own, which every other program uses; " +
        `or set \`template_override: true\` to train with "${name}" and save it with the adapter`,
    });
  }
  if (texts.some(({ mine, theirs }) => mine.body !== theirs.body)) {
    return `the model's own chat template is used; "${name}" differs from it in white space`;
  }
  const head = texts.find(({ mine, theirs }) => mine.text.split(QUESTION)[0] !== theirs.text.split(QUESTION)[0]);
  if (head === undefined) return undefined;
  const begins = (text: string): string => JSON.stringify(text.split(QUESTION)[0]);
  return `the model's own chat template is used: it begins with ${begins(head.mine.text)}, "${name}" with ${begins(head.theirs.text)}`;
}

function forPerson(text: string): string {
  return JSON.stringify(text.replaceAll(QUESTION, "A question?"));
}

/** The text from the first question on: a default system prompt is before it. */
function fromQuestion(text: string): string {
  return text.slice(Math.max(0, text.indexOf(QUESTION)));
}

/** Nothing after the end of an answer is trained on. */
function untilStop(text: string, stop: string | undefined): string {
  const at = stop === undefined ? -1 : text.indexOf(stop, text.indexOf(ANSWER));
  return at < 0 ? text : text.slice(0, at + stop!.length);
}

function squeezed(text: string): string {
  return text.replaceAll(/\s+/g, "");
}

/** Some templates refuse a system prompt, and some leave it out without a word. */
function losesSystem(template: JinjaTemplate): boolean {
  const messages: readonly Message[] = [
    { role: "system", content: MARK },
    { role: "user", content: "A question?" },
  ];
  try {
    return !template.render(messages, { addGenerationPrompt: true }).includes(MARK);
  } catch {
    return true;
  }
}

function systemInQuestion(messages: readonly Message[]): readonly Message[] {
  const [system, question, ...others] = messages;
  if (system?.role !== "system" || question?.role !== "user") return messages;
  if (system.content === "") return messages.slice(1);
  return [{ ...question, content: `${system.content}\n\n${question.content}` }, ...others];
}
