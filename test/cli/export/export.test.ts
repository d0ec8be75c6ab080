/** `lowrank export` as a person starts it, on a real model. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { MergeReport } from "../../../src/lm/merge-report.ts";
import { writeLora } from "../../support/lora-folder.ts";
import { sharedData } from "../../support/shared-data.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.js", import.meta.url));
const MODEL = sharedData("tinystories-656k");
const TEMPLATE =
  "{% for message in messages %}[{{ message.role }}]{{ message.content }}<|end_story|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

suite("lowrank export", { skip: existsSync(MODEL) ? false : `${MODEL} is absent` }, () => {
  let root: string;
  let adapter: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-export-cli-"));
    adapter = join(root, "adapter");
    await writeLora(adapter, MODEL, {}, 4);
  });
  after(() => rm(root, { recursive: true }));

  function lowrank(...args: readonly string[]) {
    return spawnSync(process.execPath, [MAIN, "export", ...args], { encoding: "utf8", cwd: root });
  }
  const from = (dir: string) => ["--model", MODEL, "--adapter", dir];
  const reportOf = async (dir: string) =>
    JSON.parse(await readFile(join(root, dir, "merge_report.json"), "utf8")) as MergeReport;

  test("flags: a table of the prompts, no extra operators, and where it is", async () => {
    const { status, stdout, stderr } = lowrank(
      "--model",
      MODEL,
      "--adapter",
      adapter,
      "--out",
      "merged",
      "--threads",
      "1",
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /adapter {3}.* \(LORA, r 4, alpha 10, 19,456 parameters\)/);
    assert.match(stdout, /Once upon a time.* 16\/16/);
    assert.match(stdout, /no extra operators/);
    assert.match(stdout, /verdict: passed/);
    assert.match(stdout, /written to .*merged/);
    const { verdict, base } = await reportOf("merged");
    assert.equal(verdict, "passed");
    assert.deepEqual(
      base.files.map(({ name }) => name),
      ["config.json", "model.safetensors"],
    );
    for (const name of ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]) {
      assert.ok(existsSync(join(root, "merged", name)), name);
    }
  });

  test("a merge file of LLaMA-Factory, with an override", async () => {
    const yaml = [
      `model_name_or_path: ${MODEL}`,
      `adapter_name_or_path: ${adapter}`,
      "template: default",
      "trust_remote_code: true",
      "export_dir: from-yaml",
      "export_size: 5",
      "export_device: cpu",
      "export_legacy_format: false",
    ].join("\n");
    await writeFile(join(root, "merge.yaml"), yaml);
    const { status, stderr } = lowrank("merge.yaml", "export_size=0.001", "export_dtype=bfloat16", "--threads", "1");
    assert.equal(status, 0, stderr);
    assert.match(stderr, /note: trust_remote_code/);
    assert.ok(existsSync(join(root, "from-yaml", "model-00001-of-00002.safetensors")), "files of a MB at most");
    const report = await reportOf("from-yaml");
    assert.equal(report.export.dtype, "bfloat16");
    assert.equal(report.export.chat_template, "named");
    assert.match(await readFile(join(root, "from-yaml", "chat_template.jinja"), "utf8"), /Human: /);
  });

  test("the template of the adapter goes with the model, and ends answers", async () => {
    const own = join(root, "with-template");
    await cp(adapter, own, { recursive: true });
    await writeFile(join(own, "chat_template.jinja"), TEMPLATE);
    await writeFile(join(root, "prompts.txt"), "Tell me a story.\n\nWho are you?\n");
    const { status, stdout, stderr } = lowrank(
      "--json",
      ...from(own),
      "--out",
      "chat",
      "--check-prompts",
      "prompts.txt",
    );
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout) as MergeReport;
    assert.equal(report.export.chat_template, "adapter");
    assert.deepEqual(
      report.exported!.texts.map(({ prompt }) => prompt),
      ["Tell me a story.", "Who are you?"],
    );
    assert.equal(await readFile(join(root, "chat", "chat_template.jinja"), "utf8"), TEMPLATE);
  });

  test("exit status 1, the cause and the numbers when the check fails", async () => {
    const { status, stdout, stderr } = lowrank(
      ...from(adapter),
      "--out",
      "bad",
      "--dtype=bfloat16",
      "--threshold=1e-5",
    );
    assert.equal(status, 1);
    assert.match(stdout, /verdict: failed/);
    assert.match(stderr, /MergeCheckFailed .*bad\.failed: .*rounding to bfloat16 loses too much/);
    assert.doesNotMatch(stderr, /\n\s+at /, "no stack trace");
    assert.ok(!existsSync(join(root, "bad")));
    assert.equal((await reportOf("bad.failed")).verdict, "failed");
  });

  test("what is missing or wrong is said in a line", () => {
    assert.match(lowrank("--model", MODEL).stderr, /--out is missing/);
    assert.match(
      lowrank("--model", MODEL, "--adapter", MODEL, "--out", "x").stderr,
      /it is a whole model: give it as the model/,
    );
    assert.match(lowrank("--model", adapter, "--out", "x").stderr, /it is an adapter: give it as the adapter/);
    const none = lowrank("--model", MODEL, "--out", "x", "--check-prompts", "absent.txt");
    assert.match(none.stderr, /absent\.txt: cannot be read \(ENOENT\)/);
    assert.equal(none.status, 1);
  });
});
