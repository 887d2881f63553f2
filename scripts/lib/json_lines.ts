// How processes of this project talk to each other: a JSON object a line. Runs on Node, Deno and Bun.

import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

// What is no object is something that the program or its runtime prints for people.
const isMessage = (line: string) => line.startsWith("{");

/** Hands over each message as soon as its line is there, and each other line. */
export function onJsonLine<Message extends object>(
  input: Readable,
  take: (message: Message) => void,
  takeOther: (line: string) => void = () => {},
): void {
  createInterface({ input }).on("line", (line) => isMessage(line) ? take(JSON.parse(line)) : takeOther(line));
}

/** The messages in turn, until the stream ends. */
export async function* jsonLines<Message extends object>(
  input: Readable,
): AsyncGenerator<Message, void, void> {
  for await (const line of createInterface({ input })) if (isMessage(line)) yield JSON.parse(line);
}

/** The messages in what was read before. */
export function parseJsonLines<Message extends object = Record<string, unknown>>(
  text: string | Uint8Array,
): Message[] {
  const whole = typeof text === "string" ? text : new TextDecoder().decode(text);
  return whole.split("\n").filter(isMessage).map((line) => JSON.parse(line));
}
