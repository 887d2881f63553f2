/** This file says what a recorder can be told, and checks it. */
import { checkOptions, invalid, optionNames, shown } from "../../core/mod.ts";
import { checkTracks, type RecorderTrack } from "./recorder_track.ts";

/** The longest time between synchronizations with the disk, in s: an hour. */
const SYNC_MAX = 3600;
/** How often a durable recording is synchronized unless it is told, in s. */
const SYNC_DEFAULT = 2;

/**
 * What a `Recorder` records: several `tracks`, or one video track by its fields.
 *
 * @example
 * ```ts
 * import { Recorder, type RecorderOptions } from "@cuframes/core/media";
 *
 * export async function create(options: RecorderOptions): Promise<void> {
 *   await using _recorder = await Recorder.create("camera.mp4", options);
 * }
 * ```
 */
export interface RecorderOptions {
  /** The tracks, 8 at most, in the order of `write`'s numbers; default: one video track of the fields below. */
  tracks?: readonly RecorderTrack[];
  /** FFmpeg's `AVCodecID`. */
  codecId?: number;
  /**
   * Annex B parameter sets for H.264 and HEVC, else the codec's own header; default: the parameter sets of the
   * first key packet.
   */
  description?: Uint8Array;
  /** Width in pixels. */
  codedWidth?: number;
  /** Height in pixels. */
  codedHeight?: number;
  /**
   * `"mp4"`, `"mov"`, `"matroska"`, `"webm"`, `"mpegts"`, `"nut"`, or the bare streams `"h264"` and `"hevc"`;
   * default: by the path's extension.
   */
  format?: string;
  /**
   * Whether what was written can be played however the process ends, but for the last second; default: false for a
   * path, true for a descriptor.
   */
  durable?: boolean;
  /**
   * Seconds after which what was written is on the disk, where a power failure leaves it; 0: as late as the kernel likes,
   * and `close()` does not wait for the disk either. Default: 2 for a path that is `durable`, else 0.
   */
  sync?: number;
  /** `"aac"`: sound of another codec is encoded as AAC, in stereo at most; default: it is recorded as it is. */
  audio?: "aac";
}

const RECORDER_OPTIONS = optionNames<RecorderOptions>(
  {
    tracks: true,
    codecId: true,
    description: true,
    codedWidth: true,
    codedHeight: true,
    format: true,
    durable: true,
    sync: true,
    audio: true,
  },
  // A media reader's track has it besides.
  ["codec"],
);

/** Options that hold, with their defaults. */
export interface CheckedOptions {
  readonly stated: readonly RecorderTrack[];
  readonly format: string | undefined;
  readonly durable: boolean;
  readonly sync: number;
  readonly encodes: boolean;
}

/** Checks them for a file, or for a descriptor. @throws {CuframesError} `INVALID_ARGUMENT` */
export function checkRecorder(given: RecorderOptions, toFile: boolean): CheckedOptions {
  const options = checkOptions(given, RECORDER_OPTIONS);
  const { tracks, codecId, description, codedWidth, codedHeight, audio, format } = options;
  const video = { kind: "video", codecId: codecId!, description, codedWidth, codedHeight } as const;
  const stated = checkTracks(tracks ?? [video]);
  const durable = options.durable ?? !toFile;
  const sync = options.sync ?? (durable && toFile ? SYNC_DEFAULT : 0);
  if (typeof sync !== "number" || !(sync >= 0 && sync <= SYNC_MAX)) {
    throw invalid(`sync is ${shown(sync)}: it must be a number of seconds from 0 to ${SYNC_MAX}`);
  }
  if (audio !== undefined && audio !== "aac") throw invalid(`audio is ${shown(audio)}: it must be "aac"`);
  return { stated, format, durable, sync, encodes: audio === "aac" };
}
