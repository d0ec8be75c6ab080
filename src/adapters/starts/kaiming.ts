/** A ~ U(-1/√in, 1/√in), B = 0: as in the authors' code, and PEFT's default. */
import { DEFAULT_DRAWS, type LoraStart } from "./start.ts";

export const kaiming: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "kaiming",
  about: "A uniform in ±1/√in, B zero",
  wire: true,
};
