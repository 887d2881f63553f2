/** This file chooses which of an input's streams are read. */
import type { FormatContext, Stream } from "node-av";
import { CuframesError } from "../core/mod.ts";
import type { Source } from "./demuxer.ts";

/** Streams of data that are read at the most: with video and sound they are the tracks that a publisher can have. */
export const MOST_DATA = 6;

/** The streams that are read. */
export interface ChosenStreams {
  readonly video: Stream | undefined;
  /** Sound, then data. */
  readonly beside: readonly Stream[];
}

/**
 * Chooses the streams, and lets the demuxer drop all others.
 *
 * @throws {CuframesError} `FORMAT` where there is no video, though it is needed or nothing else was asked for
 */
export function chooseStreams(source: Source, format: FormatContext, name: string): ChosenStreams {
  const { av, needsVideo } = source;
  const streams = format.streams;
  const video = chooseVideo(source, format, name);
  const audio = chooseAudio(source, format, video, name);
  const data = source.data ? streams.filter((one) => one.codecpar.codecType === av.AVMEDIA_TYPE_DATA) : [];
  const beside = [...(audio ? [audio] : []), ...data.slice(0, MOST_DATA)];
  if (!video && (needsVideo || beside.length === 0)) {
    throw new CuframesError("FORMAT", `${name} has no video track (${streams.length} other streams)`);
  }
  const chosen = new Set([video, ...beside].map((stream) => stream?.index));
  // Sound that FFmpeg has seen nothing of yet may still come; video of the only program may be what the video becomes.
  const isAlone = format.iformat?.name === "mpegts" && format.nbPrograms <= 1;
  const mayCome = ({ codecpar: { codecType } }: Stream) =>
    (source.audio === true && !audio && codecType === av.AVMEDIA_TYPE_AUDIO) ||
    (video !== undefined && isAlone && codecType === av.AVMEDIA_TYPE_VIDEO);
  for (const stream of streams) {
    if (!chosen.has(stream.index) && !mayCome(stream)) stream.discard = av.AVDISCARD_ALL;
  }
  return { video, beside };
}

function chooseVideo({ av }: Source, format: FormatContext, name: string): Stream | undefined {
  const stream = format.streams[format.findBestStream(av.AVMEDIA_TYPE_VIDEO)];
  // A cover picture is a video track to FFmpeg.
  if (!stream || stream.hasDisposition(av.AV_DISPOSITION_ATTACHED_PIC)) return undefined;
  if (stream.codecpar.width <= 0 || stream.codecpar.height <= 0) {
    throw new CuframesError("FORMAT", `${name} has a video track whose size could not be found out`);
  }
  return stream;
}

function chooseAudio(
  { av, audio }: Source,
  format: FormatContext,
  video: Stream | undefined,
  name: string,
): Stream | undefined {
  if (audio === false) return undefined;
  if (audio === true) {
    return format.streams[format.findBestStream(av.AVMEDIA_TYPE_AUDIO, -1, video?.index ?? -1)];
  }
  const all = format.streams.filter((one) => one.codecpar.codecType === av.AVMEDIA_TYPE_AUDIO);
  const stream = all[audio];
  if (!stream) {
    const there = all.length === 0 ? "has no audio track" : `has ${all.length} audio tracks, counted from 0`;
    throw new CuframesError("NOT_FOUND", `${name} ${there}: there is no number ${audio}`);
  }
  return stream;
}
