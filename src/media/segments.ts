/** This file records into several files, one after the other. */
import { clearTimeout, setTimeout } from "node:timers";
import { isAnnexB, joinUnits, parameterSets, TRACKS_MAX } from "../core/mod.ts";

import type { TrackPacket } from "./all_tracks.ts";
import { CallQueue } from "./call_queue.ts";
import { isDiskFull, loadNodeAv } from "./node_av.ts";
import { pictureSizeOf } from "./picture_size.ts";
import type { LeftTrack } from "./recording/taken_tracks.ts";
import { type HeldPacket, HeldPackets } from "./recording/held_packets.ts";
import { PRIMING_NS } from "./recording/prelude.ts";
import { OpenSegment, type Segment } from "./recording/open_segment.ts";
import { LONGEST_GAP_NS } from "./recording/recorded_track.ts";
import type { RecorderPacket, RecorderTrack } from "./recording/recorder_track.ts";
import { later } from "./time/nanoseconds.ts";
import { RingTimeline, type RingTimes } from "./time/ring_timeline.ts";

export type { Segment } from "./recording/open_segment.ts";

const SECOND = 1_000_000_000n;
/** Sound and picture of one moment come within so long, in the stream's time where a file may end there. */
const APART_NS = SECOND;
/** Elsewhere: what is held is not on the disk. */
const APART_WITHIN_NS = SECOND * 3n / 10n;
/** The same by this machine's clock, in ms, when nothing comes. */
const APART_MS = 1000;

/** How a {@linkcode SegmentRecorder} cuts and names. */
export interface SegmentOptions {
  /**
   * The path of a segment that begins at a time. Directories are made; a number is added to the name of a file that
   * exists.
   */
  pathOf(start: Date): string;
  /** As `RecorderOptions.format`. */
  format?: string | undefined;
  /** As `RecorderOptions.sync`; default: 2. */
  sync?: number | undefined;
  /** As `RecorderOptions.audio`. */
  audio?: "aac" | undefined;
  /** Seconds after which a segment ends, at the next key packet; default: never. */
  seconds?: number | undefined;
  /** Milliseconds after which recording is tried again on a full disk; default: `write()` throws. */
  retryMs?: number | undefined;
  /** Told of each segment that begins, and of the tracks that its format does not take. */
  onBegin?(path: string, left: readonly LeftTrack[]): void;
  /** Told of each segment that is complete, or as complete as it can be. */
  onEnd?(segment: Segment): void;
  /** Told when the disk is full and packets are dropped. */
  onFull?(error: unknown): void;
}

/** A packet of a reader's tracks. */
export interface SegmentPacket extends RecorderPacket, RingTimes {
  /** Which track it is of; default: 0. */
  readonly track?: number | undefined;
  /** What its track is from this packet on, where that changes. */
  readonly config?: RecorderTrack | undefined;
  /** The track's description from this packet on, where that changes. */
  readonly description?: Uint8Array | undefined;
}

/** A packet of any track of a subscriber, as a {@linkcode SegmentRecorder} takes it. */
export function recordable({ packet, track, epoch }: TrackPacket): SegmentPacket {
  const { data, type, hidden, timestampNs, decodeTimestampNs, discontinuity, config } = packet;
  return {
    ...{ data, type, hidden, timestampNs, decodeTimestampNs, discontinuity, track, epoch },
    ...(config && { config }),
  };
}

/** What a track is now; undefined where there is none of that number. */
export type TrackOf = (track: number) => RecorderTrack | undefined;

/** What a packet of the picture says besides itself. */
interface News {
  /** The track may be another from here on. */
  readonly told: boolean;
  /** Something is missing before it. */
  readonly isBreak: boolean;
}

/** A file whose picture has ended, and whose sound may still come. */
interface Ending {
  readonly segment: OpenSegment;
  /** When the next file begins: its sound, and the decode time of its picture. */
  readonly untilNs: bigint;
  readonly endNs: bigint;
}

/**
 * Records packets into durable files. A file begins at a key packet of the picture, where the time of the last one is up
 * or a track has changed; a break in the stream stays in its file, as the gap it was, up to 30 minutes: a longer one ends
 * it. Sound and data go into the file in whose time they begin, also where they come up to a second before the picture of
 * that moment or behind it; behind a break that time begins 150 ms before the picture. Without a picture the first track
 * says where files begin, at any packet.
 */
export class SegmentRecorder implements AsyncDisposable {
  readonly #options: SegmentOptions;
  readonly #timeline = new RingTimeline();
  readonly #segmentNs: bigint | undefined;
  readonly #calls = new CallQueue();
  readonly #held = new HeldPackets();
  /** The tracks as they are now; the one that files begin with. */
  #tracks: RecorderTrack[] = [];
  #lead = 0;
  /** What packets have said of their tracks. */
  readonly #configs = new Map<number, RecorderTrack>();
  /** Which publisher each is of. */
  readonly #epochs = new Map<number, number | undefined>();
  #current: OpenSegment | undefined;
  #ending: Ending | undefined;
  /** A track has changed: the next key packet begins a file. */
  #changed = false;
  /** From when on sound belongs to the current file. */
  #beginNs = 0n;
  /** The first packet's time; cuts are due at whole segments from there, however late key packets come. */
  #originNs: bigint | undefined;
  #cutNs = 0n;
  #newestNs = 0n;
  /** The newest of all packets, of the picture in decode order, and how far it was from the one before. */
  #heardNs: bigint | undefined;
  #leadNs: bigint | undefined;
  #stepNs = 0n;
  /** When a full disk is tried again, by `performance.now()`. */
  #retryAt: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failure: { readonly cause: unknown } | undefined;
  #dropped = 0;

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
   * Packets that are in no file: of the picture while it waited for a key packet or for room on the disk, of other tracks what
   * came while no file could have it. Sound from before the first file is not counted.
   */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Takes the next packet of a track; those of the picture before its first key packet are left out. Await it before the next
   * one.
   *
   * @param trackOf what a track is now; asked for all tracks from 0 on at each key packet, and for one where it has changed
   * @throws {CuframesError} `IO` where the disk is full, unless `retryMs` is given, and as `Recorder.write`
   */
  write(packet: SegmentPacket, trackOf: TrackOf): Promise<void> {
    return this.#calls.run(async () => {
      try {
        if (this.#failure) throw this.#failure.cause;
        await this.#write(packet, trackOf);
      } catch (error) {
        await this.#fail(error);
      }
      this.#arm();
    });
  }

  /**
   * Completes the last file.
   *
   * @throws {CuframesError} as {@linkcode SegmentRecorder.write}
   */
  async close(): Promise<void> {
    if (this.#calls.closed) return;
    clearTimeout(this.#timer);
    try {
      await this.#calls.run(async () => {
        try {
          await this.#release(true);
        } finally {
          await this.#endAll();
        }
      });
    } finally {
      await this.#calls.close();
    }
  }

  /** As {@linkcode SegmentRecorder.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #write(packet: SegmentPacket, trackOf: TrackOf): Promise<void> {
    const track = packet.track ?? 0;
    const { data, type, durationNs, hidden } = packet;
    const placed = { data, type, durationNs, hidden, ...this.#timeline.place(track, packet) };
    this.#heardNs = later(this.#heardNs ?? placed.timestampNs, placed.timestampNs);
    const isOther = packet.epoch !== this.#epochs.get(track);
    // What a packet has said of its track holds until another publisher begins.
    if (isOther) this.#configs.delete(track);
    if (packet.config !== undefined) this.#configs.set(track, packet.config);
    const told = isOther || packet.config !== undefined || packet.description !== undefined;
    this.#epochs.set(track, packet.epoch);
    if (this.#tracks.length === 0) this.#ask(trackOf);
    const isBreak = packet.discontinuity || isOther;
    if (track === this.#lead) await this.#writeLead(placed, { told, isBreak }, trackOf);
    else {
      if (told || this.#tracks[track] === undefined) {
        this.#learn(track, this.#configs.get(track) ?? trackOf(track));
      }
      const as = this.#tracks[track];
      if (as === undefined) this.#drop();
      else this.#held.push({ packet: placed, track, as });
    }
    await this.#release(false);
  }

  /** What the tracks are now. */
  #ask(trackOf: TrackOf): void {
    const tracks: RecorderTrack[] = [];
    for (let track = 0; track < TRACKS_MAX; track++) {
      const stated = this.#configs.get(track) ?? trackOf(track);
      if (stated === undefined) break;
      tracks.push(stated);
    }
    this.#tracks = tracks;
    this.#lead = Math.max(0, tracks.findIndex(({ kind }) => kind === "video"));
  }

  #learn(track: number, stated: RecorderTrack | undefined): void {
    if (stated !== undefined && track <= this.#tracks.length) this.#tracks[track] = stated;
  }

  async #writeLead(packet: RecorderPacket, news: News, trackOf: TrackOf): Promise<void> {
    const { decodeTimestampNs: decodeNs, timestampNs } = packet;
    const step = decodeNs - (this.#leadNs ?? decodeNs);
    if (step > LONGEST_GAP_NS) {
      await this.#release(true);
      await this.#endAll();
    } else if (step > 0n) this.#stepNs = step;
    this.#leadNs = decodeNs;
    if (packet.type === "key") await this.#cut(packet, news, trackOf);
    if (this.#current === undefined) return this.#drop(true);
    const durationNs = packet.durationNs || this.#stepNs;
    await this.#current.write({ ...packet, durationNs }, this.#lead, true);
    if (timestampNs > this.#newestNs) this.#newestNs = timestampNs;
  }

  /** Begins a file at this key packet, where one is due. */
  async #cut(key: RecorderPacket, { told, isBreak }: News, trackOf: TrackOf): Promise<void> {
    const { data, timestampNs, decodeTimestampNs } = key;
    if (this.#retryAt !== undefined && performance.now() < this.#retryAt) return;
    const due = this.#segmentNs !== undefined && timestampNs >= this.#cutNs;
    const isSound = this.#tracks[this.#lead]?.kind !== "video";
    // Of sound every packet is a key packet.
    if (isSound && this.#current !== undefined && !due && !told && !this.#changed) return;
    this.#ask(trackOf);
    const stated = this.#tracks[this.#lead];
    if (stated === undefined) return;
    const isVideo = stated.kind === "video";
    const { codecId } = stated;
    const inBand = isVideo && isAnnexB(codecId) ? joinUnits(parameterSets(codecId, data)) : new Uint8Array(0);
    const description = inBand.length > 0 ? inBand : stated.description ?? new Uint8Array(0);
    const tracks = this.#tracks.with(this.#lead, { ...stated, description });
    const changed = this.#changed || this.#current?.isOf(tracks) === false;
    if (this.#current !== undefined && !changed && !due) return;
    // Behind a break a stream's sound may begin a little before its picture: it is not the end of the file before.
    this.#beginNs = isBreak ? later(this.#newestNs, timestampNs - PRIMING_NS) : timestampNs;
    await this.#turn({ untilNs: this.#beginNs, endNs: decodeTimestampNs });

    const start = new Date();
    const size = isVideo ? await pictureSizeOf(await loadNodeAv(), codecId, description, data) : undefined;
    const { format, sync, audio } = this.#options;
    const options = {
      ...(format === undefined ? {} : { format }),
      ...(sync === undefined ? {} : { sync }),
      ...(audio === undefined ? {} : { audio }),
    };
    const file = {
      path: this.#options.pathOf(start),
      tracks: size === undefined ? tracks : tracks.with(this.#lead, { ...stated, description, ...size }),
      options,
    };
    const current = this.#current = await OpenSegment.create(file, start, timestampNs);
    this.#changed = false;
    this.#originNs ??= timestampNs;
    this.#newestNs = timestampNs;
    this.#retryAt = undefined;
    if (this.#segmentNs !== undefined) {
      const origin = this.#originNs;
      this.#cutNs = origin + ((timestampNs - origin) / this.#segmentNs + 1n) * this.#segmentNs;
    }
    this.#options.onBegin?.(current.recorder.path, current.recorder.left);
  }

  /** The current file's picture ends: the file does, when its sound is there. */
  async #turn(end: Omit<Ending, "segment">): Promise<void> {
    await this.#endEnding();
    const segment = this.#current;
    if (segment === undefined) return;
    this.#current = undefined;
    this.#ending = { segment, ...end };
    await this.#release(false);
  }

  /** Writes what is held and may be written; all of it, when nothing more comes. */
  async #release(all: boolean): Promise<void> {
    if (this.#current === undefined && this.#ending === undefined) {
      // Before the first file; the recorder says what of it belongs to it.
      const heard = this.#heardNs ?? 0n;
      const isOld = ({ packet }: HeldPacket) =>
        all || this.#held.isFull || heard - packet.timestampNs > APART_NS;
      for (const _ of this.#held.take(isOld)) this.#drop();
      return;
    }
    const full = all || this.#held.isFull;
    for (const held of this.#held.take((one) => full || this.#isDue(one))) await this.#place(held);
    if (this.#ending !== undefined && (all || this.#isWhole(this.#ending))) await this.#endEnding();
  }

  /** Whether no later packet of the picture can change which file this one belongs to. */
  #isDue({ packet: { timestampNs } }: HeldPacket): boolean {
    if (this.#ending !== undefined && timestampNs < this.#ending.untilNs) return true;
    if (this.#current === undefined) return false;
    if (this.#leadNs! > timestampNs) return true;
    const mayEnd = this.#segmentNs !== undefined && timestampNs >= this.#cutNs;
    return this.#heardNs! - timestampNs > (mayEnd ? APART_NS : APART_WITHIN_NS);
  }

  async #place({ packet, track, as }: HeldPacket): Promise<void> {
    const belongs = this.#ending !== undefined && packet.timestampNs < this.#ending.untilNs;
    const segment = belongs ? this.#ending!.segment : this.#current;
    const isLate = !belongs && segment !== undefined && packet.timestampNs < this.#beginNs &&
      segment.startNs !== this.#originNs;
    if (isLate) return this.#drop();
    if (segment?.fits(track, as, packet.decodeTimestampNs)) return await segment.write(packet, track, false);
    // A file has its tracks from its beginning on.
    if (segment === this.#current) this.#changed = true;
    this.#drop();
  }

  /** Whether the sound of an ending file is there, or would have been. */
  #isWhole({ untilNs }: Ending): boolean {
    if (this.#leadNs! - untilNs > APART_NS) return true;
    return this.#tracks.every((_, track) => track === this.#lead || this.#current?.has(track));
  }

  #drop(isLead = false): void {
    if (isLead || this.#originNs !== undefined) this.#dropped++;
  }

  async #endEnding(): Promise<void> {
    const ending = this.#ending;
    if (ending === undefined) return;
    this.#ending = undefined;
    await ending.segment.end(ending.endNs, (segment) => this.#options.onEnd?.(segment));
  }

  async #endAll(): Promise<void> {
    const segment = this.#current;
    this.#current = undefined;
    try {
      await this.#endEnding();
    } finally {
      await segment?.end(undefined, (ended) => this.#options.onEnd?.(ended));
    }
  }

  async #fail(error: unknown): Promise<void> {
    this.#failure = undefined;
    // What is on the disk stays.
    await this.#endAll().catch(() => {});
    if (this.#options.retryMs === undefined || !isDiskFull(error)) throw error;
    if (this.#retryAt === undefined) this.#options.onFull?.(error);
    this.#retryAt = performance.now() + this.#options.retryMs;
  }

  /** Sees to it that nothing is held for long when nothing comes: each packet puts it off. */
  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waits = this.#ending !== undefined || (!this.#held.isEmpty && this.#current !== undefined);
    if (!waits || this.#calls.closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#calls.closed) return;
      // A packet that was being written has armed it again.
      const release = async () => this.#timer === undefined ? await this.#release(true) : undefined;
      this.#calls.run(release).catch((cause) => this.#failure ??= { cause });
    }, APART_MS);
    this.#timer.unref();
  }
}
