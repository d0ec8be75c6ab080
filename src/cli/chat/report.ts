/** What is said about an answer: how fast it was, and why it ended. */
import type { Answer } from "./session.ts";

/** Tokens per second; null where nothing was computed. */
export interface Speed {
  readonly prefillTokensPerSecond: number | null;
  readonly decodeTokensPerSecond: number | null;
}

export function speedOf({ promptTokens, reusedTokens, newTokens, prefillMs, decodeMs }: Answer): Speed {
  const rate = (tokens: number, ms: number) => (tokens > 0 && ms > 0 ? (1000 * tokens) / ms : null);
  return {
    prefillTokensPerSecond: newTokens > 0 ? rate(promptTokens - reusedTokens, prefillMs) : null,
    // The first token came with the prompt.
    decodeTokensPerSecond: rate(newTokens - 1, decodeMs),
  };
}

/** `42 tokens, 18.3 tokens/s; prompt: 31 tokens (12 kept from before), 210 tokens/s` */
export function speedLine(answer: Answer): string {
  const { promptTokens, reusedTokens, newTokens } = answer;
  const { prefillTokensPerSecond, decodeTokensPerSecond } = speedOf(answer);
  const rate = (value: number | null) => (value === null ? "" : `, ${rateText(value)} tokens/s`);
  const kept = reusedTokens === 0 ? "" : ` (${reusedTokens} kept from before)`;
  return (
    `${count(newTokens, "token")}${rate(decodeTokensPerSecond)}; ` +
    `prompt: ${count(promptTokens, "token")}${kept}${rate(prefillTokensPerSecond)}`
  );
}

/** What a person would otherwise wonder about. @param maxPositions those that tokens may take */
export function remarks({ reason, forgottenTurns }: Answer, maxPositions: number): string[] {
  const lines: string[] = [];
  if (forgottenTurns > 0) {
    lines.push(
      `the model's ${maxPositions} positions are full: it does not see the oldest ` +
        `${forgottenTurns === 1 ? "question and its answer" : `${forgottenTurns} questions and answers`} any more; ` +
        "/clear begins anew",
    );
  }
  if (reason === "length") lines.push("cut off at --max-new-tokens");
  if (reason === "context") lines.push(`cut off: the model's ${maxPositions} positions are full; /clear begins anew`);
  if (reason === "aborted") lines.push("stopped");
  return lines;
}

function count(n: number, unit: string): string {
  return `${n.toLocaleString("en-US")} ${unit}${n === 1 ? "" : "s"}`;
}

function rateText(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}
