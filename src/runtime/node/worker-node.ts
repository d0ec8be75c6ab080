/** The engine's thread: answers requests one after the other. */
import { parentPort } from "node:worker_threads";
import { LowrankError, type Problem } from "../../errors.ts";
import { Engine } from "./engine-node.ts";
import type { Message, Reply, Request } from "./protocol-node.ts";

const port = parentPort!;
let engine: Engine | undefined;
let last = Promise.resolve();

port.on("message", ({ id, request }: Message) => {
  last = last.then(async () => {
    const reply: Reply = await answer(request).then(
      (value) => ({ id, ok: true, value }),
      (error: unknown) => ({ id, ok: false, problem: problemOf(error) }),
    );
    port.postMessage(reply);
  });
});

async function answer(request: Request): Promise<unknown> {
  if (request.type === "open") {
    engine = new Engine(request.options);
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
  return { where: "engine", what: error instanceof Error ? error.message : String(error) };
}
