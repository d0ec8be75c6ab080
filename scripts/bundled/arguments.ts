/** `--name value` arguments of the scripts in this folder. */

import { parseArgs } from "node:util";
import { ConfigError } from "../../src/errors.ts";

/**
 * @param defaults every option with its default; a number makes the option a number
 * @throws ConfigError for an unknown option, or a number that is not positive
 */
export function readArguments<T extends Readonly<Record<string, string | number>>>(
  defaults: T,
): { [K in keyof T]: T[K] extends number ? number : string } {
  const names = Object.keys(defaults);
  let given: Record<string, string | boolean | undefined>;
  try {
    given = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) }).values;
  } catch (cause) {
    throw new ConfigError({
      where: "arguments",
      what: cause instanceof Error ? cause.message : String(cause),
      expected: names.map((name) => `--${name} ${String(defaults[name])}`).join(" "),
    });
  }
  const read = names.map((name) => {
    const value = given[name] ?? defaults[name]!;
    if (typeof defaults[name] === "string") return [name, value];
    const number = Number(value);
    if (!(number > 0)) throw new ConfigError({ where: `--${name}`, what: "not a positive number", got: value });
    return [name, number];
  });
  return Object.fromEntries(read) as { [K in keyof T]: T[K] extends number ? number : string };
}
