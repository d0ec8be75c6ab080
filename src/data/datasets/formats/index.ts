/** The formats that are known. To add one: a file here, a line in this list, and its tier in detect.ts. */
import { alpaca } from "./alpaca.ts";
import type { Format } from "./format.ts";
import { openai } from "./openai.ts";
import { promptCompletion } from "./prompt-completion.ts";
import { sharegpt } from "./sharegpt.ts";
import { text } from "./text.ts";

export const FORMATS: readonly Format[] = [alpaca, sharegpt, openai, promptCompletion, text];
