/** Dense row-major arrays in float64: what the reference interpreter computes with. Clear rather than fast. */

export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function sizeOfShape(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

export function ndarray(shape: readonly number[], data: ArrayLike<number>): NdArray {
  return { shape, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

/** Row-major strides, in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = Array.from(shape, () => 0);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i]!;
  }
  return strides;
}

/**
 * Strides that read an array of shape `from` as if it had shape `to`, after numpy's broadcasting: 0 along stretched
 * axes.
 */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const own = stridesOf(from);
  const offset = to.length - from.length;
  return to.map((_, i) => (i < offset || from[i - offset] === 1 ? 0 : own[i - offset]!));
}

/** Calls `visit(flatIndex, offsets)` for every element of `shape` in row-major order, with an offset per stride set. */
export function forEachIndex(
  shape: readonly number[],
  strideSets: readonly (readonly number[])[],
  visit: (flat: number, offsets: readonly number[]) => void,
): void {
  const rank = shape.length;
  const total = sizeOfShape(shape);
  const index = Array.from(shape, () => 0);
  const offsets = strideSets.map(() => 0);
  for (let flat = 0; flat < total; flat++) {
    visit(flat, offsets);
    for (let axis = rank - 1; axis >= 0; axis--) {
      index[axis]!++;
      for (let s = 0; s < strideSets.length; s++) offsets[s]! += strideSets[s]![axis]!;
      if (index[axis]! < shape[axis]!) break;
      for (let s = 0; s < strideSets.length; s++) offsets[s]! -= strideSets[s]![axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}

/** `f` over broadcast inputs. */
export function mapBroadcast(
  inputs: readonly NdArray[],
  shape: readonly number[],
  f: (...values: number[]) => number,
): NdArray {
  const data = new Float64Array(sizeOfShape(shape));
  const [x, y] = inputs;
  const whole = shape.join();
  if (inputs.length <= 2 && inputs.every((input) => input.data.length === 1 || input.shape.join() === whole)) {
    // The usual case, at a tenth of the time: inputs of the result's shape, and single numbers.
    const [stepX, stepY] = inputs.map((input) => Number(input.data.length > 1));
    for (let i = 0; i < data.length; i++) {
      data[i] = y === undefined ? f(x!.data[i * stepX!]!) : f(x!.data[i * stepX!]!, y.data[i * stepY!]!);
    }
    return { shape, data };
  }
  const values = inputs.map(() => 0);
  forEachIndex(
    shape,
    inputs.map((input) => broadcastStrides(input.shape, shape)),
    (flat, offsets) => {
      for (let i = 0; i < inputs.length; i++) values[i] = inputs[i]!.data[offsets[i]!]!;
      data[flat] = f(...values);
    },
  );
  return { shape, data };
}

/** Rearranged axes: axis i of the result is axis `perm[i]` of the input. */
export function transposed(input: NdArray, perm: readonly number[]): NdArray {
  const shape = perm.map((axis) => input.shape[axis]!);
  const own = stridesOf(input.shape);
  const data = new Float64Array(input.data.length);
  forEachIndex(shape, [perm.map((axis) => own[axis]!)], (flat, [offset]) => {
    data[flat] = input.data[offset!]!;
  });
  return { shape, data };
}
