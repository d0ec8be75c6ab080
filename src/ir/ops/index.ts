/** The registry of operations, derived from the table of contents. */
import type { Op } from "../op.ts";
import * as table from "./table.ts";

export * from "./table.ts";

/** Every operation. */
export const OPS: readonly Op[] = Object.values(table).filter((entry) => typeof entry === "object");
