/** Which tensor of a checkpoint is which parameter of a model. */
import { FormatError, listed } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { type FloatDtype, isFloatDtype } from "../safetensors/dtype.ts";
import type { TensorEntry, TensorReader } from "../safetensors/index.ts";

/**
 * Prefixes that a model has in front of its body. Checkpoints that were saved from the body alone, such as the first GPT-2
 * ones, lack them.
 */
const PREFIXES = ["model.", "transformer.", "bert.", "roberta."];

/** Buffers that old versions of transformers stored; they follow from the configuration. */
const BUFFERS = [/(^|\.)attn\.(masked_)?bias$/, /(^|\.)rotary_emb\.inv_freq$/, /(^|\.)position_ids$/];

/** Problems of one kind that a message lists before it only counts. */
const LISTED = 10;

export interface MatchOptions {
  /** Names that need not be stored, to the parameter that has the same values: `lm_head.weight` of a tied head. */
  readonly tied?: Readonly<Record<string, string>>;
  /** The name under which some checkpoints store a parameter, besides its own. */
  readonly storedName?: (parameter: string) => string;
  /** Modules whose parameters may be missing. Default: none. */
  readonly drawnModules?: readonly string[];
  /** Tensors that are left aside although they are no parameters. Default: none but buffers. */
  readonly otherHeads?: RegExp;
}

export interface StoredParameter extends Pick<TensorEntry, "path" | "byteOffset" | "byteLength"> {
  /** The parameter's name. */
  readonly name: string;
  /** The tensor's name in the checkpoint. */
  readonly stored: string;
  readonly shape: readonly number[];
  readonly dtype: FloatDtype;
}

export interface Matched {
  /** One for each parameter that is there, in their order. */
  readonly parameters: readonly StoredParameter[];
  /** Parameters that are not there, and need not be. */
  readonly missing: readonly string[];
  /** Tied names that are stored all the same, with the tensor that they should be equal to. */
  readonly doubles: readonly { readonly alias: string; readonly of: string }[];
  /** Buffers and other heads, which are stored and not needed. */
  readonly ignored: readonly string[];
}

/**
 * Finds the tensor of each parameter.
 * @throws FormatError listing all parameters that are missing or stored twice, have another shape or a type that cannot be
 *   read as float32, and all tensors that are no parameter, with the nearest names
 */
export function matchTensors(
  { path, tensors }: Pick<TensorReader, "path" | "tensors">,
  parameters: readonly ParameterSpec[],
  { tied = {}, storedName, drawnModules = [], otherHeads }: MatchOptions = {},
): Matched {
  const known = new Set(parameters.map(({ name }) => name));
  const byStoredName = new Map(storedName === undefined ? [] : parameters.map(({ name }) => [storedName(name), name]));
  const found = new Map<string, string[]>();
  const aliases = new Map<string, string>();
  const ignored: string[] = [];
  const unexpected: string[] = [];
  for (const stored of tensors.keys()) {
    const names = [stored, ...otherPrefixes(stored)].flatMap((name) => [name, byStoredName.get(name) ?? name]);
    const own = names.find((name) => known.has(name));
    const alias = names.find((name) => Object.hasOwn(tied, name));
    if (own !== undefined) found.set(own, [...(found.get(own) ?? []), stored]);
    else if (alias !== undefined) aliases.set(tied[alias]!, stored);
    else if ([...BUFFERS, ...(otherHeads === undefined ? [] : [otherHeads])].some((pattern) => pattern.test(stored)))
      ignored.push(stored);
    else unexpected.push(stored);
  }

  const problems: string[] = [];
  const missing: string[] = [];
  const drawn: string[] = [];
  const matched: StoredParameter[] = [];
  const doubles: { alias: string; of: string }[] = [];
  for (const { name, shape } of parameters) {
    const [stored = aliases.get(name), ...more] = found.get(name) ?? [];
    if (stored === undefined) {
      const mayBeMissing = drawnModules.some((module) => name.startsWith(`${module}.`));
      (mayBeMissing ? drawn : missing).push(name);
      continue;
    }
    const alias = aliases.get(name);
    if (alias !== undefined && alias !== stored) doubles.push({ alias, of: stored });
    if (more.length > 0) problems.push(`${name} is there ${more.length + 1} times: ${[stored, ...more].join(", ")}`);
    const entry = tensors.get(stored)!;
    const { dtype } = entry;
    if (!isFloatDtype(dtype)) problems.push(`${stored} is ${dtype}, not F32, F16, BF16 or F64`);
    else if (entry.shape.join() !== shape.join()) {
      problems.push(`${stored} is [${entry.shape.join(", ")}], not [${shape.join(", ")}]`);
    } else matched.push({ ...entry, name, stored, dtype });
  }
  if (problems.length + missing.length + unexpected.length > 0) {
    const parts = [
      named("missing", missing, unexpected),
      named(
        "not of this model",
        unexpected,
        parameters.map(({ name }) => name),
      ),
      problems.length === 0 ? [] : [listed(problems)],
    ];
    throw new FormatError({
      where: path,
      what: "the weights do not fit the model of config.json",
      got: parts.flat().join("\n  "),
      hint: hintFor(missing, unexpected, parameters.length),
    });
  }
  return { parameters: matched, missing: drawn, doubles, ignored };
}

function otherPrefixes(name: string): string[] {
  return PREFIXES.flatMap((prefix) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [prefix + name]));
}

/** A line for names of one kind, each with the nearest of the candidates. */
function named(kind: string, names: readonly string[], candidates: readonly string[]): string[] {
  if (names.length === 0) return [];
  const shown = names.slice(0, LISTED).map((name) => {
    const closest = nearest(name, candidates);
    return closest === undefined ? name : `${name} (nearest: ${closest})`;
  });
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return [`${names.length} ${kind}: ${shown.join(", ")}${more}`];
}

function hintFor(missing: readonly string[], unexpected: readonly string[], count: number): string {
  if (unexpected.some((name) => /(^|\.)(score|classifier|v_head|reward_head|qa_outputs)\./.test(name))) {
    return (
      "the checkpoint is of a classifier or a reward model: give the language model that it was made from; " +
      "`lowrank classify` tells the classes of texts"
    );
  }
  if (unexpected.some((name) => /(^|\.)(visual|vision_\w+|audio_\w+|multi_modal_projector)\./.test(name))) {
    return "the checkpoint reads images or sound too: give a model of text alone";
  }
  if (unexpected.some((name) => /\blora_[AB]\b/.test(name))) {
    return "the checkpoint holds adapter weights: give it as the adapter, and as the model the one that it is for";
  }
  if (unexpected.some((name) => /\.(qweight|qzeros|scales|weight_scale(_inv)?|absmax|quant_map)$/.test(name))) {
    return "the weights are stored quantised: give the model that they were made from";
  }
  if (missing.length === count) return "none of the model's weights are here: config.json is of another model";
  return "config.json and the weights are of different models, or a download is not complete";
}
