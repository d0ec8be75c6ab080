/** `lowrank chat`: one answer, an answer to each line that is piped in, or a conversation on a terminal. */
import { createInterface, type Interface } from "node:readline";
import { LowrankError } from "../../errors.ts";
import { Interrupted, interruptible } from "../interrupt.ts";
import { colorDepth, type Output, paint } from "../terminal/output.ts";
import { type LoadedChat, loadChat } from "./load.ts";
import { remarks, speedLine, speedOf } from "./report.ts";
import type { Answer } from "./session.ts";
import { type ChatOptions, readSetup } from "./setup.ts";
import { COMMAND_NAMES, runSlashCommand } from "./slash-commands.ts";

export interface ChatStreams {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  /** Answers, and nothing else unless it is a terminal. */
  readonly output: NodeJS.WritableStream & Output;
  /** Everything else. */
  readonly errors: Output;
}

/**
 * @param config path of a LLaMA-Factory configuration, or its first `key=value`
 * @throws LowrankError; Interrupted if an answer was stopped off a terminal
 */
export async function runChat(
  config: string | undefined,
  overrides: readonly string[],
  options: ChatOptions,
  streams: ChatStreams = { input: process.stdin, output: process.stdout, errors: process.stderr },
): Promise<void> {
  const setup = await readSetup(config, overrides, options);
  const isTalk = options.prompt === undefined && streams.input.isTTY === true && options.json !== true;
  const chat = await interruptible((signal) => loadChat(setup, streams.errors, signal));
  try {
    if (isTalk) await talk(chat, streams);
    else await interruptible((signal) => answerAll(chat, options, streams, signal));
  } finally {
    await chat.session.close();
    await chat.model.dispose();
  }
}

/** Answers the prompt, or every line of the input. */
async function answerAll(
  chat: LoadedChat,
  { prompt, json = false }: ChatOptions,
  { input, output, errors }: ChatStreams,
  signal: AbortSignal,
): Promise<void> {
  const { session, model } = chat;
  const say = (text: string) => errors.write(`${dim(text, errors)}\n`);
  const answer = async (question: string) => {
    const active = session.active;
    const given = await session.ask(question, {
      signal,
      ...(json ? {} : { onText: (text: string) => void output.write(text) }),
    });
    output.write(json ? `${jsonLine(question, active, given)}\n` : "\n");
    for (const remark of remarks(given, model.language.positionsWith(active))) say(remark);
    if (!json) say(speedLine(given));
    if (signal.aborted) throw new Interrupted();
  };
  if (prompt !== undefined) return answer(prompt === "-" ? await readAll(input) : prompt);
  const lines = createInterface({ input, signal });
  for await (const line of lines) {
    if (line.trim() === "") continue;
    if (!line.startsWith("/")) {
      await answer(line);
      continue;
    }
    const said = await runSlashCommand(chat, line).catch((error: unknown) => {
      // What follows may not depend on it; whoever wrote the lines is told in the end, too.
      process.exitCode = 1;
      return unlessOurs(say)(error);
    });
    if (said === undefined) break;
    if (said !== "") say(said);
  }
  if (signal.aborted) throw new Interrupted();
}

function jsonLine(prompt: string, adapters: readonly string[], answer: Answer): string {
  const { text, reason, promptTokens, reusedTokens, newTokens, forgottenTurns } = answer;
  const told = { prompt, answer: text, adapters, reason, promptTokens, reusedTokens, newTokens, forgottenTurns };
  return JSON.stringify({ ...told, ...speedOf(answer) });
}

/** A conversation on a terminal: Ctrl-C stops an answer, or ends it all when there is none. */
async function talk(chat: LoadedChat, { input, output, errors }: ChatStreams): Promise<void> {
  const { session, model, adapters } = chat;
  const shown = output.isTTY === true ? output : errors;
  const say = (text: string) => shown.write(`${dim(text, shown)}\n`);
  say(
    `${model.nameOrPath}${adapters.length === 0 ? "" : ` with ${session.active.join(", ")}`}; /help lists the commands`,
  );
  const lines = createInterface({
    input,
    output: shown as NodeJS.WritableStream & Output,
    terminal: true,
    completer: (line: string) => [COMMAND_NAMES.filter((name) => line !== "" && name.startsWith(line)), line],
  });
  let answering: AbortController | undefined;
  lines.on("SIGINT", () => {
    if (answering === undefined) lines.close();
    else if (answering.signal.aborted) process.exit(130);
    else answering.abort();
  });
  try {
    for await (const line of questions(lines, () => `${session.active.join("+")}> `)) {
      if (line.startsWith("/")) {
        const said = await runSlashCommand(chat, line).catch(unlessOurs(say));
        if (said === undefined) break;
        if (said !== "") say(said);
        continue;
      }
      answering = new AbortController();
      const answer = await session
        .ask(line, { signal: answering.signal, onText: (text) => void output.write(text) })
        .catch(unlessOurs(say));
      answering = undefined;
      if (answer === "") continue;
      output.write("\n");
      for (const remark of remarks(answer, model.language.positionsWith(session.active))) say(remark);
      say(`${speedLine(answer)}\n`);
    }
  } finally {
    lines.close();
  }
  shown.write("\n");
}

/** Lines that say something, a prompt before each. Those that are typed during an answer wait for their turn. */
async function* questions(lines: Interface, promptOf: () => string): AsyncGenerator<string> {
  const waiting: string[] = [];
  let wake = () => {};
  let isOpen = true;
  lines.on("line", (line) => {
    waiting.push(line);
    wake();
  });
  lines.on("close", () => {
    isOpen = false;
    wake();
  });
  for (;;) {
    const line = waiting.shift();
    if (line !== undefined) {
      if (line.trim() !== "") yield line.trim();
    } else if (isOpen) {
      lines.setPrompt(promptOf());
      lines.prompt();
      await new Promise<void>((resolve) => (wake = resolve));
    } else {
      return;
    }
  }
}

/** A mistake does not end a conversation. */
function unlessOurs(say: (text: string) => void): (error: unknown) => "" {
  return (error) => {
    if (!(error instanceof LowrankError)) throw error;
    say(error.message);
    return "";
  };
}

function dim(text: string, stream: Output): string {
  return paint(text, "dim", colorDepth(stream) > 1);
}

async function readAll(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}
