/** What elementwise operations share: broadcasting in, one result type out, one ONNX node. */
import { ShapeError } from "../../errors.ts";
import type { DType } from "../dtype.ts";
import { mapBroadcast } from "../ndarray.ts";
import type { Attrs, Op, Type, VjpRule } from "../op.ts";
import { broadcastShapes } from "../shape.ts";

interface Elementwise {
  readonly name: string;
  /** ONNX operator with the same inputs and outputs; or write `onnx`. */
  readonly onnxType?: string;
  readonly onnx?: Op["onnx"];
  readonly arity: number;
  /** The function of one element of each input. */
  readonly f: (...x: number[]) => number;
  readonly vjp: VjpRule<Attrs> | "zero" | "unsupported";
  /** Result type, where it is not that of the inputs. */
  readonly result?: (dtypes: readonly DType[]) => DType;
  /** Data types that are accepted. Default: all, equal among the inputs. */
  readonly accepts?: (dtype: DType, index: number) => boolean;
}

export function elementwise(spec: Elementwise): Op {
  const { name, onnxType, arity, f, result, accepts } = spec;
  return {
    name,
    elementwise: true,
    vjp: spec.vjp,
    infer(inputs) {
      expectArity(name, inputs, arity);
      const dtypes = inputs.map((input) => input.dtype);
      if (accepts === undefined) expectSameDType(name, inputs);
      else {
        dtypes.forEach((dtype, i) => {
          if (!accepts(dtype, i))
            throw new ShapeError({ where: name, what: `input ${i} has the wrong type`, got: dtype });
        });
      }
      return [
        {
          dtype: result === undefined ? dtypes[0]! : result(dtypes),
          shape: broadcastShapes(name, ...inputs.map((input) => input.shape)),
        },
      ];
    },
    evaluate(inputs, _attrs, [shape]) {
      return [mapBroadcast(inputs, shape!, f)];
    },
    onnx:
      spec.onnx ??
      ((emit, node) => {
        emit.node(onnxType!, node.inputs, {}, node.outputs[0]);
      }),
  };
}

/** @throws ShapeError if the number of inputs is not `arity`. */
export function expectArity(name: string, inputs: readonly Type[], arity: number): void {
  if (inputs.length !== arity) {
    throw new ShapeError({ where: name, what: "wrong number of inputs", got: inputs.length, expected: arity });
  }
}

/** @throws ShapeError if the inputs do not share one data type. */
export function expectSameDType(name: string, inputs: readonly Type[]): void {
  const dtypes = inputs.map((input) => input.dtype);
  if (new Set(dtypes).size > 1) {
    throw new ShapeError({ where: name, what: "inputs have different data types", got: dtypes.join(" and ") });
  }
}
