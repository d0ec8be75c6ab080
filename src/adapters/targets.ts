/** Which layers an adapter is put on, after PEFT's `target_modules`. */
import { ConfigError } from "../errors.ts";
import type { Layer } from "../nn/module.ts";

/**
 * `all-linear`: every linear layer. A list: layers with one of these names, or whose name ends in a dot and one of them. A
 * string or a regular expression: layers whose whole name it matches.
 */
export type TargetModules = "all-linear" | string | RegExp | readonly string[];

/** @throws ConfigError if an entry matches no layer, with the nearest name */
export function matchTargets(layers: readonly Layer[], targets: TargetModules): Layer[] {
  if (targets === "all-linear") return layers.filter(({ kind }) => kind === "linear");
  if (typeof targets === "string" || targets instanceof RegExp) {
    const source = typeof targets === "string" ? targets : targets.source;
    const whole = new RegExp(`^(?:${source})$`);
    const matched = layers.filter(({ name }) => whole.test(name));
    if (matched.length === 0) throw noMatch(layers, source);
    return matched;
  }
  for (const target of targets) if (!layers.some(({ name }) => endsIn(name, target))) throw noMatch(layers, target);
  return layers.filter(({ name }) => targets.some((target) => endsIn(name, target)));
}

function endsIn(name: string, target: string): boolean {
  return name === target || name.endsWith(`.${target}`);
}

function noMatch(layers: readonly Layer[], target: string): ConfigError {
  const names = [...new Set(layers.map(({ name }) => name.split(".").at(-1)!))];
  const nearest = names.sort((a, b) => distance(a, target) - distance(b, target))[0];
  return new ConfigError({
    where: "target_modules",
    what: `"${target}" matches none of the ${layers.length} layers`,
    ...(nearest === undefined ? {} : { hint: `the closest name is "${nearest}"; there are ${names.join(", ")}` }),
  });
}

/** Levenshtein's edit distance. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    }
    row = next;
  }
  return row[b.length]!;
}
