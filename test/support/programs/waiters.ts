// Many who wait in one process for publishers that are still to come.

import { Subscriber } from "../../../mod.ts";
import { optionsOf, outcomeOf, report, serve } from "./worker.ts";

export interface Options {
  runtimeDirectory: string;
}

export type Command =
  /**
   * Begins to connect to each key so many times. When each has an outcome: "done", with the milliseconds that took, how
   * often each code came about ("connected" where it worked), and one of the sentences.
   */
  | { do: "connect"; keys: string[]; each: number; timeout: number; abortAfter?: number }
  /** "closed" */
  | { do: "close" };

const { runtimeDirectory } = optionsOf<Options>();
const subscribers: Subscriber[] = [];

async function connectAll(keys: string[], options: { timeout: number; signal?: AbortSignal }): Promise<void> {
  const start = performance.now();
  const codes: Record<string, number> = {};
  let message = "";
  const count = (code: string) => codes[code] = (codes[code] ?? 0) + 1;
  await Promise.all(keys.map((key) =>
    Subscriber.connect(key, { runtimeDirectory, ...options }).then(
      (subscriber) => {
        subscribers.push(subscriber);
        count("connected");
      },
      (error) => {
        count(error === options.signal?.reason ? "aborted" : outcomeOf(error).code);
        message = String(error.message);
      },
    )
  ));
  report("done", { milliseconds: performance.now() - start, codes, message });
}

function obey(command: Command): void {
  if (command.do === "close") {
    for (const subscriber of subscribers.splice(0)) subscriber.close();
    return report("closed");
  }
  const { keys, each, timeout, abortAfter } = command;
  const all = keys.flatMap((key) => new Array<string>(each).fill(key));
  const signal = abortAfter === undefined ? {} : { signal: AbortSignal.timeout(abortAfter) };
  connectAll(all, { timeout, ...signal });
}

await serve(obey);
