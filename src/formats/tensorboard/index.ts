/** Table of contents of TensorBoard's format. */
export { EventFile } from "./event-file.ts";
export type { EventFileOptions } from "./event-file.ts";
