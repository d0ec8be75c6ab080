/**
 * What a format of data sets is: how its columns are recognised, and how a record becomes a sample.
 *
 * Names of columns and tags are those of LLaMA-Factory's `dataset_info.json`.
 */
import type { Message, Sample, Source } from "../../sample.ts";
import { field, isObject } from "../readers/reader.ts";
import type { JsonRecord } from "../readers/reader.ts";
import type { ClassSet } from "../classes.ts";
import type { Row } from "../rows.ts";
import type { ColumnTable } from "./column-table.ts";

export type FormatName = "alpaca" | "sharegpt" | "openai" | "prompt/completion" | "text" | "classification";

/** For each meaning, the column of the file that has it. */
export interface Columns {
  readonly prompt?: string;
  /** Added to the prompt after a line end. */
  readonly query?: string;
  readonly response?: string;
  /** Earlier turns, `[[question, answer], …]`. */
  readonly history?: string;
  readonly messages?: string;
  readonly system?: string;
  readonly tools?: string;
  /** Of `stage: cls`: the text, the one that is read after it, and the class. */
  readonly text?: string;
  readonly text_pair?: string;
  readonly label?: string;
}

/** `function`: a call of a tool by the assistant. `observation`: what the tool gave back. */
export type MessageKind = "system" | "user" | "assistant" | "function" | "observation";

/** How the messages of a conversation are written. */
export interface Tags {
  /** Key of the role in a message. */
  readonly role: string;
  /** Key of the text in a message. */
  readonly content: string;
  /** What each value of the role means. */
  readonly kinds: ReadonlyMap<string, MessageKind>;
}

/** A format together with the columns that it is read from. */
export interface Mapping {
  readonly format: Format;
  readonly columns: Columns;
  readonly tags: Tags;
  /** The run's classes, for records that have one. Absent until they are known. */
  readonly classes?: ClassSet;
}

/** A mapping found by looking at records. */
export interface Detected extends Mapping {
  /** Why this format, for a person. */
  readonly why: string;
}

export interface Format {
  readonly name: FormatName;
  /** What a record looks like, for messages. */
  readonly shape: string;
  /** The ways in which these columns can be read as this format; several are an ambiguity that is reported. */
  detect(table: ColumnTable): Detected[];
  /** @throws RowProblem when the record is not one of this format */
  convert(record: JsonRecord, mapping: Mapping): Converted;
}

/** A sample that does not know yet where it is from. */
export type Converted =
  | { readonly kind: "chat"; readonly messages: readonly Message[]; readonly tools?: readonly unknown[] }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "class"; readonly text: string; readonly pair?: string; readonly label: number };

/** Why a record is no sample. Caught by {@link toRow}; it never reaches a user as an error. */
export class RowProblem extends Error {}

export function toRow(record: JsonRecord, mapping: Mapping, source: Source): Row {
  try {
    return { ...mapping.format.convert(record, mapping), source } satisfies Sample;
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error;
    return { kind: "bad", source, reason: error.message };
  }
}

/** The text of a column; empty where the record has none. @throws RowProblem when it has something else */
export function optionalText(record: JsonRecord, column: string | undefined): string {
  if (column === undefined) return "";
  const value = field(record, column) ?? "";
  if (typeof value !== "string") throw new RowProblem(`column "${column}" is ${kindOf(value)}, not text`);
  return value;
}

/** The text of a column. @throws RowProblem when there is none, or nothing but white space */
export function requiredText(record: JsonRecord, column: string): string {
  const text = optionalText(record, column);
  if (text.trim() === "")
    throw new RowProblem(`column "${column}" is ${isMissing(record, column) ? "missing" : "empty"}`);
  return text;
}

export function isMissing(record: JsonRecord, column: string): boolean {
  return (field(record, column) ?? null) === null;
}

/** A list, also where a file without lists (CSV) has it as JSON text; undefined for anything else. */
export function asList(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value as readonly unknown[];
  if (typeof value !== "string" || !/^\s*\[/.test(value)) return undefined;
  const parsed = tryJson(value);
  return Array.isArray(parsed) ? parsed : undefined;
}

/** The value that a JSON text has; undefined when it is no JSON. */
export function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The kind of a value in words: "a number", "a list". */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (isObject(value)) return "an object";
  return typeof value === "string" ? "text" : `a ${typeof value}`;
}
