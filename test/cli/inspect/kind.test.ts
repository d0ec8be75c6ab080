/** Names of the hub: what they are is known without the weights of a model. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { whatIs } from "../../../src/cli/inspect/kind.ts";
import { modelFacts } from "../../../src/cli/inspect/model.ts";
import { FakeHub } from "../../hub/fake-hub.ts";

suite("inspecting a name of the hub", () => {
  const saved = process.env["HF_ENDPOINT"];
  let hub: FakeHub;
  let cacheDir: string;

  before(async () => {
    hub = await FakeHub.start();
    cacheDir = await mkdtemp(join(tmpdir(), "lowrank-inspect-hub-"));
    process.env["HF_ENDPOINT"] = hub.endpoint;
    hub.repos.set("org/model", {
      commit: "a".repeat(40),
      files: {
        "config.json": await readFile("golden/causal-lm/qwen2-tied/config.json"),
        "model.safetensors.index.json": JSON.stringify({ metadata: { total_size: 123_456 }, weight_map: {} }),
        "model-00001-of-00001.safetensors": Buffer.alloc(1000),
      },
    });
    hub.repos.set("org/adapter", {
      commit: "b".repeat(40),
      files: { "adapter_config.json": "{}", "adapter_model.safetensors": Buffer.alloc(1000) },
    });
  });

  after(async () => {
    if (saved === undefined) delete process.env["HF_ENDPOINT"];
    else process.env["HF_ENDPOINT"] = saved;
    await hub.stop();
    await rm(cacheDir, { recursive: true });
  });

  test("a model, whose weights are not downloaded", async () => {
    const found = await whatIs("org/model", { cacheDir });
    assert.equal(found.kind, "model");
    if (found.kind !== "model") return;
    assert.ok(hub.asked.every(({ path }) => !path.includes("model-00001")));
    const facts = await modelFacts("org/model", found.dir, found.hasWeights);
    assert.equal(facts.bytes_on_disk, 123_456);
    assert.equal(facts.stored_types, null);
    assert.ok(facts.layers.some(({ target }) => target === "q_proj"));
  });

  test("an adapter", async () => {
    assert.equal((await whatIs("org/adapter", { cacheDir })).kind, "adapter");
  });
});
