/** The engine's thread: answers requests one after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { LowrankError, type Problem } from "../../errors.ts";
import { Engine } from "./engine-node.ts";
import { NoKernelError } from "./no-kernel-node.ts";
import { BUSY, CLOSING, type Message, type Reply, type Request } from "./protocol-node.ts";

const port = parentPort!;
const flags = workerData as Int32Array;
let engine: Engine | undefined;
let last = Promise.resolve();

port.on("message", ({ id, request }: Message) => {
  last = last.then(async () => {
    Atomics.store(flags, BUSY, 1);
    if (Atomics.load(flags, CLOSING) === 0) port.postMessage(await reply(id, request));
    Atomics.store(flags, BUSY, 0);
    Atomics.notify(flags, BUSY);
  });
});

function reply(id: number, request: Request): Promise<Reply> {
  return answer(request).then(
    (value) => ({ id, ok: true, value }),
    (error: unknown) => ({ id, ok: false, problem: problemOf(error), noKernel: error instanceof NoKernelError }),
  );
}

async function answer(request: Request): Promise<unknown> {
  if (request.type === "open") {
    engine = await Engine.open(request.options);
    return undefined;
  }
  const open = engine!;
  switch (request.type) {
    case "compile":
      return open.compile(request.compiled);
    case "run":
      return open.run(request.executable, request.feeds, request.shapes);
    case "release":
      return open.release(request.executable);
    case "write":
      return open.write(request.name, request.tensor);
    case "map":
      return open.map(request.name, request.tensor);
    case "read":
      return open.read(request.name);
    case "free":
      return open.free(request.name);
    case "close":
      return open.close();
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof LowrankError) return error.problem;
  const message = error instanceof Error ? error.message.trim() : String(error);
  const failed = /while running (\S+) node\. Name:'(.*?)' Status Message: (.*)/s.exec(message);
  if (failed === null) return { where: "engine", what: message };
  const [, opType, name, reason] = failed;
  // What the engine expected and did not find, without the place in its source.
  return {
    where: name!,
    what: `${opType!} failed in the engine`,
    got: reason!.replace(/^.* was false\. |^\S+:\d+ \S+ /s, ""),
  };
}
