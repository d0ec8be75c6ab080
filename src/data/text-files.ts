/** Names of the files beside the weights of a model that say how it reads text. */

/** What a tokenizer and its template are made of, over the years. */
export const TEXT_FILES: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "sentencepiece.bpe.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "chat_template.json",
  "chat_template.jinja",
];

/** Folder of the templates of a model that has several. */
export const TEMPLATE_FOLDER = "additional_chat_templates";
