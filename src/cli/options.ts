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

/** A finite number from `min` to `max`. */
export function number(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= min && value <= max) || value === Infinity) {
      throw new InvalidArgumentError(
        max === Infinity ? `expected a number >= ${min}.` : `expected a number from ${min} to ${max}.`,
      );
    }
    return value;
  };
}

/** A number above 0, 1 at most. */
export function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError("expected a number above 0, at most 1.");
  return value;
}
