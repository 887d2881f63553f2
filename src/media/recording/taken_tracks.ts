/** This file decides which tracks a file gets, and how: as they are, encoded, or not at all. */
import { CuframesError } from "../../core/mod.ts";
import type { NodeAv } from "../node_av.ts";
import { takes } from "./container.ts";
import type { RecorderTrack } from "./recorder_track.ts";
import { SoundEncoder } from "./sound_encoder.ts";

/**
 * A track that is not in the file.
 *
 * @example
 * ```ts
 * import type { Recorder } from "@cuframes/core/media";
 *
 * export function tell(recorder: Recorder): void {
 *   for (const { track, reason } of recorder.left) console.warn(`track ${track}: ${reason}`);
 * }
 * ```
 */
export interface LeftTrack {
  /** Its number in the options' `tracks`. */
  readonly track: number;
  /** A sentence: what does not go where, and what to do. */
  readonly reason: string;
}

/** Formats to recommend, the best first. */
const OTHERS = [["matroska", ".mkv"], ["mpegts", ".ts"], ["nut", ".nut"]] as const;

/** What becomes of the tracks that there are. */
export interface Taken {
  /** As they are in the file, encoded where they are. */
  readonly tracks: readonly RecorderTrack[];
  readonly encoders: readonly (SoundEncoder | undefined)[];
  readonly left: LeftTrack[];
}

/**
 * Which tracks a format takes, and what encodes those that are to be encoded.
 *
 * @throws {CuframesError} `UNSUPPORTED`: the picture is none of them, or nothing is
 */
export async function taking(
  av: NodeAv,
  format: string,
  stated: readonly RecorderTrack[],
  name: string,
  toFile: boolean,
  encodes: boolean,
): Promise<Taken> {
  const tracks = [...stated];
  const encoders: (SoundEncoder | undefined)[] = stated.map(() => undefined);
  const left: LeftTrack[] = [];
  try {
    for (const [index, track] of stated.entries()) {
      let reason: string | undefined;
      if (encodes && track.kind === "audio" && track.codecId !== av.AV_CODEC_ID_AAC) {
        const encoder = await SoundEncoder.create(av, track).catch((error: Error) => error);
        if (encoder instanceof Error) reason = encoder.message;
        else {
          encoders[index] = encoder;
          tracks[index] = encoder.track;
        }
      }
      reason ??= await refusal(av, format, tracks[index]!, toFile);
      if (reason === undefined) continue;
      if (track.kind === "video") throw new CuframesError("UNSUPPORTED", `${name}: ${reason}`);
      left.push({ track: index, reason: `${reason}; the file is without it` });
    }
    if (left.length < tracks.length) return { tracks, encoders, left };
    throw new CuframesError("UNSUPPORTED", `${name}: ${left.map(({ reason }) => reason).join("; ")}`);
  } catch (error) {
    for (const encoder of encoders) encoder?.close();
    throw error;
  }
}

/** Why a format does not take a track; undefined where it does. */
async function refusal(
  av: NodeAv,
  format: string,
  track: RecorderTrack,
  toFile: boolean,
): Promise<string | undefined> {
  if (await takes(av, format, track)) return undefined;
  let elsewhere = "none that is here takes it";
  // NUT takes nearly all, and needs no file to go back in.
  for (const [other, extension] of toFile ? OTHERS : OTHERS.toReversed()) {
    if (other === format || !await takes(av, other, track)) continue;
    elsewhere = `try ${toFile ? extension : other}`;
    break;
  }
  return `${codecName(av, track)} does not go into this file format: ${elsewhere}`;
}

export function codecName(av: NodeAv, { codecId, kind }: RecorderTrack): string {
  const name = av.avGetCodecName(codecId as Parameters<NodeAv["avGetCodecName"]>[0]);
  return name === null || name === "none" || name === "unknown_codec" ? `${kind} of codec ${codecId}` : name;
}
