/** This file has the names of codecs: FFmpeg's numbers, and WebCodecs' strings. */
import { BitReader } from "./bits.ts";
import { nalUnits } from "./nal_units.ts";

/** FFmpeg's `AVCodecID` numbers of the codecs that a packet ring usually carries (libavcodec/codec_id.h). */
export const CODEC_IDS = { mjpeg: 7, h264: 27, vp8: 139, vp9: 167, hevc: 173, av1: 225 } as const;

/** A codec's name in the words of `CODEC_IDS`; its number where it has none there. */
export function codecNameOf(codecId: number): string {
  const known = Object.entries(CODEC_IDS).find(([, id]) => id === codecId);
  return known?.[0] ?? `codec ${codecId}`;
}

/**
 * A WebCodecs codec string for a stream, as in the WebCodecs codec registry; undefined where the description does
 * not tell. H.264 and HEVC are read from their parameter sets (Annex B).
 */
export function codecString(codecId: number, description: Uint8Array): string | undefined {
  switch (codecId) {
    case CODEC_IDS.h264:
      return avcString(description);
    case CODEC_IDS.hevc:
      return hevcString(description);
    case CODEC_IDS.vp8:
      return "vp8";
    case CODEC_IDS.vp9:
      return "vp09.00.10.08"; // profile 0, level 1, 8 bit: what the registry takes as unspecified
    case CODEC_IDS.av1:
      return "av01.0.04M.08"; // main profile, level 3.0, 8 bit
    default:
      return undefined;
  }
}

/** Codecs whose packets are Annex B byte streams here. */
export function isAnnexB(codecId: number): boolean {
  return codecId === CODEC_IDS.h264 || codecId === CODEC_IDS.hevc;
}

const hex = (byte: number): string => byte.toString(16).padStart(2, "0");

/** profile_idc, constraint flags and level_idc are the three bytes behind the SPS's header (H.264 7.3.2.1.1). */
function avcString(description: Uint8Array): string | undefined {
  for (const [header = 0, profile, constraints, level] of nalUnits(description)) {
    const isSps = (header & 0x1f) === 7;
    if (isSps && profile !== undefined && constraints !== undefined && level !== undefined) {
      return `avc1.${hex(profile)}${hex(constraints)}${hex(level)}`;
    }
  }
  return undefined;
}

/** The SPS's profile_tier_level (H.265 7.3.3), written as ISO/IEC 14496-15 Annex E says. */
function hevcString(description: Uint8Array): string | undefined {
  for (const unit of nalUnits(description)) {
    const isSps = ((unit[0] ?? 0) >> 1 & 0x3f) === 33;
    if (!isSps) continue;
    const bits = new BitReader(unit.subarray(2));
    bits.skip(8); // sps_video_parameter_set_id, sps_max_sub_layers_minus1, sps_temporal_id_nesting_flag
    const space = ["", "A", "B", "C"][bits.bits(2)];
    const tier = bits.flag() ? "H" : "L";
    const profile = bits.bits(5);
    const compatibility = reversedBits(bits.bits(32)).toString(16).toUpperCase();
    const constraints = Array.from({ length: 6 }, () => hex(bits.bits(8)).toUpperCase());
    while (constraints.length > 0 && constraints.at(-1) === "00") constraints.pop();
    const level = bits.bits(8);
    if (bits.ended) return undefined;
    return [`hvc1.${space}${profile}`, compatibility, `${tier}${level}`, ...constraints].join(".");
  }
  return undefined;
}

function reversedBits(word: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) reversed = reversed * 2 + (word >>> bit & 1);
  return reversed;
}
