/**
 * Minimises a smooth function of few variables: L-BFGS (Liu and Nocedal 1989) with a backtracking line search (Armijo). For the
 * head of a classifier, whose loss is convex: the same optimum from every start, with no learning rate to choose.
 */

/** Value and gradient at a point. */
export type Objective = (x: Float64Array) => Promise<{ readonly value: number; readonly gradient: Float64Array }>;

export interface MinimizeOptions {
  /** Default: 200. */
  readonly maxIterations?: number;
  /** Ends where the largest part of the gradient is below. Default: 1e-4. */
  readonly tolerance?: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  /** Whether the gradient has become as small as was asked. */
  readonly converged: boolean;
}

/** Steps whose curvature is remembered. */
const MEMORY = 10;
/** Of the decrease that the slope promises: what a step must bring at least. */
const ARMIJO = 1e-4;
const MAX_HALVINGS = 30;

export async function minimize(
  objective: Objective,
  start: Float64Array,
  { maxIterations = 200, tolerance = 1e-4 }: MinimizeOptions = {},
): Promise<Minimum> {
  let x: Float64Array = Float64Array.from(start);
  let { value, gradient } = await objective(x);
  const steps: { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }[] = [];
  for (let iteration = 0; ; iteration++) {
    const converged = gradient.every((part) => Math.abs(part) < tolerance);
    if (converged || iteration === maxIterations) return { x, value, iterations: iteration, converged };
    let direction = descent(gradient, steps);
    let slope = dot(direction, gradient);
    if (slope >= 0) {
      // What is remembered is of no use any more.
      steps.length = 0;
      direction = gradient.map((part) => -part);
      slope = dot(direction, gradient);
    }
    // Nothing is known of the scale at first.
    let size = steps.length === 0 ? Math.min(1, 1 / Math.sqrt(-slope)) : 1;
    let next: Float64Array | undefined;
    let found: Awaited<ReturnType<Objective>> | undefined;
    for (let halving = 0; halving < MAX_HALVINGS; halving++, size /= 2) {
      const tried = x.map((part, i) => part + size * direction[i]!);
      const there = await objective(tried);
      if (there.value > value + ARMIJO * size * slope) continue;
      [next, found] = [tried, there];
      break;
    }
    // No step is downhill: rounding is all that is left.
    if (next === undefined || found === undefined) return { x, value, iterations: iteration, converged: false };
    const s = next.map((part, i) => part - x[i]!);
    const y = found.gradient.map((part, i) => part - gradient[i]!);
    const curvature = dot(s, y);
    if (curvature > 1e-12 * dot(y, y)) {
      steps.push({ s, y, rho: 1 / curvature });
      if (steps.length > MEMORY) steps.shift();
    }
    [x, value, gradient] = [next, found.value, found.gradient];
  }
}

/** −H g, with H the inverse of the curvature as the last steps have shown it. */
function descent(
  gradient: Float64Array,
  steps: readonly { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }[],
): Float64Array {
  const q = gradient.map((part) => -part);
  const along = steps.map(() => 0);
  for (let k = steps.length - 1; k >= 0; k--) {
    const { s, y, rho } = steps[k]!;
    along[k] = rho * dot(s, q);
    addTo(q, y, -along[k]!);
  }
  const last = steps.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let i = 0; i < q.length; i++) q[i]! *= scale;
  }
  for (const [k, { s, y, rho }] of steps.entries()) addTo(q, s, along[k]! - rho * dot(y, q));
  return q;
}

function addTo(x: Float64Array, y: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) x[i]! += factor * y[i]!;
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}
