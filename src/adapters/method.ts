/**
 * The contract of a tuning method: which parameters it adds to a layer or to the model, what is computed with them, how they
 * are trained, what the weights become when they are merged, and how PEFT writes them. One file per method; shared code asks
 * these questions and no others. Almost all of them may be left unanswered: most methods answer five.
 */
import type { Graph, Value } from "../ir/graph.ts";
import type { TextModel, Sequence } from "../models/text-model.ts";
import type { Layer, LayerCall, ParameterSpec, Tracing } from "../nn/module.ts";
import type { Random } from "../random.ts";
import type { Tensor } from "../runtime/runtime.ts";
import type { AdaptedLayer, Adapter } from "./adapter.ts";
import type { AdaptableModel } from "./copies.ts";
import type { Configurable, JsonValue } from "./settings.ts";
import type { TargetModules } from "./targets.ts";

/** Settings that shared code knows of: the rank and the scale of layers can differ. Methods have them, or others. */
export interface RankConfig {
  /** Rank r >= 1. */
  readonly r: number;
  /** Scales the update: scaling = alpha / r. */
  readonly alpha: number;
  /**
   * Ranks of single layers, by regular expressions of Python for their names or what follows a dot in them; the first
   * that matches counts. Default: none.
   */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** The same for alpha. Default: none. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
}

/** A parameter of a method. Its name is relative to the layer, or to the model. */
export interface MethodParameter extends ParameterSpec {
  /** It is not trained. Default: false. */
  readonly frozen?: true;
  /** The file does not hold it: {@link Method.start} makes it again when an adapter is loaded. Default: false. */
  readonly derived?: true;
}

/** Configurations that a method is given for a layer have that layer's rank and alpha already. */
export interface Method<C extends object> extends Configurable<C> {
  /** Registry name, such as `lora`: what `finetuning_type` calls it. */
  readonly name: string;
  /** Where it was published. */
  readonly source: string;
  /** What it does, in a line, for tables. */
  readonly about: string;
  /** How PEFT writes it. Absent: it is written in the same way under the method's own name, and PEFT cannot read it. */
  readonly file?: MethodFile<C>;

  /**
   * What it is put on. `layers` (default): those that `target_modules` names. `modules`: modules of any kind, whose
   * parameters it trains copies of. `model`: the model as a whole; there are no targets.
   */
  readonly on?: "layers" | "modules" | "model";
  /** Targets where nothing is said. Absent: the model's own. */
  defaultTargets?(model: AdaptableModel, config: C): TargetModules;
  /**
   * The configuration with what depends on the model filled in.
   * @param layers the adapted ones
   * @throws ConfigError if it does not fit them
   */
  complete?(config: C, model: AdaptableModel, layers: readonly Layer[]): C;
  /** What it adds to a layer. An empty list leaves the layer alone. @throws ConfigError if the layer cannot be adapted */
  parameters?(layer: Layer, config: C): readonly MethodParameter[];
  /** What it adds to the model as a whole. @param layers the adapted ones */
  shared?(call: SharedCall<C>): readonly MethodParameter[];
  /** Parameters of the base of which it trains copies, by their names: biases, norms. */
  copies?(model: AdaptableModel, config: C, layers: readonly Layer[]): readonly string[];
  /** Modules of which it trains copies besides those that are asked for, as PEFT's `modules_to_save` and written as such. */
  modulesToSave?(model: AdaptableModel, config: C): readonly string[];
  /** The adapter brings a frozen weight in the place of the layer's: the `weight` of {@link Start}. */
  replacesWeight?(layer: Layer, config: C, model: AdaptableModel): boolean;
  /** Starting values that depend on the base; parameters that it does not give start from their `init`. */
  start?(call: StartCall<C>): Promise<Start> | Start;
  startShared?(call: SharedStartCall<C>): Promise<Start["values"]> | Start["values"];
  /** Why a fresh adapter does not compute exactly what the base computes. Absent: it does. */
  readonly startsElsewhere?: string;

  /** The output of an adapted layer, bias included. Absent: the method does nothing in layers. */
  forward?(call: AdapterCall<C>): Value;
  /**
   * The sequence that the model reads, changed: how tokens are embedded, how they attend. Such an adapter shares no batch
   * with rows that do without it.
   */
  sequence?(call: SequenceCall<C>): Sequence;
  /** Places that each example gives to the method, before its first token: they count as context. Default: 0. */
  virtualTokens?(config: C): number;
  /**
   * The outputs of these places mean something, as those of tokens do: the last one predicts the first token, and `forward`
   * returns their logits. Absent: nobody looks at them.
   */
  readonly virtualPredict?: true;
  /**
   * The weight that makes the base layer compute the same: need not be a sum. Absent: the method cannot be merged, and
   * `unmergeable` says why.
   */
  merged?(call: MergeCall<C>): Value;
  readonly unmergeable?: string;
  /** The bias that goes with `merged`; undefined leaves it as it is. Absent: it always is. */
  mergedBias?(call: BiasMergeCall<C>): Value | undefined;
  /**
   * Whether `forward` honours `call.gate` itself. Absent: rows whose gate is not above 0 are given what was there before,
   * and the weight of a gate has no effect.
   */
  readonly gated?: true;
  /** Whether an adapted layer computes what it did before, given the values of the parameters. Absent: nobody can tell. */
  isIdle?(parameters: Readonly<Record<string, ArrayLike<number>>>): boolean;

  /** A scalar that is added to the loss of every step. */
  penalty?(call: PenaltyCall<C>): Value;
  /**
   * The learning rate of a parameter, where it is not the run's.
   * @param parameter its name is relative to its layer, or to the model; that of a copy is the one that it has in the base
   */
  rate?(parameter: Pick<ParameterSpec, "name" | "shape">, config: C): Rate | undefined;
  /** The gradient that the optimizer is given, made of the one that there is (clipped already). */
  gradient?(call: GradientCall<C>): Value;
  /** What happens after every step of the optimizer. */
  readonly afterStep?: AfterStep<C>;

  /**
   * How a new adapter goes on from that of an earlier task, which becomes a part of it. Absent: adapters that are there are
   * trained themselves.
   */
  readonly follow?: Follow<C>;
}

export interface Follow<C extends object> {
  /** The configuration of the new one. @throws ConfigError if the earlier one cannot become a part of it */
  config(previous: Adapter, config: C): C;
  /** Values of parameters on a layer that are not those of its start. */
  values(call: FollowCall<C>): Promise<Readonly<Record<string, Float32Array>>>;
}

export interface FollowCall<C extends object> {
  readonly target: AdaptedLayer<C>;
  /** The same layer of the earlier adapter. */
  readonly previous: AdaptedLayer;
  /** Contents of a parameter of the earlier one, by its relative name. */
  read(parameter: string): Promise<Float32Array>;
}

/** Of the run's own learning rate, or one beside it that follows the same schedule. */
export type Rate = { readonly times: number } | { readonly fixed: number };

export interface SharedCall<C extends object> {
  readonly model: AdaptableModel;
  readonly config: C;
  /** The adapted ones. */
  readonly layers: readonly Layer[];
}

export interface StartCall<C extends object> {
  readonly layer: Layer;
  readonly config: C;
  /** Values of the layer's weight in the base, row-major, as it is stored: of a quantised one, what it stands for. */
  weight(): Promise<Float32Array>;
  /** The values that a weight has after it was stored as the base's are. Undefined: they are stored as they are. */
  readonly stored?: (weight: Float32Array) => Float32Array;
  /** The weight's values before they were stored, where that was in fewer bits. Absent: nobody knows them. */
  original?(): Promise<Float32Array>;
  /** Values of a parameter that came from a file. Absent: the adapter is a fresh one. */
  given?(parameter: string): Promise<Float32Array>;
  /** A stream of its own for every layer and parameter. */
  random(parameter: string): Random;
}

export interface Start {
  /** By the relative names of parameters. */
  readonly values: Readonly<Record<string, Float32Array>>;
  /** In the place of the layer's own: see {@link Method.replacesWeight}. */
  readonly weight?: Float32Array;
}

export interface SharedStartCall<C extends object> extends SharedCall<C> {
  /** Values of a parameter of the base. */
  base(parameter: string): Promise<Float32Array>;
  random(parameter: string): Random;
  /**
   * Tokens of a text, with those that the tokenizer puts around it. Absent: there is no tokenizer.
   * @param tokenizer name or path; null: the base's own
   */
  readonly tokenize?: (text: string, tokenizer: string | null) => Promise<readonly number[]>;
}

/** A call of a layer, with the adapter's own parameters. */
export interface AdapterCall<C extends object> extends LayerCall {
  readonly config: C;
  /** The adapter's parameters on this layer, by their relative names. */
  readonly parameters: Readonly<Record<string, Value>>;
  /** Those of the model as a whole. */
  readonly shared: Readonly<Record<string, Value>>;
  /**
   * Randomness for this layer and step; present while training. `seed` is an int32 scalar that changes with every step,
   * `stream` differs from layer to layer.
   */
  readonly random?: { readonly seed: Value; readonly stream: number };
  /** The output computed so far: that of the base, or of the adapters before this one. */
  previous(): Value;
  /** Whether no adapter comes before this one. Only then may a method replace the layer's product by another one. */
  readonly first: boolean;
  /**
   * How much of the update each row of x gets, float32 [rows, 1]: 0 for nothing, 1 for all of it. Rows are tokens on linear
   * layers and embeddings, images on convolutions. Absent: 1.
   */
  readonly gate?: Value;
}

export interface SequenceCall<C extends object> {
  readonly sequence: Sequence;
  readonly tracing: Tracing;
  readonly model: TextModel;
  readonly config: C;
  readonly shared: Readonly<Record<string, Value>>;
  /** int32 [B, T]: i for the i-th virtual token of an example, from 1, and 0 for tokens. Present if the method has such. */
  readonly virtual?: Value;
  /** As in {@link AdapterCall}. */
  readonly random?: { readonly seed: Value; readonly stream: number };
}

export interface MergeCall<C extends object> {
  readonly layer: Layer;
  readonly config: C;
  readonly parameters: Readonly<Record<string, Value>>;
  readonly shared: Readonly<Record<string, Value>>;
  /** The layer's weight W, as it is stored, with the adapters before this one merged into it. */
  readonly weight: Value;
  /** W without them. */
  readonly base: Value;
}

export interface BiasMergeCall<C extends object> extends Omit<MergeCall<C>, "weight" | "base"> {
  /** The layer's bias; undefined if it has none. */
  readonly bias: Value | undefined;
}

export interface PenaltyCall<C extends object> {
  readonly graph: Graph;
  readonly config: C;
  readonly targets: readonly {
    readonly layer: Layer;
    readonly config: C;
    readonly parameters: Readonly<Record<string, Value>>;
  }[];
  readonly shared: Readonly<Record<string, Value>>;
}

export interface GradientCall<C extends object> {
  readonly layer: Layer | undefined;
  readonly config: C;
  /** Name relative to the layer, or to the model. */
  readonly parameter: string;
  readonly gradient: Value;
  /** All of the layer's, or the shared ones; before the step. */
  readonly parameters: Readonly<Record<string, Value>>;
}

/** States of its own, computed on the device after every step; then what the host makes of them. */
export interface AfterStep<C extends object> {
  /** Its states on a layer, zero at the start, saved in checkpoints. Names are relative to the layer. */
  states(
    parameters: readonly ParameterSpec[],
    config: C,
  ): readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** What is wrong with the settings for a run of this many steps, in words: it is said before the first one. */
  wrong?(config: C, totalSteps: number): readonly string[];
  /**
   * Adds to a graph that runs after the update.
   * @returns new contents of its states, and a small output for the host, if it wants one
   */
  update(call: AfterUpdateCall<C>): { readonly states: Readonly<Record<string, Value>>; readonly output?: Value };
  host?(call: AfterHostCall<C>): Promise<void>;
}

export interface AfterUpdateCall<C extends object> {
  readonly layer: Layer;
  readonly config: C;
  /** After the step. */
  readonly parameters: Readonly<Record<string, Value>>;
  /** Those that the optimizer was given, by the same names; of trained parameters. */
  readonly gradients: Readonly<Record<string, Value>>;
  readonly states: Readonly<Record<string, Value>>;
}

export interface AfterHostCall<C extends object> {
  readonly config: C;
  /** The step that was taken, from 1. */
  readonly step: number;
  readonly totalSteps: number;
  readonly targets: readonly { readonly target: AdaptedLayer<C>; readonly output: Tensor | undefined }[];
  /** Reads and writes parameters and states of a layer, by relative names. */
  read(target: AdaptedLayer<C>, name: string): Promise<Float32Array>;
  write(target: AdaptedLayer<C>, name: string, values: Float32Array): Promise<void>;
}

export type CommonSetting =
  | "bias"
  | "ensure_weight_tying"
  | "exclude_modules"
  | "fan_in_fan_out"
  | "layers_pattern"
  | "layers_to_transform"
  | "modules_to_save"
  | "target_modules";

/** How PEFT writes a method: `adapter_config.json` beside the settings, and the names of tensors. */
export interface MethodFile<C extends object> {
  /** `peft_type`. */
  readonly type: string;
  /** Of several methods with this type: whether the settings of a file are this one's. Absent: those that no other claims. */
  claims?(get: (key: string) => JsonValue | undefined): boolean;
  /** Its files are those of the method with this name, and read as such unless it is asked for by its own. */
  readonly as?: string;
  /** What PEFT writes besides: of variants that are not there, their values when they are off. */
  also?(config: C): Readonly<Record<string, JsonValue>>;
  /**
   * Of the settings that adapters have whatever their method, those that PEFT's type does not have. They are written only
   * where they say something, and PEFT ignores them; what narrows the targets becomes part of `target_modules`.
   */
  readonly lacks?: readonly CommonSetting[];
  /** Names that change nothing about an adapter that is there. */
  readonly ignored?: readonly string[];
  /** Names that would change what it computes: anything but nothing (null, false, empty) is refused. */
  readonly refused?: readonly string[];
  /** Name of a tensor. @param layer undefined: of the model. Absent: `base_model.model.LAYER.PARAMETER`, `base_model.PARAMETER` */
  key?(layer: string | undefined, parameter: string): string;
  /** PEFT runs the model as it is: the names of its parameters have `base_model.` before them, and no `model.`. Default: false. */
  readonly unwrapped?: true;
  /** The configuration of an adapter that was read from a file, such as without what is dropped on saving. */
  loaded?(config: C): C;
  /** What is written, where that is not the parameters as they are. Undefined: it is, of this adapter. */
  pack?(call: PackCall<C>): Promise<PackedAdapter | undefined>;
}

export interface PackCall<C extends object> {
  readonly config: C;
  readonly targets: readonly AdaptedLayer<C>[];
  /** By their relative names. */
  readonly shared: ReadonlyMap<string, ParameterSpec>;
  /** Contents of a parameter's state. Undefined if there is none. */
  read(state: string): Promise<Float32Array | undefined>;
  /** Contents of a state of {@link AfterStep}; undefined before the first step. */
  readAfter(target: AdaptedLayer<C>, name: string): Promise<Float32Array | undefined>;
  /** Computes a value from parameters: `compute(({shared}) => …)` */
  compute(
    build: (shared: Readonly<Record<string, Value>>) => Value,
  ): Promise<{ readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Name of a tensor in the file. */
  key(layer: string | undefined, parameter: string): string;
}

export interface PackedAdapter {
  /** Settings of the file that are not those of the configuration, by their names there. */
  readonly settings?: Readonly<Record<string, JsonValue>>;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
}
