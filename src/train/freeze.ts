/** `finetuning_type: freeze`: which weights of a model are trained, after LLaMA-Factory's `freeze_*` keys. */
import { ConfigError, listed } from "../errors.ts";
import type { TextModel } from "../models/text-model.ts";
import { nearest } from "../nearest.ts";

export interface FreezeSettings {
  /** The last n blocks; negative: the first n. */
  readonly freezeTrainableLayers: number;
  /** Modules of a block that are trained, such as `mlp` or `self_attn.q_proj`. */
  readonly freezeTrainableModules: "all" | readonly string[];
  /** Modules outside the blocks that are trained too, such as `lm_head` or `norm`. */
  readonly freezeExtraModules: readonly string[] | null;
}

/** Names of the parameters that are trained. @throws ConfigError naming every module that is none */
export function unfrozen(model: TextModel, settings: FreezeSettings): Set<string> {
  const { freezeTrainableLayers: count, freezeTrainableModules: modules, freezeExtraModules: extra } = settings;
  if (count === 0 || Math.abs(count) > model.blocks) {
    throw new ConfigError({
      where: "freeze_trainable_layers",
      what: "not a number of blocks of this model",
      got: count,
      expected: `1 to ${model.blocks} (the last ones), or -1 to -${model.blocks} (the first ones)`,
    });
  }
  const first = count > 0 ? model.blocks - count : 0;
  const last = count > 0 ? model.blocks : -count;
  const placed = model.parameters.map(({ name }) => ({ name, ...placeOf(name) }));
  const inside = placed.filter(({ block }) => block !== undefined && block >= first && block < last);
  const outside = placed.filter(({ block }) => block === undefined);
  const problems: string[] = [];
  const pick = (from: typeof placed, wanted: readonly string[], key: string) =>
    wanted.flatMap((module) => {
      const found = from.filter(({ rest }) => isUnder(rest, module));
      if (found.length === 0) {
        const names = [...new Set(from.flatMap(({ rest }) => modulesOf(rest)))];
        problems.push(`${key}: "${module}" is no module (the nearest is "${nearest(module, names) ?? ""}")`);
      }
      return found;
    });
  const chosen = modules === "all" ? inside : pick(inside, modules, "freeze_trainable_modules");
  const named = extra === null ? [] : pick(outside, tiedNames(extra, model), "freeze_extra_modules");
  // A head that no checkpoint has is trained in any case.
  const heads = outside.filter(({ rest }) => (model.newModules ?? []).some((module) => isUnder(rest, module)));
  const others = [...named, ...heads];
  if (problems.length > 0) throw new ConfigError({ where: "freeze", what: listed(problems) });
  return new Set([...chosen, ...others].map(({ name }) => name));
}

/** `model.layers.3.mlp.up_proj.weight` is in block 3, and there `mlp.up_proj.weight`. */
function placeOf(name: string): { block: number | undefined; rest: string } {
  const [, block, rest] = /\.(\d+)\.(.*)$/.exec(name) ?? [];
  return block === undefined ? { block: undefined, rest: name } : { block: Number(block), rest: rest! };
}

/**
 * Whether a parameter belongs to a module: `mlp` or `up_proj` or `mlp.up_proj` of `mlp.up_proj.weight`; or is the one that is
 * named: `up_proj.weight`, without the bias.
 */
function isUnder(parameter: string, module: string): boolean {
  return `.${parameter}.`.includes(`.${module}.`);
}

function modulesOf(parameter: string): string[] {
  const parts = parameter.split(".").slice(0, -1);
  return [...parts, parts.join(".")].filter((part) => part !== "");
}

/** A head that shares the embedding's table is trained with it. */
function tiedNames(modules: readonly string[], { tied }: TextModel): string[] {
  return modules.map((module) => {
    const source = Object.entries(tied).find(([name]) => isUnder(name, module))?.[1];
    return source === undefined ? module : source.slice(0, source.lastIndexOf("."));
  });
}
