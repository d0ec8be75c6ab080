/**
 * A page of results as one HTML file: style, script, figures and numbers are in it, and nothing is fetched, so that it works from a disk and
 * in a mail. A content security policy allows no script but its own. Details are packed (gzip, base64) and unpacked when they are opened: hundreds of
 * them stay small and fast.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { escapeXml } from "../svg.ts";
import { PAGE_SCRIPT } from "./page-script.ts";
import { PAGE_STYLE } from "./page-style.ts";
import type { Block, Cell, DataFile, Details, Page, PageFigure, PageTable, Section, Verdict } from "./page.ts";

/** Larger files are packed: some browsers refuse longer addresses. */
const MAX_DATA_ADDRESS = 1_000_000;
/** Wider pictures take a row for themselves. */
const WIDE = 700;
/** Tables with more of them are set closer, so that they fit beside each other on a desk. */
const MANY_COLUMNS = 9;

export interface PageHtmlOptions {
  /** Whether what a reader downloads lies in folders beside the page, too. Default: false. */
  readonly hasFiles?: boolean;
}

/** @returns the text of an HTML file */
export function pageHtml(page: Page, { hasFiles = false }: PageHtmlOptions = {}): string {
  const packs: string[] = [];
  const state: State = { packs, hasFiles, tables: 0 };
  const lead = page.lead.map((block) => blockHtml(block, state)).join("\n");
  const sections = page.sections.map((section) => sectionHtml(section, state)).join("\n");
  const hash = createHash("sha256").update(PAGE_SCRIPT).digest("base64");
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src 'sha256-${hash}'`;
  const links = page.sections.map(({ id, title }) => `<a href="#${escapeXml(id)}">${escapeXml(title)}</a>`).join("\n");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(page.title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the results</a>
<header>
<h1>${inline(page.title)}</h1>
${page.subtitle === undefined ? "" : `<p class="faint">${inline(page.subtitle)}</p>`}
<nav aria-label="Sections">
${links}
</nav>
</header>
<main id="content">
${lead}
${sections}
</main>
<footer>
${(page.footer ?? []).map((text) => `<p>${inline(text)}</p>`).join("\n")}
</footer>
${packs.join("\n")}
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

interface State {
  readonly packs: string[];
  readonly hasFiles: boolean;
  tables: number;
}

function sectionHtml({ id, title, blocks }: Section, state: State): string {
  const content = blocks.map((block) => blockHtml(block, state)).join("\n");
  return `<section id="${escapeXml(id)}">\n<h2>${inline(title)}</h2>\n${content}\n</section>`;
}

/** Names of parameters and paths may go on in the next line after a dot or a stroke, where a screen is narrow. */
function breakable(escaped: string): string {
  return escaped.replace(/[^\s`]{20,}/g, (word) => word.replace(/([./_-])(?=\w)/g, "$1<wbr>"));
}

/** Plain text; what stands between backticks becomes code. */
function inline(text: string): string {
  return breakable(escapeXml(text)).replace(/`([^`]+)`/g, "<code>$1</code>");
}

function listHtml(items: readonly string[]): string {
  return `<ul>\n${items.map((item) => `<li>${inline(item)}</li>`).join("\n")}\n</ul>`;
}

function blockHtml(block: Block, state: State): string {
  switch (block.kind) {
    case "text":
      return `<p>${inline(block.text)}</p>`;
    case "list":
      return listHtml(block.items);
    case "verdict":
      return verdictHtml(block.verdict);
    case "warnings":
      return block.items.length === 0
        ? ""
        : `<div class="notices" role="note"><strong>Mind this</strong>\n${listHtml(block.items)}\n</div>`;
    case "facts":
      return `<div class="facts">\n${block.facts
        .map(
          ({ label, value, note }) =>
            `<div class="fact"><span>${inline(label)}</span><b>${escapeXml(value)}</b>` +
            `${note === undefined ? "" : `<span class="faint">${inline(note)}</span>`}</div>`,
        )
        .join("\n")}\n</div>`;
    case "table":
      return tableHtml(block.table, state);
    case "figures":
      return `<div class="figures">\n${block.figures.map((figure) => figureHtml(figure, state)).join("\n")}\n</div>`;
    case "details":
      return detailsHtml(block.details, state);
    case "downloads":
      return `<div class="files">${block.files.map((file) => fileHtml(file, state)).join("")}</div>`;
  }
}

function verdictHtml({ level, headline, paragraphs, advice = [] }: Verdict): string {
  return [
    `<section class="verdict ${level}" aria-label="Verdict">`,
    `<h2>${inline(headline)}</h2>`,
    ...paragraphs.map((text) => `<p>${inline(text)}</p>`),
    ...(advice.length === 0 ? [] : ["<h3>What to do</h3>", listHtml(advice)]),
    "</section>",
  ].join("\n");
}

function tableHtml(table: PageTable, state: State): string {
  const { caption, columns, rows, sortable = false, filterable = false, stacks = false, data } = table;
  const id = `table-${++state.tables}`;
  const looks = [...(columns.length > MANY_COLUMNS ? ["dense"] : []), ...(stacks ? ["stacks"] : [])].join(" ");
  const isNumeric = (column: number) => rows.some((row) => isNumber(row[column]));
  const head = columns.map(({ title, hint }, column) => {
    const name = hint === undefined ? escapeXml(title) : `<span title="${escapeXml(hint)}">${escapeXml(title)}</span>`;
    const kind = isNumeric(column) ? ` class="n"` : "";
    return `<th scope="col"${kind}>${sortable ? `<button type="button">${name}</button>` : name}</th>`;
  });
  const search = filterable
    ? `<div class="search"><label for="${id}-search">Search</label><input type="search" id="${id}-search"` +
      ` data-filters="${id}" aria-describedby="${id}-count" autocomplete="off">` +
      `<span class="faint" id="${id}-count" role="status">${rows.length} rows</span></div>\n`
    : "";
  return (
    `<div class="table">\n${caption === undefined ? "" : `<p class="caption">${inline(caption)}</p>\n`}${search}<div class="scroll" tabindex="0" role="region" aria-label="${escapeXml(caption ?? "Table")}">\n` +
    `<table id="${id}"${looks === "" ? "" : ` class="${looks}"`}${sortable ? " data-sortable" : ""}>\n` +
    `<thead><tr>${head.join("")}</tr></thead>\n<tbody>\n` +
    rows
      .map((row) => `<tr>${row.map((cell, i) => cellHtml(cell, stacks ? columns[i]?.title : undefined)).join("")}</tr>`)
      .join("\n") +
    `\n</tbody>\n</table>\n</div>\n${data === undefined ? "" : `<div class="files">${fileHtml(data, state)}</div>\n`}</div>`
  );
}

function isNumber(cell: Cell | undefined): boolean {
  return typeof cell === "object" && cell.value !== undefined;
}

/** @param label of its column, which a narrow screen shows beside it */
function cellHtml(cell: Cell, label?: string): string {
  const named = label === undefined ? "" : ` data-label="${escapeXml(label.replace(/\?$/, ""))}"`;
  if (typeof cell === "string") return `<td${named}>${inline(cell)}</td>`;
  const { text, value, target, level } = cell;
  const classes = [...(value === undefined ? [] : ["n"]), ...(level === undefined ? [] : [level])];
  const attributes =
    (classes.length === 0 ? "" : ` class="${classes.join(" ")}"`) +
    (value === undefined ? "" : ` data-value="${value}"`) +
    named;
  const content = target === undefined ? inline(text) : `<a href="#${escapeXml(target)}">${inline(text)}</a>`;
  return `<td${attributes}>${content}</td>`;
}

function figureHtml({ id, title, svg, explanation, source, data = [] }: PageFigure, state: State): string {
  const width = Number(/width="([\d.]+)"/.exec(svg)?.[1] ?? 0);
  const name = escapeXml(id);
  return [
    `<figure id="figure-${name}"${width > WIDE ? ` class="wide"` : ""}>`,
    `<div class="canvas">${withOwnIds(svg, id).replace("<svg ", `<svg aria-label="${escapeXml(title)}" `)}</div>`,
    "<figcaption>",
    ...(explanation === undefined ? [] : [`<p>${inline(explanation)}</p>`]),
    ...(source === undefined ? [] : [`<p class="faint">Source: ${inline(source)}</p>`]),
    `<div class="files">Save: <button type="button" data-save="svg" data-name="${name}.svg">SVG</button>` +
      `<button type="button" data-save="png" data-name="${name}.png">PNG</button>` +
      `${data.map((file) => fileHtml(file, state)).join("")}</div>`,
    "</figcaption>",
    "</figure>",
  ].join("\n");
}

/** Ids in a picture are unique in the whole page. In its texts there are no quotes: they are escaped. */
function withOwnIds(svg: string, prefix: string): string {
  return svg
    .replace(/ id="([^"]*)"/g, (_, id: string) => ` id="${prefix}-${id}"`)
    .replace(/url\(#([^)]*)\)/g, (_, id: string) => `url(#${prefix}-${id})`);
}

function fileHtml({ name, text: whole, excerpt, label }: DataFile, state: State): string {
  const text = excerpt ?? whole;
  const shown = escapeXml(label ?? name) + (excerpt === undefined ? "" : " (some of the rows)");
  const type = name.endsWith(".json") ? "application/json" : "text/csv";
  const address = `data/${escapeXml(encodeURIComponent(name))}`;
  const beside =
    state.hasFiles && excerpt !== undefined ? ` <a href="${address}">all, in the folder beside this page</a>` : "";
  if (text.length <= MAX_DATA_ADDRESS) {
    // Not base64: this is shorter for numbers, and is packed better.
    const data = escapeXml(`data:${type};charset=utf-8,${encodeURI(text).replaceAll("#", "%23")}`);
    return `<a download="${escapeXml(name)}" href="${data}">${shown}</a>${beside}`;
  }
  const id = pack(text, state);
  return `<button type="button" data-save="packed" data-from="${id}" data-name="${escapeXml(name)}">${shown}</button>${beside}`;
}

function detailsHtml({ id, summary, note, blocks }: Details, state: State): string {
  const content = blocks.map((block) => blockHtml(block, state)).join("\n");
  const packed = pack(content, state);
  const more = note === undefined ? "" : ` <span class="faint">${inline(note)}</span>`;
  return (
    `<details id="${escapeXml(id)}" data-packed="${packed}"><summary>${inline(summary)}${more}</summary>` +
    `<div class="inside"><noscript>Figures and numbers are in the folders beside this page.</noscript></div></details>`
  );
}

/** Keeps a text in the page, packed. @returns the id under which the script finds it */
function pack(text: string, { packs }: State): string {
  const id = `pack-${packs.length + 1}`;
  packs.push(`<script type="text/plain" id="${id}">${gzipSync(text).toString("base64")}</script>`);
  return id;
}
