/** The report on the data of a run. */
export { checkReport } from "./check.ts";
export { countFates } from "./report.ts";
export type { DataReport, DatasetReport, Fate, Lengths, SampleView, Segment } from "./report.ts";
