/** Tuning methods: the table of contents. */
import { lora } from "./lora.ts";
import type { Method } from "./method.ts";

export const METHODS: readonly Method<object>[] = [lora];
