/** Text to tokens: tokenizers, chat templates, and samples as rows to train on. */
export { compileTemplate } from "./chat-template.ts";
export type { JinjaTemplate, RenderOptions } from "./chat-template.ts";
export { encodeSample, encodeText, REMARKS } from "./encode.ts";
export type { Dropped, EncodeResult, EncodeSettings, Kept, OverLength, Remark } from "./encode.ts";
export type { PadChoice } from "./pad-token.ts";
export { resolveTemplate, TEMPLATE_NAMES } from "./templates.ts";
export type { ChatTemplate, TemplateOptions } from "./templates.ts";
export { TextStream } from "./text-stream.ts";
export { loadTokenizer } from "./tokenizer.ts";
export type { DecodeOptions, EncodeOptions, Tokenizer } from "./tokenizer.ts";
export { inferSeqlen } from "./truncate.ts";
