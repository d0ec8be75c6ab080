/** Whether LoHa and LoKr drop outputs and layers as PEFT does. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import type { LycorisConfig } from "../../src/adapters/lycoris.ts";
import type { Method } from "../../src/adapters/method.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import type { Device, Tensor } from "../../src/runtime/runtime.ts";
import { logitsOf, type Rig, scatterParameters } from "../../src/testing/method-rig.ts";
import { linear } from "../../src/nn/linear.ts";

const OUTPUTS = 40;
const SEEDS = 60;

/** Declares tests on one layer, whose update is 0 or a multiple of itself in every output. */
export function itDropsAsItSays<C extends LycorisConfig>(
  method: Method<C>,
  config: Partial<C>,
  { rescaled }: { readonly rescaled: boolean },
): void {
  const layer = linear("fc", 12, OUTPUTS);
  const model: Rig["model"] = {
    parameters: layer.parameters,
    layers: [layer.layer],
    forward: (tracing, { x }) => layer.forward(tracing, x),
  };
  const rig: Rig = { model, input: [12], classes: OUTPUTS };

  const updates = async (more: Partial<LycorisConfig>) => {
    const device = interpDevice();
    const adapter = attach(model, method, { targetModules: ["fc"], config: { ...config, ...more } });
    await scatterParameters(device, model.parameters);
    await initializeAdapter(device, adapter, 1);
    await scatterParameters(device, adapter.parameters);
    const random = Float32Array.from({ length: 2 * 12 }, (_, i) => Math.sin(i + 1));
    const x: Tensor = { dtype: "float32", shape: [2, 12], data: random };
    const base = await logits(device, rig, x, []);
    const whole = await logits(device, rig, x, [adapter]);
    const ratios: number[][][] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const now = await logits(device, rig, x, [adapter], seed);
      const ratio = now.map((value, i) => (value - base[i]!) / (whole[i]! - base[i]!));
      ratios.push([ratio.slice(0, OUTPUTS), ratio.slice(OUTPUTS)]);
    }
    return ratios;
  };

  it("drops outputs of the update, the same for all rows", async () => {
    const ratios = await updates({ rankDropout: 0.3, moduleDropout: 0 });
    let dropped = 0;
    for (const [one, two] of ratios) {
      const kept = one!.filter((ratio) => Math.abs(ratio) > 1e-3);
      dropped += OUTPUTS - kept.length;
      const factor = rescaled ? OUTPUTS / kept.length : 1;
      for (const ratio of kept) assert.ok(Math.abs(ratio - factor) < 1e-3, `${ratio}, not ${factor}`);
      one!.forEach((ratio, i) => assert.ok(Math.abs(ratio - two![i]!) < 1e-3, "rows differ"));
    }
    // 2400 draws: five standard deviations.
    assert.ok(Math.abs(dropped / (SEEDS * OUTPUTS) - 0.3) < 0.05, `${dropped} of ${SEEDS * OUTPUTS}`);
  });

  it("drops whole updates", async () => {
    const ratios = await updates({ rankDropout: 0, moduleDropout: 0.4 });
    let dropped = 0;
    for (const [one] of ratios) {
      const first = Math.round(one![0]!);
      assert.ok(first === 0 || first === 1);
      for (const ratio of one!) assert.ok(Math.abs(ratio - first) < 1e-3, String(ratio));
      if (first === 0) dropped++;
    }
    assert.ok(dropped > 10 && dropped < 40, `${dropped} of ${SEEDS}`);
  });
}

async function logits(
  device: Device,
  rig: Rig,
  x: Tensor,
  adapters: readonly Adapter[],
  seed?: number,
): Promise<number[]> {
  return Array.from((await logitsOf(device, rig, x, adapters, seed)).data, Number);
}
