/** Charts of analyses as functions: plain data in, the text of an SVG file out; and pages of results made of them. */
export { type CosineScatter, cosineScatterSvg } from "./cosine-scatter.ts";
export { type HeatMapAxis, type HeatMapOptions, heatMapSvg } from "./heat-map.ts";
export { type IntruderTrack, intruderTrackCharts, intruderTracksSvg } from "./intruder-tracks.ts";
export { type LayerProfileOptions, layerProfileSvg, type LayerSeries } from "./layer-profile.ts";
export {
  lowerTriangle,
  type OverlapOptions,
  type OverlapPanel,
  overlapPanelsSvg,
  overlapSvg,
} from "./overlap-panels.ts";
export type * from "./page/page.ts";
export { csv } from "./page/page.ts";
export { pageHtml } from "./page/page-html.ts";
export { writePage, type WritePageOptions, type WrittenPage } from "./page/write-page.ts";
export { svgToPng } from "./png.ts";
export { type RankCurveOptions, rankCurveSvg, type RankSeries } from "./rank-curve.ts";
export { type SimilarityMap, similarityMapSvg } from "./similarity-maps.ts";
export { spectraSvg, type Spectrum } from "./spectra.ts";
export { type SweepOptions, type SweepSeries, sweepSvg } from "./sweep.ts";
export { type TaskMatrix, taskMatrixSvg } from "./task-matrix.ts";
export { panelsSvg, type XyChartOptions, xyChartSvg } from "./xy-chart.ts";
