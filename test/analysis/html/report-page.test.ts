import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { matrixDetails } from "../../../src/analysis/html/matrix-details.ts";
import { modelFigures } from "../../../src/analysis/html/model-figures.ts";
import { reportPage } from "../../../src/analysis/html/report-page.ts";
import { amplificationTable, matrixTable } from "../../../src/analysis/html/report-tables.ts";
import { writeReport } from "../../../src/analysis/html/write-report.ts";
import type { AnalysisReport } from "../../../src/analysis/report.ts";
import { type Block, dataOf, figuresOf, type Page } from "../../../src/figures/page/page.ts";
import { pageHtml } from "../../../src/figures/page/page-html.ts";
import { bundledMatrices, climbing, plantedReport } from "./planted-report.ts";

let report: AnalysisReport;
/** Strong directions in the first matrix, weak ones in the others. */
before(async () => {
  const names = bundledMatrices([0, 2], ["self_attn.k_proj", "self_attn.v_proj"]);
  report = await plantedReport(
    names.map((name, i) => ({ name, strengths: i === 0 ? [2, 1.5, 0.01] : [0.02, 0.01, 0.01] })),
    { warnings: ["Mind <this>"], skipped: [{ name: "model.norm.weight", reason: "a vector" }] },
  );
});

function section(page: Page, id: string): readonly Block[] {
  return page.sections.find((one) => one.id === id)?.blocks ?? [];
}

/** Lines of a CSV file, as lists of fields without quotes. */
function lines(text: string): string[][] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(","));
}

function unpacked(html: string): string[] {
  return [...html.matchAll(/<script type="text\/plain" id="pack-\d+">([^<]*)</g)].map(([, packed = ""]) =>
    gunzipSync(Buffer.from(packed, "base64")).toString(),
  );
}

describe("page of an analysis", () => {
  test("the table of all matrices is set close, to fit on a desk; tables of few columns are not", () => {
    const html = pageHtml(reportPage(report));
    const classes = [...html.matchAll(/<table id="[^"]*"( class="[^"]*")?/g)].map(([, own]) => own);
    assert.equal(classes[0], ' class="dense"');
    assert.ok(classes.slice(1).includes(undefined));
  });

  test("the planted intruders are what it says: in the verdict, in the table and in the map of the layers", () => {
    assert.deepEqual(
      report.matrices.map(({ intruders, intruder_ranks }) => [intruders, intruder_ranks]),
      [
        [2, [1, 2]],
        [0, []],
        [0, []],
        [0, []],
      ],
    );
    const page = reportPage(report);
    const [verdict, warnings] = page.lead;
    assert.ok(verdict?.kind === "verdict" && verdict.verdict.headline === "2 intruder dimensions in 1 of 4 matrices");
    assert.ok(warnings?.kind === "warnings" && warnings.items[0] === "Mind <this>");
    const table = matrixTable(report, (i) => `id-${i}`);
    const [first, second] = table.rows;
    assert.deepEqual(first?.[0], { text: "model.layers.0.self_attn.k_proj.weight", target: "id-0" });
    assert.deepEqual(first?.[1], { text: "2", value: 2, level: "bad" });
    assert.equal(first?.[2], "1, 2");
    assert.deepEqual(second?.[1], { text: "0", value: 0 });
    const map = modelFigures(report).find(({ id }) => id === "intruders-by-layer");
    assert.deepEqual(lines(map!.data![0]!.text), [
      ["kind", "layer 0", "layer 2"],
      ["self_attn.k_proj", "2", "0"],
      ["self_attn.v_proj", "0", "0"],
    ]);
  });

  test("sweeps count as the definition does, and other reports are lines of their own", () => {
    const other = { ...report, matrices: report.matrices.slice(1), total_intruders: 0 };
    const figures = modelFigures(report, [{ name: "other", report: other }]);
    const sweep = lines(figures.find(({ id }) => id === "epsilon-sweep")!.data![0]!.text);
    assert.deepEqual(sweep[0], ["epsilon", "tuned", "other"]);
    const at = (epsilon: string) =>
      sweep
        .find(([first]) => first === epsilon)
        ?.slice(1)
        .map(Number);
    assert.deepEqual(at("0.5"), [2, 0]);
    assert.deepEqual(at("0"), [0, 0]);
    const below = (one: AnalysisReport) =>
      one.matrices.flatMap(({ max_cos }) => max_cos.slice(0, 10)).filter((value) => value < 0.9).length;
    assert.deepEqual(at("0.9"), [below(report), below(other)]);
    const loose = { ...report, matrices: report.matrices.map((matrix) => ({ ...matrix, epsilon: 0.9 })) };
    const overK = lines(modelFigures(loose).find(({ id }) => id === "k-sweep")!.data![0]!.text);
    for (const [k, part] of [
      ["100", 1],
      ["50", 0.5],
    ] as const) {
      const looked = report.matrices.flatMap(({ max_cos }) => max_cos.slice(0, part * max_cos.length));
      const under = looked.filter((value) => value < 0.9).length;
      assert.ok(under > below(report), "the ten first of each are not all");
      assert.equal(overK.find(([first]) => first === k)?.[1], String(under));
    }
    const ranks = lines(figures.find(({ id }) => id === "effective-rank-by-method")!.data![0]!.text);
    const mean = (report.matrices[0]!.effective_rank_delta + report.matrices[1]!.effective_rank_delta) / 2;
    assert.ok(Math.abs(Number(ranks[1]![1]) - mean) < 1e-12);
    // Layer 1 has no matrix.
    assert.deepEqual(ranks[2], ["1", "", ""]);
  });

  test("a matrix has its figures, with intruders outlined and marked, and the numbers behind them", () => {
    const matrix = report.matrices[0]!;
    const figures = figuresOf(matrixDetails(matrix, { id: "m1" }).blocks);
    assert.deepEqual(
      figures.map(({ id }) => id),
      ["m1-top", "m1-corner", "m1-all", "m1-cosines", "m1-spectra"],
    );
    const [top, corner, , cosines, spectra] = figures;
    for (const figure of [top, corner]) assert.equal([...figure!.svg.matchAll(/class="outline"/g)].length, 2);
    const rows = lines(spectra!.data![0]!.text);
    assert.deepEqual(rows[0], ["rank", "sigma_base", "sigma_tuned", "sigma_delta"]);
    assert.equal(rows.length, 1 + matrix.sigma_base.length);
    assert.ok(Math.abs(Number(rows[1]![2]) / matrix.sigma_tuned[0]! - 1) < 1e-5);
    assert.deepEqual(rows[4]?.slice(3), [""], "ΔW has three directions");
    const cos = lines(cosines!.data![0]!.text);
    assert.ok(Math.abs(Number(cos[2]![1]) - matrix.max_cos[1]!) < 1e-6);
    const few = figuresOf(matrixDetails(matrix, { id: "m1", maxRanks: 20 }).blocks).at(-1)!;
    assert.equal(few.data![0]!.text, spectra!.data![0]!.text);
    const kept = lines(few.data![0]!.excerpt!).map(([rank]) => rank);
    assert.equal(kept.length, 21);
    assert.deepEqual([kept[10], kept.at(-1)], ["10", String(matrix.sigma_base.length)]);
  });

  test("doubtful intruders are marked, and a side that is not spanned is said", () => {
    const matrix = { ...report.matrices[0]!, intruder_gaps: [1e-4, 5], spans: false };
    const said = JSON.stringify(matrixDetails(matrix, { id: "m1" }).blocks.filter(({ kind }) => kind === "text"));
    assert.match(said, /rank 1\u00a0≈, 2 \(left/);
    assert.match(said, /within 1 %/);
    assert.match(said, /do not span/);
    const plain = JSON.stringify(matrixDetails(report.matrices[0]!, { id: "m1" }).blocks.slice(0, 3));
    assert.doesNotMatch(plain, /≈|within 1 %/);
  });

  test("amplification has the columns of the paper's table", () => {
    const { amplification: one, norm_delta } = report.matrices[0]!;
    const { rows, columns } = amplificationTable(report);
    const values = rows[0]!.slice(1).map((cell) => (typeof cell === "object" ? cell.value : NaN));
    assert.ok(one !== null);
    assert.deepEqual(values, [
      one.r,
      norm_delta,
      one.along_delta,
      one.along_base,
      one.along_random,
      one.random_expected,
      one.factor,
    ]);
    assert.deepEqual(
      columns.slice(3, 6).map(({ title }) => title),
      ["of ΔW", "of W₀", "Random"],
    );
    const alone = amplificationTable({ ...report, matrices: [{ ...report.matrices[0]!, amplification: null }] });
    assert.equal(alone.rows.length, 0);
  });

  test("names of tensors cannot run as script, wherever they stand", () => {
    const evil = `x.0."><img src=x onerror=alert(1)><script>alert(1)</script>\`.weight`;
    const matrices = [
      { ...report.matrices[0]!, name: evil },
      { ...report.matrices[1]!, name: `${evil}2` },
    ];
    const origin = { ...report.tuned, name: evil, method: evil };
    const html = pageHtml(
      reportPage({
        ...report,
        matrices,
        base: origin,
        tuned: origin,
        warnings: [evil],
        skipped: [{ name: evil, reason: evil }],
        checkpoints: climbing(evil),
      }),
    );
    const parts = [html, ...unpacked(html)];
    assert.equal(parts.length, 3);
    for (const part of parts) {
      assert.ok(part.includes("&lt;img"));
      assert.doesNotMatch(part, /<img|<script>alert/);
    }
  });

  test("an adapter alone has no words on intruders; a pair without changes says that", () => {
    const matrices = report.matrices.map((one) => ({
      ...one,
      intruders: 0,
      intruder_ranks: [],
      intruder_gaps: [],
      max_cos: [],
      nearest: [],
      other_side: { ...one.other_side, intruders: 0, max_cos: [] },
      sigma_base: [],
      sigma_tuned: [],
      effective_rank_base: 0,
      norm_base: 0,
      amplification: null,
      similarity_top: [],
      similarity_corner: [],
      similarity: [],
    }));
    const page = reportPage({ ...report, base: null, total_intruders: null, matrices });
    const text = JSON.stringify(page, (key, value: unknown) => (key === "svg" ? "" : value));
    assert.match(text, /nothing can be said about intruders/);
    assert.doesNotMatch(text, /NaN|Infinity|0 intruders|No intruder/);
    assert.deepEqual(
      figuresOf(section(page, "model")).map(({ id }) => id),
      ["effective-rank", "update-size"],
    );
    assert.equal(section(page, "amplification").length, 0);
    const none = reportPage({ ...report, matrices: [], total_intruders: 0 });
    assert.ok(none.lead[0]?.kind === "verdict" && none.lead[0].verdict.headline.startsWith("No matrix changed"));
    assert.doesNotThrow(() => pageHtml(none));
  });

  test("checkpoints have their own section, with the tracks of intruders", () => {
    const page = reportPage({ ...report, checkpoints: climbing("model.layers.0.self_attn.k_proj.weight") });
    const figures = figuresOf(section(page, "checkpoints"));
    assert.deepEqual(
      figures.map(({ id }) => id),
      [
        "checkpoint-intruders",
        "checkpoint-effective-rank",
        "intruder-tracks-sigma",
        "intruder-tracks-rank",
        "intruder-tracks-rotation",
      ],
    );
    assert.equal(section(reportPage(report), "checkpoints").length, 0);
    const files = dataOf(section(page, "checkpoints"));
    assert.deepEqual(lines(files[0]!.text)[4], ["400", "2"]);
    assert.equal(files.length, figures.length);
    const ranks = lines(files.find(({ name }) => name === "intruder-tracks-rank.csv")!.text);
    assert.deepEqual(ranks[4], ["1", "model.layers.0.self_attn.k_proj.weight", "400", "1"]);
  });

  test("two hundred matrices of a small real model's size make a page of a few megabytes", () => {
    // Numbers as of a width of 896: what is random compresses least.
    const wide = Array.from({ length: 896 }, (_, i) => (Math.sin(i * 12.9898) + 2) / (i + 1));
    const grid = Array.from({ length: 64 }, (_, i) => wide.slice(i, i + 64));
    const matrix = {
      ...report.matrices[0]!,
      shape: [896, 896] as const,
      sigma_base: wide,
      sigma_tuned: wide.map((value) => value * 1.01),
      sigma_delta: wide,
      max_cos: wide.map((value) => value / 3),
      similarity: grid,
    };
    // Two hundred take seconds: the size of one is enough.
    const few = [0, 1, 2, 3].map((layer) => ({ ...matrix, name: `model.layers.${layer}.mlp.up_proj.weight` }));
    const size = (count: number) => pageHtml(reportPage({ ...report, matrices: few.slice(0, count) })).length;
    const [one, four] = [size(1), size(4)];
    assert.ok(one + (199 * (four - one)) / 3 < 15e6, `${(four - one) / 3} bytes a matrix`);
  });

  test("is written as one page with files beside it", async (t) => {
    const dir = await mkdtemp(join(tmpdir(), "lowrank-report-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const one = { ...report, matrices: report.matrices.slice(0, 1) };
    await writeReport({ ...report, matrices: report.matrices.slice(0, 2) }, dir);
    const { htmlBytes } = await writeReport(one, dir);
    assert.deepEqual((await readdir(dir)).sort(), ["data", "figures", "index.html"]);
    assert.ok(htmlBytes > 50_000);
    const files = await readdir(join(dir, "figures"));
    assert.ok(files.includes("epsilon-sweep.png") && files.includes("m001-layers-0-self_attn-k_proj-top.svg"));
    const data = await readdir(join(dir, "data"));
    assert.ok(data.includes("matrices.csv"));
    for (const name of [...files, ...data]) assert.ok(!name.startsWith("m002"), name);
  });
});
