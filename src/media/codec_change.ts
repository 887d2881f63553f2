/** This file takes up a video whose codec changes in the middle of what FFmpeg reads. */
import type { CodecParameters, Packet } from "node-av";
import { Buffer } from "node:buffer";
import { CODEC_IDS, isAnnexB, joinUnits, parameterSets } from "../core/mod.ts";
import { newPacket } from "./av_packet.ts";
import type { NodeAv } from "./node_av.ts";
import { probed } from "./probe.ts";

/** With what an access unit that can be decoded by itself begins, behind a start code. */
const BEGINNINGS: Record<number, readonly number[][]> = {
  [CODEC_IDS.h264]: [[0x09, 0xf0], [0x09, 0x10], [0x09, 0x30], [0x67], [0x27], [0x47]],
  [CODEC_IDS.hevc]: [[0x46, 0x01], [0x40, 0x01]],
};

/**
 * Where the new codec begins in a packet that FFmpeg's parser has made of the last bytes of one codec and the first of
 * another; 0 where it is all of the new one, or that cannot be told.
 */
export function beginningOf(codecId: number, data: Uint8Array): number {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const found = (BEGINNINGS[codecId] ?? []).map((bytes) => buffer.indexOf(Buffer.from([0, 0, 1, ...bytes])))
    .filter((at) => at >= 0);
  if (found.length === 0) return 0;
  const at = Math.min(...found);
  return at > 0 && buffer[at - 1] === 0 ? at - 1 : at;
}

/** Leaves a packet what is before a place in it, and gives the rest, a key packet that is decoded one frame later. */
export function cut(av: NodeAv, packet: Packet, place: number): Packet {
  const { streamIndex, pts, dts, duration } = packet;
  const data = Buffer.from(packet.data!);
  const rest = newPacket(av);
  rest.data = data.subarray(place);
  rest.pts = rest.dts = dts + duration;
  rest.isKeyframe = true;
  // Other data takes all else that is known of a packet away.
  packet.data = data.subarray(0, place);
  packet.pts = pts;
  packet.dts = dts;
  packet.isKeyframe = false;
  for (const part of [packet, rest]) {
    part.streamIndex = streamIndex;
    part.duration = duration;
  }
  return rest;
}

/** The parameters of a codec that a key packet begins; undefined where it does not tell. Free them with `free()`. */
export function parametersFrom(
  av: NodeAv,
  parameters: CodecParameters,
  packet: Packet,
): CodecParameters | undefined {
  const { codecId } = parameters;
  const sets = isAnnexB(codecId) ? parameterSets(codecId, packet.data!) : [];
  const header = sets.length > 0 ? Buffer.from(joinUnits(sets)) : undefined;
  const found = probed(av, parameters, header, packet);
  if (found.width > 0 && found.height > 0) return found;
  found.free();
  return undefined;
}
