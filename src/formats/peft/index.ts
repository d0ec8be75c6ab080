/** Table of contents of the PEFT format. */
export type { Provenance } from "./config.ts";
export { hotswap } from "./hotswap.ts";
export { loadAdapter } from "./load.ts";
export type { LoadAdapterOptions, LoadedAdapter } from "./load.ts";
export { restoreAdapter } from "./restore.ts";
export { saveAdapter } from "./save.ts";
export type { SaveAdapterOptions } from "./save.ts";
