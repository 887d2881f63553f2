/** This file is `cuframes record --on`: it waits for events, and records what was around each. */
import { InvalidArgumentError } from "commander";
import process from "node:process";
import { createInterface } from "node:readline";
import { checkKey, TRACKS_MAX } from "../core/mod.ts";
import { Subscriber } from "../frames/mod.ts";
import { type EventInit, EventRecorder, type Segment } from "../media/mod.ts";
import type { Context } from "./command.ts";
import { type Output, tellLeft } from "./record_output.ts";
import { printJson } from "./stdout.ts";

/** What begins a recording. */
export type Trigger =
  | { readonly kind: "signal" }
  | { readonly kind: "line" }
  | {
    readonly kind: "data";
    /** The publisher of the data; undefined: the camera's own. */
    readonly key: string | undefined;
    readonly label: string;
    /** Where in a value to look; empty: any value will do. */
    readonly path: readonly string[];
    /** What has to be there; undefined: anything but nothing, `false`, 0 and "". */
    readonly value: string | undefined;
  };

/** Reads `signal`, `line` or `data:[KEY/]LABEL[:PATH[=VALUE]]`. */
export function parseTrigger(text: string): Trigger {
  if (text === "signal" || text === "line") return { kind: text };
  const [, key, label, path, value] = /^data:(?:([^/:]*)\/)?([^:]+)(?::([^=]+)(?:=(.*))?)?$/s.exec(text) ??
    [];
  if (label === undefined) {
    throw new InvalidArgumentError("It must be signal, line, or data:[KEY/]LABEL[:PATH[=VALUE]].");
  }
  return { kind: "data", key: key && keyOf(key), label, path: path?.split(".") ?? [], value };
}

function keyOf(text: string): string {
  try {
    return checkKey(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** Whether a value of a data track is what was waited for. Of a list any item will do, at every step. */
export function matches(value: unknown, path: readonly string[], wanted: string | undefined): boolean {
  if (Array.isArray(value)) return value.some((item) => matches(item, path, wanted));
  const [name, ...rest] = path;
  if (name === undefined) return wanted === undefined ? Boolean(value) : String(value) === wanted;
  const isObject = typeof value === "object" && value !== null;
  return isObject && Object.hasOwn(value, name) &&
    matches((value as Record<string, unknown>)[name], rest, wanted);
}

/** What events are recorded, and how much around each, in seconds. */
export interface EventOptions {
  readonly on: readonly Trigger[];
  readonly pre?: number;
  readonly post?: number;
  /** Whether the next publisher of the key is waited for. */
  readonly reconnect: boolean;
  /** What publishers call the readers. */
  readonly name: string;
}

/** Records events until the signal, or until nothing can begin one any more. */
export async function recordEvents(
  camera: Subscriber,
  options: EventOptions,
  { pathOf, ...output }: Output,
  { signal, log, json, place }: Context,
): Promise<void> {
  const { key } = camera;
  const segments: Segment[] = [];
  let events = 0;
  const failed = Promise.withResolvers<never>();
  const recorder = EventRecorder.start(camera, {
    pathOf: ({ time }) => pathOf(time),
    ...output,
    ...(options.pre !== undefined && { pre: options.pre }),
    ...(options.post !== undefined && { post: options.post }),
    onBegin: (path, { reason }, left) => {
      if (segments.length === 0) tellLeft(path, left, log);
      if (json) printJson({ event: "begin", key, path, reason });
      else log.info(`${reason}: recording ${path}`);
    },
    onEnd: (segment, { reason }) => {
      segments.push(segment);
      if (json) printJson({ event: "segment", key, reason, ...segment });
    },
  });
  const trigger = (event: EventInit) => {
    try {
      recorder.trigger(event);
      recorder.finished().catch(failed.reject);
    } catch (error) {
      return failed.reject(error);
    }
    events++;
    if (json) printJson({ event: "event", key, reason: event.reason });
  };
  const ending = new AbortController();
  const ended = AbortSignal.any([signal, ending.signal]);
  try {
    const watching = { place, name: options.name };
    const sources = options.on.map((each) => watch(each, camera, trigger, ended, watching));
    if (json) printJson({ event: "waiting", key });
    else log.info(`waiting for events of ${key}`);
    const over = options.reconnect ? [] : [endOf(camera, ended)];
    await Promise.race([Promise.all(sources), ...over, failed.promise]);
    await recorder.finished();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    ending.abort();
    await recorder.close();
  }
  const total = { events, segments: segments.length, reconnects: camera.stats().reconnects };
  if (json) printJson({ event: "end", key, ...total });
  else log.info(`${key}: ${events} events in ${segments.length} files`);
}

interface Watching {
  readonly place: Context["place"];
  readonly name: string;
}

/** Tells of each event of one kind; resolves when there can be no more of them. */
async function watch(
  trigger: Trigger,
  camera: Subscriber,
  tell: (event: EventInit) => void,
  signal: AbortSignal,
  watching: Watching,
): Promise<void> {
  if (trigger.kind === "signal") return await watchSignal(tell, signal);
  if (trigger.kind === "line") return await watchLines(tell, signal);
  if (trigger.key === undefined) return await watchData(trigger, camera, tell, signal);
  using other = await Subscriber.connect(trigger.key, {
    frames: false,
    reconnect: true,
    timeout: Infinity,
    name: watching.name,
    signal,
    ...watching.place,
  });
  await watchData(trigger, other, tell, signal);
}

async function watchSignal(tell: (event: EventInit) => void, signal: AbortSignal): Promise<void> {
  const event = () => tell({ reason: "signal" });
  process.on("SIGUSR1", event);
  // Who listens for signals alone has nothing to wait for, as Node sees it, and ends.
  const alive = setInterval(() => {}, 2 ** 31 - 1);
  try {
    await aborted(signal);
  } finally {
    clearInterval(alive);
    process.off("SIGUSR1", event);
  }
}

async function watchLines(tell: (event: EventInit) => void, signal: AbortSignal): Promise<void> {
  const lines = createInterface({ input: process.stdin, signal });
  for await (const line of lines) tell({ reason: line });
}

async function watchData(
  trigger: Extract<Trigger, { kind: "data" }>,
  camera: Subscriber,
  tell: (event: EventInit) => void,
  signal: AbortSignal,
): Promise<void> {
  const { label, path, value: wanted } = trigger;
  using reader = camera.data(label);
  for await (const { value, timestampNs } of reader.values({ signal })) {
    if (path.length === 0 && wanted === undefined || matches(value, path, wanted)) {
      tell({ reason: [label, ...path].join("."), timestampNs });
    }
  }
}

/** Resolves when the publisher is gone. */
async function endOf(camera: Subscriber, signal: AbortSignal): Promise<void> {
  // Hardly anybody has a last track: this waits for the end of the connection, and copies nothing.
  using reader = camera.packets({ track: TRACKS_MAX - 1, wait: true, since: "key" });
  for await (const _ of reader.values({ signal }));
}

/** Rejects when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
