/** A report without a matrix: what was compared, what was not, and why. */
import { listed } from "../errors.ts";
import type { AnalysisReport } from "./report.ts";
import { UNCHANGED, ZERO_UPDATE } from "./weight-pairs.ts";

type Skipped = AnalysisReport["skipped"][number];

/** Whether a matrix was compared and found to be that of the base. */
export function isUnchanged({ reason }: Skipped): boolean {
  return reason.startsWith(UNCHANGED) || reason === ZERO_UPDATE;
}

/** Sentences for a report whose `matrices` are empty. */
export function nothingChanged({ skipped, tuned }: Pick<AnalysisReport, "skipped" | "tuned">): string[] {
  const compared = skipped.filter(isUnchanged).length;
  const misshapen = skipped.filter(({ reason }) => reason.startsWith("["));
  const lonely = skipped.filter(({ reason }) => reason.startsWith("only "));
  const others = skipped.length - compared - misshapen.length - lonely.length;
  const matrices = compared === 1 ? "the one matrix" : `the ${compared} matrices`;
  return [
    tuned.kind === "adapter"
      ? `The update of ${matrices} that the adapter is on is zero.`
      : `Nothing that was compared changed: ${matrices} with one shape on both sides ${compared === 1 ? "is" : "are"} as in the base.`,
    ...(misshapen.length > 0
      ? [
          `Not compared, since the shapes differ: ${listed(misshapen.map(({ name, reason }) => `${name} (${reason})`))}. ` +
            "Is this the model that it was tuned from?",
        ]
      : []),
    ...(lonely.length > 0
      ? [`Not compared, since one side lacks them: ${listed(lonely.map(({ name, reason }) => `${name} (${reason})`))}.`]
      : []),
    ...(others > 0
      ? [
          `${others === 1 ? "1 other tensor was" : `${others} other tensors were`} not looked at, such as vectors and tables: ` +
            "they may have changed.",
        ]
      : []),
  ];
}
