/** Data sets from files: what other parts of the package use. */
export type { BadRow, DatasetStream, Row } from "./rows.ts";
export { openDatasets } from "./open.ts";
export type { DatasetSummary, OpenDatasetsOptions, OpenedDatasets } from "./open.ts";
export { MIX_STRATEGIES } from "./mix.ts";
export type { MixStrategy } from "./mix.ts";
export type { FetchHubDataset, HubDatasetRequest } from "./resolve.ts";
export { shuffled } from "./shuffle.ts";
export type { ShuffleOptions } from "./shuffle.ts";
export { detectFormat } from "./formats/detect.ts";
export type { Detected, Format, FormatName } from "./formats/format.ts";
export { FORMATS } from "./formats/index.ts";
export { EXTENSIONS } from "./readers/index.ts";
