/**
 * Finds the imports and exports of a TypeScript file without a compiler: a scanner that skips comments, templates and
 * regular expressions, and the few shapes that an import or a default export can have.
 */

export interface Import {
  specifier: string;
  line: number;
  /** `type`: erased by the compiler. `dynamic`: `import(...)`, as a value or inside a type. */
  kind: "value" | "type" | "dynamic";
}

export interface Scan {
  imports: Import[];
  /** Lines of `export default` and `export { x as default }`. */
  defaultExports: number[];
}

interface Token {
  kind: "word" | "string" | "mark";
  text: string;
  line: number;
}

const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*|\d[\w.]*/uy;
const SPACE = /\s+/y;
const COMMENT = /\/\/[^\n]*|\/\*[^]*?\*\//y;
const STRING = /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/y;
const REGEXP = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
/** Words after which a slash begins a regular expression; after any other word it divides. */
const BEFORE_REGEXP = new Set("return typeof case in of void delete throw new else do yield await".split(" "));

export function scanImports(source: string): Scan {
  const tokens = tokenize(source);
  const scan: Scan = { imports: [], defaultExports: [] };
  tokens.forEach((token, i) => {
    const before = tokens[i - 1]?.text;
    if (token.kind !== "word" || before === ".") return;
    if (token.text === "import") readImport(tokens, i, scan);
    if (token.text === "export") readExport(tokens, i, scan);
  });
  return scan;
}

function readImport(tokens: Token[], at: number, scan: Scan): void {
  const [first, second] = [tokens[at + 1], tokens[at + 2]];
  const line = tokens[at]?.line ?? 0;
  if (first?.kind === "string") {
    scan.imports.push({ specifier: first.text, line, kind: "value" });
  } else if (first?.text === "(") {
    if (second?.kind === "string") scan.imports.push({ specifier: second.text, line, kind: "dynamic" });
  } else {
    // `import type from "x"` imports a value called `type`.
    const isType = first?.text === "type" && second?.text !== "from" && second?.text !== ",";
    readFrom(tokens, at + 1, isType, scan);
  }
}

function readExport(tokens: Token[], at: number, scan: Scan): void {
  const [first, second] = [tokens[at + 1], tokens[at + 2]];
  const isType = first?.text === "type";
  const list = isType ? second : first;
  if (first?.text === "default") {
    scan.defaultExports.push(first.line);
  } else if (list?.text === "{" || list?.text === "*") {
    for (let i = at + 1; i < tokens.length && tokens[i]?.text !== "}" && tokens[i]?.kind !== "string"; i++) {
      const token = tokens[i];
      if (token?.text === "default" && tokens[i - 1]?.text === "as") scan.defaultExports.push(token.line);
    }
    readFrom(tokens, at + 1, isType, scan);
  }
}

/** Reads up to the `from "specifier"` of the declaration that is open at `start`, if it has one. */
function readFrom(tokens: Token[], start: number, isType: boolean, scan: Scan): void {
  for (let i = start; i < tokens.length; i++) {
    const [token, next] = [tokens[i], tokens[i + 1]];
    if (token?.text === "from" && next?.kind === "string") {
      scan.imports.push({ specifier: next.text, line: token.line, kind: isType ? "type" : "value" });
      return;
    }
    // `import.meta`, `export { x };` and the like.
    const goesOn = token?.kind === "word" || /^[{},*]$/.test(token?.text ?? "");
    if (!goesOn || (token?.text === "}" && next?.text !== "from")) return;
  }
}

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  /** For each open template placeholder, how many braces are open inside it. */
  const placeholders: number[] = [];
  let at = 0;
  let line = 1;

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const text = pattern.exec(source)?.[0];
    if (text !== undefined) skip(text.length);
    return text;
  };
  const skip = (length: number): void => {
    for (const end = at + length; at < end; at++) if (source[at] === "\n") line += 1;
  };
  const mark = (text: string): void => {
    tokens.push({ kind: "mark", text, line });
  };
  /** Skips the text of a template, up to its end or to a placeholder; leaves a bracket for what it skipped. */
  const skipTemplate = (): void => {
    while (at < source.length) {
      if (source[at] === "`") {
        mark(")");
        return skip(1);
      }
      if (source.startsWith("${", at)) {
        mark("(");
        placeholders.push(0);
        return skip(2);
      }
      skip(source[at] === "\\" ? 2 : 1);
    }
  };

  while (at < source.length) {
    if (take(SPACE) !== undefined || take(COMMENT) !== undefined) continue;
    const startLine = line;
    const last = tokens.at(-1);
    const string = take(STRING);
    if (string !== undefined) {
      tokens.push({ kind: "string", text: string.slice(1, -1), line: startLine });
      continue;
    }
    if (!endsValue(last) && take(REGEXP) !== undefined) {
      mark(")");
      continue;
    }
    const word = take(WORD);
    if (word !== undefined) {
      tokens.push({ kind: "word", text: word, line: startLine });
      continue;
    }
    const text = source[at] ?? "";
    skip(1);
    const depth = placeholders.length - 1;
    if (text === "`" || (text === "}" && placeholders[depth] === 0)) {
      if (text === "}") placeholders.pop();
      skipTemplate();
      continue;
    }
    if (depth >= 0 && text === "{") placeholders[depth] = (placeholders[depth] ?? 0) + 1;
    if (depth >= 0 && text === "}") placeholders[depth] = (placeholders[depth] ?? 0) - 1;
    mark(text);
  }
  return tokens;
}

/** True where a slash after this token divides, and does not begin a regular expression. */
function endsValue(token: Token | undefined): boolean {
  if (token?.kind === "word") return !BEFORE_REGEXP.has(token.text);
  return token?.kind === "string" || /^[)\]}]$/.test(token?.text ?? "");
}
