/**
 * JSON as Python's `json.dumps` writes it, for files that people compare with those of transformers and LLaMA-Factory:
 * sorted keys, `1.0` where Python has a float, `5e-05`, and `", "` on one line. What is not finite becomes null, because
 * only Python reads its `NaN`.
 */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

export interface PythonJsonOptions {
  /** Spaces for a level. Default: all on one line. */
  readonly indent?: number;
  /** Default: true. */
  readonly sortKeys?: boolean;
}

/** Fields that are floats in Python also where their value is whole. JavaScript has one kind of number only. */
const FLOATS =
  /^(epoch|loss|lr|learning_rate|grad_norm|percentage|throughput|total_flos|best_metric)$|_(loss|perplexity|runtime|accuracy|f1|per_second|per_sec)$/;

/** Keys whose value is undefined are left out. */
export function pythonJson(value: Json, { indent, sortKeys = true }: PythonJsonOptions = {}): string {
  const write = (item: Json, key: string, depth: number): string => {
    if (typeof item === "number") return Number.isFinite(item) ? numberText(key, item) : "null";
    if (typeof item !== "object" || item === null) return JSON.stringify(item);
    if (Array.isArray(item)) {
      return enclose(
        "[",
        item.map((one) => write(one as Json, "", depth + 1)),
        "]",
        depth,
      );
    }
    const fields = Object.entries(item).filter((field): field is [string, Json] => field[1] !== undefined);
    // By code units, as JavaScript sorts: the keys are ASCII.
    if (sortKeys) fields.sort(([a], [b]) => (a < b ? -1 : 1));
    const parts = fields.map(([name, one]) => `${JSON.stringify(name)}: ${write(one, name, depth + 1)}`);
    return enclose("{", parts, "}", depth);
  };
  const enclose = (open: string, parts: readonly string[], close: string, depth: number): string => {
    if (parts.length === 0 || indent === undefined) return open + parts.join(", ") + close;
    const line = (level: number) => "\n" + " ".repeat(indent * level);
    return open + line(depth + 1) + parts.join("," + line(depth + 1)) + line(depth) + close;
  };
  return write(value, "", 0);
}

/** A value of the field `key` as Python shows it: a float if {@link FLOATS} says so or it has a fraction, else an int. */
export function numberText(key: string, value: number): string {
  return Number.isInteger(value) && !FLOATS.test(key) ? String(value) : pythonFloat(value);
}

/** `repr` of a Python float: the same digits as JavaScript's, other rules for the exponent. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const [digits = "", exponent = 0] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  if (Number.isInteger(value)) return `${value}.0`;
  // JavaScript itself turns to exponents below 1e-6 only, and Python below 1e-4.
  return String(value);
}
