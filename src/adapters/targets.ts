/** Which layers an adapter is put on, after PEFT's `target_modules`. */
import { ConfigError, listed } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { Layer } from "../nn/module.ts";

/**
 * `all-linear`: every linear layer. A list: layers with one of these names, or whose name ends in a dot and one of them. A
 * string or a regular expression: layers whose whole name it matches.
 */
export type TargetModules = string | RegExp | readonly string[];

/** @throws ConfigError naming every entry that matches no layer, with the nearest names */
export function matchTargets(layers: readonly Layer[], targets: TargetModules): Layer[] {
  if (targets === "all-linear") return layers.filter(({ kind }) => kind === "linear");
  if (typeof targets === "string" || targets instanceof RegExp) {
    const whole = wholeName(targets);
    const matched = layers.filter(({ name }) => whole.test(name));
    if (matched.length === 0) throw noMatch(layers, [String(targets)], typeof targets === "string");
    return matched;
  }
  const unmatched = targets.filter((target) => !layers.some(({ name }) => endsIn(name, target)));
  if (unmatched.length > 0) throw noMatch(layers, unmatched, false);
  return layers.filter(({ name }) => targets.some((target) => endsIn(name, target)));
}

/** Whether PEFT's rule for lists matches: the name itself, or an ending of it after a dot. */
export function endsIn(name: string, target: string): boolean {
  return name === target || name.endsWith(`.${target}`);
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
  if (targets !== "all-linear" && !(targets instanceof RegExp)) return targets;
  const chosen = new Set(matched);
  const isExact = (ending: string) => layers.every((layer) => chosen.has(layer) || !endsIn(layer.name, ending));
  const names = matched.map(({ name }) => {
    const ending = name.slice(name.lastIndexOf(".") + 1);
    return isExact(ending) ? ending : name;
  });
  return [...new Set(names)];
}

function wholeName(pattern: string | RegExp): RegExp {
  if (typeof pattern !== "string") {
    // Global and sticky ones would go on where the last match ended.
    return new RegExp(`^(?:${pattern.source})$`, pattern.flags.replaceAll(/[gy]/g, ""));
  }
  try {
    return new RegExp(`^(?:${pattern})$`);
  } catch (cause) {
    throw new ConfigError({
      where: "target_modules",
      what: "not a regular expression",
      got: pattern,
      hint: "for names of layers, give a list of them",
      cause,
    });
  }
}

function noMatch(layers: readonly Layer[], unmatched: readonly string[], isPattern: boolean): ConfigError {
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
    where: "target_modules",
    what: `${listed(quoted)} ${verb} none of the ${layers.length} layers`,
    hint: `${hints.join("; ")}. There are ${listed(endings.map((name) => `"${name}"`)).replaceAll(";", ",")}`,
  });
}
