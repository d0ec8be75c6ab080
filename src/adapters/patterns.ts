/** PEFT's `rank_pattern` and `alpha_pattern`: settings of single layers, by patterns for the ends of their names. */
import type { RankConfig } from "./method.ts";
import { type PythonPattern, pythonPattern } from "./python-pattern.ts";

type Pattern = Readonly<Record<string, number>>;

/** A whole name: no character of it means anything else than itself, or any character. */
const PLAIN = /^[\w.-]+$/;

const compiled = new WeakMap<Pattern, readonly (readonly [PythonPattern, number])[]>();

/**
 * The configuration on one layer: r and alpha are those of the first pattern that matches.
 * @throws ConfigError if a pattern is none
 */
export function configOn<C>(config: C, layer: string): C {
  const { rankPattern = {}, alphaPattern = {} } = config as Partial<RankConfig>;
  const r = valueOf(rankPattern, "rank_pattern", layer);
  const alpha = valueOf(alphaPattern, "alpha_pattern", layer);
  if (r === undefined && alpha === undefined) return config;
  return { ...config, ...(r === undefined ? {} : { r }), ...(alpha === undefined ? {} : { alpha }) };
}

/** Patterns that match none of the layers, with the names of the settings. */
export function unusedPatterns(
  config: unknown,
  layers: readonly string[],
): readonly { readonly setting: string; readonly pattern: string }[] {
  const { rankPattern = {}, alphaPattern = {} } = config as Partial<RankConfig>;
  const unused = (setting: string, patterns: Pattern) => {
    const all = entries(patterns, setting);
    return Object.keys(patterns).flatMap((pattern, i) =>
      layers.some((layer) => all[i]![0].matchesStart(layer)) ? [] : [{ setting, pattern }],
    );
  };
  return [...unused("rank_pattern", rankPattern), ...unused("alpha_pattern", alphaPattern)];
}

function valueOf(patterns: Pattern, setting: string, layer: string): number | undefined {
  return entries(patterns, setting).find(([pattern]) => pattern.matchesStart(layer))?.[1];
}

function entries(patterns: Pattern, setting: string): readonly (readonly [PythonPattern, number])[] {
  const known = compiled.get(patterns);
  if (known !== undefined) return known;
  const made = Object.entries(patterns).map(([pattern, value]) => [endingPattern(pattern, setting), value] as const);
  compiled.set(patterns, made);
  return made;
}

/** As PEFT asks: `re.match(rf"(.*\.)?({pattern})$", name)`. */
function endingPattern(pattern: string, setting: string): PythonPattern {
  const exact = pythonPattern(String.raw`(.*\.)?(${pattern})$`, setting);
  if (!PLAIN.test(pattern)) return exact;
  // Files have one entry per layer sometimes: most pairs are told apart by their last characters.
  const last = pattern.at(-1)!;
  return {
    matchesWhole: (name) => exact.matchesWhole(name),
    matchesStart: (name) => (last === "." || name.endsWith(last)) && exact.matchesStart(name),
  };
}
