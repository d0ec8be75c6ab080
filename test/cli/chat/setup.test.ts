/** What a chat is started with, from options and from LLaMA-Factory's configurations. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { readSetup } from "../../../src/cli/chat/setup.ts";
import { ConfigError } from "../../../src/errors.ts";
import { temporaryFolder } from "./fixtures.ts";

suite("the setup of a chat", () => {
  test("leaves to the model what nobody says", async () => {
    assert.deepEqual(await readSetup(undefined, [], { model: "m", template: true }), {
      model: "m",
      adapters: [],
      active: [],
      sampling: {},
      skipSpecialTokens: true,
      seed: 0,
      device: "cpu",
      weights: {},
      hub: {},
      notes: [],
    });
  });

  test("takes options", async () => {
    const setup = await readSetup(undefined, [], {
      model: "m",
      template: false,
      system: "be brief",
      topK: 5,
      maxNewTokens: 7,
      threads: 1,
      offline: true,
      revision: "v1",
    });
    assert.equal(setup.template, false);
    assert.deepEqual(setup.sampling, { doSample: true, topK: 5, maxNewTokens: 7 });
    assert.deepEqual(setup.hub, { offline: true, revision: "v1" });
    assert.equal(setup.threads, 1);
    assert.equal(setup.system, "be brief");
  });

  test("a temperature of 0 is greedy", async () => {
    for (const options of [{ temperature: 0 }, { greedy: true }, { greedy: true, topK: 3 }]) {
      const { sampling } = await readSetup(undefined, [], { model: "m", ...options });
      assert.equal(sampling.doSample, false);
      assert.equal(sampling.temperature, undefined);
    }
  });

  test("names adapters by their folders, or as it is told", async () => {
    const { adapters, active } = await readSetup(undefined, [], {
      model: "m",
      adapter: ["out/v1.5/", "poet=out/a=b", "org/pirate"],
    });
    assert.deepEqual(adapters, [
      { name: "v1_5", path: "out/v1.5/" },
      { name: "poet", path: "out/a=b" },
      { name: "pirate", path: "org/pirate" },
    ]);
    assert.deepEqual(active, ["v1_5"]);
    await assert.rejects(
      readSetup(undefined, [], { model: "m", adapter: ["a/x", "b/x"] }),
      (error) => error instanceof ConfigError && error.message.includes('two adapters are called "x"'),
    );
  });

  test("asks for a model", () => assert.rejects(readSetup(undefined, [], {}), /which model/));

  suite("from a configuration", () => {
    let folder: Awaited<ReturnType<typeof temporaryFolder>>;
    let path: string;
    before(async () => {
      folder = await temporaryFolder();
      path = join(folder.dir, "chat.yaml");
      await writeFile(
        path,
        "model_name_or_path: m\nadapter_name_or_path: a/one, b/two\ntemplate: qwen\ninfer_backend: huggingface\ntop_p: 0.5\n",
      );
    });
    after(() => folder.remove());

    test("samples as LLaMA-Factory does where it says nothing, with all adapters on", async () => {
      const setup = await readSetup(path, [], {});
      assert.equal(setup.model, "m");
      assert.equal(setup.template, "qwen");
      assert.deepEqual(setup.active, ["one", "two"]);
      assert.deepEqual(setup.sampling, {
        doSample: true,
        temperature: 0.95,
        topP: 0.5,
        topK: 50,
        repetitionPenalty: 1,
        maxNewTokens: 1024,
      });
    });

    test("overrides go before the file, and options before both", async () => {
      const setup = await readSetup(path, ["top_p=0.6", "top_k=3"], {
        model: "other",
        topP: 0.8,
        adapter: ["c/three"],
      });
      assert.equal(setup.model, "other");
      assert.equal(setup.sampling.topP, 0.8);
      assert.equal(setup.sampling.topK, 3);
      assert.deepEqual(setup.active, ["three"]);
    });

    test("keys alone do", async () => {
      const setup = await readSetup("model_name_or_path=m", ["seed=5"], {});
      assert.deepEqual([setup.model, setup.seed], ["m", 5]);
      await assert.rejects(
        readSetup("model_name_or_path=m", ["top_q=1"], {}),
        /nearest one is top_p|nearest one is top_k/,
      );
    });
  });
});
