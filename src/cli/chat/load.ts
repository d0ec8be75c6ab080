/** From a setup to a chat: the model, its adapters, their templates, with what there is to see while they load. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ChatTemplate, loadTokenizer, resolveTemplate, type Tokenizer } from "../../data/text/index.ts";
import { ConfigError } from "../../errors.ts";
import { loadAdapter } from "../../formats/peft/index.ts";
import { type HubProgress, resolveFolder } from "../../hub/resolve.ts";
import { checkAdapterTask } from "../../lm/adapter-task.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../lm/causal-lm-model.ts";
import type { Output } from "../terminal/output.ts";
import { Progress } from "../terminal/progress.ts";
import { ChatSession } from "./session.ts";
import type { AdapterPath, ChatSetup } from "./setup.ts";

export interface LoadedChat {
  readonly model: CausalLMModel;
  readonly session: ChatSession;
  readonly adapters: readonly AdapterPath[];
}

/** New tokens where neither an option nor the model says how many. */
const MAX_NEW_TOKENS = 1024;
/** Weights of fewer bytes are there before a bar could be read. */
const WORTH_A_BAR = 100e6;

/** @param errors for notes and progress @throws as `AutoModelForCausalLM`, `loadAdapter` and `resolveTemplate` */
export async function loadChat(setup: ChatSetup, errors: Output, signal: AbortSignal): Promise<LoadedChat> {
  const bars = new Bars(errors);
  const note = (text: string) => bars.note(text);
  setup.notes.forEach(note);
  let model: CausalLMModel | undefined;
  try {
    const hub = { ...setup.hub, onDownload: (progress: HubProgress) => bars.download(progress), signal };
    model = await AutoModelForCausalLM.fromPretrained(setup.model, {
      ...hub,
      device: setup.device,
      ...setup.weights,
      ...(setup.threads === undefined ? {} : { threads: setup.threads }),
      onConvert: (done, total) => bars.convert(done, total),
    });
    const { language, generation } = model;
    const tokenizer = await loadTokenizer(model.dir);
    const folders = new Map<string, string>();
    for (const { name, path } of setup.adapters) {
      signal.throwIfAborted();
      const { revision: _, onDownload, ...shared } = hub;
      const { dir } = await resolveFolder(path, { ...shared, kind: "adapter", onProgress: onDownload });
      await checkAdapterTask(dir, language.model);
      const { adapter, warnings } = await loadAdapter(language.device, language.model, dir, { name });
      await language.add(adapter);
      folders.set(name, dir);
      warnings.forEach(note);
    }
    bars.stop();
    const { template: wanted, system, enableThinking } = setup;
    const templates = wanted === false ? undefined : await readTemplates(tokenizer, wanted, folders, setup.active);
    // Of a template that was named, nobody needs to be told that it is used.
    const own = [...(templates?.values() ?? [])].filter(({ origin }) => origin === "model");
    for (const text of new Set(own.flatMap(({ notes }) => notes))) note(text);
    const session = new ChatSession({
      language,
      tokenizer,
      templateOf: (active) => templates?.get(active[0]) ?? templates?.get(undefined),
      active: setup.active,
      ...(system === undefined || system === "" ? {} : { system }),
      ...(enableThinking === undefined ? {} : { enableThinking }),
      skipSpecialTokens: setup.skipSpecialTokens,
      generation: { maxNewTokens: MAX_NEW_TOKENS, ...generation, ...setup.sampling, seed: setup.seed },
    });
    await session.prepare();
    signal.throwIfAborted();
    return { model, session, adapters: setup.adapters };
  } catch (error) {
    bars.stop();
    await model?.dispose();
    throw error;
  }
}

/**
 * The templates by the adapter that is on, undefined for the base: one that is saved with an adapter is used with it.
 * @param wanted name of the template for all of them
 */
async function readTemplates(
  tokenizer: Tokenizer,
  wanted: string | undefined,
  folders: ReadonlyMap<string, string>,
  active: readonly string[],
): Promise<Map<string | undefined, ChatTemplate>> {
  const templates = new Map<string | undefined, ChatTemplate>();
  if (wanted === undefined) {
    for (const [name, dir] of folders) {
      const chatTemplate = await readIfThere(join(dir, "chat_template.jinja"));
      if (chatTemplate !== undefined) templates.set(name, resolveTemplate({ ...tokenizer, chatTemplate }, undefined));
    }
  }
  // A base without a template of its own is asked in the words that its adapter learnt.
  const learnt = templates.get(active[0]) ?? [...templates.values()][0];
  if (wanted === undefined && tokenizer.chatTemplate === undefined) {
    if (learnt !== undefined) return templates.set(undefined, learnt);
    throw new ConfigError({
      where: tokenizer.dir,
      what: "the model has no chat template of its own",
      hint: "`--template default` asks it in a form that works with any model; `--no-template` lets it go on with a text",
    });
  }
  return templates.set(undefined, resolveTemplate(tokenizer, wanted));
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** One bar at a time. */
class Bars {
  readonly #stream: Output;
  #label = "";
  #bar: Progress | undefined;

  constructor(stream: Output) {
    this.#stream = stream;
  }

  download({ bytes, totalBytes, file }: HubProgress): void {
    this.#show("downloading", bytes, totalBytes, file);
  }

  convert(done: number, total: number): void {
    if (total >= WORTH_A_BAR) this.#show("making weights float32", done, total);
  }

  note(text: string): void {
    this.stop();
    this.#stream.write(`${text}\n`);
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#label = "";
  }

  #show(label: string, done: number, total: number, file?: string): void {
    if (this.#label !== label) {
      this.stop();
      this.#label = label;
      this.#bar = new Progress({ label, total, unit: "B", stream: this.#stream });
    }
    this.#bar?.update(done, file === undefined ? {} : { file });
    if (done < total) return;
    this.#bar?.finish();
    this.#bar = undefined;
  }
}
