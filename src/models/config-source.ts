/** Where a model family reads its settings from: `config.json`, or an object in a test. */
import type { RopeScaling } from "../nn/rope.ts";

/**
 * Settings are asked for by their names in `config.json`. What is missing or has another type is remembered, and
 * `problem` adds to it; the owner of the source throws all of it at once after the model is built.
 */
export interface ConfigSource {
  /** Without a fallback the setting is required. A required one that is missing gives 1, so that building goes on. */
  number(key: string, fallback?: number): number;
  boolean(key: string, fallback: boolean): boolean;
  string(key: string, fallback?: string): string;
  /** A list of strings; undefined where it is absent or null. */
  strings(key: string): readonly string[] | undefined;
  /** Whether the setting is there and not null. */
  has(key: string): boolean;
  /** Whether the setting is there as null: said to be none, where an absent one has the family's default. */
  isNull(key: string): boolean;
  /**
   * Base and scaling of the rotations, from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling`: what
   * `readRope` of rope-settings.ts finds in the whole object.
   */
  rope(defaultTheta: number): { readonly theta: number; readonly scaling?: RopeScaling };
  /** Something that is wrong with a setting, in a sentence that names it. */
  problem(what: string): void;
}
