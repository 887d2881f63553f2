// Files with several tracks: made by FFmpeg's program, and read as a recorder takes them, by node-av alone.

import * as av from "node-av";
import { outputOf } from "../../scripts/lib/process.ts";
import type { RecorderPacket, RecorderTrack } from "../../media.ts";
import { isAnnexB } from "../../src/core/codec.ts";

export interface TrackPacket extends RecorderPacket {
  readonly track: number;
  readonly durationNs: bigint;
}

export interface Tracks {
  readonly tracks: RecorderTrack[];
  readonly packets: TrackPacket[];
}

const NS = { num: 1, den: 1_000_000_000 };

/** A file's tracks and packets, in the file's order: H.264 and HEVC as Annex B, AAC without ADTS. */
export async function tracksOf(path: string): Promise<Tracks> {
  const format = new av.FormatContext();
  format.allocContext();
  av.FFmpegError.throwIfError(await format.openInput(path), path);
  av.FFmpegError.throwIfError(await format.findStreamInfo(), path);
  const filters = format.streams.map(({ codecpar }) => filterOf(codecpar));
  const packet = new av.Packet();
  packet.alloc();
  const packets: TrackPacket[] = [];
  while (await format.readFrame(packet) >= 0) {
    const track = packet.streamIndex;
    packet.rescaleTs(format.streams[track]!.timeBase, NS);
    const filter = filters[track];
    if (filter) {
      av.FFmpegError.throwIfError(filter.sendPacketSync(packet), "filtering");
      av.FFmpegError.throwIfError(filter.receivePacketSync(packet), "filtering");
    }
    packets.push({
      track,
      data: new Uint8Array(packet.data!),
      type: packet.isKeyframe ? "key" : "delta",
      timestampNs: packet.pts,
      decodeTimestampNs: packet.dts,
      durationNs: packet.duration,
    });
    packet.unref();
  }
  const tracks = format.streams.map(({ codecpar, metadata }, index) => {
    const parameters = filters[index]?.outputCodecParameters ?? codecpar;
    const { codecType, codecId } = codecpar;
    const language = metadata?.get("language") ?? undefined;
    const base = { codecId, description: new Uint8Array(parameters.extradata ?? []), language };
    if (codecType === av.AVMEDIA_TYPE_VIDEO) {
      return { kind: "video", ...base, codedWidth: codecpar.width, codedHeight: codecpar.height } as const;
    }
    if (codecType !== av.AVMEDIA_TYPE_AUDIO) return { kind: "data", ...base } as const;
    return {
      kind: "audio",
      ...base,
      sampleRate: codecpar.sampleRate,
      numberOfChannels: codecpar.channels,
    } as const;
  });
  packet.free();
  for (const filter of filters) filter?.free();
  await format.closeInput();
  return {
    tracks,
    packets: packets.map((one, index) => ({ ...one, decodeTimestampNs: decodeTime(packets, index) })),
  };
}

/** A packet's decode time; FFmpeg's demuxers leave out the first ones where frames are reordered. */
function decodeTime(packets: readonly TrackPacket[], index: number): bigint {
  const { track, decodeTimestampNs } = packets[index]!;
  if (decodeTimestampNs !== av.AV_NOPTS_VALUE) return decodeTimestampNs;
  const following = packets.findIndex((one, at) => at > index && one.track === track);
  return decodeTime(packets, following) - packets[following]!.durationNs;
}

function filterOf(parameters: av.CodecParameters): av.BitStreamFilterContext | undefined {
  const { codecId, extradata } = parameters;
  const isLengths = isAnnexB(codecId) && extradata?.[0] === 1;
  const isAdts = codecId === av.AV_CODEC_ID_AAC && !extradata?.length;
  if (!isLengths && !isAdts) return undefined;
  const name = isAdts
    ? "aac_adtstoasc"
    : codecId === av.AV_CODEC_ID_HEVC
    ? "hevc_mp4toannexb"
    : "h264_mp4toannexb";
  const filter = new av.BitStreamFilterContext();
  filter.alloc(av.BitStreamFilter.getByName(name)!);
  parameters.copy(filter.inputCodecParameters!);
  av.FFmpegError.throwIfError(filter.init(), name);
  return filter;
}

/** Runs FFmpeg's program, which must succeed. @returns what it writes to its standard output */
export function ffmpeg(...words: string[]): Promise<string> {
  return outputOf("ffmpeg", ["-nostdin", "-v", "error", "-y", ...words]);
}

/** What ffprobe says of a file, as JSON. */
// deno-lint-ignore no-explicit-any
export async function ffprobe(...words: string[]): Promise<any> {
  return JSON.parse(await outputOf("ffprobe", ["-v", "error", "-of", "json", ...words]));
}

/** How many frames of the first video track a player shows, and their times in s. */
export async function shownTimes(path: string): Promise<number[]> {
  const { frames } = await ffprobe(
    "-select_streams",
    "v:0",
    "-show_frames",
    "-show_entries",
    "frame=pts_time",
    path,
  );
  return frames.map(({ pts_time }: { pts_time: string }) => Number(pts_time));
}
