/** What `lowrank inspect` found, for a person. */
import type { JsonValue } from "../../formats/peft/json-object.ts";
import { short } from "../../lm/merge-check.ts";
import { grouped } from "../../lm/trainable.ts";
import { contextText } from "../../lm/usable-context.ts";
import { byteText } from "../terminal/progress.ts";
import { table } from "../terminal/table.ts";
import type { AdapterFacts, AdapterModule } from "./adapter.ts";
import type { LayerGroup, ModelFacts, TrainingFacts } from "./model.ts";
import type { TensorFacts } from "./tensors.ts";

/** Rows of a table that are shown one by one; more are shown in groups. */
const ROWS = 40;
/** Names that fit into a line. */
const FEW = 8;

function headText({ task, classes, tied_head: tied }: ModelFacts): string {
  if (classes !== null) return `${classes.count} classes, told by the ${classes.token} token`;
  const weight = tied ? "tied: shares the embedding's table" : "has its own weight";
  return task === "masked" ? `masked tokens; ${weight}` : weight;
}

export function modelText(facts: ModelFacts): string {
  const { tokenizer, training } = facts;
  const stored = Object.entries(facts.stored_types ?? {}).map(([type, bytes]) => `${type} ${byteText(bytes)}`);
  const files = facts.files === null ? "" : ` in ${facts.files} file${facts.files === 1 ? "" : "s"}`;
  return [
    table(
      [
        ["model", facts.path],
        ["architecture", [facts.model_type, ...facts.architectures].join(", ")],
        ["parameters", grouped(facts.parameters)],
        [
          "shape",
          `${facts.blocks} blocks, width ${facts.hidden_size}, ${facts.kv_heads} key/value heads of ${facts.head_dim}, ` +
            `${grouped(facts.vocab_size)} tokens, ${grouped(facts.max_positions)} positions`,
        ],
        ["head", headText(facts)],
        ["weights", weightsText(facts, stored, files)],
        [
          "tokenizer",
          tokenizer === null
            ? "none"
            : `${grouped(tokenizer.tokens)} tokens; eos ${tokenizer.eos ?? "none"}, pad ${tokenizer.pad}, stops at ${tokenizer.stop.join(" ") || "nothing"}`,
        ],
        ...(facts.task === "causal"
          ? [["chat template", facts.chat_template ? "yes" : "no: training on chats needs `template:`"]]
          : []),
      ],
      { align: ["left", "left"] },
    ),
    "",
    layerTable(facts.layers),
    "",
    training === undefined
      ? "--config CONFIG.yaml, or --lora-rank, --batch and --cutoff-len, show what training needs in memory"
      : trainingText(training),
  ].join("\n");
}

function weightsText({ dtype, bytes_on_disk: bytes }: ModelFacts, stored: readonly string[], files: string): string {
  if (bytes === null) return `${dtype ?? "float32"} by config.json; the files are not here`;
  return `${byteText(bytes)}${files}${stored.length === 0 ? "" : `: ${stored.join(", ")}`}`;
}

function layerTable(layers: readonly LayerGroup[]): string {
  const rows = layers.map((layer) => [
    layer.target,
    layer.kind,
    layer.count,
    `${grouped(layer.in_features)} → ${grouped(layer.out_features)}`,
    layer.bias ? "yes" : "no",
    grouped(layer.parameters),
    layer.in_all_linear ? "yes" : "no",
    layer.is_default ? "yes" : "no",
  ]);
  return table(rows, {
    header: ["lora_target", "kind", "layers", "in → out", "bias", "parameters", "in `all`", "PEFT's default"],
    align: ["left", "left", "right", "left", "left", "right", "left", "left"],
  });
}

function trainingText(training: TrainingFacts): string {
  const { memory, lora, batch, cutoff_len: length } = training;
  const what =
    lora === undefined
      ? training.finetuning_type
      : `lora, r ${lora.r}, alpha ${lora.alpha}, on ${[lora.target_modules].flat().join(", ")}`;
  const rows: [string, string, string][] = [
    ["frozen weights", byteText(memory.frozen_weights), "mapped from files: pages that the system can take back"],
    ["trained weights", byteText(memory.trained_weights), "of the base, float32"],
    ["adapter", byteText(memory.adapter), "float32"],
    ["gradients", byteText(memory.gradients), "of what is trained"],
    [
      "optimizer",
      byteText(memory.optimizer),
      memory.optimizer_paged === 0
        ? "AdamW, two numbers for each parameter"
        : `AdamW; of its states ${byteText(memory.optimizer_paged)} are paged to the disk`,
    ],
    [
      "activations",
      byteText(memory.activations),
      training.gradient_checkpointing ? "with gradient checkpointing" : "gradient checkpointing would make them less",
    ],
    [
      "head",
      byteText(memory.head),
      `on top of that, in ${memory.head_chunks} chunk${memory.head_chunks === 1 ? "" : "s"} of the trained tokens`,
    ],
    ["program", byteText(memory.program), "Node and the engine"],
    ["total", byteText(memory.total), `${byteText(memory.total_private)} without the mapped weights`],
  ];
  const shown = rows.filter(([name, bytes]) => name === "total" || bytes !== "0 B");
  return [
    `training: ${what}; ${batch} row${batch === 1 ? "" : "s"} of ${grouped(length)} tokens, ${Math.round(100 * training.supervised)} % of them trained on`,
    training.text,
    ...(training.virtual_tokens === undefined || training.usable_context === undefined
      ? []
      : [contextText({ virtual_tokens: training.virtual_tokens, usable_context: training.usable_context })]),
    "",
    table(shown, { header: ["memory of a step", "at most", ""], align: ["left", "right", "left"] }),
  ].join("\n");
}

/** @param everything each module in a row of its own, however many there are */
export function adapterText(facts: AdapterFacts, everything: boolean, run?: string): string {
  const { modules, warnings } = facts;
  const patterns = [...Object.entries(facts.rank_pattern), ...Object.entries(facts.alpha_pattern)];
  const isLora = modules.length > 0;
  const rows: [string, string][] = [
    ["adapter", facts.path],
    ...(run === undefined ? [] : [["folder", run] as [string, string]]),
    ["base", `${facts.base_model_name_or_path ?? "not said"}${facts.revision === null ? "" : ` at ${facts.revision}`}`],
    ["method", `${facts.peft_type}${facts.task_type === null ? "" : `, ${facts.task_type}`}`],
    ...(facts.num_virtual_tokens === null
      ? []
      : [["virtual tokens", `${facts.num_virtual_tokens}, places that each example gives to it`] as [string, string]]),
    ...(isLora
      ? [
          [
            "rank",
            `r ${facts.r ?? 8}, alpha ${facts.lora_alpha ?? 8}${facts.use_rslora ? ", rsLoRA" : ""}` +
              (patterns.length === 0 ? "" : `, ${patterns.length} patterns`),
          ] as [string, string],
        ]
      : []),
    ["targets", names(facts.target_modules)],
    ["modules to save", names(facts.modules_to_save)],
    ["bias", facts.bias],
    ["parameters", `${grouped(facts.parameters)}, ${facts.dtypes.join(" and ")}, ${byteText(facts.bytes)}`],
    ["written by", facts.peft_version === null ? "not said" : `PEFT ${facts.peft_version}`],
  ];
  return [
    table(rows, { align: ["left", "left"] }),
    "",
    table(
      facts.parts.map(({ part, tensors, parameters, bytes }) => [part, tensors, grouped(parameters), byteText(bytes)]),
      { header: ["part", "tensors", "parameters", "size"], align: ["left", "right", "right", "right"] },
    ),
    ...(isLora ? ["", moduleTable(modules, everything)] : []),
    ...warnings.map((warning) => `\nwarning: ${warning}`),
  ].join("\n");
}

/** Names in a row: many of them by their last parts. */
function names(value: JsonValue): string {
  if (value === null) return "none";
  if (!Array.isArray(value)) return typeof value === "string" ? value : JSON.stringify(value);
  if (value.length <= FEW) return value.join(", ");
  const endings = [...new Set(value.map((name) => String(name).split(".").at(-1)!))];
  return `${endings.join(", ")} (${value.length} modules)`;
}

const NORMS = ["‖s·B·A‖", "of ‖W‖"];

function moduleTable(modules: readonly AdapterModule[], everything: boolean): string {
  const hasBase = modules.some(({ relative_norm: norm }) => norm !== null);
  const header = (first: readonly string[]) => [
    ...first,
    "r",
    "alpha",
    "s",
    NORMS[0]!,
    ...(hasBase ? [NORMS[1]!] : []),
  ];
  if (everything || modules.length <= ROWS) {
    const rows = modules.map((module) => [
      module.module,
      module.r,
      module.alpha,
      short(module.scaling),
      short(module.update_norm),
      ...(hasBase ? [percent(module.relative_norm)] : []),
    ]);
    return table(rows, { header: header(["module"]) });
  }
  const groups = groupBy(modules);
  const rows = [...groups].map(([target, group]) => [
    target,
    group.length,
    span(group.map(({ r }) => r)),
    span(group.map(({ alpha }) => alpha)),
    span(group.map(({ scaling }) => scaling)),
    span(group.map(({ update_norm: norm }) => norm)),
    ...(hasBase
      ? [
          span(
            group.map(({ relative_norm: norm }) => 100 * (norm ?? 0)),
            " %",
          ),
        ]
      : []),
  ]);
  return `${table(rows, { header: header(["target", "modules"]) })}\n--all lists each of the ${modules.length} modules`;
}

function targetOf({ module }: AdapterModule): string {
  return module.split(".").at(-1)!;
}

function groupBy(modules: readonly AdapterModule[]): Map<string, AdapterModule[]> {
  const groups = new Map<string, AdapterModule[]>();
  for (const module of modules) groups.set(targetOf(module), [...(groups.get(targetOf(module)) ?? []), module]);
  return groups;
}

function span(values: readonly number[], unit = ""): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${short(least)}${unit}` : `${short(least)} to ${short(most)}${unit}`;
}

function percent(share: number | null): string {
  return share === null ? "–" : `${short(100 * share)} %`;
}

export function tensorText(facts: TensorFacts, everything: boolean): string {
  const { tensors, metadata } = facts;
  const shown = everything ? tensors : tensors.slice(0, ROWS);
  const total = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const rows = shown.map(({ name, dtype, shape, bytes }) => [name, dtype, `[${shape.join(", ")}]`, byteText(bytes)]);
  return [
    `${facts.path}: ${tensors.length} tensors, ${grouped(total)} elements, ${byteText(facts.bytes)}`,
    ...Object.entries(metadata).map(
      ([key, value]) => `${key}: ${value.length > 80 ? `${value.slice(0, 80)}…` : value}`,
    ),
    ...(rows.length === 0
      ? []
      : ["", table(rows, { header: ["tensor", "type", "shape", "size"], align: ["left", "left", "left", "right"] })]),
    ...(shown.length < tensors.length ? [`--all lists the other ${tensors.length - shown.length} tensors`] : []),
  ].join("\n");
}
