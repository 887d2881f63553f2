/** This file writes a frame as a picture file. */
import type { CodecContext } from "node-av";
import { checkInteger, CuframesError, isRgb, type PixelFormat, type Size } from "../core/mod.ts";

import type { Frame } from "../frames/mod.ts";
import { newPacket, payload } from "./demuxer.ts";
import { type ColourOptions, FramePicture, type PictureFrame } from "./frame_picture.ts";
import { check, loadNodeAv, type NodeAv } from "./node_av.ts";
import { type Colours, PictureConverter } from "./picture.ts";
import { PictureTurner } from "./picture_turner.ts";

/** File formats of pictures. */
export const IMAGE_FORMATS = ["png", "jpeg"] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** How {@linkcode encodeImage} writes. */
export interface ImageOptions extends ColourOptions {
  format: ImageFormat;
  /** Of a JPEG, from 1, the best, to 31; default 2. */
  quality?: number;
  /** Whether pixels are written as they are, neither turned nor made square; default false. */
  asStored?: boolean;
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

/** What the file's samples stand for; a JPEG has BT.601 of full range, as JFIF says. */
function fileColours(av: NodeAv, name: string): Colours {
  const colorSpace = name.startsWith("yuvj")
    ? av.AVCOL_SPC_SMPTE170M
    : name === "gray"
    ? av.AVCOL_SPC_UNSPECIFIED
    : av.AVCOL_SPC_RGB;
  return { colorSpace, colorRange: av.AVCOL_RANGE_JPEG };
}

/** The size of a frame's picture file. */
export function imageSize(frame: PictureFrame, asStored: boolean): Size {
  const { displayWidth, displayHeight, visibleRect: { width, height } } = frame;
  return asStored ? { width, height } : { width: displayWidth, height: displayHeight };
}

/**
 * Encodes the visible part of a frame as a picture file, upright and with square pixels, in the colours that it says.
 *
 * @returns the file's bytes
 * @throws {CuframesError} `UNSUPPORTED` without node-av; `INVALID_ARGUMENT`; `CUDA`
 */
export async function encodeImage(frame: Frame, options: ImageOptions): Promise<Uint8Array> {
  const av = await loadNodeAv();
  const { asStored = false } = options;
  const name = storedAs(frame.format, options.format);
  const { width, height } = imageSize(frame, asStored);
  using input = new FramePicture(av, frame, options);
  using converter = new PictureConverter(av, name, width, height, EXACT);
  const target = fileColours(av, name);
  const loaded = await input.load(frame);
  using turner = asStored ? undefined : PictureTurner.for(av, loaded, frame);
  const picture = converter.convert(turner?.turn(loaded) ?? loaded, target);
  const encoder = openEncoder(av, options);
  const packet = newPacket(av);
  try {
    encoder.width = width;
    encoder.height = height;
    encoder.pixelFormat = av.avGetPixFmtFromName(name);
    encoder.colorRange = target.colorRange;
    encoder.colorSpace = target.colorSpace;
    encoder.timeBase = new av.Rational(1, 1);
    if (asStored) encoder.sampleAspectRatio = input.picture.sampleAspectRatio;
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
