/** Tuning methods: the table of contents. */
import { adalora } from "./adalora.ts";
import { ia3 } from "./ia3.ts";
import { lora } from "./lora.ts";
import { vera } from "./vera.ts";
import type { Method } from "./method.ts";

export const METHODS: readonly Method<object>[] = [lora, adalora, ia3, vera];
