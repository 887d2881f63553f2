/** This file knows the file formats of recordings: their names, how they survive a crash, and what goes into each. */
import { extname } from "node:path";
import { invalid } from "../../core/mod.ts";
import type { NodeAv } from "../node_av.ts";
import { type RecorderTrack, stateTrack } from "./recorder_track.ts";

/** File formats by file name extension, with FFmpeg's name of the muxer. */
const FORMATS: Record<string, string> = {
  ".mp4": "mp4",
  ".m4v": "mp4",
  ".mov": "mov",
  ".mkv": "matroska",
  ".webm": "webm",
  ".ts": "mpegts",
  ".m2ts": "mpegts",
  ".nut": "nut",
  ".h264": "h264",
  ".hevc": "hevc",
};

/**
 * Muxer options of a durable recording: pieces that are whole go to the disk. An MP4 is written as fragments, which end
 * where the recorder says, and which `close()` makes into an ordinary file.
 */
const DURABLE: Record<string, Record<string, string>> = {
  mp4: { movflags: "hybrid_fragmented+frag_custom+delay_moov" },
  mov: { movflags: "hybrid_fragmented+frag_custom+delay_moov" },
  matroska: { cluster_time_limit: "500" },
  webm: { cluster_time_limit: "500" },
};

/** The file format of a path, unless one is given. @throws {CuframesError} `INVALID_ARGUMENT` for none that is here */
export function formatOf(path: string, given: string | undefined): string {
  const name = given ?? FORMATS[extname(path).toLowerCase()];
  if (name !== undefined && Object.values(FORMATS).includes(name)) return name;
  throw invalid(
    `${given ?? path}: a recording is one of ${Object.keys(FORMATS).join(", ")}, by its file name or ` +
      "the option format",
  );
}

/** Whether a file has a track's ticks to choose, and can change parameter sets on the way. */
export function isMp4(format: string): boolean {
  return format === "mp4" || format === "mov";
}

/** What the muxer is told. */
export function muxerOptions(
  format: string,
  durable: boolean,
  tracks: readonly RecorderTrack[],
): Record<string, string> {
  const [sound] = tracks.filter(({ kind }) => kind === "audio");
  return {
    ...(durable ? { ...DURABLE[format], flush_packets: "1" } : {}),
    // How long sound begins behind the picture is told in these ticks: in samples it is exact.
    ...(isMp4(format) && sound ? { movie_timescale: String(sound.sampleRate) } : {}),
  };
}

/**
 * Whether a track goes into a file format and comes out of it again, asked of FFmpeg's muxer, which writes a header to
 * nowhere.
 */
export async function takes(av: NodeAv, format: string, track: RecorderTrack): Promise<boolean> {
  if (!comesBack(av, format, track)) return false;
  const context = new av.FormatContext();
  try {
    if (context.allocOutputContext2(null, format, "file:/dev/null") < 0) return false;
    if (await context.openOutput() < 0) return false;
    const stream = context.newStream();
    stateTrack(av, stream, track);
    stream.timeBase = new av.Rational(1, track.sampleRate ?? 1000);
    const result = await context.writeHeader();
    // Its first key packet may have what its header lacks.
    return result >= 0 || (result === av.AVERROR_INVALIDDATA && track.kind === "video");
  } finally {
    await context.closeOutput();
    context.freeContext();
  }
}

/** Whether a file's header cannot be written before a track's first packet, which says what it is. */
export function needsPacket(av: NodeAv, format: string, { codecId, description }: RecorderTrack): boolean {
  const dolby: number[] = [av.AV_CODEC_ID_AC3, av.AV_CODEC_ID_EAC3];
  const isBare = description === undefined || description.length === 0;
  return isMp4(format) && (dolby.includes(codecId) || (codecId === av.AV_CODEC_ID_AAC && isBare));
}

/** What muxers take, and no player gives back. */
function comesBack(av: NodeAv, format: string, { kind, codecId }: RecorderTrack): boolean {
  // Of a bare stream the muxer looks at nothing.
  if (format === "h264") return codecId === av.AV_CODEC_ID_H264;
  if (format === "hevc") return codecId === av.AV_CODEC_ID_HEVC;
  if (format === "mpegts") return mpegtsCodecs(av)[kind].includes(codecId);
  // FFmpeg's muxer calls all data of an MP4 a GoPro's telemetry, and puts ID3 where no demuxer finds it.
  if (isMp4(format) && kind === "data") return false;
  // How many bits its samples have is in none of its packets, and no track says it.
  if (codecId === av.AV_CODEC_ID_ADPCM_G726 || codecId === av.AV_CODEC_ID_ADPCM_G726LE) return false;
  // FFmpeg reads it from a MOV with a wrong length, and not to its end.
  if (format === "mov" && codecId === av.AV_CODEC_ID_ADPCM_G722) return false;
  // FFmpeg writes PCM into MP4 as ISO/IEC 23003-5 has it, which hardly any player knows yet.
  const name = av.avGetCodecName(codecId as Parameters<NodeAv["avGetCodecName"]>[0]) ?? "";
  return format !== "mp4" || !name.startsWith("pcm_");
}

/** FFmpeg puts any codec into MPEG-TS, as private data that nothing plays. */
function mpegtsCodecs(av: NodeAv): Record<RecorderTrack["kind"], readonly number[]> {
  return {
    video: [
      av.AV_CODEC_ID_MPEG1VIDEO,
      av.AV_CODEC_ID_MPEG2VIDEO,
      av.AV_CODEC_ID_MPEG4,
      av.AV_CODEC_ID_VC1,
      av.AV_CODEC_ID_H264,
      av.AV_CODEC_ID_HEVC,
      av.AV_CODEC_ID_VVC,
    ],
    audio: [
      av.AV_CODEC_ID_MP2,
      av.AV_CODEC_ID_MP3,
      av.AV_CODEC_ID_AAC,
      av.AV_CODEC_ID_AAC_LATM,
      av.AV_CODEC_ID_AC3,
      av.AV_CODEC_ID_EAC3,
      av.AV_CODEC_ID_DTS,
      av.AV_CODEC_ID_TRUEHD,
      av.AV_CODEC_ID_OPUS,
    ],
    data: [av.AV_CODEC_ID_SMPTE_KLV, av.AV_CODEC_ID_TIMED_ID3, av.AV_CODEC_ID_BIN_DATA],
  };
}
