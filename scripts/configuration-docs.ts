/** `node dist/scripts/configuration-docs.js`: writes docs/configuration.md from the registry of keys. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import type { Key, Status } from "../src/config/key.ts";
import { ENTRIES, SECTIONS } from "../src/config/keys.ts";

const FILE = "docs/configuration.md";

const TITLES: Record<keyof typeof SECTIONS, string> = {
  model: "Model",
  method: "Method",
  dataset: "Data",
  train: "Training",
  generation: "Generation",
  export: "Export",
  elsewhere: "Other programs and other kinds of data",
};

const INTRODUCTION = `# Configuration

<!-- Written by scripts/configuration-docs.ts from src/config/keys.ts: change it there. -->

A run is described by a YAML file with the keys of LLaMA-Factory, which are also those of transformers'
\`TrainingArguments\`. A file that works there works here, unchanged. JSON with the same keys will do too, and any key can be
said again on the command line:

\`\`\`sh
npx lowrank train recipes/qwen2.5-0.5b-lora.yaml learning_rate=2e-4 lora_target=q_proj,v_proj
\`\`\`

No key is ignored in silence. It is **honoured**; or it has **no effect** here and a note says why; or it is **refused**, because
the run would not be what the file says. Everything that is wrong with a file is said at once, with the lines. The \`args\` of
a \`Trainer\` are the keys of [Training](#training) in camelCase.

Values are read as Python's readers would: numbers may be in quotes, \`1e-4\` is a number, \`yes\`, \`no\`, \`on\` and \`off\` are
booleans, \`None\` is null. Names can be a list or have commas between them. Paths are relative to the working directory.
What a run really used is written to \`training_args.yaml\` in its \`output_dir\`, and that file runs it again.

Different from LLaMA-Factory:

- gradient checkpointing is off unless \`gradient_checkpointing: true\`;
- samples that are packed into one row never see each other, as with its \`neat_packing\`;
- samples above \`cutoff_len\` are counted and shown; \`over_length\` decides what becomes of them;
- prompts are written by the model's own chat template;
- everything is computed in float32, whatever \`bf16\` or \`fp16\` say.
`;

/** The page, laid out by prettier as every other. */
export function configurationDocs(): Promise<string> {
  const sections = Object.keys(SECTIONS).map((section) => {
    const of = (status: Status) => ENTRIES.filter((entry) => entry.section === section && entry.key.status === status);
    const parts = [
      `## ${TITLES[section as keyof typeof SECTIONS]}`,
      table(
        ["key", "default", "values", "meaning"],
        [...of("honoured"), ...of("folded")].map(({ name, key }) => [
          code(name),
          defaultOf(key),
          key.type.expected,
          meaningOf(key),
        ]),
      ),
      titled(
        "Refused, unless it asks for nothing:",
        table(
          ["key", "accepted", "what it would be", "why", "instead"],
          of("refused").map(({ name, key }) => [code(name), defaultOf(key), key.meaning, key.why, key.hint ?? ""]),
        ),
      ),
      titled("No effect:", reasons(of("inert"))),
    ];
    return parts.filter((part) => part !== "").join("\n\n");
  });
  return format([INTRODUCTION, ...sections].join("\n\n"), { parser: "markdown", printWidth: 120 });
}

/** One line for each reason, with the keys that have it. */
function reasons(entries: readonly { readonly name: string; readonly key: Key }[]): string {
  const byReason = new Map<string, string[]>();
  for (const { name, key } of entries) byReason.set(key.why, [...(byReason.get(key.why) ?? []), code(name)]);
  return [...byReason].map(([why, keys]) => `- ${why}: ${keys.join(", ")}`).join("\n");
}

function meaningOf(key: Key): string {
  return key.status === "folded" ? `${key.meaning} (becomes ${code(key.why)})` : key.meaning;
}

function defaultOf({ byDefault }: Key): string {
  if (Array.isArray(byDefault)) return code("none");
  return code(typeof byDefault === "string" ? byDefault : JSON.stringify(byDefault));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function titled(title: string, body: string): string {
  return body === "" ? "" : `${title}\n\n${body}`;
}

function code(text: string): string {
  return text === "" ? "empty" : `\`${text}\``;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, await configurationDocs());
