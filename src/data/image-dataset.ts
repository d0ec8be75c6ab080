/**
 * Labelled images in memory, as the bytes they were stored in.
 *
 * 50,000 images of 32×32×3 are 154 MB as bytes and 614 MB as float32, so the whole set stays in bytes and only the
 * batch at hand becomes floating point.
 */

import { DataError, ShapeError } from "../errors.ts";

/** Pixels along one side of an image. */
export const IMAGE_SIDE = 32;
/** Bytes of one image: 3 channels × 32 rows × 32 columns. */
export const IMAGE_BYTES = 3 * IMAGE_SIDE * IMAGE_SIDE;

export interface ImageDataset {
  /** [count, 3, 32, 32] bytes: the red plane, then green, then blue, each row by row from the top. */
  readonly images: Uint8Array;
  /** [count] class numbers, each an index into `classNames`. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly classNames: readonly string[];
}

/**
 * `(x/255 - 0.5) / 0.5` for each byte x, which is in [-1, 1]. Rounded to float32 after each operation, as the usual
 * Python pipeline (divide, subtract the mean, divide by the deviation) does it, so that the numbers are equal bit for bit.
 */
const NORMALIZED = Float32Array.from({ length: 256 }, (_, x) => Math.fround(Math.fround(x / 255) - 0.5) / 0.5);

/**
 * Writes the images at `indices`, normalised with mean 0.5 and standard deviation 0.5 per channel, into `target`.
 * @param indices n image numbers, in any order, repeats allowed
 * @param target at least [n, 3072] float32; row i gets image `indices[i]`, what lies behind row n-1 is left alone
 * @throws ShapeError when `target` is too short
 * @throws DataError when an index is not one of an image
 */
export function normalizeInto(dataset: ImageDataset, indices: ArrayLike<number>, target: Float32Array): void {
  requireRoom("normalizeInto", target.length, indices.length, IMAGE_BYTES);
  for (let row = 0; row < indices.length; row++) {
    const from = checkedIndex("normalizeInto", dataset, indices, row) * IMAGE_BYTES;
    const to = row * IMAGE_BYTES;
    for (let i = 0; i < IMAGE_BYTES; i++) target[to + i] = NORMALIZED[dataset.images[from + i] ?? 0] ?? 0;
  }
}

/**
 * Writes the class numbers of the images at `indices` into `target`.
 * @param target at least [n] int32, the width that every device of the engine has kernels for
 * @throws ShapeError when `target` is too short
 * @throws DataError when an index is not one of an image
 */
export function labelsInto(dataset: ImageDataset, indices: ArrayLike<number>, target: Int32Array): void {
  requireRoom("labelsInto", target.length, indices.length, 1);
  for (let row = 0; row < indices.length; row++) {
    target[row] = dataset.labels[checkedIndex("labelsInto", dataset, indices, row)] ?? 0;
  }
}

/**
 * The bytes of one image, [3, 32, 32], as a view into the set.
 * @throws DataError when `index` is not one of an image
 */
export function imageAt(dataset: ImageDataset, index: number): Uint8Array {
  const from = checkedIndex("imageAt", dataset, [index], 0) * IMAGE_BYTES;
  return dataset.images.subarray(from, from + IMAGE_BYTES);
}

function requireRoom(where: string, length: number, rows: number, rowLength: number): void {
  if (length < rows * rowLength) {
    throw new ShapeError({
      where,
      what: "target is too short",
      got: `${length} elements`,
      expected: `${rows} × ${rowLength} = ${rows * rowLength}`,
    });
  }
}

function checkedIndex(where: string, dataset: ImageDataset, indices: ArrayLike<number>, row: number): number {
  const index = indices[row] ?? NaN;
  if (!Number.isInteger(index) || index < 0 || index >= dataset.count) {
    throw new DataError({
      where,
      what: `indices[${row}] is not an image of this set`,
      got: index,
      expected: dataset.count === 0 ? "no index, the set is empty" : `an integer in 0..${dataset.count - 1}`,
    });
  }
  return index;
}
