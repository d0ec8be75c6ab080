/**
 * How conversations name their roles. The names that are common in the wild are understood in both formats; tags of a
 * `dataset_info.json` are added to them.
 */
import type { MessageKind, Tags } from "./format.ts";

const KINDS: readonly (readonly [string, MessageKind])[] = [
  ["system", "system"],
  ["developer", "system"],
  ["human", "user"],
  ["user", "user"],
  ["gpt", "assistant"],
  ["assistant", "assistant"],
  ["chatgpt", "assistant"],
  ["model", "assistant"],
  ["function_call", "function"],
  ["tool_call", "function"],
  ["observation", "observation"],
  ["tool", "observation"],
  ["function_response", "observation"],
  // In the first form of OpenAI's function calls, the role of what the function gave back.
  ["function", "observation"],
];

export const SHAREGPT_TAGS: Tags = { role: "from", content: "value", kinds: new Map(KINDS) };
export const OPENAI_TAGS: Tags = { role: "role", content: "content", kinds: new Map(KINDS) };

/** The tags of a `dataset_info.json` entry; what it does not say is as in `base`. */
export function withTags(base: Tags, given: Readonly<Record<string, string>>): Tags {
  const kinds = new Map(base.kinds);
  const named: readonly (readonly [string, MessageKind])[] = [
    ["user_tag", "user"],
    ["assistant_tag", "assistant"],
    ["observation_tag", "observation"],
    ["function_tag", "function"],
    ["system_tag", "system"],
  ];
  for (const [key, kind] of named) if (given[key] !== undefined) kinds.set(given[key], kind);
  return { role: given["role_tag"] ?? base.role, content: given["content_tag"] ?? base.content, kinds };
}
