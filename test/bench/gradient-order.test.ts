/** The memory of LoRA's gradients: exact counts, equal gradients, and the pass that takes the cheap order by itself. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  analyticBytes,
  compareOrders,
  formulaBytes,
  gradientGraph,
  type LoraSizes,
} from "../../bench/gradient-order.ts";
import { peakMemory } from "../../src/ir/memory.ts";
import { reassociate } from "../../src/ir/passes/reassociate.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";

const SIZES: readonly LoraSizes[] = [
  { out: 4096, in: 4096, r: 8, b: 16 },
  { out: 4864, in: 896, r: 8, b: 512 },
  { out: 11, in: 7, r: 2, b: 3 },
];

describe("the order of the products in LoRA's gradients", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice();
  });
  after(() => device.dispose());

  it("naive needs 4 · out · in bytes more than the gradients, low-rank 4 · r · b", () => {
    assert.deepEqual(
      SIZES.map((sizes) => [analyticBytes("naive", sizes), analyticBytes("low-rank", sizes)]),
      [
        [67_108_864, 512],
        [17_432_576, 16_384],
        [308, 24],
      ],
    );
    for (const sizes of SIZES) {
      for (const order of ["naive", "low-rank"] as const) {
        assert.equal(analyticBytes(order, sizes), formulaBytes(order, sizes));
      }
    }
  });

  it("gives the same gradients", async () => {
    // Sums of 16 or 512 products of float32, in another order.
    for (const sizes of SIZES) assert.ok((await compareOrders(device, sizes)) < 1e-5);
  });

  it("is the low-rank one after the pass, even where the naive one was written", () => {
    for (const sizes of SIZES.slice(0, 2)) {
      const low = peakMemory(gradientGraph("low-rank", sizes)).bytes;
      const { bytes, live } = peakMemory(reassociate(gradientGraph("naive", sizes), {}));
      assert.ok(live.every((value) => value.bytes < 4 * sizes.out * sizes.in));
      // Both small products are made before the first of the gradients at worst.
      assert.ok(bytes <= low + 4 * sizes.r * sizes.b + 4 * sizes.r * Math.max(sizes.out, sizes.in));
    }
  });
});
