/** What decides how samples become rows. Names and meanings are those of a configuration, so that one can be given. */
import type { EncodeSettings, OverLength } from "../text/encode.ts";

export interface RowSettings {
  /** `sft`: conversations; `pt`: plain text; `cls`: texts with a class. */
  readonly stage: "sft" | "pt" | "cls";
  /** Most tokens of a row. */
  readonly cutoffLen: number;
  readonly overLength: OverLength;
  readonly trainOnPrompt: boolean;
  readonly maskHistory: boolean;
  readonly defaultSystem: string | null;
  readonly enableThinking: boolean;
  /** Several examples in a row, which do not see each other. */
  readonly packing: boolean;
  /** A new order in each epoch, drawn with `dataSeed`; false: the order of the files. */
  readonly shuffle: boolean;
  readonly dataSeed: number;
  /** The rows of a step are of similar lengths; only with `shuffle`, and not when streaming. */
  readonly groupByLength: boolean;
  /** Rows of a step, as the product of two. */
  readonly perDeviceTrainBatchSize: number;
  readonly gradientAccumulationSteps: number;
  /** Tokenise samples as they are needed: nothing is counted, kept or written. */
  readonly streaming: boolean;
  /** Samples that are shuffled together when streaming. */
  readonly bufferSize: number;
  /** Threads that tokenise; null: one per core. */
  readonly preprocessingNumWorkers: number | null;
  /** Do not use what is in the token cache. */
  readonly overwriteCache: boolean;
  /** Folder of the token cache; null: only large sets are kept, in the usual place. */
  readonly tokenizedPath: string | null;
  /** Of stage cls: which token of a text tells its class. Default: "last". */
  readonly classToken?: "first" | "last";
  /** Of stage cls: token that rows are filled with by other programs. */
  readonly padTokenId?: number;
}

/** The part of the settings that a sample's tokens depend on. @param now today, for templates that write the date */
export function encodeSettings(settings: RowSettings, now: Date): EncodeSettings {
  const { cutoffLen, overLength, trainOnPrompt, maskHistory, defaultSystem, enableThinking, classToken, padTokenId } =
    settings;
  return {
    cutoffLen,
    overLength,
    trainOnPrompt,
    maskHistory,
    enableThinking,
    now,
    ...(classToken === undefined ? {} : { classToken }),
    ...(padTokenId === undefined ? {} : { padTokenId }),
    ...(defaultSystem === null ? {} : { defaultSystem }),
  };
}
