/**
 * What a page of results consists of, as plain data: `pageHtml` (page-html.ts) makes one self-contained file of it, `writePage`
 * (write-page.ts) that file and its figures and data beside it. Texts are plain; what stands between backticks is shown as code.
 */

export interface Page {
  readonly title: string;
  readonly subtitle?: string;
  /** Before the sections: what a reader must see first. */
  readonly lead: readonly Block[];
  readonly sections: readonly Section[];
  /** How and with what the numbers were made. */
  readonly footer?: readonly string[];
}

export interface Section {
  /** Of its address in the page: letters, digits and hyphens. */
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

export type Block =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] }
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  | { readonly kind: "warnings"; readonly items: readonly string[] }
  | { readonly kind: "facts"; readonly facts: readonly Fact[] }
  | { readonly kind: "table"; readonly table: PageTable }
  | { readonly kind: "figures"; readonly figures: readonly PageFigure[] }
  | { readonly kind: "details"; readonly details: Details }
  | { readonly kind: "downloads"; readonly files: readonly DataFile[] };

export interface Verdict {
  readonly level: "good" | "warning" | "bad";
  readonly headline: string;
  readonly paragraphs: readonly string[];
  /** What to do. */
  readonly advice?: readonly string[];
}

/** A number that stands out. */
export interface Fact {
  readonly label: string;
  readonly value: string;
  readonly note?: string;
}

export interface PageTable {
  readonly caption?: string;
  readonly columns: readonly { readonly title: string; readonly hint?: string }[];
  readonly rows: readonly (readonly Cell[])[];
  /** Whether rows can be sorted, by a click on the head of a column. Default: false. */
  readonly sortable?: boolean;
  /** Whether a row becomes a block of lines, a line for each cell, where a screen is narrow: for sentences. Default: false. */
  readonly stacks?: boolean;
  /** Whether rows can be searched. Default: false. */
  readonly filterable?: boolean;
  /** The same numbers as a file. */
  readonly data?: DataFile;
}

/** A number stands at the right, a text at the left. */
export type Cell =
  | string
  | {
      readonly text: string;
      /** By which rows are sorted; also says that it is a number. */
      readonly value?: number;
      /** Id of what it leads to, in this page. */
      readonly target?: string;
      readonly level?: "good" | "warning" | "bad";
    };

export interface PageFigure {
  /** Name of its files: letters, digits, hyphens and underscores. */
  readonly id: string;
  readonly title: string;
  readonly svg: string;
  /** How to read it, in one or two sentences. */
  readonly explanation?: string;
  /** Where the figure or the measure comes from. */
  readonly source?: string;
  /** The numbers that it shows. */
  readonly data?: readonly DataFile[];
}

export interface Details {
  readonly id: string;
  readonly summary: string;
  /** Beside the summary, fainter. */
  readonly note?: string;
  readonly blocks: readonly Block[];
}

export interface DataFile {
  /** With its extension: `.csv` or `.json`. */
  readonly name: string;
  readonly text: string;
  /** What the page holds of it, where all of it would make the page too large. Default: all. */
  readonly excerpt?: string;
  /** What it is, for a reader. Default: its name. */
  readonly label?: string;
}

/** Lines of comma-separated values (RFC 4180), with a head. Numbers that are not finite are left empty. */
export function csv(columns: readonly string[], rows: Iterable<readonly (string | number | null)[]>): string {
  const field = (value: string | number | null) => {
    if (value === null) return "";
    if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
    return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  };
  return [columns, ...rows].map((row) => row.map(field).join(",") + "\n").join("");
}

/** All figures of these blocks, with those in details. */
export function figuresOf(blocks: readonly Block[]): PageFigure[] {
  return blocks.flatMap((block) =>
    block.kind === "figures" ? block.figures : block.kind === "details" ? figuresOf(block.details.blocks) : [],
  );
}

/** All files of numbers of these blocks. */
export function dataOf(blocks: readonly Block[]): DataFile[] {
  return blocks.flatMap((block) => {
    if (block.kind === "figures") return block.figures.flatMap(({ data = [] }) => data);
    if (block.kind === "details") return dataOf(block.details.blocks);
    if (block.kind === "table") return block.table.data === undefined ? [] : [block.table.data];
    return block.kind === "downloads" ? block.files : [];
  });
}

/** All blocks of the page, in their order. */
export function blocksOf({ lead, sections }: Page): Block[] {
  return [...lead, ...sections.flatMap(({ blocks }) => blocks)];
}
