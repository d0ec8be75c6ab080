/**
 * What is said about one key of a configuration: its type, its default, whether it is honoured, and why not.
 *
 * - `honoured`: does here what it does in LLaMA-Factory or transformers.
 * - `folded`: another spelling of an honoured key; the finished configuration has only that one.
 * - `inert`: accepted, because it cannot change a result here. Where it is given, a note says why.
 * - `refused`: accepted only with the value that asks for nothing, because otherwise the run would not be what it says.
 */
import type { Type } from "./type.ts";

export type Status = "honoured" | "folded" | "inert" | "refused";

export interface Key<T = unknown, S extends Status = Status> {
  readonly type: Type<T>;
  /** The value where none is given; of a refused key, the one that asks for nothing. */
  readonly byDefault: T;
  readonly status: S;
  /** One line for the table of keys. */
  readonly meaning: string;
  /** Inert and refused keys: the reason. Folded ones: the key that it goes into. */
  readonly why: string;
  /** Refused keys: what to do instead. */
  readonly hint?: string;
  /** Never written to a file. */
  readonly secret?: true;
}

export function honoured<T>(type: Type<T>, byDefault: NoInfer<T>, meaning: string): Key<T, "honoured"> {
  return { type, byDefault, status: "honoured", meaning, why: "" };
}

export function secret<T>(type: Type<T>, byDefault: NoInfer<T>, meaning: string): Key<T, "honoured"> {
  return { ...honoured<T>(type, byDefault, meaning), secret: true };
}

/** @param into the key that has its meaning in the finished configuration */
export function folded<T>(type: Type<T>, byDefault: NoInfer<T>, meaning: string, into: string): Key<T, "folded"> {
  return { type, byDefault, status: "folded", meaning, why: into };
}

export function inert<T>(type: Type<T>, byDefault: NoInfer<T>, meaning: string, why: string): Key<T, "inert"> {
  return { type, byDefault, status: "inert", meaning, why };
}

/** @param neutral the value that asks for nothing, which is accepted */
export function refused<T>(
  type: Type<T>,
  neutral: NoInfer<T>,
  meaning: string,
  why: string,
  hint?: string,
): Key<T, "refused"> {
  return { type, byDefault: neutral, status: "refused", meaning, why, ...(hint === undefined ? {} : { hint }) };
}
