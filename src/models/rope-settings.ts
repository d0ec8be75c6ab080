/**
 * Settings of the rotations, by their names in `config.json`: `rope_parameters` as transformers 5 writes them, or
 * `rope_theta` and `rope_scaling` as those before it. Rules and defaults are those of transformers 5.23,
 * `modeling_rope_utils.py`.
 */
import type { RopeScaling } from "../nn/rope.ts";

type Settings = Readonly<Record<string, unknown>>;

const TYPES = ["default", "linear", "dynamic", "yarn", "llama3"];

/**
 * @param config the whole of `config.json`
 * @param problem is told, in a sentence each, what is missing, has another type or is not supported
 */
export function readRope(
  config: Settings,
  defaultTheta: number,
  problem: (what: string) => void,
): { theta: number; scaling?: RopeScaling } {
  const where = isFilled(config["rope_scaling"]) ? "rope_scaling" : "rope_parameters";
  const given = config[where] ?? {};
  if (!isObject(given)) {
    problem(`${where} is ${JSON.stringify(given)}: expected an object`);
    return { theta: defaultTheta };
  }
  const number = <T>(settings: Settings, key: string, fallback: T): number | T => {
    const value = settings[key];
    if (value === undefined || value === null) return fallback;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    problem(`${settings === given ? `${where}.` : ""}${key} is ${JSON.stringify(value)}: expected a number`);
    return fallback;
  };
  const required = (key: string): number => {
    const value = number(given, key, undefined);
    if (value === undefined && (given[key] === undefined || given[key] === null)) problem(`${where}.${key} is missing`);
    return value ?? 1;
  };
  const theta = number(given, "rope_theta", number(config, "rope_theta", defaultTheta));
  const type: unknown = given["rope_type"] ?? given["type"] ?? "default";
  if (number(given, "partial_rotary_factor", number(config, "partial_rotary_factor", 1)) !== 1) {
    problem("partial_rotary_factor is not 1: rotations of a part of a head are not supported");
  }
  if (Object.values(given).some(isObject)) {
    problem(`${where} has an object for each type of layer: rotations that differ between layers are not supported`);
    return { theta };
  }
  const maxPositions = () => number(config, "max_position_embeddings", 1);
  const original = () =>
    number(
      config,
      "original_max_position_embeddings",
      number(given, "original_max_position_embeddings", undefined) ?? maxPositions(),
    );
  switch (type) {
    case "default":
      if ("mrope_section" in given) problem(`${where}.mrope_section: rotations in several axes are not supported`);
      return { theta };
    case "linear":
      return { theta, scaling: { type, factor: required("factor") } };
    case "dynamic":
      return { theta, scaling: { type, factor: required("factor"), maxPositionEmbeddings: maxPositions() } };
    case "llama3":
      return {
        theta,
        scaling: {
          type,
          factor: required("factor"),
          lowFreqFactor: required("low_freq_factor"),
          highFreqFactor: required("high_freq_factor"),
          originalMaxPositionEmbeddings: original(),
        },
      };
    case "yarn": {
      const factor = number(given, "factor", maxPositions() / original());
      const wide = number(given, "mscale", 0);
      const wideAll = number(given, "mscale_all_dim", 0);
      const inferred =
        wide !== 0 && wideAll !== 0 ? yarnScale(factor, wide) / yarnScale(factor, wideAll) : yarnScale(factor, 1);
      return {
        theta,
        scaling: {
          type,
          factor,
          originalMaxPositionEmbeddings: original(),
          attentionFactor: number(given, "attention_factor", inferred),
          // As in transformers, 0 stands for the default.
          betaFast: number(given, "beta_fast", 0) || 32,
          betaSlow: number(given, "beta_slow", 0) || 1,
          truncate: given["truncate"] !== false,
        },
      };
    }
    default:
      problem(
        `${where}.rope_type is ${JSON.stringify(type)}: supported are ${TYPES.map((name) => `"${name}"`).join(", ")}`,
      );
      return { theta };
  }
}

/** Peng et al. 2023, arXiv 2309.00071, eq. 22: 0.1 ln(s) + 1. */
function yarnScale(factor: number, weight: number): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}

function isObject(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFilled(value: unknown): boolean {
  return isObject(value) ? Object.keys(value).length > 0 : value !== undefined && value !== null;
}
