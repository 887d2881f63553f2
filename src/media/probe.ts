/** This file finds out from a packet what the packets of its track are, where the container does not say. */
import type { CodecParameters, Packet } from "node-av";
import { Buffer } from "node:buffer";
import { check, NANOSECONDS, type NodeAv } from "./node_av.ts";

/**
 * A codec's parameters, as FFmpeg's decoder finds them in a packet: size or rate, format, and what else it sees. Free
 * them with `free()`.
 *
 * @param parameters what the container says: codec and type are believed, and the rest where the decoder finds nothing
 * @param extradata the codec's own header; undefined: the packet has it
 */
export function probed(
  av: NodeAv,
  parameters: CodecParameters,
  extradata: Uint8Array | undefined,
  packet: Packet,
): CodecParameters {
  const found = new av.CodecParameters();
  found.alloc();
  found.codecType = parameters.codecType;
  found.codecId = parameters.codecId;
  if (extradata) found.extradata = Buffer.from(extradata);
  const codec = av.Codec.findDecoder(parameters.codecId);
  if (!codec) return found;
  const context = new av.CodecContext();
  context.allocContext3(codec);
  try {
    check(av, context.parametersToContext(found), "passing codec parameters");
    context.pktTimebase = new av.Rational(NANOSECONDS.num, NANOSECONDS.den);
    context.threadCount = 1;
    if (context.open2Sync(codec) < 0 || context.sendPacketSync(packet) < 0) return found;
    check(av, found.fromContext(context), "reading codec parameters");
    return found;
  } finally {
    context.freeContext();
  }
}
