/** Tuning methods by name: the table of contents. */
import { lora } from "./lora.ts";

export const METHODS = { lora };

export type MethodName = keyof typeof METHODS;
