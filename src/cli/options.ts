/** Parsers for the values of options: they say what is wrong with one. */
import { InvalidArgumentError } from "commander";

/** A whole number, at least `min`. */
export function integer(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`expected a whole number >= ${min}.`);
    }
    return value;
  };
}

/** A finite number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError("expected a number above 0.");
  return value;
}
