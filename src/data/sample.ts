/** What a data set gives, before and after tokenisation, whatever its format was. */

/** Where a sample comes from, for messages. */
export interface Source {
  /** Name of the data set, as the configuration has it. */
  readonly dataset: string;
  /** Path of the file. */
  readonly file: string;
  /** Line of a `.jsonl`, `.csv` or `.txt` file, number of the record in any other; from 1. */
  readonly line: number;
}

export type Role = "system" | "user" | "assistant" | "tool";

/** A call of a tool by the assistant. */
export interface ToolCall {
  readonly name: string;
  /** As an object, or as the text that the file has when it is no JSON. */
  readonly arguments: unknown;
}

export interface Message {
  readonly role: Role;
  readonly content: string;
  /** Only on assistant messages. */
  readonly toolCalls?: readonly ToolCall[];
}

/** A conversation. The assistant's messages are trained on. */
export interface ChatSample {
  readonly kind: "chat";
  readonly messages: readonly Message[];
  /** JSON schemas of the tools that the assistant may call, as chat templates take them. */
  readonly tools?: readonly unknown[];
  readonly source: Source;
}

/** Plain text: every token is trained on. */
export interface TextSample {
  readonly kind: "text";
  readonly text: string;
  readonly source: Source;
}

/** A text, or two that are read together, and the class that it is of. */
export interface ClassSample {
  readonly kind: "class";
  readonly text: string;
  /** The second of two texts. */
  readonly pair?: string;
  /** Index of the class, in the order of the run's labels. */
  readonly label: number;
  readonly source: Source;
}

export type Sample = ChatSample | TextSample | ClassSample;

/** Label of a token that is not trained on. */
export const IGNORED = -100;

/** Something that is to be said of a token, by its own hidden state: the class of the text, or the word that is masked there. */
export interface Target {
  /** Index of the token in the row. */
  readonly at: number;
  readonly label: number;
}

/** One row to train on. `labels[i]` is `inputIds[i]` where token i is to be predicted, and {@link IGNORED} elsewhere. */
export interface Encoded {
  readonly inputIds: Int32Array;
  readonly labels: Int32Array;
  /**
   * Lengths of the examples in a packed row, in order; their sum is the row's length. Absent: one example. Attention stays
   * within an example, and positions start again at each.
   */
  readonly lengths?: readonly number[];
  /** In place of `labels`, which are the tokens that follow others. Absent: `labels` are meant. */
  readonly targets?: readonly Target[];
  /** Kind of each token, for models that know several. Default: 0. */
  readonly types?: Int32Array;
}
