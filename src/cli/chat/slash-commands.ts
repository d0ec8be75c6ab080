/** Commands within a chat, such as `/adapter NAME`. */
import { appendFile, writeFile } from "node:fs/promises";
import { ConfigError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { ChatSession } from "./session.ts";
import type { AdapterPath } from "./setup.ts";

export interface SlashContext {
  readonly session: ChatSession;
  readonly adapters: readonly AdapterPath[];
}

interface SlashCommand {
  readonly usage: string;
  readonly meaning: string;
  /** What is said about it; undefined ends the chat. @throws LowrankError */
  run(context: SlashContext, argument: string): string | undefined | Promise<string>;
}

const COMMANDS: Readonly<Record<string, SlashCommand>> = {
  adapter: {
    usage: "/adapter NAME…",
    meaning: "switch to an adapter, or put on several",
    run(context, argument) {
      const names = argument.split(/\s+/).filter((name) => name !== "");
      if (names.length === 0) return listAdapters(context);
      context.session.use(names);
      return `with ${names.join(", ")}`;
    },
  },
  adapters: { usage: "/adapters", meaning: "list them", run: listAdapters },
  base: {
    usage: "/base",
    meaning: "switch all adapters off",
    run({ session }) {
      session.use([]);
      return "with the base model alone";
    },
  },
  clear: {
    usage: "/clear",
    meaning: "forget the conversation; the system prompt stays",
    run({ session }) {
      session.clear();
      return "a new conversation";
    },
  },
  system: {
    usage: "/system TEXT",
    meaning: "set the system prompt; `/system -` removes it",
    run({ session }, argument) {
      if (argument === "") return session.system ?? "there is no system prompt";
      session.setSystem(argument === "-" ? "" : argument);
      return argument === "-" ? "no system prompt" : "the system prompt holds from the next question on";
    },
  },
  save: { usage: "/save FILE", meaning: "write the messages as JSON; to a .jsonl they are added", run: save },
  help: { usage: "/help", meaning: "this list", run: () => help() },
  exit: { usage: "/exit", meaning: "end (also Ctrl-D)", run: () => undefined },
};

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS).map((name) => `/${name}`);

/** Other names that people try. */
const ALIASES: Readonly<Record<string, string>> = { quit: "exit", q: "exit", bye: "exit", reset: "clear", "?": "help" };

/**
 * @param line beginning with `/`
 * @returns what to say; undefined ends the chat
 * @throws ConfigError naming the nearest command, adapter, or what is wrong with a file
 */
export async function runSlashCommand(context: SlashContext, line: string): Promise<string | undefined> {
  const [, name = "", argument = ""] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
  const known = Object.hasOwn(ALIASES, name) ? ALIASES[name]! : name;
  if (Object.hasOwn(COMMANDS, known)) return COMMANDS[known]!.run(context, argument.trim());
  throw new ConfigError({
    where: `/${name}`,
    what: "there is no such command",
    hint: `the nearest one is /${nearest(name, Object.keys(COMMANDS))}; /help lists them`,
  });
}

function help(): string {
  const all = Object.values(COMMANDS);
  const width = Math.max(...all.map(({ usage }) => usage.length));
  return all.map(({ usage, meaning }) => `${usage.padEnd(width)}  ${meaning}`).join("\n");
}

function listAdapters({ session, adapters }: SlashContext): string {
  if (adapters.length === 0) return "there are no adapters: start with --adapter PATH";
  return adapters
    .map(({ name, path }) => `${session.active.includes(name) ? "*" : " "} ${name}${name === path ? "" : `  ${path}`}`)
    .join("\n");
}

/** As rows of a data set in OpenAI's format. */
async function save({ session }: SlashContext, path: string): Promise<string> {
  if (path === "") throw new ConfigError({ where: "/save", what: "which file?", hint: "/save chat.jsonl" });
  const { messages } = session;
  if (!messages.some(({ role }) => role === "assistant")) return "there is nothing to save yet";
  const row = { messages: messages.map(({ role, content }) => ({ role, content })) };
  const isLines = path.endsWith(".jsonl");
  try {
    if (isLines) await appendFile(path, `${JSON.stringify(row)}\n`);
    else await writeFile(path, `${JSON.stringify([row], null, 2)}\n`, { flag: "wx" });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    throw new ConfigError({
      where: path,
      what: code === "EEXIST" ? "is there already" : `cannot be written (${String(code ?? cause)})`,
      ...(code === "EEXIST" ? { hint: "take another name; a .jsonl is added to" } : {}),
      cause,
    });
  }
  return `${messages.length} messages ${isLines ? "added to" : "in"} ${path}`;
}
