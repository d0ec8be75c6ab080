/** A page of results in a folder: `index.html`, which needs no other file, `figures/*.svg` and `*.png`, and `data/*`. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../errors.ts";
import { svgToPng } from "../png.ts";
import { blocksOf, dataOf, figuresOf, type Page } from "./page.ts";
import { pageHtml } from "./page-html.ts";

export interface WritePageOptions {
  /** Figures that are also written as PNG, by id. Default: all. */
  readonly png?: (id: string) => boolean;
}

export interface WrittenPage {
  readonly htmlFile: string;
  readonly htmlBytes: number;
  readonly figures: number;
}

/** @throws ConfigError if two figures or files have one name */
export async function writePage(page: Page, outDir: string, options: WritePageOptions = {}): Promise<WrittenPage> {
  const blocks = blocksOf(page);
  const figures = figuresOf(blocks);
  const files = dataOf(blocks);
  refuseRepeated(figures.map(({ id }) => id));
  refuseRepeated(files.map(({ name }) => name));
  const html = pageHtml(page, { hasFiles: true });
  await mkdir(join(outDir, "figures"), { recursive: true });
  await mkdir(join(outDir, "data"), { recursive: true });
  for (const { id, svg } of figures) {
    await writeFile(join(outDir, "figures", `${id}.svg`), svg);
    if (options.png?.(id) ?? true) await writeFile(join(outDir, "figures", `${id}.png`), svgToPng(svg));
  }
  for (const { name, text } of files) await writeFile(join(outDir, "data", name), text);
  // The page is last: where it is, all of it is.
  const htmlFile = join(outDir, "index.html");
  await writeFile(htmlFile, html);
  return { htmlFile, htmlBytes: Buffer.byteLength(html), figures: figures.length };
}

function refuseRepeated(names: readonly string[]): void {
  const repeated = names.find(
    (name, i) => names.indexOf(name) !== i || !/^[\w.-]+$/.test(name) || name.startsWith("."),
  );
  if (repeated === undefined) return;
  const expected = "letters, digits, dots, hyphens and underscores, and each only once";
  throw new ConfigError({ where: "page", what: "name of a figure or file", got: repeated, expected });
}
