import assert from "node:assert/strict";
import { type Columns, dot } from "../../src/linear-algebra/columns.ts";

export function orthonormal(columns: Columns, tolerance: number): void {
  for (const [i, x] of columns.entries()) {
    for (let j = 0; j <= i; j++) {
      const error = Math.abs(dot(x, columns[j]!) - (i === j ? 1 : 0));
      assert.ok(error <= tolerance, `columns ${i}, ${j}: ${error}`);
    }
  }
}
