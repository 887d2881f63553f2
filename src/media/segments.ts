/** This file records into several files, one after the other. */
import { Buffer } from "node:buffer";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { isAnnexB, joinUnits, parameterSets } from "../core/mod.ts";

import { isDiskFull, loadNodeAv } from "./node_av.ts";
import { pictureSizeOf } from "./picture_size.ts";
import { LONGEST_GAP_NS } from "./recording/recorded_track.ts";
import { Recorder } from "./recorder.ts";
import type { RecorderPacket } from "./recording/recorder_track.ts";
import { RingTimeline, type RingTimes } from "./time/ring_timeline.ts";

/** How a {@linkcode SegmentRecorder} cuts and names. */
export interface SegmentOptions {
  /**
   * The path of a segment that begins at a time. Directories are made; a number is added to the name of a file that
   * exists.
   */
  pathOf(start: Date): string;
  /** As `RecorderOptions.format`. */
  format?: string | undefined;
  /** Seconds after which a segment ends, at the next key packet; default: never. */
  seconds?: number | undefined;
  /** Milliseconds after which recording is tried again on a full disk; default: `write()` throws. */
  retryMs?: number | undefined;
  /** Told of each segment that begins. */
  onBegin?(path: string): void;
  /** Told of each segment that is complete, or as complete as it can be. */
  onEnd?(segment: Segment): void;
  /** Told when the disk is full and packets are dropped. */
  onFull?(error: unknown): void;
}

/** A finished file. */
export interface Segment {
  readonly path: string;
  /** When its first packet came. */
  readonly start: Date;
  /** Seconds from its first packet to its last. */
  readonly seconds: number;
  readonly packets: number;
  /** The file's size. */
  readonly bytes: number;
}

/** What the packets are, as a packet reader says. */
export interface PacketTrack {
  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  /** As `RecorderOptions.description`; empty where there is none. */
  readonly description: Uint8Array;
  /** Of the pictures, where they cannot be decoded. */
  readonly codedWidth: number;
  readonly codedHeight: number;
}

/** The most files of one name. */
const SAME_NAMES_MAX = 100_000;

interface Current {
  readonly recorder: Recorder;
  readonly track: { codecId: number; description: Uint8Array };
  readonly start: Date;
  readonly startNs: bigint;
  /** When the last packet is decoded. */
  decodeNs: bigint;
  packets: number;
}

/**
 * Records packets into durable files. A file begins at a key packet, where the time of the last one is up or the
 * codec's parameters change; a break in the stream stays in its file, as the gap it was, up to 30 minutes: a longer
 * one ends it.
 */
export class SegmentRecorder implements AsyncDisposable {
  readonly #options: SegmentOptions;
  readonly #timeline = new RingTimeline();
  readonly #segmentNs: bigint | undefined;
  #current: Current | undefined;
  /** The first packet's time; cuts are due at whole segments from there, however late key packets come. */
  #originNs: bigint | undefined;
  #cutNs = 0n;
  #newestNs = 0n;
  /** When a full disk is tried again, by `performance.now()`. */
  #retryAt: number | undefined;

  constructor(options: SegmentOptions) {
    this.#options = options;
    this.#segmentNs = options.seconds === undefined ? undefined : BigInt(Math.round(options.seconds * 1e9));
  }

  /** How long the recording is by now, with its gaps, in seconds. */
  get seconds(): number {
    return this.#originNs === undefined ? 0 : Number(this.#newestNs - this.#originNs) / 1e9;
  }

  /** The file that is written now. */
  get path(): string | undefined {
    return this.#current?.recorder.path;
  }

  /**
   * Takes the next packet; those before the first key packet are left out. Await it before the next one.
   *
   * @throws {CuframesError} `IO` where the disk is full, unless `retryMs` is given, and as `Recorder.write`
   */
  async write(packet: RecorderPacket & RingTimes, trackOf: () => PacketTrack): Promise<void> {
    const { data, type } = packet;
    const placed = { data, type, ...this.#timeline.place(0, packet) };
    try {
      const last = this.#current?.decodeNs ?? placed.decodeTimestampNs;
      if (placed.decodeTimestampNs - last > LONGEST_GAP_NS) await this.#end();
      if (placed.type === "key") await this.#cut(placed, trackOf);
      const current = this.#current;
      if (current === undefined) return;
      await current.recorder.write(placed);
      current.packets++;
      current.decodeNs = placed.decodeTimestampNs;
      if (placed.timestampNs > this.#newestNs) this.#newestNs = placed.timestampNs;
    } catch (error) {
      // What is on the disk stays.
      await this.#end().catch(() => {});
      if (this.#options.retryMs === undefined || !isDiskFull(error)) throw error;
      if (this.#retryAt === undefined) this.#options.onFull?.(error);
      this.#retryAt = performance.now() + this.#options.retryMs;
    }
  }

  /**
   * Completes the last file.
   *
   * @throws {CuframesError} as {@linkcode SegmentRecorder.write}
   */
  async close(): Promise<void> {
    await this.#end();
  }

  /** As {@linkcode SegmentRecorder.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Begins a file at this key packet, where one is due. */
  async #cut(key: RecorderPacket, trackOf: () => PacketTrack): Promise<void> {
    const { data, timestampNs, decodeTimestampNs: decodeNs } = key;
    if (this.#retryAt !== undefined && performance.now() < this.#retryAt) return;
    const stated = trackOf();
    const { codecId } = stated;
    const inBand = isAnnexB(codecId) ? joinUnits(parameterSets(codecId, data)) : new Uint8Array(0);
    const description = inBand.length > 0 ? inBand : stated.description;
    const current = this.#current;
    const changed = current !== undefined &&
      (current.track.codecId !== codecId || Buffer.compare(current.track.description, description) !== 0);
    const due = this.#segmentNs !== undefined && timestampNs >= this.#cutNs;
    if (current !== undefined && !changed && !due) return;
    await this.#end();

    const start = new Date();
    const size = await pictureSizeOf(await loadNodeAv(), codecId, description, data);
    const path = await reserve(this.#options.pathOf(start));
    const { format } = this.#options;
    const options = {
      codecId,
      description,
      codedWidth: size?.codedWidth ?? stated.codedWidth,
      codedHeight: size?.codedHeight ?? stated.codedHeight,
      durable: true,
      ...(format === undefined ? {} : { format }),
    };
    const recorder = await Recorder.create(path, options).catch(async (error) => {
      await rm(path);
      throw error;
    });
    const track = { codecId, description };
    this.#current = { recorder, track, start, startNs: timestampNs, decodeNs, packets: 0 };
    this.#originNs ??= timestampNs;
    this.#newestNs = timestampNs;
    this.#retryAt = undefined;
    if (this.#segmentNs !== undefined) {
      const origin = this.#originNs;
      this.#cutNs = origin + ((timestampNs - origin) / this.#segmentNs + 1n) * this.#segmentNs;
    }
    this.#options.onBegin?.(path);
  }

  async #end(): Promise<void> {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    const { recorder: { path }, start, startNs, packets } = current;
    try {
      await current.recorder.close();
    } finally {
      // A file that never got a piece that can be played is gone.
      const bytes = await stat(path).then(({ size }) => size, () => undefined);
      const seconds = Number(this.#newestNs - startNs) / 1e9;
      if (bytes !== undefined) this.#options.onEnd?.({ path, start, seconds, packets, bytes });
    }
  }
}

/** Makes an empty file, and its directory, under a name that nothing has yet. */
async function reserve(wanted: string): Promise<string> {
  await mkdir(dirname(wanted), { recursive: true });
  const extension = extname(wanted);
  const stem = wanted.slice(0, wanted.length - extension.length);
  for (let number = 0;; number++) {
    const path = number === 0 ? wanted : `${stem}-${number}${extension}`;
    try {
      await (await open(path, "wx")).close();
      return path;
    } catch (error) {
      const taken = error instanceof Error && "code" in error && error.code === "EEXIST";
      if (!taken || number === SAME_NAMES_MAX) throw error;
    }
  }
}
