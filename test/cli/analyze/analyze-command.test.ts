/** `lowrank analyze` and `lowrank repair` as a person starts them: on the bundled model, on files, and on what is wrong. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { analyze } from "../../../src/analysis/analyze.ts";
import { openPairs } from "../../../src/analysis/weight-pairs.ts";
import { checkReportFolder } from "../../../src/analysis/report-folder.ts";
import type { RepairReport } from "../../../src/analysis/repair-report.ts";
import type { AnalysisReport } from "../../../src/analysis/report.ts";
import { gaussian, scaledBy, withIntruders, writeTensors } from "../../analysis/planted.ts";
import { writeLora } from "../../support/lora-folder.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.js", import.meta.url));
const MODEL = fileURLToPath(new URL("../../../../bundled/model", import.meta.url));
const METHODS = fileURLToPath(new URL("../../../../golden/peft-methods", import.meta.url));
const QWEN = fileURLToPath(new URL("../../../../golden/causal-lm/qwen2-tied", import.meta.url));

suite("lowrank analyze", () => {
  let root: string;
  let base: string;
  let tuned: string;
  const [q, up] = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"];
  const weights = { [q]: gaussian([72, 80], 1), [up]: gaussian([96, 72], 2) };
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-analyze-cli-"));
    base = await writeTensors(join(root, "base.safetensors"), weights);
    tuned = await writeTensors(join(root, "tuned.safetensors"), {
      [q]: withIntruders(weights[q]!, 2, 20),
      [up]: scaledBy(weights[up]!, 1.5),
    });
  });
  after(() => rm(root, { recursive: true }));

  const env = () => ({ ...process.env, LOWRANK_CACHE: join(root, "cache") });
  function lowrank(...args: readonly string[]) {
    return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", cwd: root, env: env() });
  }
  /** What a person sees of a mistake: one message, and no trace of the program. */
  function refused(pattern: RegExp, ...args: readonly string[]): void {
    const { status, stderr } = lowrank(...args);
    assert.equal(status, 1, stderr);
    assert.match(stderr, pattern);
    assert.doesNotMatch(stderr, /^\s+at |bug in lowrank/m);
  }

  test("a pair of files: a report in a folder, and in words", async () => {
    const { status, stdout, stderr } = lowrank("analyze", base, tuned, "--out", "report");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /self_attn\.q_proj\.weight +72×80 +2 +1 2/);
    assert.match(stdout, /intruder dimensions: 2 among the 20/);
    assert.match(stdout, /written to report: open report\/index\.html/);
    const report = JSON.parse(await readFile(join(root, "report", "report.json"), "utf8")) as AnalysisReport;
    assert.equal(report.total_intruders, 2);
    assert.deepEqual(
      report.matrices.map(({ name, intruders }) => [name, intruders]),
      [
        [up, 0],
        [q, 2],
      ],
    );
    assert.equal((await readdir(join(root, "report"))).includes("partial-report.jsonl"), false);
    assert.match(await readFile(join(root, "report", "index.html"), "utf8"), /<html/);
    // An earlier report may be written over, other files may not.
    await checkReportFolder(join(root, "report"));
    await mkdir(join(root, "mine"));
    await writeFile(join(root, "mine", "notes.txt"), "");
    refused(/has files in it and is no earlier report: notes\.txt/, "analyze", base, tuned, "--out", "mine");
  });

  test("--json prints the report alone on stdout", () => {
    const { status, stdout, stderr } = lowrank("analyze", base, tuned, "--json", "--side", "right", "--epsilon", "0.9");
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout) as AnalysisReport;
    assert.deepEqual([report.settings.side, report.settings.epsilon], ["right", 0.9]);
    assert.match(stderr, /intruder dimensions/);
  });

  test("the bundled model with an adapter: analyze, repair, analyze again", async () => {
    const adapter = join(root, "adapter");
    await writeLora(adapter, MODEL, { targetModules: ["q_proj", "v_proj"] }, 5);
    const filter = ["--filter", "*layers.0*"];
    const analyzed = lowrank("analyze", MODEL, adapter, ...filter);
    assert.equal(analyzed.status, 0, analyzed.stderr);
    assert.match(analyzed.stdout, /tuned +.*adapter \(adapter, lora, r 4, alpha 10\)/);
    assert.match(analyzed.stdout, /matrices +2 changed/);
    assert.match(analyzed.stdout, /lowrank repair .* --lambda 0\.7 --out repaired/);
    const repaired = lowrank("repair", MODEL, adapter, "--lambda", "0", "--rank", "exact", ...filter, "--out", "fixed");
    assert.equal(repaired.status, 0, repaired.stderr);
    const { intruders_before, intruders_after } = JSON.parse(
      await readFile(join(root, "fixed", "repair.json"), "utf8"),
    ) as RepairReport;
    assert.ok(intruders_before > 0 && intruders_after < intruders_before);
    assert.match(analyzed.stdout, new RegExp(`intruder dimensions: ${intruders_before} among`));
    const again = await analyze(MODEL, join(root, "fixed"), { filter: "*layers.0*", cacheDir: false });
    assert.equal(again.total_intruders, intruders_after);
    // What was not asked for is in the adapter as it was.
    const [untouched, made] = [await openPairs(MODEL, adapter), await openPairs(MODEL, join(root, "fixed"))];
    for (const pairs of [untouched, made]) assert.equal(pairs.pairs.length, 8);
    for (const [i, pair] of untouched.pairs.entries()) {
      const isSame = isDeepStrictEqual((await pair.load()).delta, (await made.pairs[i]!.load()).delta);
      assert.equal(isSame, !pair.name.includes("layers.0."), pair.name);
    }
    await untouched.close();
    await made.close();
  });

  test("an adapter alone, and methods that are no LoRA", () => {
    const alone = lowrank("analyze", join(METHODS, "loha"));
    assert.equal(alone.status, 0, alone.stderr);
    assert.match(alone.stdout, /there is no base.*The update uses [\d.]+ directions/s);
    const dash = lowrank("analyze", "-", join(METHODS, "lokr"), "--json");
    assert.equal((JSON.parse(dash.stdout) as AnalysisReport).base, null);
  });

  test("checkpoints: a line for each, and the last one is looked at", async () => {
    for (const [step, count] of [
      [10, 0],
      [20, 1],
    ] as const) {
      const dir = join(root, "run", `checkpoint-${step}`);
      await mkdir(dir, { recursive: true });
      const w = count === 0 ? scaledBy(weights[q]!, 1.01) : withIntruders(weights[q]!, count, 20);
      await writeTensors(join(dir, "model.safetensors"), { ...weights, [q]: w });
    }
    const { status, stdout, stderr } = lowrank("analyze", base, "--checkpoints", "run");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /tuned +run\/checkpoint-20/);
    assert.match(stdout, /^ +10 +0 .*\n^ +20 +1 /m);
  });

  test("what is wrong is said in a message", async () => {
    refused(/is of another architecture/, "analyze", base, join(QWEN, "model.safetensors"));
    refused(/does not fit the model/, "analyze", base, join(METHODS, "lora-rslora"));
    refused(/no such folder/, "analyze", base, "./nowhere/at/all");
    const broken = join(root, "broken");
    await cp(join(METHODS, "lora-rslora"), broken, { recursive: true });
    await writeFile(join(broken, "adapter_model.safetensors"), "\u0000".repeat(64));
    refused(/adapter_model\.safetensors/, "analyze", QWEN, broken);
    const nan = gaussian([72, 80], 3);
    nan.values[100] = Infinity;
    await writeTensors(join(root, "nan.safetensors"), { ...weights, [q]: nan });
    refused(/NumericError.*q_proj.*not finite: element 100/, "analyze", base, join(root, "nan.safetensors"));
    refused(/rank.*loha/s, "repair", QWEN, join(METHODS, "loha"), "--lambda", "0", "--epsilon", "0.9", "--out", "x");
    assert.equal(existsSync(join(root, "x")), false);
    const { status, stderr } = lowrank("repair", base, tuned, "--out", "y", "--rank", "-3");
    assert.deepEqual([status, /error: .*--rank/.test(stderr)], [1, true]);
  });

  test("no intruders: repair says so, and writes nothing", () => {
    const { status, stdout } = lowrank("repair", base, tuned, "--epsilon", "0.01", "--out", "none");
    assert.equal(status, 0);
    assert.match(stdout, /no intruder dimension to scale, and nothing was written/);
    assert.equal(existsSync(join(root, "none")), false);
  });

  test("Ctrl-C ends it with a word", async () => {
    const child = spawn(process.execPath, [MAIN, "analyze", MODEL, join(METHODS, "lora-rslora"), "--out", "stopped"], {
      cwd: root,
      env: env(),
    });
    let stderr = "";
    child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
    child.kill("SIGINT");
    const code = await new Promise((done) => child.on("exit", (status, signal) => done(status ?? signal)));
    // Before the program listens, the signal itself ends it.
    assert.ok(code === 130 || code === "SIGINT" || code === 1, `${String(code)} ${stderr}`);
    assert.doesNotMatch(stderr, /bug in lowrank/);
  });
});
