/** This file has the names of the codecs of sound and of data. */
import { codecNameOf, codecString } from "./codec.ts";

/** FFmpeg's `AVCodecID` numbers of sound, by FFmpeg's own names (libavcodec/codec_id.h). */
export const AUDIO_CODEC_IDS = {
  pcm_s16le: 65536,
  pcm_s16be: 65537,
  pcm_u8: 65541,
  pcm_mulaw: 65542,
  pcm_alaw: 65543,
  pcm_s32le: 65544,
  pcm_s24le: 65548,
  pcm_f32le: 65557,
  adpcm_g726: 69643,
  adpcm_g722: 69660,
  adpcm_g726le: 69667,
  mp2: 86016,
  mp3: 86017,
  aac: 86018,
  ac3: 86019,
  vorbis: 86021,
  flac: 86028,
  eac3: 86056,
  aac_latm: 86065,
  opus: 86076,
} as const;

/** FFmpeg's `AVCodecID` of bytes that are no codec's, and of KLV (SMPTE 336M). */
export const DATA_CODEC_IDS = { klv: 98311, binary: 98314 } as const;

/** WebCodecs' names of FFmpeg's, where they are others (the WebCodecs codec registry). */
const AUDIO_STRINGS: Partial<Record<keyof typeof AUDIO_CODEC_IDS, string>> = {
  pcm_s16le: "pcm-s16",
  pcm_u8: "pcm-u8",
  pcm_s32le: "pcm-s32",
  pcm_s24le: "pcm-s24",
  pcm_f32le: "pcm-f32",
  pcm_mulaw: "ulaw",
  pcm_alaw: "alaw",
  ac3: "ac-3",
  eac3: "ec-3",
};

/**
 * A sound's codec string as in the WebCodecs codec registry, which FFmpeg's name stands for where it has none;
 * undefined: a number that is not in the table.
 *
 * @param description FFmpeg's extradata: AAC's AudioSpecificConfig says which AAC it is (ISO/IEC 14496-3, 1.6.2.1)
 */
export function audioCodecString(codecId: number, description: Uint8Array): string | undefined {
  const name = (Object.keys(AUDIO_CODEC_IDS) as (keyof typeof AUDIO_CODEC_IDS)[])
    .find((each) => AUDIO_CODEC_IDS[each] === codecId);
  if (name === undefined) return undefined;
  return name === "aac" ? `mp4a.40.${audioObjectType(description)}` : AUDIO_STRINGS[name] ?? name;
}

/** AAC-LC where the description does not say. */
function audioObjectType([first, second = 0]: Uint8Array): number {
  if (first === undefined) return 2;
  const type = first >> 3;
  return type === 31 ? 32 + ((first & 7) << 3 | second >> 5) : type;
}

/**
 * FFmpeg's number of a codec of sound, by FFmpeg's name or WebCodecs' (`"mp4a.40.2"`, `"alaw"`); undefined: it is not in
 * the table.
 */
export function audioCodecIdOf(name: string): number | undefined {
  if (name.startsWith("mp4a.40.")) return AUDIO_CODEC_IDS.aac;
  if (name === "mp4a.69" || name === "mp4a.6B") return AUDIO_CODEC_IDS.mp3;
  const known = Object.entries(AUDIO_CODEC_IDS).find(([own]) =>
    own === name || AUDIO_STRINGS[own as keyof typeof AUDIO_CODEC_IDS] === name
  );
  return known?.[1];
}

/** WebCodecs' string of any codec that has one here; else its name or number. */
export function trackCodecString(codecId: number, description: Uint8Array): string {
  return codecString(codecId, description) ?? audioCodecString(codecId, description) ?? codecNameOf(codecId);
}
