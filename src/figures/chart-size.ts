/** Sizes of the charts of analyses: readable at the width of a phone, two beside each other on a desk. */
export const CHART_WIDTH = 460;
export const CHART_HEIGHT = 360;

/** What all of these charts take. */
export interface ChartTexts {
  readonly title: string;
  readonly subtitle?: string;
  readonly note?: string;
  /** Pixels. Default: 460. */
  readonly width?: number;
  /** Pixels. Default: 360. */
  readonly height?: number;
}
