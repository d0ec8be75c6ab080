/** The token that a chat template puts after an answer: where generation is to stop, whatever the configuration says. */
import type { Message } from "../sample.ts";
import type { JinjaTemplate } from "./chat-template.ts";

/** Stands for a text in a conversation that is only rendered to see what is around it. */
export const MARK = "LOWRANK-MARK-7F3A";

const PROBE: readonly Message[] = [
  { role: "user", content: "LOWRANK-PROBE" },
  { role: "assistant", content: MARK },
];

/**
 * The first token after an answer; undefined where the template writes text there that is no token, or nothing.
 * @param tokens the texts of tokens that are never split
 */
export function endOfTurn(template: JinjaTemplate, tokens: readonly string[]): string | undefined {
  let text: string;
  try {
    text = template.render(PROBE);
  } catch {
    // A template that cannot render even this will say so when it is used.
    return undefined;
  }
  const at = text.lastIndexOf(MARK);
  if (at < 0) return undefined;
  const after = text.slice(at + MARK.length).trimStart();
  return tokens.filter((token) => token !== "" && after.startsWith(token)).sort((a, b) => b.length - a.length)[0];
}
