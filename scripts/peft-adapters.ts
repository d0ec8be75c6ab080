/**
 * `node dist/scripts/peft-adapters.js FOLDER`: writes adapters of an MLP and of a convolution net, with the base weights,
 * an input and our logits beside each, for golden/make/peft_reads_ours.py to load in PEFT. No test needs Python; this
 * pair is run by hand when the format changes.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { attach, type AttachOptions } from "../src/adapters/adapter.ts";
import { lora, type LoraConfig } from "../src/adapters/lora.ts";
import { saveAdapter } from "../src/formats/peft/index.ts";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import type { Tensor } from "../src/runtime/runtime.ts";
import { batchOf, convRig, logitsOf, mlpRig, readAll, scatterParameters } from "../src/testing/method-rig.ts";

const CASES: readonly { name: string; options: AttachOptions<LoraConfig> }[] = [
  { name: "mlp", options: { targetModules: ["fc1", "fc3"], config: { r: 4, alpha: 10, init: "gaussian" } } },
  { name: "mlp-all-linear", options: { config: { r: 3, alpha: 5, useRslora: true, dropout: 0.1, form: "auto" } } },
  { name: "mlp-pattern", options: { targetModules: /fc[23]/, config: { r: 2, alpha: 7, init: "standard-normal" } } },
  { name: "conv", options: { targetModules: ["conv1", "fc"], config: { r: 2, alpha: 3 } } },
];

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write("give a folder to write to\n");
  process.exit(1);
}
const device = await ortDevice();
for (const { name, options } of CASES) {
  const rig = name === "conv" ? convRig([1, 0]) : mlpRig();
  // Any name: it is not a part of the file.
  const adapter = attach(rig.model, lora, { name: "mine", ...options });
  await scatterParameters(device, [...rig.model.parameters, ...adapter.parameters]);
  await saveAdapter(device, adapter, join(folder, name));
  const { x } = batchOf(rig, 9);
  const flat = ({ shape, data }: Tensor) => ({ shape, data: Array.from<number | bigint, number>(data, Number) });
  const base = Object.fromEntries([...(await readAll(device, rig.model.parameters))].map(([key, t]) => [key, flat(t)]));
  const logits = flat(await logitsOf(device, rig, x, [adapter]));
  await writeFile(join(folder, name, "expected.json"), JSON.stringify({ base, x: flat(x), logits }));
}
await device.dispose();
