/** Tuning methods: the table of contents. */
import { adalora } from "./adalora.ts";
import { houlsby, pfeiffer } from "./bottleneck.ts";
import { dora } from "./dora.ts";
import { bitfit } from "./bitfit.ts";
import { ia3 } from "./ia3.ts";
import { intrinsicDimension } from "./intrinsic-dimension.ts";
import { lnTuning } from "./ln-tuning.ts";
import { loha } from "./loha.ts";
import { lokr } from "./lokr.ts";
import { longlora } from "./longlora.ts";
import { loraFa } from "./lora-fa.ts";
import { lora } from "./lora.ts";
import { oLora } from "./o-lora.ts";
import { pTuning } from "./p-tuning.ts";
import { prefixTuning } from "./prefix-tuning.ts";
import { promptTuning } from "./prompt-tuning.ts";
import { vera } from "./vera.ts";
import type { Method } from "./method.ts";

export const METHODS: readonly Method<object>[] = [
  lora,
  dora,
  loraFa,
  vera,
  loha,
  lokr,
  adalora,
  longlora,
  oLora,
  ia3,
  houlsby,
  pfeiffer,
  prefixTuning,
  promptTuning,
  pTuning,
  lnTuning,
  bitfit,
  intrinsicDimension,
];
