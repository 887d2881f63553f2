// A safety net for what holds something native and was left behind unclosed: it is closed when it has been collected.

import process from "node:process";
import { isOver } from "./library.ts";

/** What is closed in the place of an object that has been collected; it must not lead to that object. */
interface Left {
  readonly kind: string;
  readonly opened: string;
  readonly close: () => void;
}

const warned = new Set<string>();

const registry = new FinalizationRegistry<Left>(({ kind, opened, close }) => {
  if (isOver()) return;
  warn(kind, opened);
  try {
    close();
  } catch {
    // Its publisher, or what it belonged to, was closed in the meantime.
  }
});

/**
 * Where something long-lived is opened, for a warning: to be called in the call that opens it. It is text, since an error
 * that is not looked at keeps the objects alive whose methods it has passed.
 */
export function openedHere(): string {
  return (new Error().stack ?? "").split("\n").filter((line) => !line.startsWith("Error")).join("\n");
}

/**
 * Lets `close` be called, with one warning for each kind, when the object is collected before {@linkcode closedInTime} was.
 *
 * @param close must not lead to the object, or it is never collected; nor be written where another closure has `this`,
 * since closures of one function share what they hold
 * @param opened where it was opened
 */
export function closeWhenCollected(
  object: WeakKey,
  kind: string,
  opened: string,
  close: () => void,
): void {
  registry.register(object, { kind, opened, close }, object);
}

/** Takes the object out of the net. */
export function closedInTime(object: WeakKey): void {
  registry.unregister(object);
}

function warn(kind: string, opened: string): void {
  if (warned.has(kind)) return;
  warned.add(kind);
  const message =
    `a ${kind} was collected that nobody had closed, and is closed now; it is better closed at once, ` +
    `by close() or \`using\`. This is said once for each kind. It was opened here:\n${opened}`;
  if ("Deno" in globalThis) console.warn(`cuframes: ${message}`);
  else process.emitWarning(message, { type: "CuframesWarning", code: "CUFRAMES_UNCLOSED" });
}
