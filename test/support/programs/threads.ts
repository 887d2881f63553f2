// A program that starts JavaScript workers which use the library, and ends them without a word.

import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Said, Task } from "./thread.ts";
import { commands, optionsOf, report, turn } from "./worker.ts";

export type Command =
  /** Starts a worker; reports "ready" when it has begun, "failed" when it has ended by itself. */
  | { do: "start"; does: Task["does"] }
  /** Ends every worker; reports "terminated". */
  | { do: "terminate" }
  /** Starts and ends so many of them, one behind the other, while frames come; reports "rounds". */
  | { do: "rounds"; does: Task["does"]; rounds: number };

/** `node:worker_threads` by name, on a runtime that has workers of its own besides. */
const { ofNode = false, ...place } = optionsOf<Omit<Task, "does"> & { ofNode?: boolean }>();

interface Thread {
  begun: Promise<void>;
  terminate(): Promise<void>;
}

const script = new URL("./thread.ts", import.meta.url).href;
const threads: Thread[] = [];

async function start(does: Task["does"]): Promise<Thread> {
  const begun = Promise.withResolvers<void>();
  const task: Task = { ...place, does };
  const hear = ({ said, detail }: Said) => {
    report(said, { does, detail });
    if (said === "ready") begun.resolve();
    if (said === "failed") begun.reject(new Error(detail));
  };
  const ended = (code: unknown) => begun.reject(new Error(`the worker ended with ${code}`));
  if (!ofNode && ("Deno" in globalThis || "Bun" in globalThis)) {
    const worker = new Worker(script, { type: "module" });
    worker.postMessage(task);
    worker.onmessage = ({ data }) => hear(data);
    worker.onerror = ({ message }) => ended(message);
    worker.addEventListener("close", (event) => ended((event as unknown as { code: number }).code));
    return { begun: begun.promise, terminate: async () => void await (worker.terminate() as unknown) };
  }
  const { Worker: NodeWorker } = await import("node:worker_threads");
  const worker = new NodeWorker(fileURLToPath(script), { workerData: task });
  worker.on("message", hear);
  worker.on("error", ended);
  worker.on("exit", ended);
  return { begun: begun.promise, terminate: async () => void await worker.terminate() };
}

async function obey(command: Command): Promise<void> {
  switch (command.do) {
    case "start": {
      const thread = await start(command.does);
      threads.push(thread);
      return await thread.begun;
    }
    case "terminate":
      for (const thread of threads.splice(0)) await thread.terminate();
      return report("terminated");
    case "rounds":
      for (let round = 0; round < command.rounds; round++) {
        const thread = await start(command.does);
        await thread.begun;
        // Not always at the same place of what it does.
        for (let turns = 0; turns < round % 7; turns++) await turn();
        await thread.terminate();
      }
      return report("rounds");
  }
}

report("started");
for await (const command of commands<Command>()) {
  try {
    await obey(command);
  } catch (error) {
    report("failed", { detail: String(error) });
  }
}
process.exit(0);
