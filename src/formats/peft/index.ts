/** Table of contents of the PEFT format. */
export { loadAdapter } from "./load.ts";
export type { LoadAdapterOptions, LoadedAdapter } from "./load.ts";
export { saveAdapter } from "./save.ts";
export type { SaveAdapterOptions } from "./save.ts";
