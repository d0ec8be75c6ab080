/** Keys and values of a YAML or JSON text, with the lines they are in, and those of the command line. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLMap,
} from "yaml";
import type { Problem } from "../errors.ts";
import type { Item } from "./settings.ts";
import type { Given } from "./type.ts";

/** Where overrides come from, in messages. */
export const OVERRIDES = "command line";

interface Items {
  /** Undefined: the text is not YAML. */
  readonly items: readonly Item[] | undefined;
  readonly problems: readonly Problem[];
}

/** A key, and where its value is a list of keys itself, those. */
export interface TreeItem extends Item {
  readonly children?: readonly TreeItem[];
}

interface Tree extends Items {
  readonly items: readonly TreeItem[] | undefined;
}

/** Every key, its value and its line. A key that is there twice is a problem, with both lines. */
export function readItems(text: string, path: string): Items {
  return readTree(text, path, 0);
}

/** The same with the keys inside of keys. @param depth how far down they are read */
export function readTree(text: string, path: string, depth: number): Tree {
  // JSON may have tabs between its parts, and none inside of strings.
  const yaml = path.endsWith(".json") ? text.replaceAll("\t", " ") : text;
  const lines = new LineCounter();
  const document = parse(yaml, lines);
  const problems: Problem[] = [...document.errors, ...document.warnings].map(({ code, message, pos }) => {
    const { line } = lines.linePos(pos[0]);
    const what = code === "MULTIPLE_DOCS" ? "begins a second document" : `is not YAML: ${message}`;
    return { where: `${path}:${line}`, what, hint: hintFor(code, yaml) };
  });
  if (problems.length > 0) return { items: undefined, problems };
  const { contents } = document;
  if (contents === null) return { items: [], problems };
  if (!isMap(contents)) {
    const where = `${path}:${lines.linePos(contents.range[0]).line}`;
    return { items: undefined, problems: [{ where, what: "is not a list of keys", hint: hintFor("", yaml) }] };
  }
  return { items: keysOf(contents, { path, document, lines, problems }, depth), problems };
}

interface Reading {
  readonly path: string;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
  readonly problems: Problem[];
}

function keysOf(map: YAMLMap<ParsedNode, ParsedNode | null>, reading: Reading, depth: number): TreeItem[] {
  const { path, document, lines, problems } = reading;
  const items = new Map<string, TreeItem>();
  const firstLines = new Map<string, number>();
  for (const { key, value } of map.items) {
    const { line } = lines.linePos(key.range[0]);
    const where = `${path}:${line}`;
    if (!isScalar(key) || key.value === "<<") {
      problems.push({
        where,
        what: "is not the name of a key",
        hint: "write each key and its value in a line of its own",
      });
      continue;
    }
    const name = String(key.value);
    const firstLine = firstLines.get(name);
    if (firstLine !== undefined) {
      const what = `is there twice: in line ${firstLine} and in line ${line}`;
      problems.push({ where: `${where}: ${name}`, what, hint: "remove one of the two" });
      continue;
    }
    firstLines.set(name, line);
    const given = valueOf(value, document);
    if (given === undefined) {
      problems.push({ where: `${where}: ${name}`, what: "refers to too many other values" });
      continue;
    }
    const inner = depth > 0 && isMap(value) ? { children: keysOf(value, reading, depth - 1) } : {};
    items.set(name, { name, where, ...given, ...inner });
  }
  return [...items.values()];
}

/**
 * `key=value`, the value as YAML: `lora_rank=16`, `lora_target=[q_proj, v_proj]`. What YAML would see as structure or as a
 * comment without brackets or quotes is text: a shell takes quotes away.
 */
export function readOverride(override: string): Item | Problem {
  const equals = override.indexOf("=");
  const name = override.slice(0, Math.max(0, equals)).trim();
  if (equals < 0 || name.startsWith("-") || name === "") {
    const [, key, value] = /^-*([\w.]*)[ =]?(.*)$/.exec(override) ?? [];
    return {
      where: OVERRIDES,
      what: "is not key=value",
      got: override,
      hint: `write ${key === undefined || key === "" ? "learning_rate" : key}=${value === "" ? "VALUE" : (value ?? "VALUE")}`,
    };
  }
  const text = override.slice(equals + 1).trim();
  const document = parse(text, new LineCounter());
  const { contents } = document;
  const isMarked = /^[[{"']/.test(text);
  if (isMarked && document.errors.length > 0) {
    const what = `is not YAML: ${document.errors[0]!.message}`;
    return { where: `${OVERRIDES}: ${name}`, what, got: text };
  }
  const isWhole = document.errors.length === 0 && document.comment === null && contents?.comment === undefined;
  const given =
    isMarked || (isWhole && (contents === null || isScalar(contents))) ? valueOf(contents, document) : undefined;
  return { name, where: OVERRIDES, ...(given ?? { value: text }) };
}

export function isItem(found: Item | Problem): found is Item {
  return "name" in found;
}

function parse(text: string, lineCounter: LineCounter): Document.Parsed {
  // Doubled keys are found by us, who know both lines.
  return parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false, version: "1.2" });
}

/** Undefined: aliases of aliases that grow without end. */
function valueOf(node: ParsedNode | null, document: Document.Parsed): Given | undefined {
  const target = isAlias(node) ? node.resolve(document) : node;
  if (isScalar(target)) {
    const { value, source } = target;
    return source === undefined ? { value } : { value, source };
  }
  try {
    return { value: node?.toJS(document) ?? null };
  } catch (error) {
    if (error instanceof ReferenceError) return undefined;
    throw error;
  }
}

function hintFor(code: string, text: string): string {
  if (code === "TAB_AS_INDENT") return "use spaces instead of tabs";
  if (code === "MULTIPLE_DOCS") return "keep what is above or below the line ---";
  const line = text.split("\n").findIndex((found) => /^\s*[a-z_]+:[^\s/\\]/.test(found));
  if (line >= 0) return `line ${line + 1}: put a space after the colon`;
  return "each line is `key: value`, without indentation; text with `: ` or ` #` in it goes in quotes";
}
