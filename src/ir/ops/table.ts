/** Table of contents: one line per operation, with the function that adds it to a graph. */

// Elementwise arithmetic
export { add, addOp } from "./add.ts";
export { sub, subOp } from "./sub.ts";
export { mul, mulOp } from "./mul.ts";
export { div, divOp } from "./div.ts";
export { neg, negOp } from "./neg.ts";
export { pow, powOp } from "./pow.ts";
export { exp, expOp } from "./exp.ts";
export { log, logOp } from "./log.ts";
export { sqrt, sqrtOp } from "./sqrt.ts";
export { abs, absOp } from "./abs.ts";
export { sign, signOp } from "./sign.ts";
export { floor, floorOp } from "./floor.ts";
export { detach, detachOp } from "./detach.ts";
export { sin, sinOp } from "./sin.ts";
export { cos, cosOp } from "./cos.ts";
export { erf, erfOp } from "./erf.ts";

// Activations
export { relu, reluOp } from "./relu.ts";
export { sigmoid, sigmoidOp } from "./sigmoid.ts";
export { tanh, tanhOp } from "./tanh.ts";
export { gelu, geluOp } from "./gelu.ts";
export { silu, siluOp } from "./silu.ts";
export { swiglu, swigluOp } from "./swiglu.ts";

// Comparison and choice
export { maximum, maximumOp } from "./maximum.ts";
export { minimum, minimumOp } from "./minimum.ts";
export { greater, greaterOp } from "./greater.ts";
export { less, lessOp } from "./less.ts";
export { equal, equalOp } from "./equal.ts";
export { where, whereOp } from "./where.ts";

// Sources
export { constant, constantOp, scalar } from "./constant.ts";
export { range, rangeOp } from "./range.ts";
export { randomUniform, randomUniformOp } from "./random-uniform.ts";

// Types and shapes
export { cast, castOp } from "./cast.ts";
export { reshape, reshapeOp } from "./reshape.ts";
export { transpose, transposeOp } from "./transpose.ts";
export { expand, expandOp } from "./expand.ts";
export { concat, concatOp } from "./concat.ts";
export { slice, sliceOp } from "./slice.ts";
export { pad, padOp } from "./pad.ts";

// Reading and writing by position
export { gather, gatherOp } from "./gather.ts";
export { gatherElements, gatherElementsOp } from "./gather-elements.ts";
export { scatterAdd, scatterAddOp } from "./scatter-add.ts";
export { addAtElements, addAtElementsOp } from "./add-at-elements.ts";
export { scatterElementsAdd, scatterElementsAddOp } from "./scatter-elements-add.ts";

// Reductions
export { reduceSum, reduceSumOp } from "./reduce-sum.ts";
export { reduceMean, reduceMeanOp } from "./reduce-mean.ts";
export { reduceMax, reduceMaxOp } from "./reduce-max.ts";
export { argMax, argMaxOp } from "./arg-max.ts";
export { cumSum, cumSumOp } from "./cum-sum.ts";

// Layers
export { matmul, matmulOp } from "./matmul.ts";
export { encodedMatmul, encodedMatmulOp } from "./encoded-matmul.ts";
export { decode, decodeOp } from "./decode.ts";
export { quantizeRows, quantizeRowsOp } from "./quantize-rows.ts";
export { rowRest, rowRestOp } from "./row-rest.ts";
export { splitColumns, splitColumnsOp } from "./split-columns.ts";
export { integerMatmul, integerMatmulOp } from "./integer-matmul.ts";
export { conv, convOp } from "./conv.ts";
export { convTranspose, convTransposeOp } from "./conv-transpose.ts";
export { avgPool, avgPoolOp } from "./avg-pool.ts";
export { maxPool, maxPoolOp, maxPoolPositionsOp } from "./max-pool.ts";
export { layerNormalization, layerNormalizationOp } from "./layer-normalization.ts";
export { rmsNorm, rmsNormOp } from "./rms-norm.ts";
export { attention, attentionOp } from "./attention.ts";
export { softmax, softmaxOp } from "./softmax.ts";
export { logSoftmax, logSoftmaxOp } from "./log-softmax.ts";
export { softmaxCrossEntropy, softmaxCrossEntropyOp } from "./softmax-cross-entropy.ts";

// Scheduling
export { after, afterOp } from "./after.ts";

// Made by passes
export { gemmOp } from "./gemm.ts";
export { mapRowsOp } from "./map-rows.ts";
