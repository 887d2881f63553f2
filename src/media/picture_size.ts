/** This file finds the size of a stream's pictures, which the frames beside it need not have: a publisher may scale them. */
import { Buffer } from "node:buffer";
import { newPacket } from "./demuxer.ts";
import type { NodeAv } from "./node_av.ts";

/** Width and height in pixels. */
export interface PictureSize {
  readonly codedWidth: number;
  readonly codedHeight: number;
}

/**
 * Decodes a key access unit to see its size; undefined where FFmpeg cannot.
 *
 * @param codecId FFmpeg's `AVCodecID` @param description Annex B parameter sets, or the codec's own header
 */
export async function pictureSizeOf(
  av: NodeAv,
  codecId: number,
  description: Uint8Array,
  data: Uint8Array,
): Promise<PictureSize | undefined> {
  const codec = av.Codec.findDecoder(codecId as Parameters<NodeAv["Codec"]["findDecoder"]>[0]);
  if (!codec) return undefined;
  const context = new av.CodecContext();
  context.allocContext3(codec);
  const packet = newPacket(av);
  const picture = new av.Frame();
  picture.alloc();
  try {
    context.threadCount = 1;
    if (description.length > 0) context.extraData = Buffer.from(description);
    if (await context.open2(codec) < 0) return undefined;
    packet.data = Buffer.from(data);
    packet.isKeyframe = true;
    if (await context.sendPacket(packet) < 0) return undefined;
    await context.sendPacket(null);
    if (await context.receiveFrame(picture) < 0) return undefined;
    return { codedWidth: picture.width, codedHeight: picture.height };
  } finally {
    picture.free();
    packet.free();
    context.freeContext();
  }
}
