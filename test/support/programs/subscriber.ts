// One or more subscribers that check every frame and packet they get, and report when their publisher is gone.

import { setTimeout } from "node:timers/promises";
import {
  CuframesError,
  type Frame,
  type PacketRingReader,
  Subscriber,
  type SubscriberOptions,
} from "../../../mod.ts";
import { isWhole, isWholePacket } from "./content.ts";
import { optionsOf, report } from "./worker.ts";

export interface Options extends SubscriberOptions {
  key: string;
  /** Subscribers in this process; default 1. */
  count?: number;
  /** Milliseconds to keep each frame; 0: closed at once. */
  hold?: number;
  /** Frames to keep held at any time; "holding" is reported once there are so many. */
  keep?: number;
  /** Reads the packets too. */
  readPackets?: boolean;
}

/** What one subscriber saw. */
export interface Result {
  received: number;
  dropped: number;
  /** Frames whose content was not that of their sequence, when they came or after they were held. */
  torn: number;
  /** Frames that did not come after the one before. */
  disordered: number;
  /** Sequence of the last frame; 0 without one. */
  last: number;
  packets: { received: number; lost: number; torn: number; last: number };
}

const options = optionsOf<Options>();

async function readFrames(subscriber: Subscriber, result: Result): Promise<void> {
  const kept: Frame[] = [];
  for await (const frame of subscriber) {
    if (result.last === 0) report("frame");
    if (Number(frame.sequence) <= result.last) result.disordered++;
    result.last = Number(frame.sequence);
    await check(frame, result);
    if (options.hold) await setTimeout(options.hold);
    kept.push(frame);
    if (kept.length === options.keep) {
      report("holding", { sequences: kept.map(({ sequence }) => Number(sequence)) });
    }
    if (kept.length > (options.keep ?? 0)) await close(kept.shift(), result);
  }
  for (const frame of kept) await close(frame, result);
}

async function check(frame: Frame, result: Result): Promise<void> {
  if (!(await isWhole(frame))) result.torn++;
}

async function close(frame: Frame | undefined, result: Result): Promise<void> {
  if (frame === undefined) return;
  await check(frame, result);
  frame.close();
}

async function readPackets(reader: PacketRingReader, result: Result): Promise<void> {
  for await (const packet of reader) {
    if (!isWholePacket(packet)) result.packets.torn++;
    result.packets.last = Number(packet.sequence);
  }
  const { received, lost } = reader.stats();
  Object.assign(result.packets, { received, lost });
}

async function follow(subscriber: Subscriber, reader: PacketRingReader | undefined): Promise<Result> {
  const packets = { received: 0, lost: 0, torn: 0, last: -1 };
  const result: Result = { received: 0, dropped: 0, torn: 0, disordered: 0, last: 0, packets };
  await Promise.all([
    options.frames === false ? undefined : readFrames(subscriber, result),
    reader === undefined ? undefined : readPackets(reader, result),
  ]);
  const { received, dropped } = subscriber.stats();
  return { ...result, received, dropped };
}

try {
  const subscribers: Subscriber[] = [];
  for (let index = 0; index < (options.count ?? 1); index++) {
    subscribers.push(
      await Subscriber.connect(options.key, { ...options, name: `${options.name ?? "worker"}-${index}` }),
    );
  }
  // A reader begins at the last key packet: before anything is published.
  const readers = subscribers.map((subscriber) => options.readPackets ? subscriber.packets() : undefined);
  report("connected");
  const following = subscribers.map((subscriber, index) => follow(subscriber, readers[index]));
  report("ended", { results: await Promise.all(following) });
  for (const subscriber of subscribers) subscriber.close();
} catch (error) {
  if (!(error instanceof CuframesError)) throw error;
  report("failed", { code: error.code, message: error.message });
}
