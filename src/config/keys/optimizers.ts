/** LLaMA-Factory's optimizers besides those of transformers. */
import { inert, refused } from "../key.ts";
import { bool, float, int, maybe, namesOrAll, text } from "../type.ts";

const WHY = "only AdamW and SGD are there yet";
const HINT = "remove the line, and say optim: adamw_torch";
const GALORE = "it goes with use_galore, which is refused";
const APOLLO = "it goes with use_apollo, which is refused";
const BADAM = "it goes with use_badam, which is refused";

export const OPTIMIZERS = {
  use_galore: refused(bool, false, "GaLore: gradients of low rank", WHY, HINT),
  galore_target: inert(namesOrAll, "all", "GaLore: modules", GALORE),
  galore_rank: inert(int(), 16, "GaLore: rank", GALORE),
  galore_update_interval: inert(int(), 200, "GaLore: steps between projections", GALORE),
  galore_scale: inert(float(), 2, "GaLore: scale", GALORE),
  galore_proj_type: inert(text, "std", "GaLore: projection", GALORE),
  galore_layerwise: inert(bool, false, "GaLore: layer by layer", GALORE),
  use_apollo: refused(bool, false, "APOLLO: scales from random projections", WHY, HINT),
  apollo_target: inert(namesOrAll, "all", "APOLLO: modules", APOLLO),
  apollo_rank: inert(int(), 16, "APOLLO: rank", APOLLO),
  apollo_update_interval: inert(int(), 200, "APOLLO: steps between projections", APOLLO),
  apollo_scale: inert(float(), 32, "APOLLO: scale", APOLLO),
  apollo_proj: inert(text, "random", "APOLLO: projection", APOLLO),
  apollo_proj_type: inert(text, "std", "APOLLO: side of the projection", APOLLO),
  apollo_scale_type: inert(text, "channel", "APOLLO: what is scaled", APOLLO),
  apollo_layerwise: inert(bool, false, "APOLLO: layer by layer", APOLLO),
  apollo_scale_front: inert(bool, false, "APOLLO: limits growth first", APOLLO),
  use_badam: refused(bool, false, "BAdam: one block at a time", WHY, HINT),
  badam_mode: inert(text, "layer", "BAdam: by layer or ratio", BADAM),
  badam_start_block: inert(maybe(int()), null, "BAdam: first block", BADAM),
  badam_switch_mode: inert(maybe(text), "ascending", "BAdam: order of blocks", BADAM),
  badam_switch_interval: inert(maybe(int()), 50, "BAdam: steps on a block", BADAM),
  badam_update_ratio: inert(float(), 0.05, "BAdam: share that is updated", BADAM),
  badam_mask_mode: inert(text, "adjacent", "BAdam: shape of the mask", BADAM),
  badam_verbose: inert(int(), 0, "BAdam: what it prints", BADAM),
  use_adam_mini: refused(bool, false, "Adam-mini: one second moment per block", WHY, HINT),
  use_muon: refused(bool, false, "Muon: orthogonal updates", WHY, HINT),
};
