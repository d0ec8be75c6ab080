/**
 * Dimensions and shapes.
 *
 * A dimension has a size, a name, or both: `D=896` is a width known when the graph is traced, `T` a number of tokens
 * known when it runs. Unknown sizes are polynomials in their names with integer coefficients (`B*T`, `P+T`), kept in
 * one canonical form, so that two of them are equal exactly when they print the same.
 */
import { ShapeError } from "../errors.ts";

/** One dimension. `size` is absent while it is known by name only. */
export interface Dim {
  /** Letter or canonical polynomial: `"D"`, `"B*T"`, or `""` for an anonymous known size. */
  readonly name: string;
  readonly size?: number;
}

export type Shape = readonly Dim[];

/** A name within a polynomial. */
const NAME = /^[\p{L}_][\p{L}\p{N}_]*$/u;

/** What callers may write for a dimension: a size, or the name of one that is known when the graph runs. */
export type DimLike = number | string | Dim;

/** Sizes of named dimensions, known when a graph runs. */
export type DimSizes = Readonly<Record<string, number>>;

/** @throws ShapeError if a size is not a whole number >= 0, or a name is not a polynomial in names. */
export function dim(value: DimLike, name = ""): Dim {
  if (typeof value === "string") return parseDim(value);
  if (typeof value === "object") return value;
  if (!Number.isInteger(value) || value < 0) {
    throw new ShapeError({ where: name || "shape", what: "not a dimension", got: value, expected: "an integer >= 0" });
  }
  return { name, size: value };
}

function parseDim(text: string): Dim {
  const factors = text.replace(/^-/, "").split(/[*+-]/);
  if (!factors.every((factor) => NAME.test(factor) || /^\d+$/.test(factor))) {
    throw new ShapeError({
      where: text || "shape",
      what: "not a dimension",
      got: `"${text}"`,
      expected: "a name, or names in sums and products such as B*T or P+T",
    });
  }
  const parsed = fromPolynomial(polynomial({ name: text }));
  if (parsed.size !== undefined && parsed.size < 0) {
    throw new ShapeError({ where: text, what: "not a dimension", got: parsed.size, expected: "an integer >= 0" });
  }
  return parsed;
}

/** The name of a size that is known by this one name, and nothing else: not of `D=896`, `B*T` or `P+T`. */
export function nameOf(d: Dim): string | undefined {
  return d.size === undefined && NAME.test(d.name) ? d.name : undefined;
}

export function shapeOf(dims: readonly DimLike[]): Shape {
  return dims.map((d) => dim(d));
}

/** `D=896`, `896` or `B*T`. */
export function printDim(d: Dim): string {
  if (d.size === undefined) return d.name;
  return d.name === "" ? String(d.size) : `${d.name}=${d.size}`;
}

/** `[B, T, D=896]`. */
export function printShape(shape: Shape): string {
  return `[${shape.map(printDim).join(", ")}]`;
}

export function sameDim(a: Dim, b: Dim): boolean {
  return a.size !== undefined || b.size !== undefined ? a.size === b.size : a.name === b.name;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => sameDim(d, b[i]!));
}

/** Of two equal dimensions, the one with a name. */
export function named(a: Dim, b: Dim): Dim {
  return a.name === "" ? b : a;
}

export function isOne(d: Dim): boolean {
  return d.size === 1;
}

export function mulDim(a: Dim, b: Dim): Dim {
  if (isOne(a)) return b;
  if (isOne(b)) return a;
  if (a.size !== undefined && b.size !== undefined) return { name: "", size: a.size * b.size };
  return fromPolynomial(multiply(polynomial(a), polynomial(b)));
}

export function addDim(a: Dim, b: Dim): Dim {
  if (a.size !== undefined && b.size !== undefined) return { name: "", size: a.size + b.size };
  return fromPolynomial(add(polynomial(a), polynomial(b)));
}

export function subDim(a: Dim, b: Dim): Dim {
  return addDim(a, mulDim({ name: "", size: -1 }, b));
}

/** Number of elements, as a dimension. */
export function elementCount(shape: Shape): Dim {
  return shape.reduce(mulDim, { name: "", size: 1 });
}

/**
 * The dimension `d` with `total = d · Π others`, for `-1` in a reshape.
 * @throws ShapeError if there is no such dimension.
 */
export function divideDim(total: Dim, others: Dim, where: string): Dim {
  const fail = () =>
    new ShapeError({ where, what: "elements do not divide evenly", got: `${printDim(total)} / ${printDim(others)}` });
  if (isOne(others)) return total;
  if (total.size !== undefined && others.size !== undefined) {
    if (others.size === 0 || total.size % others.size !== 0) throw fail();
    return { name: "", size: total.size / others.size };
  }
  const quotient = divide(polynomial(total), polynomial(others));
  if (quotient === undefined) throw fail();
  return fromPolynomial(quotient);
}

/** What stands between the parts of the name of a quotient. */
const OVER = "_over_";

/**
 * ⌈d / divisor⌉. Of a dimension with a name it is a name of its own, `T_over_8`, whose size follows from that of `T`.
 * @throws ShapeError if the size is known neither now nor by one name
 */
export function ceilDim(d: Dim, divisor: number): Dim {
  if (divisor === 1) return d;
  if (d.size !== undefined) return { name: "", size: Math.ceil(d.size / divisor) };
  if (nameOf(d) === undefined) {
    throw new ShapeError({ where: printDim(d), what: "only a dimension with one name can be divided and rounded up" });
  }
  return { name: `${d.name}${OVER}${divisor}` };
}

/** Size of a name: its own, or that of a quotient. */
function sizeOfName(name: string, sizes: DimSizes): number | undefined {
  const own = sizes[name];
  if (own !== undefined) return own;
  const at = name.lastIndexOf(OVER);
  const whole = at < 0 ? undefined : sizeOfName(name.slice(0, at), sizes);
  return whole === undefined ? undefined : Math.ceil(whole / Number(name.slice(at + OVER.length)));
}

/**
 * The size of a dimension, given those of the names in it.
 * @throws ShapeError if a name has no size.
 */
export function sizeOf(d: Dim, sizes: DimSizes = {}): number {
  if (d.size !== undefined) return d.size;
  let total = 0;
  for (const [monomial, coefficient] of polynomial(d)) {
    let product = coefficient;
    for (const factor of factorsOf(monomial)) {
      const size = sizeOfName(factor, sizes);
      if (size === undefined) {
        throw new ShapeError({ where: printDim(d), what: `the size of "${factor}" is not known here` });
      }
      product *= size;
    }
    total += product;
  }
  return total;
}

export function sizesOf(shape: Shape, sizes: DimSizes = {}): number[] {
  return shape.map((d) => sizeOf(d, sizes));
}

/** Sizes with no names left. @throws ShapeError if one is known by name only. */
export function knownSizes(shape: Shape, where: string): number[] {
  return shape.map((d) => {
    if (d.size === undefined) {
      throw new ShapeError({
        where,
        what: "needs sizes that are known when the graph is traced",
        got: printShape(shape),
      });
    }
    return d.size;
  });
}

/**
 * Numpy's broadcasting: trailing dimensions align, a missing dimension or one of size 1 stretches.
 * @throws ShapeError naming both shapes.
 */
export function broadcastShapes(where: string, ...shapes: Shape[]): Shape {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    let d: Dim = { name: "", size: 1 };
    for (const shape of shapes) {
      const other = shape[shape.length - rank + i];
      if (other === undefined || isOne(other)) continue;
      if (isOne(d)) d = other;
      else if (sameDim(d, other)) d = named(d, other);
      else {
        throw new ShapeError({ where, what: "shapes do not broadcast", got: shapes.map(printShape).join(" and ") });
      }
    }
    result.push(d);
  }
  return result;
}

/** Index of an axis counted from the front; negative axes count from the back. @throws ShapeError */
export function normalizeAxis(axis: number, rank: number, where: string): number {
  const index = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || index < 0 || index >= rank) {
    throw new ShapeError({ where, what: "no such axis", got: axis, expected: `-${rank} to ${rank - 1}` });
  }
  return index;
}

/** Monomial (sorted factors joined by `*`, `""` for the constant) to coefficient other than 0. */
type Polynomial = Map<string, number>;

function polynomial(d: Dim): Polynomial {
  if (d.size !== undefined) return new Map(d.size === 0 ? [] : [["", d.size]]);
  const result: Polynomial = new Map();
  for (const term of d.name.replaceAll("-", "+-").split("+")) {
    if (term === "") continue;
    const names: string[] = [];
    let coefficient = 1;
    for (const factor of term.replace(/^-/, "-1*").split("*")) {
      if (/^-?\d+$/.test(factor)) coefficient *= Number(factor);
      else names.push(factor);
    }
    addTerm(result, names, coefficient);
  }
  return result;
}

/** Terms by name, the constant last: `B*T`, `P+T`, `T-P`, `2*T+1`. */
function fromPolynomial(p: Polynomial): Dim {
  const terms = [...p].sort(([a], [b]) => Number(a === "") - Number(b === "") || (a < b ? -1 : a > b ? 1 : 0));
  const [first] = terms;
  if (first === undefined) return { name: "", size: 0 };
  if (terms.length === 1 && first[0] === "") return { name: "", size: first[1] };
  const printed = terms.map(([m, c]) => (m === "" ? String(c) : c === 1 ? m : c === -1 ? `-${m}` : `${c}*${m}`));
  return { name: printed.join("+").replaceAll("+-", "-") };
}

function factorsOf(monomial: string): string[] {
  return monomial === "" ? [] : monomial.split("*");
}

function addTerm(to: Polynomial, factors: readonly string[], coefficient: number): void {
  const key = [...factors].sort().join("*");
  const sum = (to.get(key) ?? 0) + coefficient;
  if (sum === 0) to.delete(key);
  else to.set(key, sum);
}

function add(a: Polynomial, b: Polynomial): Polynomial {
  const result = new Map(a);
  for (const [m, c] of b) addTerm(result, factorsOf(m), c);
  return result;
}

function multiply(a: Polynomial, b: Polynomial): Polynomial {
  const result: Polynomial = new Map();
  for (const [ma, ca] of a) {
    for (const [mb, cb] of b) addTerm(result, [...factorsOf(ma), ...factorsOf(mb)], ca * cb);
  }
  return result;
}

/** a / b, or `undefined` if it is no polynomial: long division by leading terms. */
function divide(a: Polynomial, b: Polynomial): Polynomial | undefined {
  const divisor = leadingTerm(b);
  if (divisor === undefined) return undefined;
  const quotient: Polynomial = new Map();
  let rest = a;
  for (let lead = leadingTerm(rest); lead !== undefined; lead = leadingTerm(rest)) {
    const factors = [...lead.factors];
    for (const factor of divisor.factors) {
      const at = factors.indexOf(factor);
      if (at < 0) return undefined;
      factors.splice(at, 1);
    }
    const coefficient = lead.coefficient / divisor.coefficient;
    if (!Number.isInteger(coefficient)) return undefined;
    addTerm(quotient, factors, coefficient);
    rest = add(rest, multiply(b, new Map([[factors.join("*"), -coefficient]])));
  }
  return quotient;
}

/** The term of highest degree; of several, the one whose sorted factors come last. */
function leadingTerm(p: Polynomial): { factors: string[]; coefficient: number } | undefined {
  let best: { factors: string[]; coefficient: number } | undefined;
  for (const [monomial, coefficient] of p) {
    const factors = factorsOf(monomial);
    if (best === undefined || comesAfter(factors, best.factors)) best = { factors, coefficient };
  }
  return best;
}

function comesAfter(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return a.length > b.length;
  const at = a.findIndex((factor, i) => factor !== b[i]);
  return at >= 0 && a[at]! > b[at]!;
}
