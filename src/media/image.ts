/** This file writes a frame as a picture file. */
import type { CodecContext } from "node-av";
import { checkInteger, CuframesError, isRgb, type PixelFormat } from "../core/mod.ts";

import type { Frame } from "../frames/mod.ts";
import { newPacket, payload } from "./demuxer.ts";
import { type ColourOptions, coloursOf, FramePicture } from "./frame_picture.ts";
import { check, loadNodeAv, type NodeAv } from "./node_av.ts";
import { PictureConverter } from "./picture.ts";

/** File formats of pictures. */
export const IMAGE_FORMATS = ["png", "jpeg"] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** How {@linkcode encodeImage} writes. The frame's samples are taken as these colours. */
export interface ImageOptions extends ColourOptions {
  format: ImageFormat;
  /** Of a JPEG, from 1, the best, to 31; default 2. */
  quality?: number;
}

/** Every chroma sample is filtered, and nothing is rounded for speed. */
const EXACT = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";

/** FFmpeg's pixel format for the file: what keeps the frame's samples. */
function storedAs(format: PixelFormat, image: ImageFormat): string {
  if (image === "jpeg") return isRgb(format) ? "yuvj444p" : "yuvj420p";
  if (format === "GRAY8") return "gray";
  if (format === "P010") return "rgb48be";
  return format === "RGBA" || format === "BGRA" ? "rgba" : "rgb24";
}

/**
 * Encodes a frame as a picture file. A JPEG has BT.601 samples of full range, as JFIF says, whatever the frame has.
 *
 * @returns the file's bytes
 * @throws {CuframesError} `UNSUPPORTED` without node-av; `INVALID_ARGUMENT`; `CUDA`
 */
export async function encodeImage(frame: Frame, options: ImageOptions): Promise<Uint8Array> {
  const av = await loadNodeAv();
  const { format, codedWidth, codedHeight } = frame;
  const name = storedAs(format, options.format);
  using input = new FramePicture(av, frame, options);
  using converter = new PictureConverter(av, name, codedWidth, codedHeight, EXACT);
  const target = name.startsWith("rgb")
    ? coloursOf(av, "RGBA", codedHeight, {})
    : coloursOf(av, "I420", codedHeight, { matrix: "bt601", range: "full" });
  const picture = converter.convert(await input.load(frame), target);
  const encoder = openEncoder(av, options);
  const packet = newPacket(av);
  try {
    encoder.width = codedWidth;
    encoder.height = codedHeight;
    encoder.pixelFormat = av.avGetPixFmtFromName(name);
    encoder.colorRange = target.colorRange;
    encoder.colorSpace = target.colorSpace;
    encoder.timeBase = new av.Rational(1, 1);
    check(av, await encoder.open2(), `opening the encoder of ${options.format}`);
    check(av, await encoder.sendFrame(picture), `encoding a ${options.format}`);
    check(av, await encoder.sendFrame(null), `encoding a ${options.format}`);
    check(av, await encoder.receivePacket(packet), `encoding a ${options.format}`);
    return payload(packet);
  } finally {
    packet.free();
    encoder.freeContext();
  }
}

function openEncoder(av: NodeAv, { format, quality = 2 }: ImageOptions): CodecContext {
  const codec = av.Codec.findEncoder(format === "png" ? av.AV_CODEC_ID_PNG : av.AV_CODEC_ID_MJPEG);
  if (!codec) throw new CuframesError("UNSUPPORTED", `node-av has no encoder of ${format}: update node-av`);
  const encoder = new av.CodecContext();
  encoder.allocContext3(codec);
  if (format === "jpeg") {
    encoder.setFlags(av.AV_CODEC_FLAG_QSCALE);
    encoder.globalQuality = checkInteger("quality", quality, 1, 31) * av.FF_QP2LAMBDA;
  }
  return encoder;
}
