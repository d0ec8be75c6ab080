/** Which layers an adapter is put on, after PEFT's `target_modules` and what narrows it. */
import { ConfigError, listed } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { Layer } from "../nn/module.ts";
import { type AdaptableModel, modulePaths } from "./copies.ts";
import { pythonPattern } from "./python-pattern.ts";

/**
 * `all-linear`: every linear layer but the model's output. A list: layers with one of these names, or whose name ends in a
 * dot and one of them. A string: a regular expression of Python for the whole name; or one of JavaScript.
 */
export type TargetModules = string | RegExp | readonly string[];

/** What narrows the targets. Names are PEFT's, in camelCase. */
export interface TargetOptions {
  /** Layers that are left out, in the same three ways. Wins over the targets. Default: none. */
  readonly excludeModules?: string | RegExp | readonly string[];
  /** Numbers of the blocks that are adapted. For a list of targets only. Default: all. */
  readonly layersToTransform?: number | readonly number[];
  /** Names before the number of a block, patterns each, such as `layers`. Default: any name below another. */
  readonly layersPattern?: string | readonly string[];
}

/** @throws ConfigError naming every entry that matches no layer, with the nearest names */
export function matchTargets(
  layers: readonly Layer[],
  targets: TargetModules,
  { excludeModules, layersToTransform, layersPattern }: TargetOptions = {},
): Layer[] {
  if (layersToTransform !== undefined && !Array.isArray(targets)) {
    throw new ConfigError({
      where: "layers_to_transform",
      what: "needs a list of target_modules",
      got: String(targets),
      hint: "with a pattern, put the numbers of the blocks into it",
    });
  }
  if (hasEntries(layersPattern) && layersToTransform === undefined) {
    throw new ConfigError({ where: "layers_pattern", what: "has no effect without layers_to_transform" });
  }
  const named = matchNames(layers, targets, "target_modules");
  const inBlocks = layersToTransform === undefined ? named : inside(named, layersToTransform, layersPattern);
  if (!hasEntries(excludeModules)) return inBlocks;
  const excluded = new Set(matchNames(layers, excludeModules, "exclude_modules"));
  return inBlocks.filter((layer) => !excluded.has(layer));
}

/** Whether PEFT's rule for lists matches: the name itself, or an ending of it after a dot. */
export function endsIn(name: string, target: string): boolean {
  return name === target || name.endsWith(`.${target}`);
}

export function isAllLinear(targets: TargetModules): targets is string {
  return typeof targets === "string" && targets.toLowerCase() === "all-linear";
}

/**
 * Targets in the form that PEFT writes. It knows no flags of regular expressions, and by `all-linear` it means layers
 * that it picks itself, so both become the names that they matched: as short as they can be.
 */
export function targetNames(
  layers: readonly Layer[],
  matched: readonly Layer[],
  targets: TargetModules,
): string | readonly string[] {
  if (targets instanceof RegExp && targets.flags === "") return targets.source;
  if (!isAllLinear(targets) && !(targets instanceof RegExp)) return targets;
  return shortNames(layers, matched);
}

/** The shortest names that mean these layers and no others. */
export function shortNames(layers: readonly Layer[], matched: readonly Layer[]): string[] {
  const chosen = new Set(matched);
  const isExact = (ending: string) => layers.every((layer) => chosen.has(layer) || !endsIn(layer.name, ending));
  const names = matched.map(({ name }) => {
    const ending = name.slice(name.lastIndexOf(".") + 1);
    return isExact(ending) ? ending : name;
  });
  return [...new Set(names)];
}

/**
 * Number of the block that a layer is in, as PEFT finds it; undefined outside of blocks.
 * @param patterns of the name before the number
 */
export function blockOf(name: string, patterns: string | readonly string[] | undefined): number | undefined {
  const parts = name.split(".");
  const before = (i: number) =>
    parts
      .slice(0, i)
      .map((part) => `${part}.`)
      .join("");
  // The first number counts, and something has to come after it.
  const numbers = parts.flatMap((part, i) => (/^\d+$/.test(part) && i < parts.length - 1 ? [i] : []));
  const heads = !hasEntries(patterns)
    ? [pythonPattern(String.raw`.*?\.[^.]*\.`, "layers_pattern")]
    : [patterns].flat().map((pattern) => pythonPattern(String.raw`(?:^|.*?\.)${pattern}\.`, "layers_pattern"));
  for (const head of heads) {
    const found = numbers.find((i) => head.matchesWhole(before(i)));
    if (found !== undefined) return Number(parts[found]);
  }
  return undefined;
}

/**
 * Names of the modules of any kind that targets mean, of which parameters are directly part.
 * @throws ConfigError naming every entry that matches none
 */
export function matchModules(model: AdaptableModel, targets: TargetModules): string[] {
  const parents = new Set(model.parameters.map(({ name }) => name.slice(0, name.lastIndexOf("."))));
  const paths = modulePaths(model).filter((path) => parents.has(path));
  if (typeof targets === "string" || targets instanceof RegExp) {
    const isMatch = wholeName(targets, "target_modules");
    const matched = paths.filter(isMatch);
    if (matched.length > 0) return matched;
    throw new ConfigError({ where: "target_modules", what: `"${String(targets)}" matches no module` });
  }
  const unmatched = targets.filter((target) => !paths.some((path) => endsIn(path, target)));
  if (unmatched.length > 0) {
    const endings = [...new Set(paths.map((path) => path.split(".").at(-1)!))];
    throw new ConfigError({
      where: "target_modules",
      what: `${listed(unmatched.map((target) => `"${target}"`))}: no module of the model`,
      hint: `there are ${endings.map((name) => `"${name}"`).join(", ")}`,
    });
  }
  return paths.filter((path) => targets.some((target) => endsIn(path, target)));
}

function matchNames(layers: readonly Layer[], targets: TargetModules, where: string): Layer[] {
  if (isAllLinear(targets)) return layers.filter((layer) => layer.kind === "linear" && layer.isOutput !== true);
  if (typeof targets === "string" || targets instanceof RegExp) {
    const isMatch = wholeName(targets, where);
    const matched = layers.filter(({ name }) => isMatch(name));
    if (matched.length === 0) throw noMatch(layers, [String(targets)], typeof targets === "string", where);
    return matched;
  }
  const unmatched = targets.filter((target) => !layers.some(({ name }) => endsIn(name, target)));
  if (unmatched.length > 0) throw noMatch(layers, unmatched, false, where);
  return layers.filter(({ name }) => targets.some((target) => endsIn(name, target)));
}

function inside(layers: readonly Layer[], blocks: number | readonly number[], pattern: TargetOptions["layersPattern"]) {
  const wanted = [blocks].flat();
  // PEFT takes an empty list for none.
  if (wanted.length === 0) return [...layers];
  const numbers = layers.map(({ name }) => blockOf(name, pattern));
  const missing = wanted.filter((block) => !numbers.includes(block));
  if (missing.length > 0) {
    const there = [...new Set(numbers)].filter((block) => block !== undefined);
    throw new ConfigError({
      where: "layers_to_transform",
      what: `there is no targeted layer in block ${listed(missing.map(String))}`,
      expected:
        there.length === 0
          ? "blocks: none of the targets is in one"
          : `numbers from ${Math.min(...there)} to ${Math.max(...there)}`,
    });
  }
  return layers.filter((_, i) => wanted.includes(numbers[i] ?? -1));
}

function hasEntries<T extends string | RegExp | readonly string[]>(value: T | undefined): value is T {
  return value !== undefined && (value instanceof RegExp || value.length > 0);
}

function wholeName(pattern: string | RegExp, where: string): (name: string) => boolean {
  if (typeof pattern === "string") {
    const compiled = pythonPattern(pattern, where);
    return (name) => compiled.matchesWhole(name);
  }
  // Global and sticky ones would go on where the last match ended.
  const whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replaceAll(/[gy]/g, ""));
  return (name) => whole.test(name);
}

function noMatch(
  layers: readonly Layer[],
  unmatched: readonly string[],
  isPattern: boolean,
  where: string,
): ConfigError {
  const endings = [...new Set(layers.map(({ name }) => name.split(".").at(-1)!))];
  const hints = unmatched.slice(0, 10).map((target) => {
    if (isPattern && layers.some(({ name }) => endsIn(name, target))) {
      return `a string is a pattern for whole names: write ["${target}"]`;
    }
    const names = target.includes(".") ? layers.map(({ name }) => name) : endings;
    const closest = nearest(target, names);
    return closest === undefined ? "the model has no layers" : `the closest name to "${target}" is "${closest}"`;
  });
  const quoted = unmatched.map((target) => `"${target}"`);
  const verb = unmatched.length === 1 ? "matches" : "match";
  return new ConfigError({
    where,
    what: `${listed(quoted)} ${verb} none of the ${layers.length} layers`,
    hint: `${hints.join("; ")}. There are ${listed(endings.map((name) => `"${name}"`)).replaceAll(";", ",")}`,
  });
}
