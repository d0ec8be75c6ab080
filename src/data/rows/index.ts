/** Rows to train on, from data sets. */
export { prepareRows } from "./prepare.ts";
export type { PreparedPart, PreparedRows, PrepareOptions, PrepareProgress } from "./prepare.ts";
export type { RowSettings } from "./settings.ts";
