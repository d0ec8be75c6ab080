/** What can be known of a cell before it runs: whether its method fits the model, and how much it trains. */
import { METHODS } from "../../adapters/index.ts";
import { trainsAdapter } from "../../config/methods.ts";
import type { RunConfig } from "../../config/read.ts";
import { ConfigError, LowrankError, type Problem } from "../../errors.ts";
import type { ReadModel } from "../../lm/read-model.ts";
import { adaptable, attachPeft } from "../../lm/peft-config.ts";
import { countElements } from "../../nn/module.ts";
import { unfrozen } from "../freeze.ts";
import { peftConfigOf } from "../peft-config.ts";

export interface CellCheck {
  /** Undefined where it is known only when the adapter is loaded. */
  readonly trainableParameters: number | undefined;
  readonly problems: readonly Problem[];
}

/** @param steps of the run */
export function checkCell(config: RunConfig, { model, defaultTargets }: ReadModel, steps: number): CellCheck {
  const { finetuningType, adapterNameOrPath } = config;
  try {
    if (finetuningType === "full") return fine(countElements(model.parameters));
    if (finetuningType === "freeze") {
      const names = unfrozen(model, config);
      return fine(countElements(model.parameters.filter(({ name }) => names.has(name))));
    }
    if (!trainsAdapter(finetuningType)) return fine(undefined);
    if (adapterNameOrPath !== null) return fine(undefined);
    const target = adaptable(model, defaultTargets, config.modelNameOrPath);
    const adapter = attachPeft(target, "default", peftConfigOf(config));
    const method = METHODS.find(({ name }) => name === finetuningType);
    const wrong = method?.afterStep?.wrong?.(adapter.config, steps) ?? [];
    const where = `finetuning_type ${finetuningType}`;
    return {
      trainableParameters: countElements(adapter.parameters),
      problems: wrong.map((what) => ({ where, what, hint: "change peft_config, or the number of steps" })),
    };
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    return { trainableParameters: undefined, problems: [error.problem] };
  }
}

function fine(trainableParameters: number | undefined): CellCheck {
  return { trainableParameters, problems: [] };
}

/** One error for the problems of all cells, each with the name of its cell. */
export function cellsError(
  path: string,
  found: readonly { readonly cell: string; readonly problem: Problem }[],
): Error {
  const messages = new Map<string, string[]>();
  for (const { cell, problem } of found) {
    const message = new ConfigError(problem).message;
    messages.set(message, [...(messages.get(message) ?? []), cell]);
  }
  const lines = [...messages].map(
    ([message, cells]) => `\n  cell ${[...new Set(cells)].join(", ")}: ${message.replaceAll("\n", "\n  ")}`,
  );
  const count = messages.size === 1 ? "a problem" : `${messages.size} problems`;
  return new ConfigError({ where: path, what: `${count}${lines.join("")}` });
}
