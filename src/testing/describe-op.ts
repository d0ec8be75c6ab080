/**
 * The contract that every operation keeps, as tests.
 *
 * For each case: the shapes that `infer` gives are those of the values; `evaluate` in float64 and the engine in float32
 * agree, in the results and in the gradients; the gradients are those of central differences; nothing is built for an
 * input that needs no gradient. All of it again with a size that is known by name only.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GraphError, ShapeError } from "../errors.ts";
import { allocate, isFloat } from "../ir/dtype.ts";
import { grad } from "../ir/grad.ts";
import { Graph, reachable, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray, sizeOfShape } from "../ir/ndarray.ts";
import type { Op } from "../ir/op.ts";
import { add } from "../ir/ops/add.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { dim, type Dim, type DimSizes, printShape, sizesOf } from "../ir/shape.ts";
import { interpret } from "../runtime/interp.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import { type Random, random, randomNumbers, type TestTensor } from "./tensors.ts";

/** A tensor, or how to draw one. See tensors.ts. */
export type CaseInput = TestTensor | ((next: Random) => TestTensor);

export interface OpCase {
  /** Default: the shapes of the inputs. */
  readonly name?: string;
  readonly inputs: readonly CaseInput[];
  /** Applies the operation to values that stand for the inputs. */
  readonly build: (values: readonly Value[], graph: Graph) => Value | readonly Value[];
  /**
   * Whether the case is tried again with every dimension that has the size of the first dimension of the first input
   * known by name only; or the size to take instead. Default: true, unless there is no such dimension.
   */
  readonly symbolic?: boolean | number;
  /** Whether the gradients are compared with differences: not at kinks and poles. Default: true. */
  readonly smooth?: boolean;
  /** The values that the (first) result must have. */
  readonly expected?: readonly number[];
  /** The gradients that Σ results must have, one list per floating-point input. */
  readonly expectedGradients?: readonly (readonly number[])[];
  /** How far float32 may be from float64. See {@link Tolerance}. */
  readonly tolerance?: Tolerance;
  /** `build` throws a ShapeError whose message matches, and nothing else is tested. */
  readonly throws?: string | RegExp;
}

export interface Tolerance {
  /**
   * Of the element itself. Default 4e-6: 34 roundings of float32, for functions that are approximated and chained a few
   * times.
   */
  readonly relative?: number;
  /**
   * Of the largest finite element. Default 1e-6: an element that is a small sum of large terms has their rounding
   * errors, and they are of the size of other elements.
   */
  readonly ofLargest?: number;
}

/** Relative error that is allowed between a gradient and central differences, both in float64. */
const DIFFERENCE_TOLERANCE = 1e-7;
/** Step of the differences: their error is about step⁴ from the function and 1e-16 / step from rounding. */
const STEP = 1e-3;
const DIRECTIONS = 2;

/**
 * Declares the tests of an operation.
 *
 * The engine is ONNX Runtime on CPU; the environment variable LOWRANK_TEST_DEVICE=webgpu takes the GPU instead.
 */
export function describeOp<A>(op: Op<A>, cases: readonly OpCase[]): void {
  describe(op.name, () => {
    let device: Device;
    before(async () => {
      device = await ortDevice({
        device: process.env["LOWRANK_TEST_DEVICE"] === "webgpu" ? "webgpu" : "cpu",
        threads: 1,
      });
    });
    after(() => device.dispose());

    cases.forEach((testCase, index) => {
      const next = randomNumbers(index + 1);
      const inputs = testCase.inputs.map((input) => (typeof input === "function" ? input(next) : input));
      const title = testCase.name ?? inputs.map(({ dtype, shape }) => `${dtype}[${shape.join(", ")}]`).join(" ");
      const trial = { op: op as Op, testCase, inputs };
      if (testCase.throws !== undefined) {
        it(`${title}: is refused`, () => checkRefusal(trial, testCase.throws!));
        return;
      }
      for (const name of ["", ...symbolicNames(trial)]) {
        describe(name === "" ? title : `${title}, with a size known by name only`, () => {
          it("has the inferred shapes, and the engine's numbers are the interpreter's", () =>
            checkEngine(trial, name, device));
          it("builds no node that no wanted gradient needs", () => checkEconomy(trial, name));
          if (hasGradients(trial)) {
            it("has the gradients of central differences", () => checkDifferences(trial, name));
          }
        });
      }
    });
  });
}

interface Trial {
  readonly op: Op;
  readonly testCase: OpCase;
  readonly inputs: readonly TestTensor[];
}

interface Traced {
  readonly graph: Graph;
  readonly values: readonly Value[];
  readonly results: readonly Value[];
  readonly sizes: DimSizes;
}

/** The name to give to a size, or nothing if the case is tried with known sizes only. */
function symbolicNames({ testCase, inputs }: Trial): readonly string[] {
  const size = symbolicSize(testCase, inputs);
  return size !== undefined && size > 1 ? ["N"] : [];
}

function symbolicSize({ symbolic = true }: OpCase, inputs: readonly TestTensor[]): number | undefined {
  if (typeof symbolic === "number") return symbolic;
  return symbolic ? inputs[0]?.shape[0] : undefined;
}

/** Traces the case. Dimensions of its symbolic size are called `name`, unless that is empty. */
function trace({ testCase, inputs }: Trial, name: string): Traced {
  const graph = new Graph();
  const size = symbolicSize(testCase, inputs);
  const dims = ({ shape }: TestTensor) => shape.map((d): Dim => (name !== "" && d === size ? dim(name) : dim(d)));
  const values = inputs.map((input, i) => graph.feed(`x${i}`, { dtype: input.dtype, shape: dims(input) }));
  const built = testCase.build(values, graph);
  const results = "graph" in built ? [built] : built;
  return { graph, values, results, sizes: name === "" ? {} : { [name]: size! } };
}

function checkRefusal(trial: Trial, message: string | RegExp): void {
  assert.throws(
    () => trace(trial, ""),
    (error) => {
      assert.ok(error instanceof ShapeError, String(error));
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
      return true;
    },
  );
}

/** Adds dΣ(seed · results)/d(wanted) to a traced case; the seeds become feeds. */
function addGradients(traced: Traced, wanted: readonly Value[]): { gradients: Value[]; seeds: Value[] } {
  const { graph, results } = traced;
  const differentiable = results.filter((result) => isFloat(result.type.dtype));
  const seeds = differentiable.map((result, i) => graph.feed(`seed${i}`, result.type));
  if (differentiable.length === 1) return { gradients: grad(differentiable[0]!, wanted, seeds[0]), seeds };
  const sums = differentiable.map((result, i) => reduceSum(mul(result, seeds[i]!)));
  return { gradients: grad(sums.reduce(add), wanted), seeds };
}

/** Whether the case has gradients to compare. Then at least one of its results is a floating-point one. */
function hasGradients({ op, testCase, inputs }: Trial): boolean {
  return typeof op.vjp === "function" && testCase.smooth !== false && inputs.some((input) => isFloat(input.dtype));
}

function floatInputs({ values }: Traced): Value[] {
  return values.filter((value) => isFloat(value.type.dtype));
}

function drawSeeds(seeds: readonly Value[], sizes: DimSizes): TestTensor[] {
  return seeds.map((seed, i) => ({
    ...random(sizesOf(seed.type.shape, sizes))(randomNumbers(1000 + i)),
    dtype: seed.type.dtype,
  }));
}

async function checkEngine(trial: Trial, name: string, device: Device): Promise<void> {
  const { op, testCase, inputs } = trial;
  const traced = trace(trial, name);
  const { graph, results, sizes } = traced;
  const nodes = graph.nodes.filter((node) => node.op === op);
  assert.ok(nodes.length > 0, `the case builds no "${op.name}"`);
  const targets = new Map<string, Value>(results.map((value, i) => [`result ${i}`, value]));
  // Results that the builder keeps to itself, such as statistics for the derivative.
  for (const value of nodes.flatMap((node) => node.outputs)) {
    if (!results.includes(value)) targets.set(`inner ${value.name}`, value);
  }
  const feeds = Object.fromEntries(inputs.map((input, i) => [`x${i}`, input]));
  const withGradients = hasGradients(trial) || testCase.expectedGradients !== undefined;
  if (withGradients) {
    const { gradients, seeds } = addGradients(traced, floatInputs(traced));
    gradients.forEach((gradient, i) => targets.set(`gradient ${i}`, gradient));
    drawSeeds(seeds, sizes).forEach((drawn, i) => {
      const ones = testCase.expectedGradients !== undefined;
      feeds[seeds[i]!.name] = ones ? { ...drawn, values: drawn.values.map(() => 1) } : drawn;
    });
  }
  for (const [target, value] of targets) graph.output(target, value);

  const arrays = mapValues(feeds, (input) => ndarray(input.shape, input.values));
  const { outputs } = interpret(graph, arrays, sizes);
  for (const [target, value] of targets) {
    const array = outputs[target]!;
    assert.deepEqual(array.shape, sizesOf(value.type.shape, sizes), `${target}: shape in the interpreter`);
    assert.equal(array.data.length, sizeOfShape(array.shape), `${target}: elements in the interpreter`);
  }

  const executable = await device.compile(graph);
  try {
    const got = await executable.run(mapValues(feeds, toTensor));
    for (const [target, value] of targets) {
      const { dtype } = value.type;
      const want = [...outputs[target]!.data].map((x) => (dtype === "float32" ? Math.fround(x) : x));
      assert.deepEqual(got[target]!.shape, outputs[target]!.shape, `${target}: shape in the engine`);
      const exact = { relative: 0, ofLargest: 0 };
      close(Array.from(got[target]!.data, Number), want, isFloat(dtype) ? testCase.tolerance : exact, target);
    }
  } finally {
    await executable.dispose();
  }

  if (testCase.expected !== undefined) {
    close([...outputs["result 0"]!.data], testCase.expected, testCase.tolerance, "result, as expected by hand");
  }
  testCase.expectedGradients?.forEach((expected, i) => {
    close([...outputs[`gradient ${i}`]!.data], expected, testCase.tolerance, `gradient ${i}, as expected by hand`);
  });
}

function checkEconomy(trial: Trial, name: string): void {
  const { op } = trial;
  const first = trace(trial, name);
  const before = first.graph.nodes.length;
  const result = first.results.find((value) => isFloat(value.type.dtype));
  if (result === undefined) return;
  grad(result, [], first.graph.feed("seed", result.type));
  assert.equal(first.graph.nodes.length, before, "nodes are built although no gradient is wanted");

  if (typeof op.vjp !== "function") {
    const wanted = floatInputs(first);
    if (wanted.length === 0) return;
    const message = op.vjp === "zero" ? /does not depend on it/ : /has no derivative/;
    assert.throws(
      () => grad(result, wanted, first.graph.feed("again", result.type)),
      (error) => error instanceof GraphError && message.test(error.message),
    );
    return;
  }
  const built = (choose: (values: readonly Value[]) => Value[]) => {
    const traced = trace(trial, name);
    const { graph } = traced;
    const nodes = graph.nodes.length;
    const { gradients } = addGradients(traced, choose(floatInputs(traced)));
    const needed = new Set(reachable(graph, [...gradients, ...traced.results]));
    const unused = graph.nodes.slice(nodes).filter((node) => !needed.has(node));
    assert.deepEqual(
      unused.map((node) => node.outputs[0]!.name),
      [],
      "nodes are built that no wanted gradient needs",
    );
    return graph.nodes.length - nodes;
  };
  const all = built((values) => [...values]);
  floatInputs(first).forEach((_, i) => {
    const one = built((values) => [values[i]!]);
    assert.ok(one <= all, `the gradient of input ${i} alone takes ${one} nodes, all of them ${all}`);
  });
}

function checkDifferences(trial: Trial, name: string): void {
  const plain = trace(trial, name);
  const differentiable = plain.results.filter((result) => isFloat(result.type.dtype));
  differentiable.forEach((result, i) => plain.graph.output(`result ${i}`, result));
  const given = Object.fromEntries(plain.values.map((value, i) => [value.name, array(trial.inputs[i]!)]));
  const seeds = drawSeeds(differentiable, plain.sizes);
  /** Σ seed · results, with the inputs moved by `t` along `direction`. */
  const along = (direction: Readonly<Record<string, Float64Array>>, t: number): number => {
    const moved = mapValues(given, (input, key) => {
      const step = direction[key];
      return step === undefined
        ? input
        : ndarray(
            input.shape,
            input.data.map((x, i) => x + t * step[i]!),
          );
    });
    const { outputs } = interpret(plain.graph, moved, plain.sizes);
    return seeds.reduce((sum, seed, i) => sum + dot(outputs[`result ${i}`]!.data, seed.values), 0);
  };

  const count = floatInputs(plain).length;
  const each = Array.from({ length: count }, (_, i) => [i]);
  for (const subset of count > 1 ? [each.flat(), ...each] : each) {
    const traced = trace(trial, name);
    const wanted = subset.map((i) => floatInputs(traced)[i]!);
    const added = addGradients(traced, wanted);
    added.gradients.forEach((gradient, i) => traced.graph.output(`gradient ${i}`, gradient));
    const feeds = { ...given, ...Object.fromEntries(added.seeds.map((seed, i) => [seed.name, array(seeds[i]!)])) };
    const { outputs } = interpret(traced.graph, feeds, traced.sizes);
    const gradients = wanted.map((_, i) => outputs[`gradient ${i}`]!.data);

    for (let repeat = 0; repeat < DIRECTIONS; repeat++) {
      const next = randomNumbers(2000 + repeat);
      const steps = gradients.map((gradient) => gradient.map(() => 2 * next() - 1));
      const direction = Object.fromEntries(wanted.map((value, i) => [value.name, steps[i]!]));
      const f = (t: number) => along(direction, t * STEP);
      // Fourth-order central difference.
      const measured = (8 * (f(1) - f(-1)) - (f(2) - f(-2))) / (12 * STEP);
      const terms = gradients.flatMap((gradient, i) => Array.from(gradient, (x, k) => x * steps[i]![k]!));
      const derived = terms.reduce((sum, x) => sum + x, 0);
      // Terms may cancel: the error is measured against them, not against what is left of them.
      const scale = Math.max(Math.abs(measured), Math.abs(derived), Math.hypot(...terms), Number.MIN_VALUE);
      const error = Math.abs(measured - derived) / scale;
      const names = wanted.map((value) => `${value.name}${printShape(value.type.shape)}`).join(", ");
      assert.ok(
        error <= DIFFERENCE_TOLERANCE,
        `gradient of ${names}: ${derived}, by differences ${measured} (relative error ${error.toExponential(1)})`,
      );
    }
  }
}

/** Compares element by element. NaN equals NaN, and an infinity only itself. */
function close(
  got: readonly number[],
  want: readonly number[],
  { relative = 4e-6, ofLargest = 1e-6 }: Tolerance = {},
  what: string,
): void {
  assert.equal(got.length, want.length, `${what}: number of elements`);
  const largest = want.reduce((max, x) => (Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max), 0);
  want.forEach((x, i) => {
    const y = got[i]!;
    if (Object.is(x, y) || x === y) return;
    const allowed = relative * Math.abs(x) + ofLargest * largest;
    const error = Math.abs(y - x);
    assert.ok(Number.isFinite(x) && error <= allowed, `${what}: element ${i} is ${y}, not ${x} (allowed ${allowed})`);
  });
}

function array(input: TestTensor): NdArray {
  return ndarray(input.shape, input.values);
}

function toTensor({ dtype, shape, values }: TestTensor): Tensor {
  const data = allocate(dtype, values.length);
  if (data instanceof BigInt64Array) values.forEach((value, i) => (data[i] = BigInt(value)));
  else data.set(values);
  return { dtype, shape, data };
}

function dot(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, f: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]));
}
