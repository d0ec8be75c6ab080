/**
 * Python's methods on strings, where `@huggingface/jinja` 0.5 has others: its `strip`, `lstrip` and `rstrip` take no
 * characters but always white space, and its `trim` fails on what is not there. Templates of models that think say
 * `lstrip('\n')`, and a space that the answer begins with has to stay. The calls are turned into calls of the functions
 * here, in the parsed template.
 */

interface Node {
  type: string;
  [field: string]: unknown;
}

/** Variables that templates which went through {@link withPythonStrings} need. */
export const PYTHON_STRINGS: Readonly<Record<string, (text: unknown, characters?: unknown) => string>> = {
  lowrank_strip: (text, characters) => stripped(text, characters, true, true),
  lowrank_lstrip: (text, characters) => stripped(text, characters, true, false),
  lowrank_rstrip: (text, characters) => stripped(text, characters, false, true),
  lowrank_trim: (text) => (text === undefined ? "" : stripped(text, undefined, true, true)),
};

/** Changes a parsed template in place. */
export function withPythonStrings(node: unknown): void {
  if (Array.isArray(node)) {
    for (const item of node) withPythonStrings(item);
    return;
  }
  if (!isNode(node)) return;
  for (const value of Object.values(node)) withPythonStrings(value);
  if (node.type === "CallExpression") replaceMethod(node);
  if (node.type === "FilterExpression") replaceTrim(node);
}

function replaceMethod(call: Node): void {
  const { callee, args } = call;
  if (!isNode(callee) || callee.type !== "MemberExpression" || callee["computed"] === true) return;
  const { property, object } = callee;
  if (!isNode(property) || !Array.isArray(args) || args.length === 0) return;
  const name = `lowrank_${String(property["value"])}`;
  if (!["lowrank_strip", "lowrank_lstrip", "lowrank_rstrip"].includes(name)) return;
  call["callee"] = { type: "Identifier", value: name };
  call["args"] = [object, ...(args as unknown[])];
}

function replaceTrim(node: Node): void {
  const { filter, operand } = node;
  if (!isNode(filter) || filter.type !== "Identifier" || filter["value"] !== "trim") return;
  node.type = "CallExpression";
  node["callee"] = { type: "Identifier", value: "lowrank_trim" };
  node["args"] = [operand];
}

function stripped(text: unknown, characters: unknown, left: boolean, right: boolean): string {
  if (typeof text !== "string") throw new TypeError("only a string can be stripped");
  const isStripped = (character: string): boolean =>
    typeof characters === "string" ? characters.includes(character) : character.trim() === "";
  let from = 0;
  let to = text.length;
  while (left && from < to && isStripped(text[from]!)) from++;
  while (right && to > from && isStripped(text[to - 1]!)) to--;
  return text.slice(from, to);
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value;
}
