/** This file is one file of a recording in several, from when it begins to when it is complete. */
import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import { Recorder } from "../recorder.ts";
import { hasSameDecoder } from "../track.ts";
import { syncDirectory } from "./disk_sync.ts";
import { longestGapOf } from "./recorded_track.ts";
import type { RecorderOptions } from "./recorder_options.ts";
import type { RecorderPacket, RecorderTrack } from "./recorder_track.ts";

/** A finished file. */
export interface Segment {
  /** Where it is. */
  readonly path: string;
  /** When its first packet came. */
  readonly start: Date;
  /** Seconds from the first packet to the last of the track that leads it. */
  readonly seconds: number;
  /** Packets of the picture; without one those of the track that leads it. */
  readonly packets: number;
  /** Packets of sound. */
  readonly audioPackets: number;
  /** Packets of data. */
  readonly dataPackets: number;
  /** The file's size. */
  readonly bytes: number;
}

/** How a file is made. */
export interface SegmentFile {
  readonly path: string;
  readonly tracks: readonly RecorderTrack[];
  readonly options: Pick<RecorderOptions, "format" | "sync" | "audio">;
}

/** The most files of one name. */
const SAME_NAMES_MAX = 100_000;

/** A file that is being written. */
export class OpenSegment {
  readonly #tracks: readonly RecorderTrack[];
  /** When each track's newest packet is decoded. */
  readonly #newest = new Map<number, bigint>();
  #shownNs: bigint;

  readonly recorder: Recorder;
  readonly start: Date;
  /** When it begins, on the recording's line: what begins later belongs to it. */
  readonly startNs: bigint;

  private constructor(recorder: Recorder, tracks: readonly RecorderTrack[], start: Date, startNs: bigint) {
    this.recorder = recorder;
    this.#tracks = tracks;
    this.start = start;
    this.startNs = startNs;
    this.#shownNs = startNs;
  }

  /** Makes the file, and its directory, under a name that nothing has yet. */
  static async create(
    { path: wanted, tracks, options }: SegmentFile,
    start: Date,
    startNs: bigint,
  ): Promise<OpenSegment> {
    const path = await reserve(wanted, options.sync !== 0);
    const recorder = await Recorder.create(path, { tracks, durable: true, ...options }).catch(
      async (error) => {
        await rm(path);
        throw error;
      },
    );
    return new OpenSegment(recorder, tracks, start, startNs);
  }

  /** Whether a track is in it as it is now, and can go on after a time without a packet. */
  fits(track: number, now: RecorderTrack, decodeNs: bigint): boolean {
    const mine = this.#tracks[track];
    const newest = this.#newest.get(track);
    return mine !== undefined && isSame(mine, now) &&
      (newest === undefined || decodeNs - newest <= longestGapOf(now));
  }

  /** Whether it has the same tracks, as they are. */
  isOf(tracks: readonly RecorderTrack[]): boolean {
    return tracks.length === this.#tracks.length &&
      tracks.every((track, index) => isSame(track, this.#tracks[index]!));
  }

  /** Whether it has a packet of a track. */
  has(track: number): boolean {
    return this.#newest.has(track);
  }

  async write(packet: RecorderPacket, track: number, isLead: boolean): Promise<void> {
    await this.recorder.write(packet, track);
    this.#newest.set(track, packet.decodeTimestampNs);
    if (isLead && packet.timestampNs > this.#shownNs) this.#shownNs = packet.timestampNs;
  }

  #packets(): Pick<Segment, "packets" | "audioPackets" | "dataPackets"> {
    const lead = this.#tracks.some(({ kind }) => kind === "video") ? "video" : this.#tracks[0]!.kind;
    const sum = (wanted: RecorderTrack["kind"]) =>
      this.#tracks.reduce(
        (count, { kind }, track) => kind === wanted ? count + this.recorder.packetsOf(track) : count,
        0,
      );
    return { packets: sum(lead), audioPackets: sum("audio"), dataPackets: sum("data") };
  }

  /** Completes the file. @param endNs when the stream goes on in another one @param onEnd told of what there is, even after a failure */
  async end(endNs: bigint | undefined, onEnd: (segment: Segment) => void): Promise<void> {
    const { recorder, start, startNs } = this;
    try {
      await recorder.close({ endNs });
    } finally {
      // A file that never got a piece that can be played is gone.
      const bytes = await stat(recorder.path).then(({ size }) => size, () => undefined);
      const seconds = Number(this.#shownNs - startNs) / 1e9;
      if (bytes !== undefined) {
        onEnd({ path: recorder.path, start, seconds, ...this.#packets(), bytes });
      }
    }
  }
}

/** Whether packets of the one can follow those of the other in a file. */
function isSame(one: RecorderTrack, other: RecorderTrack): boolean {
  return one === other || (one.kind === other.kind && hasSameDecoder(one, other));
}

/** Makes an empty file. @param durably whether new directories are to outlast a power failure */
async function reserve(wanted: string, durably: boolean): Promise<string> {
  const directory = dirname(resolve(wanted));
  const made = await mkdir(directory, { recursive: true });
  // The recorder sees to the directory that the file itself is in.
  if (durably && made !== undefined) {
    for (let child = directory; child.length >= made.length; child = dirname(child)) {
      await syncDirectory(dirname(child));
    }
  }
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
