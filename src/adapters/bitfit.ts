/**
 * BitFit: the adapter trains copies of the model's biases and nothing else.
 *
 * Source: Ben Zaken et al. 2021, arXiv 2106.10199, §3; those of single layers, such as of the query and of the first
 * feed-forward layer, in its §4.2. PEFT has no such method, but LoRA's `bias: all`: files have a type of their own.
 */
import { ConfigError, listed } from "../errors.ts";
import type { AdaptableModel } from "./copies.ts";
import type { Method } from "./method.ts";
import { nameList, optional } from "./settings.ts";
import { endsIn } from "./targets.ts";

export interface BitfitConfig {
  /** Modules of which the biases are trained: their names, or what follows a dot in them. Default: all that have one. */
  readonly biasModules: string | readonly string[] | null;
}

export const bitfit: Method<BitfitConfig> = {
  name: "bitfit",
  source: "Ben Zaken et al. 2021, arXiv 2106.10199",
  about: "trains copies of the model's biases, and nothing else",
  settings: {
    biasModules: optional(nameList("bias_modules", [], "modules of which the biases are trained; null: all of them")),
  },
  on: "model",

  copies(model, { biasModules }) {
    const biases = biasesOf(model);
    if (biases.length === 0) {
      throw new ConfigError({
        where: "bitfit",
        what: `${model.modelType ?? "this model"} has no biases to train`,
        hint: "take another method, such as ln-tuning or ia3",
      });
    }
    const modules = [...new Set(biases.map(moduleOf))];
    if (biasModules === null) return biases;
    const wanted = [biasModules].flat();
    const unmatched = wanted.filter((one) => !modules.some((module) => endsIn(module, one)));
    if (unmatched.length > 0 || wanted.length === 0) {
      const endings = [...new Set(modules.map((module) => module.split(".").at(-1)!))];
      throw new ConfigError({
        where: "bias_modules",
        what:
          wanted.length === 0
            ? "names no module"
            : `${listed(unmatched.map((one) => `"${one}"`))}: no module that has a bias is called that`,
        hint: `there are ${endings.map((name) => `"${name}"`).join(", ")}`,
      });
    }
    return biases.filter((bias) => wanted.some((one) => endsIn(moduleOf(bias), one)));
  },
};

function biasesOf({ parameters }: AdaptableModel): string[] {
  return parameters.flatMap(({ name }) => (name.endsWith(".bias") ? [name] : []));
}

function moduleOf(bias: string): string {
  return bias.slice(0, bias.lastIndexOf("."));
}
