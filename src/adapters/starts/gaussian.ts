/** Normal A, B = 0: `gaussian` N(0, 1/r²), as PEFT's, and `standard-normal` N(0, 1), as in the CIFAR-10 demonstration. */
import { normal, zeros } from "../../nn/init.ts";
import { DEFAULT_DRAWS, type LoraStart } from "./start.ts";

export const gaussian: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "gaussian",
  about: "A normal with deviation 1/r, B zero",
  onWeight: (r) => ({ A: normal(1 / r), B: zeros }),
};

export const standardNormal: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "standard-normal",
  about: "A standard normal, B zero",
  wire: true,
  onWeight: () => ({ A: normal(1), B: zeros }),
};
