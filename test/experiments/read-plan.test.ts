/** Files of sequences: those that come with the package, and what is said about wrong ones. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../src/errors.ts";
import { methodLabel } from "../../src/experiments/continual/method.ts";
import { parseSequence, taskSource } from "../../src/experiments/continual/read-plan.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

suite("recipes", () => {
  const files = readdirSync(`${ROOT}recipes`).filter((name) => /^continual-.*\.yaml$/.test(name));
  assert.ok(files.length >= 3);
  for (const file of files) {
    test(`${file} is right, and the list has it`, () => {
      const { plan } = parseSequence(readFileSync(`${ROOT}recipes/${file}`, "utf8"), file);
      const labels = plan.methods.map(methodLabel);
      assert.equal(new Set(labels).size, labels.length);
      assert.ok(readFileSync(`${ROOT}recipes/README.md`, "utf8").includes(`(${file})`));
    });
  }

  test("RoBERTa: the paper's six tasks in their order, with α · η = 2.4e-3", () => {
    const { plan, tasks } = parseSequence(readFileSync(`${ROOT}recipes/continual-roberta.yaml`, "utf8"), "r.yaml");
    assert.ok(typeof tasks !== "string");
    assert.deepEqual(
      tasks.map(({ name }) => name),
      ["mnli", "qqp", "sst-2", "siqa", "winogrande", "fever"],
    );
    for (const method of plan.methods) {
      if (method.kind !== "lora") continue;
      assert.ok(Math.abs(method.alpha * method.learningRate - 2.4e-3) < 1e-12);
      assert.equal(method.alpha, 2 * method.r);
    }
  });
});

test("everything that is wrong is said at once", () => {
  const text = [
    "tasks: [{ name: a, train: x.jsonl, texts: b }]",
    "methods: [{ method: lora, r: 0, learning_rate: 1 }, { method: dora }]",
    "epoch: 3",
    "seeds: [-1]",
    "batch_size: many",
  ].join("\n");
  assert.throws(
    () => parseSequence(text, "p.yaml"),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const part of ["texts", "text: is missing", "methods[0].r", "dora", "epoch", "seeds", "batch_size"]) {
        assert.ok(error.message.includes(part), `${part} is not in\n${error.message}`);
      }
      return true;
    },
  );
});

test("where tasks are", () => {
  const at = { data: "/data", olora: "/data/CL_Benchmark" };
  assert.deepEqual(taskSource({ tasks: "generated" }, at), { kind: "generated" });
  assert.equal(taskSource({ tasks: "olora-cl" }, { ...at, olora: undefined }), undefined);
  const tasks = [{ name: "a", train: "a.jsonl", text: "t" }];
  assert.deepEqual(taskSource({ tasks, pretrainingTexts: "p.jsonl" }, at), {
    kind: "files",
    root: "/data",
    tasks,
    pretraining: "/data/p.jsonl",
  });
});
