/** `lowrank analyze` and `lowrank repair` as a person starts them: on the bundled model, on files, and on what is wrong. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
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
    assert.deepEqual([dash.status, dash.signal], [0, null], dash.stderr);
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

  test("a run that is not there is said before anything is decomposed", () => {
    for (const [dir, pattern] of [
      ["nosuch", /no such folder: got nosuch/],
      [base, /this is a file: give the folder of a run/],
    ] as const) {
      const { status, stderr } = lowrank("analyze", base, tuned, "--checkpoints", dir);
      assert.equal(status, 1, stderr);
      assert.match(stderr, pattern);
      assert.doesNotMatch(stderr, /matrices\/s|bug in lowrank/);
    }
  });

  test("folders that may not be read are named, wherever they are given", async (context) => {
    if (process.getuid?.() !== 0) return context.skip("only root can become someone who may not read");
    for (const name of ["secret", "late/checkpoint-1"]) {
      await mkdir(join(root, name), { recursive: true });
      await cp(base, join(root, name, "model.safetensors"));
      await chmod(join(root, name), 0o700);
    }
    await chmod(root, 0o755);
    // The program may be in a folder of root's own: it is loaded before the rights are given up.
    const script = `
      const { locate } = await import(${JSON.stringify(new URL("../../../src/analysis/locate.js", import.meta.url))});
      const { checkpointsIn } = await import(${JSON.stringify(new URL("../../../src/analysis/checkpoint-tracks.js", import.meta.url))});
      const { whatIs } = await import(${JSON.stringify(new URL("../../../src/cli/inspect/kind.js", import.meta.url))});
      const { localFolder } = await import(${JSON.stringify(new URL("../../../src/hub/local-folder.js", import.meta.url))});
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      const said = (work) => work.then(() => "no error", (error) => error.name + " " + error.message);
      console.log(JSON.stringify([
        await said(locate("secret")),
        await said(locate("secret/model.safetensors")),
        await said(checkpointsIn("secret")),
        await said(whatIs("secret")),
        await said(localFolder("./secret", "model")),
        await said(checkpointsIn("late").then(([{ path }]) => locate(path))),
      ]));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      cwd: root,
    });
    const said = JSON.parse(stdout || JSON.stringify([stderr])) as string[];
    assert.equal(said.length, 6, stderr);
    for (const each of said) {
      assert.match(
        each,
        /^FormatError .*(secret|checkpoint-1).*cannot be read: got EACCES\n {2}hint: you lack the permission/,
      );
    }
  });

  test("a weight of another shape: what was compared and what was not", async () => {
    const other = await writeTensors(join(root, "shape.safetensors"), { ...weights, [q]: gaussian([72, 81], 3) });
    const { status, stdout, stderr } = lowrank("analyze", base, other, "--out", "shape");
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout, /these are the weights of the base/);
    assert.match(stdout, /matrices +0 changed, 1 did not, 1 other tensor left out/);
    assert.match(stdout, /Nothing that was compared changed: the one matrix with one shape on both sides is as/);
    assert.match(
      stdout,
      /Not compared, since the shapes differ: \S+q_proj\.weight \(\[72, 80\] in the base and \[72, 81\]/,
    );
    assert.match(await readFile(join(root, "shape", "index.html"), "utf8"), /Not compared, since the shapes differ/);
    // Nothing at all differs in shape: nothing is said of it.
    const same = lowrank("analyze", base, base);
    assert.match(same.stdout, /Nothing that was compared changed: the 2 matrices/);
    assert.doesNotMatch(same.stdout, /Not compared/);
  });

  test("an update many times the base is a percentage without an exponent", async () => {
    const large = await writeTensors(join(root, "large.safetensors"), {
      [q]: scaledBy(weights[q]!, 15),
      [up]: scaledBy(weights[up]!, 8),
    });
    const { stdout } = lowrank("analyze", base, large, "--out", "large");
    assert.match(stdout, /1,400 %/);
    assert.match(stdout, /700 %/);
    const page = await readFile(join(root, "large", "index.html"), "utf8");
    assert.match(page, /1,\d00\u00a0%/);
    assert.doesNotMatch(page, /\de\+\d+\s%/);
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

  test("Ctrl-C with --out: that the same command goes on is said, and true", async () => {
    const layers = Array.from({ length: 8 }, (_, i) => `layers.${i}.weight`);
    const [before, after] = [1, 2].map((factor) =>
      Object.fromEntries(layers.map((name, i) => [name, withIntruders(gaussian([320, 320], i), factor, 50 + i)])),
    );
    const files = [
      await writeTensors(join(root, "before.safetensors"), before!),
      await writeTensors(join(root, "after.safetensors"), after!),
    ];
    const args = ["analyze", ...files, "--out", "halted", "--threads", "1", "--no-cache"];
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: root, env: env() });
    let stderr = "";
    child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
    const ended = new Promise((done) => child.on("exit", done));
    // The file is begun when the first matrix is.
    const wait = setInterval(() => {
      if (!existsSync(join(root, "halted", "partial-report.jsonl"))) return;
      clearInterval(wait);
      child.kill("SIGINT");
    }, 5);
    assert.equal(await ended, 130, stderr);
    clearInterval(wait);
    assert.match(
      stderr,
      /to go on where it stopped, give the same command again: halted has what is done\s+stopped\n$/,
    );
    const again = lowrank(...args);
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stdout, /matrices +8 changed/);
  });
});
