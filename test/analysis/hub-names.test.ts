/** A base and an adapter or a tuned model that are named as on the hub. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { analyze } from "../../src/analysis/analyze.ts";
import { repairAdapter } from "../../src/analysis/repair.ts";
import { FakeHub } from "../hub/fake-hub.ts";

const GOLDEN = new URL("../../../golden/", import.meta.url).pathname;
const BASE = join(GOLDEN, "causal-lm/qwen2-tied");
const ADAPTER = join(GOLDEN, "peft-methods/lora-rslora");
const VARIABLES = ["HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE"];

suite("names on the hub", () => {
  let root: string;
  let hub: FakeHub;
  const environment = { ...process.env };
  const options = { cacheDir: false, threads: 1 } as const;

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-hub-names-"));
    hub = await FakeHub.start();
    for (const name of VARIABLES) delete process.env[name];
    process.env["HF_ENDPOINT"] = hub.endpoint;
    process.env["HF_HOME"] = join(root, "home");
    for (const [name, dir, commit] of [
      ["org/base", BASE, "a"],
      ["org/adapter", ADAPTER, "b"],
    ] as const) {
      const files: Record<string, Buffer> = {};
      for (const file of await readdir(dir)) {
        if (!file.startsWith("expected")) files[file] = await readFile(join(dir, file));
      }
      hub.repos.set(name, { commit: commit.repeat(40), files });
    }
  });
  after(async () => {
    await hub.stop();
    for (const name of VARIABLES) delete process.env[name];
    Object.assign(process.env, environment);
    await rm(root, { recursive: true });
  });

  test("a base and an adapter give the report of their folders", async () => {
    const local = await analyze(BASE, ADAPTER, options);
    assert.ok(local.matrices.length > 0);
    const { matrices, base, tuned } = await analyze("org/base", "org/adapter", options);
    assert.deepEqual(matrices, local.matrices);
    assert.deepEqual([base?.name, tuned.name, tuned.kind], ["org/base", "org/adapter", "adapter"]);
  });

  test("a model can be the tuned one", async () => {
    const same = await analyze(BASE, "org/base", options);
    assert.deepEqual([same.matrices, same.tuned.kind], [[], "model"]);
    assert.ok(same.skipped.some(({ reason }) => reason === "did not change"));
  });

  test("an adapter is repaired as its folder is", async () => {
    const settings = { ...options, lambda: 0.5, rank: "exact", epsilon: 0.9 } as const;
    const [here, there] = [join(root, "here"), join(root, "there")];
    await repairAdapter(BASE, ADAPTER, { ...settings, out: here });
    await repairAdapter("org/base", "org/adapter", { ...settings, out: there });
    const weights = (dir: string) => readFile(join(dir, "adapter_model.safetensors"));
    assert.ok((await weights(here)).equals(await weights(there)));
  });

  test("a name that the hub does not have is said", async () => {
    await assert.rejects(analyze("org/base", "org/missing", options), /org\/missing.*check the spelling/s);
  });
});
