/**
 * Events as TensorBoard reads them: the messages `Event` and `Summary` of tensorflow's `event.proto` and `summary.proto`,
 * with the fields and in the order in which PyTorch's `SummaryWriter` writes them.
 */
import { ProtobufWriter } from "../../onnx/protobuf.ts";

interface Stamp {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** Default: 0. */
  readonly step?: number;
}

/** The first event of every file. */
export function versionEvent(at: Stamp): Uint8Array {
  return event(at, (writer) =>
    writer
      .string(3, "brain.Event:2")
      .message(10, (metadata) => metadata.string(1, "tensorboard.summary.writer.event_file_writer")),
  );
}

/** Tells readers to forget what earlier files of the folder have from `step` on: a run that was resumed writes it again. */
export function restartEvent(at: Stamp): Uint8Array {
  const START = 1;
  return event(at, (writer) => writer.message(7, (log) => log.int(1, START)));
}

/** A point of the curve `tag`. The value is stored as float32. */
export function scalarEvent(at: Stamp, tag: string, value: number): Uint8Array {
  return event(at, (writer) =>
    writer.message(5, (summary) => summary.message(1, (point) => point.string(1, tag).float(2, value))),
  );
}

/** A text for the tab of that name; Markdown is rendered. */
export function textEvent(at: Stamp, tag: string, text: string): Uint8Array {
  const DT_STRING = 7;
  return event(at, (writer) =>
    writer.message(5, (summary) =>
      summary.message(1, (value) =>
        value
          .string(1, `${tag}/text_summary`)
          .message(8, (tensor) =>
            tensor
              .int(1, DT_STRING)
              .message(2, (shape) => shape.message(2, (dim) => dim.int(1, 1)))
              .string(8, text),
          )
          .message(9, (metadata) => metadata.message(1, (plugin) => plugin.string(1, "text"))),
      ),
    ),
  );
}

function event({ wallTime, step = 0 }: Stamp, write: (writer: ProtobufWriter) => void): Uint8Array {
  const rest = new ProtobufWriter();
  if (step !== 0) rest.int(2, step);
  write(rest);
  const fields = rest.finish();
  // Field 1, wall_time, is the only double: its tag (1 << 3 | 1), then eight bytes.
  const bytes = new Uint8Array(9 + fields.length);
  bytes[0] = 9;
  new DataView(bytes.buffer).setFloat64(1, wallTime, true);
  bytes.set(fields, 9);
  return bytes;
}
