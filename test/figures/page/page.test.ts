import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Script } from "node:vm";
import { gunzipSync } from "node:zlib";
import { ConfigError } from "../../../src/errors.ts";
import { pageHtml } from "../../../src/figures/page/page-html.ts";
import { type Block, csv, type Page, type PageFigure } from "../../../src/figures/page/page.ts";
import { writePage } from "../../../src/figures/page/write-page.ts";
import { heatMapSvg } from "../../../src/figures/heat-map.ts";

const SVG = heatMapSvg([[0, 1]], { title: "T", rows: { label: "r" }, columns: { label: "c" }, valueLabel: "v" });
const EVIL = `"><img src=x onerror=alert(1)><script>alert(2)</script>`;

function pageOf(...blocks: Block[]): Page {
  return { title: "Title", lead: [], sections: [{ id: "one", title: "One", blocks }] };
}

function figure(id: string, more: Partial<PageFigure> = {}): PageFigure {
  return { id, title: "A figure", svg: SVG, ...more };
}

/** What is packed in a page, by its id. */
function unpacked(html: string): Map<string, string> {
  const found = html.matchAll(/<script type="text\/plain" id="(pack-\d+)">([^<]*)<\/script>/g);
  return new Map(
    [...found].map(([, id = "", packed = ""]) => [id, gunzipSync(Buffer.from(packed, "base64")).toString()]),
  );
}

describe("page", () => {
  test("names cannot become markup anywhere, in what is packed either", () => {
    const blocks: Block[] = [
      { kind: "text", text: `${EVIL} \`${EVIL}\`` },
      { kind: "list", items: [EVIL] },
      { kind: "warnings", items: [EVIL] },
      { kind: "verdict", verdict: { level: "bad", headline: EVIL, paragraphs: [EVIL], advice: [EVIL] } },
      { kind: "facts", facts: [{ label: EVIL, value: EVIL, note: EVIL }] },
      {
        kind: "table",
        table: {
          caption: EVIL,
          sortable: true,
          filterable: true,
          stacks: true,
          columns: [{ title: EVIL, hint: EVIL }],
          rows: [[{ text: EVIL, target: EVIL }]],
        },
      },
      { kind: "figures", figures: [figure("a", { title: EVIL, explanation: EVIL, source: EVIL })] },
      { kind: "downloads", files: [{ name: "a.csv", text: "x", label: EVIL }] },
    ];
    const details: Block = { kind: "details", details: { id: EVIL, summary: EVIL, note: EVIL, blocks } };
    const html = pageHtml({ ...pageOf(...blocks, details), title: EVIL, subtitle: EVIL, footer: [EVIL] });
    const parts = [html, ...unpacked(html).values()];
    assert.equal(parts.length, 2);
    for (const part of parts) {
      assert.doesNotMatch(part, /<img/);
      assert.doesNotMatch(part, /<script>alert/);
      // Each is there, escaped: with breaks for lines it may differ, so by its beginning.
      assert.ok(part.split("&quot;&gt;&lt;img").length > 8);
    }
  });

  test("nothing is fetched, and no script may run but the page's own", () => {
    const html = pageHtml(
      pageOf({ kind: "figures", figures: [figure("a", { data: [{ name: "a.csv", text: "x\n1\n" }] })] }),
    );
    for (const [, address = ""] of html.matchAll(/(?:src|href)="([^"]*)"/g)) assert.match(address, /^(data:|#)/);
    assert.doesNotMatch(html, /@import|url\(http|<link|<iframe/);
    const [, policy = ""] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
    const [, script = ""] = /<script>([^]*?)<\/script>/.exec(html) ?? [];
    assert.ok(policy.startsWith("default-src 'none'"));
    assert.ok(policy.includes(`script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`));
    assert.doesNotThrow(() => new Script(script));
  });

  test("the numbers of a figure are in the page; large ones packed", () => {
    const text = csv(
      ["rank", "name"],
      [
        [1, `with "quotes", commas, <b> #1 & 50 %`],
        [2, null],
      ],
    );
    assert.equal(text, `rank,name\n1,"with ""quotes"", commas, <b> #1 & 50 %"\n2,\n`);
    const html = pageHtml(pageOf({ kind: "figures", figures: [figure("a", { data: [{ name: "a.csv", text }] })] }));
    const [, data = ""] = /<a download="a.csv" href="data:text\/csv;charset=utf-8,([^"]*)"/.exec(html) ?? [];
    assert.equal(decodeURIComponent(data.replaceAll("&amp;", "&")), text);
    assert.doesNotMatch(data, /[#<\n ]/);
    const part = { name: "a.csv", text: "a\n1\n2\n", excerpt: "a\n1\n" };
    const short = pageHtml(pageOf({ kind: "downloads", files: [part] }), { hasFiles: true });
    assert.ok(short.includes(`utf-8,a%0A1%0A">a.csv (some of the rows)</a> <a href="data/a.csv">all`));
    const large = "1234567890\n".repeat(100_000);
    const packed = pageHtml(pageOf({ kind: "downloads", files: [{ name: "b.json", text: large }] }));
    assert.ok(packed.length < 100_000);
    const [, id = ""] = /data-save="packed" data-from="([^"]*)" data-name="b.json"/.exec(packed) ?? [];
    assert.equal(unpacked(packed).get(id), large);
  });

  test("details are packed whole, and may be led to", () => {
    const inside: Block = { kind: "text", text: "only inside" };
    const html = pageHtml(pageOf({ kind: "details", details: { id: "m1", summary: "S", blocks: [inside] } }));
    assert.ok(!html.includes("only inside"));
    const [, id = ""] = /<details id="m1" data-packed="([^"]*)">/.exec(html) ?? [];
    assert.equal(unpacked(html).get(id), "<p>only inside</p>");
  });

  test("ids in pictures are made different, since they share a page", () => {
    const svg = `<svg width="10" height="10"><clipPath id="plot"/><path clip-path="url(#plot)"/></svg>`;
    const html = pageHtml(pageOf({ kind: "figures", figures: [figure("a", { svg }), figure("b", { svg })] }));
    for (const id of ["a-plot", "b-plot"]) assert.ok(html.includes(` id="${id}"`) && html.includes(`url(#${id})`));
    assert.ok(!html.includes(`id="plot"`));
  });

  test("numbers of a table are at the right and sorted by their values", () => {
    const table = {
      sortable: true,
      columns: [{ title: "name" }, { title: "count" }],
      rows: [
        ["a", { text: "1,000", value: 1000 }],
        ["b", { text: "–", value: NaN }],
      ],
    };
    const html = pageHtml(pageOf({ kind: "table", table }));
    assert.ok(html.includes(`<td class="n" data-value="1000">1,000</td>`));
    assert.match(html, /<th scope="col"><button type="button">name/);
    assert.match(html, /<th scope="col" class="n"><button type="button">count/);
    const plain = pageHtml(pageOf({ kind: "table", table: { ...table, sortable: false } }));
    assert.doesNotMatch(plain, /<button|data-sortable>/);
  });

  test("cells that stack carry the names of their columns, others do not", () => {
    const table = {
      columns: [{ title: "claim" }, { title: "holds?" }],
      rows: [["a", { text: "no", level: "bad" }]],
    } as const;
    const html = (stacks: boolean) => pageHtml(pageOf({ kind: "table", table: { ...table, stacks } }));
    assert.match(html(true), /<table id="table-1" class="stacks">/);
    assert.match(html(true), /<td class="bad" data-label="holds">no<\/td>/);
    assert.doesNotMatch(html(false), /data-label="|class="stacks"/);
  });

  test("is written with its figures and numbers beside it, and refuses names that would meet or leave the folder", async (t) => {
    const dir = await mkdtemp(join(tmpdir(), "lowrank-page-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const figures = [figure("a", { data: [{ name: "a.csv", text: "x\n" }] }), figure("b")];
    const inside: Block = {
      kind: "details",
      details: { id: "d", summary: "D", blocks: [{ kind: "figures", figures: [figure("c")] }] },
    };
    const written = await writePage(pageOf({ kind: "figures", figures }, inside), dir, { png: (id) => id !== "b" });
    assert.equal(written.figures, 3);
    assert.deepEqual((await readdir(join(dir, "figures"))).sort(), ["a.png", "a.svg", "b.svg", "c.png", "c.svg"]);
    assert.equal(await readFile(join(dir, "data", "a.csv"), "utf8"), "x\n");
    assert.equal((await readFile(written.htmlFile)).length, written.htmlBytes);
    for (const id of ["a", "../x", ".hidden"]) {
      await assert.rejects(writePage(pageOf({ kind: "figures", figures: [...figures, figure(id)] }), dir), ConfigError);
    }
  });
});
